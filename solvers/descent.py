"""Ways down to a minimum of energy: what they share, and the loop that takes their steps with lists of neighbors.

Unknowns are rows [m, 3] of lengths: positions of particles, and with a box that changes three rows of its strain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ..core.status import Code
from .particles import Particles

Rows = Float[Array, "m 3"]


class Landscape(eqx.Module):
    """The energy of a system of particles as a function of rows, by lists of neighbors.

    `state` is where the search began: x = y A and box = box_0 A with y the first n rows, A = 1 + E, and E the symmetric part
    of three further rows over `length` if the box changes, under a `pressure`: U + P V is then what has a minimum.
    """

    system: PyTree
    state: PyTree
    pressure: Float[Array, ""]
    particles: Particles = eqx.field(static=True)
    cell: bool = eqx.field(static=True)

    @property
    def length(self) -> Float[Array, ""]:
        """sqrt(n) (V / n)^(1/3): rows of the strain, times this, are as stiff as those of particles."""
        count, volume = self.state.position.shape[0], jax.lax.stop_gradient(self.state.box.volume())
        return jnp.cbrt(volume / count) * jnp.sqrt(jnp.asarray(count, volume.dtype))

    def rows(self) -> Rows:
        """The rows of the state."""
        position = self.state.position
        return jnp.concatenate([position, jnp.zeros((3, 3), position.dtype)]) if self.cell else position

    def at(self, rows: Rows) -> PyTree:
        """The state of rows."""
        if not self.cell:
            return eqx.tree_at(lambda s: s.position, self.state, rows)
        strain = 0.5 * (rows[-3:] + rows[-3:].T) / self.length
        deformation = jnp.eye(3, dtype=rows.dtype) + strain
        places = (rows[:-3] @ deformation, self.state.box.vectors @ deformation)
        return eqx.tree_at(lambda s: (s.position, s.box.vectors), self.state, places)

    def energy(self, rows: Rows, lists: PyTree) -> Float[Array, ""]:
        """U, or U + P V."""
        state = self.at(rows)
        potential = self.particles.forces(self.system, jnp.zeros((), rows.dtype), state, lists).energy
        return potential + self.pressure.astype(rows.dtype) * state.box.volume() if self.cell else potential

    def largest_force(self, gradient: Rows) -> Float[Array, ""]:
        """The largest force on a particle; that on the box counts as lacking stress times the area of a particle."""
        squares = jnp.sum(gradient**2, 1)
        if self.cell:
            squares = squares.at[-3:].divide(self.state.position.shape[0])
        return jnp.sqrt(jnp.max(squares))


class Seen(eqx.Module):
    """A place with its energy and gradient."""

    rows: Rows
    energy: Float[Array, ""]
    gradient: Rows


class Descent(eqx.Module):
    """A way down. `start` and `take` make what it keeps, which has `trial`, the rows to be looked at next, and `best`, the
    place that it has come to.

    `largest_step`: no row changes by more than this in one step, a length.
    """

    largest_step: eqx.AbstractVar[Float[Array, ""]]

    def start(self, rows: Rows) -> PyTree:
        """What is kept before anything was seen; the first place to be looked at is `rows`."""
        raise NotImplementedError

    def take(self, kept: PyTree, seen: Seen) -> tuple[PyTree, Int[Array, ""]]:
        """What is kept after a trial was seen, and a `Code`."""
        raise NotImplementedError


class Descending(eqx.Module):
    """A search on its way: what the method keeps, evaluations made, and how it goes."""

    kept: PyTree
    count: Int[Array, ""]
    code: Int[Array, ""]
    force: Float[Array, ""]


def begin(method: Descent, landscape: Landscape) -> Descending:
    """A search that begins at the state of the landscape."""
    rows = landscape.rows()
    return Descending(method.start(rows), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), jnp.asarray(jnp.inf, rows.dtype))


def descend(
    method: Descent, landscape: Landscape, search: Descending, tolerance: Float[Array, ""], max_steps: Int[Array, ""]
) -> tuple[Descending, PyTree]:
    """The search until the largest force is below the tolerance or something is wrong, and lists for where it ended.

    With CAPACITY_OVERFLOW the last trial was not looked at: the search goes on from there in a system with more room.
    """
    particles, system = landscape.particles, landscape.system
    search = eqx.tree_at(lambda s: s.code, search, jnp.zeros_like(search.code))
    lists, fixed = eqx.partition(particles.prepare(system, landscape.at(search.kept.trial)), eqx.is_array)

    def renewed(lists: PyTree, rows: Rows) -> PyTree:
        state = landscape.at(rows)
        wrong = ~particles.right(system, state, eqx.combine(lists, fixed))
        make: Callable[[Any], Any] = lambda c: (jnp.zeros((), bool), eqx.filter(particles.prepare(system, state), eqx.is_array))
        return jax.lax.while_loop(lambda c: c[0], make, (wrong, lists))[1]

    def body(carry: tuple[Descending, PyTree]) -> tuple[Descending, PyTree]:
        search, lists = carry
        rows = search.kept.trial
        lists = renewed(lists, rows)
        whole = eqx.combine(lists, fixed)
        full = particles.code(system, landscape.at(rows), whole)
        energy, gradient = jax.value_and_grad(landscape.energy)(rows, whole)
        kept, code = method.take(search.kept, Seen(rows, energy, gradient))
        code = jnp.where(_finite(kept.best), code, Code.NON_FINITE)
        force = landscape.largest_force(kept.best.gradient)
        new = Descending(kept, search.count + 1, code.astype(jnp.int32), force)
        stopped = eqx.tree_at(lambda s: s.code, search, full)
        return jax.tree.map(lambda a, b: jnp.where(full == Code.OK, a, b), new, stopped), lists

    def goes_on(carry: tuple[Descending, PyTree]) -> Bool[Array, ""]:
        search, _ = carry
        return (search.code == Code.OK) & (search.force > tolerance) & (search.count < max_steps)

    search, lists = jax.lax.while_loop(goes_on, body, (search, lists))
    lists = renewed(lists, search.kept.best.rows)
    over = (search.code == Code.OK) & ~(search.force <= tolerance)
    code = jnp.where(over, Code.STEP_LIMIT, search.code).astype(jnp.int32)
    return eqx.tree_at(lambda s: s.code, search, code), eqx.combine(lists, fixed)


def shortened(step: Rows, largest: Float[Array, ""]) -> Rows:
    """A step scaled so that no row changes by more than `largest`."""
    longest = jnp.sqrt(jnp.max(jnp.sum(step**2, 1)))
    return step * jnp.minimum(1.0, largest.astype(step.dtype) / jnp.maximum(longest, jnp.finfo(step.dtype).tiny))


def _finite(seen: Seen) -> Bool[Array, ""]:
    return jnp.isfinite(seen.energy) & jnp.all(jnp.isfinite(seen.gradient)) & jnp.all(jnp.isfinite(seen.rows))

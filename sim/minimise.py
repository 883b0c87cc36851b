"""`minimise`: the nearest arrangement of particles, and shape of the box, that has the least energy."""

from __future__ import annotations

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, PyTree

from ..core.status import Code, Status, raise_if_failed
from ..core.transforms import jit
from ..solvers.descent import Descending, Descent, Landscape, begin, descend
from ..solvers.fire import Fire
from ..solvers.implicit_minimum import energy_of_minimum, settled
from ..solvers.lbfgs import LimitedMemory
from ..solvers.particles import Particles
from .growing import with_more_room, with_room
from .simulate import as_state

METHODS: dict[str, type[Descent]] = {"fire": Fire, "lbfgs": LimitedMemory}
TOLERANCES = {"float64": 1e-6, "float32": 1e-3}
REMEDIES = {
    Code.STEP_LIMIT: "Raise max_steps, loosen tolerance, or try the other method ('fire', 'lbfgs').",
    Code.STEP_TOO_SMALL: "The energy does not fall along its own slope: it jumps there (shape='cut' does, at the cutoff: "
    "write shape='shift' or 'force_shift'), or the tolerance asks for more than rounding allows.",
    Code.NON_FINITE: "Two particles may be in the same place: move them apart, or start from wl.md.random_packing.",
}


class Minimum(eqx.Module):
    """Where a search for a minimum ended: the state, at rest, and its energy, U or U + P V if the box changed too.

    `largest_force` is what is left of forces on particles, or on the box; `steps` counts evaluations of forces.
    """

    state: PyTree
    energy: Float[Array, ""]
    largest_force: Float[Array, ""]
    status: Status
    steps: Int[Array, ""]


def minimise(
    system: Any,
    state: PyTree,
    method: str = "fire",
    *,
    tolerance: ArrayLike | None = None,
    max_steps: int = 10_000,
    cell: bool = False,
    pressure: ArrayLike = 0.0,
    largest_step: ArrayLike = 0.1,
    throw: bool = True,
) -> Minimum:
    """The state of least energy U that particles reach going downhill from a state, with its derivative.

    - `system`, `state`: a `wl.md.System` and a state of it.
    - `method`: "fire" (a ball with inertia, robust from overlaps) or "lbfgs" (quicker from near by).
    - `tolerance`: the largest force on a particle that is left, energy by length; by default 1e-6, in float32 1e-3.
    - `cell`: search for the box too, of any shape, for which U + P V is least under the `pressure` P (energy by volume);
      what is left of stress counts as a force on the area of a particle, (V / n)^(2/3).
    - `largest_step`: how far a particle moves at most in one step, a length.
    - `throw`: raise where the search fails, when called from plain Python.

    The positions found, the box, and the energy are differentiable in all parameters of the system, the box that was given and
    the pressure, in both modes and to any order, by the implicit function theorem: H dx = -dg, solved by conjugate gradients
    without moving or turning the whole. By the positions to begin with the derivative is zero. Under `jit`, `vmap` or `grad` the
    status comes back as data; write system = system.sized(state) outside where positions are traced.

    **Raises** `ValueError` for input that makes no sense, `TypeError` for what is no system of particles, `SimulationError`
    for a search that fails.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}: write one of {', '.join(map(repr, METHODS))}.")
    state = as_state(state)
    particles = _particles_of(system, state)
    dtype = state.position.dtype
    tolerance = _positive("tolerance", TOLERANCES[dtype.name] if tolerance is None else tolerance, dtype)
    way = METHODS[method](_positive("largest_step", largest_step, dtype))
    if not isinstance(max_steps, (int, np.integer)) or max_steps < 1:
        raise ValueError(f"max_steps={max_steps!r}: a whole number of steps is needed, at least one.")
    if cell and not all(state.box.periodic):
        raise ValueError("cell=True changes the box, which must repeat along all three edges: give the state a box.")
    pressure, limit = jnp.asarray(pressure, dtype), jnp.asarray(max_steps, jnp.int32)

    system, search = with_room(system, state), None
    for growths in itertools.count():
        landscape = Landscape(system, state, pressure, particles, cell)
        search, minimum = _search(way, landscape, search, tolerance, limit)
        if isinstance(search.code, jax.core.Tracer) or int(search.code) != Code.CAPACITY_OVERFLOW:
            break
        larger = with_more_room(system, landscape.at(search.kept.trial), growths)
        if larger is None:
            break
        system = larger
    if throw and not isinstance(minimum.status.code, jax.core.Tracer):
        raise_if_failed(minimum.status, remedy=REMEDIES, trajectory=minimum)
    return minimum


def _particles_of(system: Any, state: PyTree) -> Particles:
    """What a system tells about its particles. **Raises** `TypeError` for one that has none."""
    particles = system.problem(state, None).particles if hasattr(system, "problem") else None
    if particles is None:
        raise TypeError(f"system has type {type(system).__name__}: minimise is for particles, pass a wl.md.System and its state.")
    return particles


@jit
def _search(
    method: Descent, landscape: Landscape, search: Descending | None, tolerance: Array, max_steps: Array
) -> tuple[Descending, Minimum]:
    fixed = jax.lax.stop_gradient(landscape)
    search = begin(method, fixed) if search is None else search
    search, lists = descend(method, fixed, search, tolerance, max_steps)
    found = search.kept.best.rows
    rows = settled(landscape, found, lists)
    there = landscape.at(rows)
    there = eqx.tree_at(lambda s: s.velocity, there, jnp.zeros_like(there.velocity))
    energy = energy_of_minimum(landscape, found, lists)
    status = Status.fine(energy.dtype).fail(search.code != Code.OK, search.code, jnp.nan, search.count - 1)
    return search, Minimum(there, energy, search.force, status, search.count)


def _positive(name: str, value: Any, dtype: Any) -> Array:
    array = jnp.asarray(value, dtype)
    if array.ndim or (not isinstance(array, jax.core.Tracer) and not (np.isfinite(array) and array > 0)):
        raise ValueError(f"{name}={value!r}: one positive number is needed.")
    return array

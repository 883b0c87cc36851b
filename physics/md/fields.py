"""Interactions of particles with places in space: forces from outside, traps, walls, and fields by one's own function.

Positions are taken as they are, unwrapped: a particle that leaves the box on one side goes on in the field outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...core.arrays import Numbers
from .exclusions import as_places
from .pairs import as_parameter
from .surroundings import Surroundings
from .terms import Term


class External(Term):
    """An interaction of each particle with space, or of those that `which` [m] numbers. A subclass defines `potential`.

    Parameters are fields of the subclass. The box and its strain do not move the field.
    """

    which: Int[Array, " m"] | None

    def potential(self, x: Float[Array, "3"], charge: Float[Array, ""]) -> Float[Array, ""]:
        """u of one particle at x, with its charge."""
        raise NotImplementedError

    def energy(self, near: Surroundings) -> Float[Array, ""]:
        """U, over all particles concerned."""
        position, charge = near.position, near.charge
        if self.which is not None:
            position, charge = position[self.which], charge[self.which]
        return jnp.sum(jax.vmap(self.potential)(position, charge))

    def check(self, species: tuple[str, ...], count: int) -> None:
        """**Raises** `ValueError` for numbers of particles that the system does not have."""
        if self.which is not None and not isinstance(self.which, jax.core.Tracer):
            as_which(np.asarray(self.which), count)


class UniformForce(External):
    """u = -force · x: the same `force` [3] (energy / length) on all particles, or those that `which` numbers."""

    force: Float[Array, "3"]

    def __init__(self, force: Numbers, *, which: Numbers | None = None):
        self.force, self.which = as_vector(force, "force"), as_which(which)

    def potential(self, x: Float[Array, "3"], charge: Float[Array, ""]) -> Float[Array, ""]:
        """-force · x."""
        return -jnp.sum(self.force.astype(x.dtype) * x)


class ElectricField(External):
    """u = -q field · x: a uniform `field` [3] (energy / length / charge) on the charges of the system."""

    field: Float[Array, "3"]

    def __init__(self, field: Numbers, *, which: Numbers | None = None):
        self.field, self.which = as_vector(field, "field"), as_which(which)

    def potential(self, x: Float[Array, "3"], charge: Float[Array, ""]) -> Float[Array, ""]:
        """-q field · x."""
        return -charge * jnp.sum(self.field.astype(x.dtype) * x)


class HarmonicTrap(External):
    """u = 1/2 sum over x, y, z of stiffness (x - center)²; `stiffness` is one number or [3] (energy / length²).

    0 in a direction leaves it free. `which` numbers the particles that are held, by default all.
    """

    stiffness: Float[Array, "..."]
    center: Float[Array, "3"]

    def __init__(self, stiffness: Numbers, center: Numbers = (0.0, 0.0, 0.0), *, which: Numbers | None = None):
        self.stiffness = as_parameter(stiffness, "stiffness")
        if self.stiffness.shape not in ((), (3,)):
            raise ValueError(f"stiffness has shape {self.stiffness.shape}: give one number, or three, for x, y and z.")
        self.center, self.which = as_vector(center, "center"), as_which(which)

    def potential(self, x: Float[Array, "3"], charge: Float[Array, ""]) -> Float[Array, ""]:
        """1/2 stiffness (x - center)²."""
        return 0.5 * jnp.sum(self.stiffness.astype(x.dtype) * (x - self.center.astype(x.dtype)) ** 2)


class Wall93(External):
    """u(z) = epsilon (2/15 (sigma / z)^9 - (sigma / z)^3), z the distance from a plane: a wall of Lennard-Jones particles.

    The plane goes through `point` [3], and `normal` [3], of any length, points to the side where particles are. `epsilon`
    (energy), `sigma` (length); with a `cutoff` u is shifted to end there at zero. Behind the wall the energy is not a
    number, so that a run ends with a status. To be used where the box does not repeat along the normal.

    **Raises** `ValueError` for numbers that make no sense, naming the argument.

    **Source**: W. A. Steele, Surf. Sci. 36 (1973) 317; in these units F. F. Abraham, J. Chem. Phys. 68 (1978) 3713.
    """

    epsilon: Float[Array, ""]
    sigma: Float[Array, ""]
    point: Float[Array, "3"]
    normal: Float[Array, "3"]
    cutoff: float | None = eqx.field(static=True)

    def __init__(
        self,
        epsilon: Numbers,
        sigma: Numbers,
        *,
        point: Numbers,
        normal: Numbers,
        cutoff: float | None = None,
        which: Numbers | None = None,
    ):
        self.epsilon, self.sigma = as_parameter(epsilon, "epsilon"), as_parameter(sigma, "sigma")
        self.point, self.normal = as_vector(point, "point"), as_vector(normal, "normal")
        if not isinstance(self.normal, jax.core.Tracer) and not np.any(self.normal):
            raise ValueError("normal = [0, 0, 0]: it must point from the wall to the particles, [0, 0, 1].")
        if cutoff is not None and not (np.isfinite(cutoff) and cutoff > 0):
            raise ValueError(f"cutoff={cutoff:.6g}: it must be positive and finite, or None.")
        self.cutoff, self.which = None if cutoff is None else float(cutoff), as_which(which)

    def potential(self, x: Float[Array, "3"], charge: Float[Array, ""]) -> Float[Array, ""]:
        """epsilon (2/15 (sigma / z)^9 - (sigma / z)^3)."""
        normal = self.normal.astype(x.dtype) / jnp.sqrt(jnp.sum(self.normal.astype(x.dtype) ** 2))
        z = jnp.sum((x - self.point.astype(x.dtype)) * normal)
        z = z * jnp.where(z > 0, 1.0, jnp.nan)  # a factor, which derivatives have too
        if self.cutoff is None:
            return self._whole(z)
        end = jnp.asarray(self.cutoff, z.dtype)
        return jnp.where(z >= end, 0.0, self._whole(z) - self._whole(end))

    def _whole(self, z: Array) -> Array:
        cube = (self.sigma.astype(z.dtype) / z) ** 3
        return self.epsilon.astype(z.dtype) * cube * (2 / 15 * cube * cube - 1)


class Field(External):
    """u(x) = function(x, p): one's own function of the position [3] of a particle and a dictionary of parameters.

        wl.md.Field(lambda x, p: p["height"] * jnp.cos(x[0]), {"height": 0.5})

    Parameters are arrays of any shape, named by their keys: `system.parameters["field.height"]`. The function returns one
    number, by `jax.numpy`; `which` numbers the particles that feel it. Give one function to all systems alike: for each
    new one, a new lambda too, programs are compiled again.

    **Raises** `TypeError` for what cannot be called, `ValueError` for results that are no single number.
    """

    values: dict[str, Array]
    function: Any

    transparent: ClassVar[tuple[str, ...]] = ("values",)

    def __init__(
        self,
        function: Callable[[Array, dict[str, Array]], Array],
        parameters: Mapping[str, Numbers],
        *,
        which: Numbers | None = None,
    ):
        if not callable(function):
            raise TypeError(f"function has type {type(function).__name__}: write lambda x, p: ..., of a position and parameters.")
        self.values = {name: as_parameter(value, name, table=False) for name, value in parameters.items()}
        self.function = function if isinstance(function, eqx.Module) else jax.tree_util.Partial(function)
        self.which = as_which(which)
        out = jax.eval_shape(function, jax.ShapeDtypeStruct((3,), jnp.result_type(float)), self.values)
        if not isinstance(out, jax.ShapeDtypeStruct) or out.shape != ():
            raise ValueError(f"function returns {out} for one position: it must return one number, the energy of the particle.")

    def potential(self, x: Float[Array, "3"], charge: Float[Array, ""]) -> Float[Array, ""]:
        """The function, of the position."""
        return self.function(x, {name: value.astype(x.dtype) for name, value in self.values.items()})


def as_vector(value: Numbers, name: str) -> Array:
    """Three numbers. **Raises** `ValueError` for anything else."""
    array = as_parameter(value, name)
    if array.shape != (3,):
        raise ValueError(f"{name} has shape {array.shape}: give three numbers, for x, y and z.")
    return array


def as_which(which: Numbers | None, count: int | None = None) -> Array | None:
    """Numbers of particles, or None for all. **Raises** `ValueError` for numbers that there are not, and for one twice."""
    if which is None:
        return None
    rows = as_places("which", np.asarray(which).reshape(-1, 1), 1, count)[:, 0]
    if len(set(rows.tolist())) < len(rows):
        raise ValueError(f"which = {rows.tolist()[:8]}...: a particle is numbered twice.")
    return jnp.asarray(rows)

"""Velocities to begin with: those of a temperature, with the whole at rest."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ....core.arrays import as_floats
from ....core.random import Key, streams


def thermal_velocities(
    mass: Float[ArrayLike, " n"],
    thermal_energy: ArrayLike,
    key: int | Key,
    *,
    drift: bool = False,
    exact: bool = False,
) -> Float[Array, "n 3"]:
    """Velocities [n, 3] drawn from the Maxwell-Boltzmann distribution, each component with variance kT / m.

    | argument | meaning |
    | --- | --- |
    | `mass` | of each particle [n], as in `system.masses` |
    | `thermal_energy` | temperature times Boltzmann's constant kT, an energy |
    | `drift` | whether to leave the center of mass its own thermal motion; else it is at rest |
    | `exact` | whether to scale velocities so that twice the kinetic energy is exactly f kT |

    At rest, f = 3 n - 3 motions carry energy, and the kinetic energy is f kT / 2 on average; with drift f = 3 n. Works under
    `jit`, `vmap` (over keys and temperatures) and `grad`.

    **Raises** `ValueError` for masses that are not positive, negative temperatures, other shapes, and a single particle
    whose kinetic energy should be exact though it is at rest.
    """
    masses, energy = as_floats(mass), as_floats(thermal_energy)
    if masses.ndim != 1 or energy.ndim:
        raise ValueError(
            f"mass has shape {masses.shape} and thermal_energy {energy.shape}: give one mass a particle, [n], and one energy."
        )
    _refuse("mass", masses, lambda value: value > 0, "a positive number")
    _refuse("thermal_energy", energy, lambda value: value >= 0, "zero or positive; it is temperature times Boltzmann's constant")
    count = len(masses)
    if exact and not drift and count < 2:
        raise ValueError("exact=True with one particle: at rest it has no kinetic energy to scale; write drift=True.")
    dtype = jnp.result_type(masses, energy)
    column = masses[:, None].astype(dtype)
    unit = jax.random.normal(streams(key, "velocities")["velocities"], (count, 3), dtype) / jnp.sqrt(column)
    if not drift:
        unit = unit - jnp.sum(column * unit, 0) / jnp.sum(column)
    if exact:
        unit = unit * jnp.sqrt((3 * count - (0 if drift else 3)) / jnp.sum(column * unit**2))
    return jnp.sqrt(energy) * unit


def _refuse(name: str, value: Array, right: Callable[[np.ndarray], np.ndarray], needed: str) -> None:
    if isinstance(value, jax.core.Tracer):
        return
    numbers = np.atleast_1d(np.asarray(value))
    bad = np.flatnonzero(~(np.isfinite(numbers) & right(numbers)))
    if bad.size:
        which = f" of particle {bad[0]}" if np.ndim(value) else ""
        raise ValueError(f"{name}{which} is {numbers[bad[0]]:.6g}: it must be {needed}.")

"""Energies and temperature of a state: functions of (system, state), to be recorded while a run goes on.

    run = wl.simulate(system, state, dt=0.005, ts=times, record=lambda system, state: wl.md.temperature(system, state))
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ....core.transforms import jit
from ..state import State, one_state
from ..system import System


def kinetic_energy(system: System, state: State) -> Float[Array, ""]:
    """K = 1/2 sum of m v², an energy."""
    return 0.5 * jnp.sum(_weights(system, one_state(state)) * state.velocity**2)


def potential_energy(system: System, state: State) -> Float[Array, ""]:
    """U of all interactions, an energy."""
    return _potential(system.sized(state), state)


def total_energy(system: System, state: State) -> Float[Array, ""]:
    """K + U, which runs without a thermostat keep."""
    return kinetic_energy(system, state) + potential_energy(system, state)


def energy_parts(system: System, state: State) -> dict[str, Float[Array, ""]]:
    """The energy of each interaction under its name, and "kinetic": they add up to `total_energy`."""
    return {"kinetic": kinetic_energy(system, state)} | _parts(system.sized(state), state)


def temperature(
    system: System, state: State, degrees_of_freedom: ArrayLike | None = None
) -> Float[Array, ""]:
    """T = 2 K / (f k_B), in units of temperature (of energy in "lj").

    By default f = 3 n - 3 and K is that of motions relative to the center of mass. This is right whether a thermostat moves
    the center, the run keeps it at rest, or the whole drifts. With `degrees_of_freedom` f is that number, and K is that of
    all motions: 3 n for particles held by an external field.

    **Raises** `ValueError` for a single particle without `degrees_of_freedom`, and for a number that is not positive.
    """
    if degrees_of_freedom is None:
        count = one_state(state).position.shape[0]
        if count < 2:
            raise ValueError("a single particle has no motions relative to its center of mass: pass degrees_of_freedom=3.")
        mass = _weights(system, state)
        motion = state.velocity - jnp.sum(mass * state.velocity, 0) / jnp.sum(mass)
        return jnp.sum(mass * motion**2) / ((3 * count - 3) * system.units.boltzmann)
    if not isinstance(degrees_of_freedom, jax.core.Tracer) and not (np.asarray(degrees_of_freedom) > 0).all():
        raise ValueError(f"degrees_of_freedom={degrees_of_freedom}: a positive number is needed, 3 * n for n free particles.")
    return 2 * kinetic_energy(system, state) / (degrees_of_freedom * system.units.boltzmann)


def _weights(system: System, state: State) -> Float[Array, "n 1"]:
    return system.masses.astype(state.velocity.dtype)[:, None]


# Compiled as a whole, so that calls from plain Python are quick, too.
@jit
def _potential(system: System, state: State) -> Float[Array, ""]:
    return system.potential_energy(state)


@jit
def _parts(system: System, state: State) -> dict[str, Float[Array, ""]]:
    return system.energies(state)

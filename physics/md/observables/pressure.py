"""Pressure and stress of a state, from its motions and its virial."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from ....core.transforms import jit
from ..state import State, one_state
from ..system import System
from .volume import volume_of


def pressure(
    system: System, state: State, *, volume: ArrayLike | None = None, kinetic: bool = True
) -> Float[Array, ""]:
    """P = (2 K + tr W) / (3 V), an energy by volume; in bar: `pressure / system.units.factor("bar")`.

    K is the kinetic energy of all motions and W = -dU/d(strain) the virial, so that P = -dF/dV on average. `volume` is that
    of the box by default; it must be given where the box does not repeat along all edges. `kinetic=False` leaves out the
    motions, as in `stress`.

    **Raises** `ValueError` for a box without a volume.
    """
    return -jnp.trace(stress(system, state, volume=volume, kinetic=kinetic)) / 3


def stress(
    system: System, state: State, *, volume: ArrayLike | None = None, kinetic: bool = True
) -> Float[Array, "3 3"]:
    """sigma = -(sum of m v (x) v + W) / V, an energy by volume, positive under tension and symmetric.

    W = -dU/d(strain) is the virial. `kinetic=False` leaves out the motions: the stress of a minimum, as other codes
    report it for a structure at rest. `volume` as in `pressure`.

    **Raises** `ValueError` for a box without a volume.
    """
    share = volume_of(one_state(state).box, volume)
    virial = _virial(system.sized(state), state)
    if kinetic:
        momentum = system.masses.astype(state.velocity.dtype)[:, None] * state.velocity
        virial = virial + momentum.T @ state.velocity
    return -0.5 * (virial + virial.T) / share


@jit
def _virial(system: System, state: State) -> Float[Array, "3 3"]:
    return system.forces(state).virial

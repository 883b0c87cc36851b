"""Which particle a run of particles failed at: said in messages, from the last state that was whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .neighborhood import SPARE, BoxTooSmall, lost
from .state import State

if TYPE_CHECKING:
    from .system import System

NEARLY = 1e-3  # before the step in which a particle is lost it is on its way


def diagnose(system: System, state: State) -> str:
    """A sentence about the particle of a state that has no finite place or force, or else the largest force by mass."""
    position, velocity = np.asarray(state.position, np.float64), np.asarray(state.velocity, np.float64)
    for what, values in (("position", position), ("velocity", velocity)):
        bad = np.flatnonzero(~np.isfinite(values).all(1))
        if bad.size:
            return f"The {what} of particle {bad[0]} is {values[bad[0]].tolist()}."
    if system.interaction.reach > 0 and bool(lost(state.position, NEARLY * system.interaction.reach)):
        away = np.abs(position).max(1)
        worst = int(np.argmax(away))
        return f"Particle {worst} is {away[worst]:.3g} away from the origin, so far that numbers have no digits left for distances."
    try:
        system = system.sized(state, SPARE)
    except BoxTooSmall as error:
        return f"{error}"
    force = np.asarray(system.forces(state).force, np.float64)
    size = np.linalg.norm(force, axis=1) / np.asarray(system.masses, np.float64)
    bad = np.flatnonzero(~np.isfinite(size))
    worst = int(bad[0]) if bad.size else int(np.argmax(size))
    lead = f"Before that step particle {worst} ({system.species[int(system.kind[worst])]}) "
    lead += "had no finite force" if bad.size else f"had the largest force by mass, {size[worst]:.4g}"
    if len(position) == 1:
        return f"{lead}."
    near = system.surroundings(state)
    others = np.delete(np.arange(len(position)), worst)
    distance = np.linalg.norm(np.asarray(near.displacement(np.full(len(others), worst), others)), axis=1)
    nearest = int(np.argmin(distance))
    return f"{lead}, and particle {others[nearest]} was nearest, {distance[nearest]:.4g} away."

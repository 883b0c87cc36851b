"""What steppers of particles know of their system: forces and masses, lists of neighbors, and the fields of a state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float


class Forces(eqx.Module):
    """Forces [n, 3], potential energy, and the virial tensor W_ab = -dU/d(strain)_ab [3, 3], W = sum of r_a f_b."""

    force: Float[Array, "n 3"]
    energy: Float[Array, ""]
    virial: Float[Array, "3 3"]


@dataclass(frozen=True)
class Particles:
    """What a system of particles tells its stepper, as functions of the system first.

    | function | signature | meaning |
    | --- | --- | --- |
    | `prepare` | (system, state) -> lists | lists of neighbors for the positions of a state |
    | `right` | (system, state, lists) -> bool | whether lists made for another state hold everybody who is near now |
    | `code` | (system, state, lists) -> `Code` | whether the lists hold everybody: OK or CAPACITY_OVERFLOW |
    | `few` | (system) -> bool | whether particles are so few that lists are of all pairs |
    | `force` | (system, t, state, lists) -> [n, 3] | forces alone |
    | `forces` | (system, t, state, lists) -> `Forces` | forces, energy and virial |
    | `mass` | (system) -> [n] | masses |
    | `boltzmann` | (system) -> number | energy per temperature |

    A state has `position` [n, 3], `velocity` [n, 3], `box` with edges in the rows of `box.vectors` [3, 3] and
    `box.volume()`, `extended` [m] for variables of the stepper itself, and `step`, which counts steps for their noise.
    """

    prepare: Callable[..., Any]
    right: Callable[..., Array]
    code: Callable[..., Array]
    few: Callable[..., bool]
    force: Callable[..., Array]
    forces: Callable[..., Forces]
    mass: Callable[..., Array]
    boltzmann: Callable[..., Any]

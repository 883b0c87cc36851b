"""Interactions of three and four particles in a row: angles and dihedral angles.

The angle at the middle particle is 180 degrees for a straight row. Straight rows and folded ones are no special case:
harmonic angles have all derivatives there that exist, and zero for the direction of a force that has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...core.arrays import Numbers
from .bonded import Bonded
from .exclusions import Rows

NEARLY_STRAIGHT = 0.01  # squares of the sine below which the square of an angle is a series
# arcsin(x)² = sum of 2^(2n-1) x^(2n) / (n² binomial(2n, n)).
ARCSINE_SQUARED = tuple(2.0 ** (2 * n - 1) / (n * n * math.comb(2 * n, n)) for n in range(1, 11))


class Angles(Bonded):
    """u = k / 2 (theta - theta_0)², with k the `stiffness` (energy) and theta_0 the `angle` (radians), of triples [m, 3].

    theta is the angle at the middle particle of a triple. Each parameter is one number, or one for each kind, with `kind`
    [m] the kind of each triple. Other programs leave the half out of this form.

    **Raises** `ValueError` for triples and numbers that make no sense, naming the triple.
    """

    stiffness: Float[Array, "..."]
    angle: Float[Array, "..."]

    symbols: ClassVar[tuple[str, ...]] = ("stiffness", "angle")
    size: ClassVar[int] = 3
    rows: ClassVar[str] = "triples"

    def __init__(self, triples: Rows, stiffness: Numbers, angle: Numbers, *, kind: Numbers | None = None):
        self.declare(triples, kind, stiffness=stiffness, angle=angle)

    def potential(self, d: Float[Array, "j 3"], p: Mapping[str, Array]) -> Float[Array, ""]:
        """k / 2 (theta - theta_0)²."""
        return 0.5 * p["stiffness"] * _square_of_difference(-d[0], d[1], p["angle"])


class CosineAngles(Bonded):
    """u = k (1 + cos theta), with k the `stiffness` (energy): smooth, with its minimum at 180 degrees, of triples [m, 3].

    Parameters as in `Angles`. **Raises** `ValueError` for triples and numbers that make no sense, naming the triple.
    """

    stiffness: Float[Array, "..."]

    symbols: ClassVar[tuple[str, ...]] = ("stiffness",)
    size: ClassVar[int] = 3
    rows: ClassVar[str] = "triples"

    def __init__(self, triples: Rows, stiffness: Numbers, *, kind: Numbers | None = None):
        self.declare(triples, kind, stiffness=stiffness)

    def potential(self, d: Float[Array, "j 3"], p: Mapping[str, Array]) -> Float[Array, ""]:
        """k (1 + cos theta)."""
        return p["stiffness"] * (1 + _cosine(-d[0], d[1]))


class CosineSquaredAngles(Bonded):
    """u = k / 2 (cos theta - cos theta_0)², with k the `stiffness` (energy) and theta_0 the `angle`, of triples [m, 3].

    Parameters as in `Angles`. **Raises** `ValueError` for triples and numbers that make no sense, naming the triple.
    """

    stiffness: Float[Array, "..."]
    angle: Float[Array, "..."]

    symbols: ClassVar[tuple[str, ...]] = ("stiffness", "angle")
    size: ClassVar[int] = 3
    rows: ClassVar[str] = "triples"

    def __init__(self, triples: Rows, stiffness: Numbers, angle: Numbers, *, kind: Numbers | None = None):
        self.declare(triples, kind, stiffness=stiffness, angle=angle)

    def potential(self, d: Float[Array, "j 3"], p: Mapping[str, Array]) -> Float[Array, ""]:
        """k / 2 (cos theta - cos theta_0)²."""
        return 0.5 * p["stiffness"] * (_cosine(-d[0], d[1]) - jnp.cos(p["angle"])) ** 2


class Dihedrals(Bonded):
    """u = k (1 + cos(n phi - delta)), of quadruples [m, 4], with phi the angle around the bond in the middle, 180° in trans.

    | symbol | argument | unit |
    | --- | --- | --- |
    | k | `stiffness` | energy |
    | n | `multiplicity` | a whole number |
    | delta | `phase` | radians |

    Each is one number, or one for each kind, with `kind` [m] the kind of each quadruple. For several cosines of one
    angle list the quadruple several times, with kinds of its own. Where three particles in a row lie on a line phi has no
    value, and forces are no numbers.

    **Raises** `ValueError` for quadruples and numbers that make no sense, naming the quadruple.

    **Source**: signs as IUPAC has them, Pure Appl. Chem. 45 (1976) 11, rule 2.1.
    """

    stiffness: Float[Array, "..."]
    phase: Float[Array, "..."]
    multiplicity: Int[Array, "..."]

    symbols: ClassVar[tuple[str, ...]] = ("stiffness", "phase", "multiplicity")
    size: ClassVar[int] = 4
    rows: ClassVar[str] = "quadruples"

    def __init__(
        self,
        quadruples: Rows,
        stiffness: Numbers,
        multiplicity: Numbers,
        phase: Numbers = 0.0,
        *,
        kind: Numbers | None = None,
    ):
        numbers = np.asarray(multiplicity)
        if numbers.dtype.kind not in "iu" or numbers.min(initial=1) < 1:
            raise ValueError(f"multiplicity = {numbers.tolist()}: how often u repeats in a turn, whole numbers from 1.")
        self.declare(quadruples, kind, stiffness=stiffness, phase=phase, multiplicity=multiplicity)
        self.multiplicity = jnp.asarray(numbers.astype(np.int32))  # no parameter to be fitted

    def potential(self, d: Float[Array, "j 3"], p: Mapping[str, Array]) -> Float[Array, ""]:
        """k (1 + cos(n phi - delta))."""
        first, second = jnp.cross(d[0], d[1]), jnp.cross(d[1], d[2])
        sine = jnp.sqrt(jnp.sum(d[1] * d[1])) * jnp.sum(d[0] * second)
        phi = jnp.arctan2(sine, jnp.sum(first * second))
        return p["stiffness"] * (1 + jnp.cos(p["multiplicity"] * phi - p["phase"]))


def _cosine(a: Float[Array, "3"], b: Float[Array, "3"]) -> Float[Array, ""]:
    return jnp.sum(a * b) / jnp.sqrt(jnp.sum(a * a) * jnp.sum(b * b))


def _square_of_difference(a: Float[Array, "3"], b: Float[Array, "3"], angle: Float[Array, ""]) -> Float[Array, ""]:
    """The square of the angle between two directions less a given one.

    Near 0 and 180 degrees, by the small angle delta from there: its square is smooth, delta itself is a cone, whose tip is
    given the slope zero.
    """
    normal = jnp.cross(a, b)
    square, along = jnp.sum(normal * normal), jnp.sum(a * b)
    sine_squared = square / (jnp.sum(a * a) * jnp.sum(b * b))
    straight = sine_squared < NEARLY_STRAIGHT
    theta = jnp.arctan2(jnp.sqrt(jnp.where(straight, 1.0, square)), jnp.where(straight, 1.0, along))
    small = jnp.where(straight, sine_squared, 0.0)
    delta_squared = small * jnp.polyval(jnp.asarray(ARCSINE_SQUARED[::-1], small.dtype), small)
    at_tip = delta_squared == 0
    delta = jnp.where(at_tip, 0.0, jnp.sqrt(jnp.where(at_tip, 1.0, delta_squared)))
    end, away = jnp.where(along > 0, 0.0, jnp.pi), jnp.where(along > 0, 1.0, -1.0)
    rest = angle - end
    return jnp.where(straight, delta_squared - 2 * away * delta * rest + rest * rest, (theta - angle) ** 2)

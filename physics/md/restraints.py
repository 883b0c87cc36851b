"""Restraints: particles held near given places, and pairs at given distances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...core.arrays import Numbers
from .bonded import Bonded
from .exclusions import Rows
from .fields import as_which
from .pairs import as_parameter
from .surroundings import Surroundings
from .terms import Term


class PositionRestraints(Term):
    """U = 1/2 sum over particles of stiffness (x - reference)², of the particles that `which` [m] numbers, by default all.

    `reference` [m, 3] are places for positions as they are, unwrapped; `stiffness` (energy / length²) is one number or one for
    each [m]. The places stay where they are when the box is strained.

    **Raises** `ValueError` for arrays that do not fit together.
    """

    stiffness: Float[Array, "..."]
    reference: Float[Array, "m 3"]
    which: Int[Array, " m"] | None

    def __init__(self, stiffness: Numbers, reference: Numbers, *, which: Numbers | None = None):
        self.which = as_which(which)
        self.reference, self.stiffness = as_parameter(reference, "reference", table=False), as_parameter(stiffness, "stiffness")
        count = self.reference.shape[0] if self.which is None else self.which.shape[0]
        if self.reference.shape != (count, 3):
            raise ValueError(f"reference has shape {self.reference.shape}: give a place [3] for each of {count} particles.")
        if self.stiffness.shape not in ((), (count,)):
            raise ValueError(f"stiffness has shape {self.stiffness.shape}: give one number, or one for each of {count} particles.")

    def energy(self, near: Surroundings) -> Float[Array, ""]:
        """U, over all particles held."""
        position = near.position if self.which is None else near.position[self.which]
        away = position - self.reference.astype(position.dtype)
        return 0.5 * jnp.sum(self.stiffness.astype(position.dtype) * jnp.sum(away * away, 1))

    def check(self, species: tuple[str, ...], count: int) -> None:
        """**Raises** `ValueError` for other numbers of particles than the system has."""
        if self.which is None and self.reference.shape[0] != count:
            raise ValueError(
                f"reference has {self.reference.shape[0]} places, and the system {count} particles: say which are held, "
                "which=[0, 1, 2]."
            )
        if self.which is not None:
            as_which(np.asarray(self.which), count)


class DistanceRestraints(Bonded):
    """u(r) = k / 2 (r - longest)² beyond `longest`, k / 2 (shortest - r)² below `shortest`, and 0 between, of pairs [m, 2].

    k is the `stiffness` (energy / length²). Each parameter is one number, or one for each kind, with `kind` [m] the kind
    of each pair. Pairs are those of nearest images.

    **Raises** `ValueError` for pairs and numbers that make no sense, naming the pair.
    """

    stiffness: Float[Array, "..."]
    longest: Float[Array, "..."]
    shortest: Float[Array, "..."]

    symbols: ClassVar[tuple[str, ...]] = ("stiffness", "longest", "shortest")

    def __init__(
        self,
        pairs: Rows,
        stiffness: Numbers,
        longest: Numbers,
        shortest: Numbers = 0.0,
        *,
        kind: Numbers | None = None,
    ):
        self.declare(pairs, kind, stiffness=stiffness, longest=longest, shortest=shortest)

    def potential(self, d: Float[Array, "j 3"], p: Mapping[str, Array]) -> Float[Array, ""]:
        """k / 2 times the square of how far r lies outside."""
        square = jnp.sum(d[0] * d[0])
        r = jnp.sqrt(square)
        outside = jnp.maximum(r - p["longest"], 0.0) + jnp.minimum(r - p["shortest"], 0.0)
        return 0.5 * p["stiffness"] * outside**2

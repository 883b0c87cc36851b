"""`Coulomb`: charges in a box that repeats along all edges, by Ewald's sum.

    U = C [ 1/2 sum over pairs and images of q_i q_j erfc(alpha r) / r                              real
          + (2 pi / V) sum over k of exp(-k² / 4 alpha²) / k² |sum over j of q_j exp(i k x_j)|²     fourier
          - alpha / sqrt(pi) sum of q_i²                                                            self
          - sum over excluded pairs of q_i q_j erf(alpha r) / r ]                                   intra

C is `units.coulomb`; pairs scaled by a factor w are in `real` by w and in `intra` by 1 - w. The box is surrounded by a
conductor ("tin foil").
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf, erfc
from jaxtyping import Array, Bool, Float
from scipy.special import erfcinv

from .box import Box
from .exclusions import Exclusions, weighted
from .pairs import as_cutoff, as_exclusions
from .reciprocal import reciprocal_energy
from .surroundings import Surroundings
from .terms import Term

SPARE = 1.02  # a little more waves than a box needs, for boxes that grow
NEUTRAL = 1e-6  # of the sum of the sizes of all charges
SMALL = 0.25  # squares of alpha r below which erf(alpha r) / (alpha r) is a series
ERF_SERIES = tuple(2 / math.sqrt(math.pi) * (-1) ** n / (math.factorial(n) * (2 * n + 1)) for n in range(14))


class Coulomb(Term):
    """U = C / 2 sum over pairs and images of q_i q_j / r, by Ewald's sum; the charges are those of the system.

    **Arguments**

    - `cutoff` (length): where the sum in real space ends.
    - `accuracy`: what may be left out, as a share of the interaction of a pair; alpha = p / cutoff and waves up to
      k = 2 alpha p follow from it, with erfc(p) = accuracy. By default 1e-6. As many waves are taken as the box needs.
    - `alpha` (1 / length) and `waves`, a whole number or three, the largest along each edge of the reciprocal cell, both
      instead of `accuracy`; and `waves_square`, which leaves out those with larger n·n.
    - `exclusions`: bonded pairs that do not interact, or by a factor.

    **Raises** `ValueError` for numbers that make no sense; in a system whose charges do not sum to zero, naming the sum;
    and for a box that does not repeat along all its edges.

    **Source**: P. P. Ewald, Ann. Phys. 369 (1921) 253; S. W. de Leeuw, J. W. Perram, E. R. Smith, Proc. R. Soc. Lond. A 373
    (1980) 27, equation 1.3.
    """

    exclusions: Exclusions | None
    cutoff: float = eqx.field(static=True)
    alpha: float = eqx.field(static=True)
    longest: float | None = eqx.field(static=True)  # the largest k, where the box decides which waves these are
    waves: tuple[int, int, int] | None = eqx.field(static=True)
    waves_square: int | None = eqx.field(static=True)

    def __init__(
        self,
        cutoff: float,
        *,
        accuracy: float | None = None,
        alpha: float | None = None,
        waves: int | Sequence[int] | None = None,
        waves_square: int | None = None,
        exclusions: Exclusions | None = None,
    ):
        self.cutoff = as_cutoff(cutoff, "cut", None)[0]
        self.exclusions = as_exclusions(exclusions)
        if (alpha is None) != (waves is None) or (alpha is not None and accuracy is not None):
            raise ValueError(
                f"accuracy={accuracy}, alpha={alpha}, waves={waves}: give accuracy alone, 1e-6, or alpha and waves together."
            )
        if waves_square is not None and waves is None:
            raise ValueError(f"waves_square={waves_square} chooses among waves: give alpha and waves too.")
        if alpha is None or waves is None:
            accuracy = 1e-6 if accuracy is None else float(accuracy)
            if not 0 < accuracy <= 0.1:
                raise ValueError(f"accuracy={accuracy:.6g}: it must be a positive number, at most 0.1.")
            reduced = float(erfcinv(accuracy))
            self.alpha, self.longest = reduced / self.cutoff, 2 * reduced**2 / self.cutoff
            self.waves = self.waves_square = None
            return
        if not (math.isfinite(alpha) and alpha > 0):
            raise ValueError(f"alpha={alpha:.6g}: it must be a positive number, 1 / length.")
        each = np.broadcast_to(np.asarray(waves), (3,)) if np.shape(waves) in ((), (3,)) else np.asarray(waves)
        if each.shape != (3,) or each.dtype.kind not in "iu" or each.min() < 1:
            raise ValueError(f"waves={waves}: give a whole number from 1, or three, one for each edge.")
        self.alpha, self.longest = float(alpha), None
        self.waves, self.waves_square = (int(each[0]), int(each[1]), int(each[2])), waves_square

    @property
    def reach(self) -> float:
        """The cutoff of the sum in real space."""
        return self.cutoff

    def check(self, species: tuple[str, ...], count: int) -> None:
        """**Raises** `ValueError` for exclusions of another number of particles."""
        if self.exclusions is not None:
            self.exclusions.check(count)

    def check_charges(self, charge: Float[np.ndarray, " n"]) -> None:
        """**Raises** `ValueError` for charges of particles that do not sum to zero, or that are all zero."""
        if not np.any(charge):
            raise ValueError("no particle has a charge: write System(..., charge={'Na': 1.0, 'Cl': -1.0}), or leave Coulomb out.")
        total = float(np.sum(charge, dtype=np.float64))
        if abs(total) > NEUTRAL * float(np.sum(np.abs(charge), dtype=np.float64)):
            raise ValueError(
                f"the charges sum to {total:.6g}, and a box of charges that repeats without end must be neutral: give charges "
                "that sum to zero, System(..., charge={'Na': 1.0, 'Cl': -1.0})."
            )

    def sized(self, box: Box, spare: float = 1.0) -> Coulomb:
        """This sum with as many waves as a box of `spare` times the volume needs for its accuracy, and no fewer than before."""
        _periodic(box)
        if self.longest is None:
            return self
        edges = np.linalg.norm(np.asarray(box.vectors, np.float64), axis=1)
        largest = SPARE * spare ** (1 / 3) * self.longest * edges / (2 * math.pi)
        needed = [max(before, math.floor(most)) for before, most in zip(self.waves or (1, 1, 1), largest)]
        larger = copy.copy(self)
        object.__setattr__(larger, "waves", tuple(needed))
        return larger

    def holds(self, box: Box) -> Bool[Array, ""]:
        """Whether the box needs no waves that are not there."""
        if self.longest is None or self.waves is None:
            return jnp.asarray(self.longest is None)
        edges = jnp.sqrt(jnp.sum(box.vectors**2, 1))
        return jnp.all(self.longest * edges < 2 * math.pi * (1 + np.asarray(self.waves)))

    def energy(self, near: Surroundings) -> Float[Array, ""]:
        """U, of all parts."""
        return sum(self.parts(near).values(), jnp.zeros((), near.position.dtype))

    def parts(self, near: Surroundings) -> dict[str, Float[Array, ""]]:
        """`real`, `fourier`, `self` and `intra`, as the sum has them; and what a uniform background adds, `background`.

        The background makes charges neutral that are not while they are differentiated; otherwise it is zero.
        """
        _periodic(near.box)
        root = math.sqrt(math.pi)
        charge = near.charge
        parts = {
            "real": self._real(near),
            "fourier": self._fourier(near),
            "self": -self.alpha / root * jnp.sum(charge**2),
            "intra": self._intra(near),
            "background": -math.pi / (2 * self.alpha**2) * jnp.sum(charge) ** 2 / near.box.volume(),
        }
        return {name: near.units.coulomb * value for name, value in parts.items()}

    def _facts(self) -> list[str]:
        accuracy = f"accuracy={math.erfc(self.alpha * self.cutoff):.3g}"
        sums = [f"alpha={self.alpha:.6g}", f"waves={self.waves}"] if self.longest is None else [accuracy]
        return [*super()._facts(), *sums, *([] if self.exclusions is None else ["exclusions"])]

    def _real(self, near: Surroundings) -> Array:
        data = (near.charge, None if self.exclusions is None else self.exclusions.partners(near))
        scale = () if self.exclusions is None else self.exclusions.scale

        def screened(square: Array) -> Array:
            r = jnp.sqrt(square)
            return erfc(self.alpha * r) / r

        def pair(d: Array, own: tuple, other: tuple, scale: Array) -> Array:
            square = jnp.sum(d * d)
            if own[1] is None:
                return own[0] * other[0] * screened(square)
            return own[0] * other[0] * weighted(own[1], other[1], scale, square, self.cutoff, screened)

        return 0.5 * near.sum(pair, self.cutoff, data, scale, parity=1, total=True)

    def _intra(self, near: Surroundings) -> Array:
        if self.exclusions is None:
            return jnp.zeros((), near.position.dtype)
        pairs = jnp.concatenate([self.exclusions.excluded, self.exclusions.scaled])
        if not pairs.shape[0]:
            return jnp.zeros((), near.position.dtype)
        scale = self.exclusions.scale.astype(near.position.dtype)[self.exclusions.level]
        missing = jnp.concatenate([jnp.ones(self.exclusions.excluded.shape[0], scale.dtype), 1 - scale])
        d = near.displacement(pairs[:, 0], pairs[:, 1])
        products = near.charge[pairs[:, 0]] * near.charge[pairs[:, 1]]
        reduced = self.alpha**2 * jnp.sum(d * d, 1)
        return -self.alpha * jnp.sum(missing * products * _erf_by_argument(reduced))

    def _fourier(self, near: Surroundings) -> Array:
        if self.waves is None:
            raise TypeError(
                "how many waves the box needs is not known: write system = system.sized(state) first, for a state in this box, "
                "or give alpha and waves."
            )
        return reciprocal_energy(near.position, near.charge, near.box, self.alpha, self.waves, self.waves_square)


def _periodic(box: Box) -> None:
    if not all(box.periodic):
        raise ValueError(
            f"the box has periodic={box.periodic}, and Ewald's sum needs one that repeats along all its edges: write "
            "Box.triclinic(vectors) with empty space on the open sides."
        )


def _erf_by_argument(square: Float[Array, " m"]) -> Float[Array, " m"]:
    """erf(x) / x of x², smooth at 0."""
    small = square < SMALL
    near = jnp.polyval(jnp.asarray(ERF_SERIES[::-1], square.dtype), jnp.where(small, square, 0.0))
    x = jnp.sqrt(jnp.where(small, 1.0, square))
    return jnp.where(small, near, erf(x) / x)

"""How far the residuals of a fit speak for it: small beside the data, as large as known noise, and without pattern."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from .observations import Experiment, Observations

# A fit is believed when enough searches end there: pairs of the most that it may leave of the data's sum of squares, and
# of how many are enough then. Wrong minima that follow a trend leave about as much as a smooth curve does.
OF_NOISE = ((0.01, 1), (0.25, 2), (0.5, 4))  # residuals like noise: of the sum of squares about the mean
OF_PATTERN = ((0.05, 1), (0.25, 2))  # residuals with a pattern: of that about a smooth curve
DEGREE = 7  # of the polynomial in time that stands for a trend
TIMES_PER_DEGREE = 8  # so that it follows the trend of a short record, not its values
LAGS = 4  # at which residuals are compared with those that follow
PATTERN = 4.0  # standard deviations of chance: a correlation of residuals beyond is a pattern
ROUNDING = 1e-13  # of the levels: what is left below that is nothing
UNSEEN = 1e-3  # of the variation of the data: residuals below may be errors of the solver
USUAL, UNUSUAL = 3.0, 5.0  # standard deviations of chance: chi-square within, and beyond
FAR = 2.0  # chi-square per degree of freedom that is far from 1, where it is unusual
SMALL = 0.25  # chi-square per degree of freedom below which sigma is no measure of the noise


class Evidence:
    """What speaks for a minimum of a fit, by its residuals.

    A sum of squares that is small beside the variation of the data says little where the data have a trend: whatever
    follows the trend is good then, and may miss all that is beside it. So the residuals must be small beside what a
    smooth curve, a polynomial in time for each measured column, leaves of the data; or be noise: of the size known for it,
    and one not like the next. Where sigma is known and the residuals are much larger, nothing speaks for the fit.

    `total`, `beside_trend`: sums of squares of the data in the units of the residuals, about their mean and about a
    smooth curve; about zero where they do not vary. `present` [all]: which of all values are residuals; `unknowns`: their number.
    """

    def __init__(self, experiments: Sequence[Experiment], present: Bool[np.ndarray, " all"], unknowns: int, known: bool):
        observations = [o for e in experiments for o in e.observations]
        parts = [_scaled(o) for o in observations]
        ends = np.cumsum([0, *(len(times) for times, *_ in parts)])
        places = np.full(len(present), -1)
        places[present] = np.arange(np.sum(present))
        self.series: list[Int[np.ndarray, " k"]] = []
        self.count = int(np.sum(present))
        total = beside_trend = size = 0.0
        for (times, factors, levels, columns), begin in zip(parts, ends, strict=False):
            for column in np.unique(columns):
                rows = np.flatnonzero((columns == column) & present[begin : begin + len(columns)])
                rows = rows[np.argsort(times[rows], kind="stable")]
                if rows.size == 0:
                    continue
                self.series.append(places[begin + rows])
                total += _left(times[rows], levels[rows], factors[rows], 0)
                beside_trend += _left(times[rows], levels[rows], factors[rows], DEGREE)
                size += float(levels[rows] @ levels[rows])
        self.total = total or size or float(self.count)
        self.beside_trend = beside_trend or self.total
        # weights scale the squares, which are in units of sigma no longer
        plain = all(np.isin(leaf, (0.0, 1.0)).all() for o in observations for leaf in jax.tree.leaves(o.weights))
        self.freedom = self.count - unknowns if known and plain else 0

    @property
    def spread(self) -> float:
        """Root mean square of the data about their mean."""
        return math.sqrt(self.total / self.count)

    @property
    def motion(self) -> float:
        """Root mean square of the data about their trend."""
        return math.sqrt(self.beside_trend / self.count)

    def witnesses(self, residuals: Float[np.ndarray, " m"]) -> float:
        """How many searches must end where the residuals are these, for it to be believed; infinite: none suffice."""
        cost = float(residuals @ residuals)
        if self.far(cost):
            return math.inf
        noise = abs(self.correlation(residuals)) <= PATTERN
        usual = self.freedom > 0 and SMALL * self.freedom <= cost <= _chance(self.freedom, USUAL)
        if noise and usual:
            return 1
        measure, enough = (self.total, OF_NOISE) if noise else (self.beside_trend, OF_PATTERN)
        return next((count for share, count in enough if cost <= share * measure), math.inf)

    def far(self, cost: float) -> bool:
        """Whether a sum of squares is much larger than the known noise explains."""
        return self.freedom > 0 and cost > max(FAR * self.freedom, _chance(self.freedom, UNUSUAL))

    def patterned(self, residuals: Float[np.ndarray, " m"]) -> bool:
        """Whether residuals, where they are more than errors of computing them, are like the next ones."""
        computed = UNSEEN**2 * self.total
        return float(residuals @ residuals) > computed and abs(self.correlation(residuals)) > PATTERN

    def correlation(self, residuals: Float[np.ndarray, " m"]) -> float:
        """The correlation of residuals with those that follow, of several lags the strongest, in standard deviations of
        chance.
        """
        strongest = 0.0
        for lag in range(1, LAGS + 1):
            products = np.concatenate([residuals[s[lag:]] * residuals[s[:-lag]] for s in self.series])
            size = math.sqrt(float(products @ products))
            found = float(products.sum()) / size if size > 0 else 0.0
            strongest = found if abs(found) > abs(strongest) else strongest
        return strongest


def _scaled(o: Observations) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each value its time, what its residual is multiplied by, its level (or logarithm) times that, and its column."""
    parts, first = [], 0
    leaves = zip(*map(jax.tree.leaves, (o.values, o.weights, o.sigma, o.present)), strict=True)
    for value, weight, sigma, present in leaves:
        factor = np.sqrt(weight) / sigma
        level = np.log(np.where(present, value, 1.0)) if o.noise.logarithmic else np.where(present, value, 0.0)
        width = math.prod(value.shape[1:])
        columns = np.tile(first + np.arange(width), value.shape[0])
        parts.append((np.repeat(o.ts, width), factor.ravel(), (level * factor).ravel(), columns))
        first += width
    times, factors, levels, columns = map(np.concatenate, zip(*parts, strict=True))
    return times, factors, levels, columns


def _left(times: np.ndarray, levels: np.ndarray, factors: np.ndarray, degree: int) -> float:
    """Sum of squares that a polynomial in time leaves of the levels, which are multiplied by the factors."""
    distinct = np.unique(times)
    degree = min(degree, distinct.size // TIMES_PER_DEGREE)
    middle, half = 0.5 * (distinct[0] + distinct[-1]), 0.5 * (distinct[-1] - distinct[0]) or 1.0
    basis = np.polynomial.legendre.legvander((times - middle) / half, degree) * factors[:, None]
    orthogonal = np.linalg.qr(basis)[0]
    rest = levels - orthogonal @ (orthogonal.T @ levels)
    rest = rest - orthogonal @ (orthogonal.T @ rest)
    left = float(rest @ rest)
    return left if left > ROUNDING**2 * float(levels @ levels) else 0.0


def _chance(freedom: int, deviations: float) -> float:
    """Chi-square that chance exceeds as rarely as a normal number so many deviations (Wilson and Hilferty 1931)."""
    share = 2.0 / (9.0 * freedom)
    return freedom * (1.0 - share + deviations * math.sqrt(share)) ** 3

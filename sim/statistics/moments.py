"""Count, mean, variance and extremes of values that arrive in parts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


class Moments:
    """Running count, mean, sum of squared deviations, minimum and maximum of each entry, in float64.

    A part with n_b values, mean b and sum of squared deviations S_b joins what is there (n_a, a, S_a) by

        d = b - a,   mean = a + d n_b / (n_a + n_b),   S = S_a + S_b + d^2 n_a n_b / (n_a + n_b)

    (Chan, Golub, LeVeque 1979, Updating formulae and a pairwise algorithm for computing sample variances). All
    is measured from the first value of each entry, so that a mean that is large beside the spread costs no digits, and equal
    values have variance 0 exactly.
    """

    def __init__(self, entries: int):
        self.count: Int[np.ndarray, " entries"] = np.zeros(entries, np.int64)
        self.minimum: Float[np.ndarray, " entries"] = np.full(entries, np.nan)
        self.maximum: Float[np.ndarray, " entries"] = np.full(entries, np.nan)
        self._base = np.full(entries, np.nan)  # the first value
        self._mean = np.zeros(entries)  # less the base
        self._squares = np.zeros(entries)

    def add(self, values: Float[np.ndarray, "lanes entries"]) -> None:
        """Take in the values of some lanes; NaN are missing, and left out."""
        if not len(values):
            return
        x = values.astype(np.float64)
        present = ~np.isnan(x)
        first = x[present.argmax(axis=0), np.arange(x.shape[1])]
        self._base = np.where(self.count > 0, self._base, first)
        # fmin and fmax pass NaN over.
        self.minimum = np.fmin(self.minimum, np.fmin.reduce(x, axis=0))
        self.maximum = np.fmax(self.maximum, np.fmax.reduce(x, axis=0))
        count = present.sum(axis=0)
        with np.errstate(invalid="ignore", over="ignore"):
            x -= self._base
            x[~present] = 0.0
            mean = x.sum(axis=0) / np.maximum(count, 1)
            x -= mean
            x[~present] = 0.0
            share = count / np.maximum(self.count + count, 1)
            gap = mean - self._mean
            self._mean = self._mean + gap * share
            self._squares = self._squares + np.einsum("ij,ij->j", x, x) + gap * gap * (self.count * share)
        self.count = self.count + count

    @property
    def mean(self) -> Float[np.ndarray, " entries"]:
        """The mean; NaN without values."""
        return np.where(self.count > 0, self._base + self._mean, np.nan)

    @property
    def variance(self) -> Float[np.ndarray, " entries"]:
        """S / (n - 1), the sample variance; NaN for fewer than two values."""
        return np.where(self.count > 1, self._squares / np.maximum(self.count - 1, 1), np.nan)

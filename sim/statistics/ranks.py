"""Quantiles of values that arrive in parts: exact while they are few, then from a sketch with a bounded error of rank."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int

# The probability that the rank of one quantile of one entry is off by more than the bound.
DOUBT = 1e-6
SEED = 20160317


def points_needed(rank_error: float) -> int:
    """k, the points a level holds: (sqrt(log(2 / DOUBT)) + 1) / rank_error; see `RankSketch`."""
    return max(2, math.ceil((math.sqrt(math.log(2.0 / DOUBT)) + 1.0) / rank_error))


class RankSketch:
    """A sample of the values of each entry, from which ranks can be told; as many values of one entry as of another.

    Values fill a block of B = stride k. A full block is sorted, and one of each `stride` neighbours is kept, the first,
    second, ... by one draw for the block: k points, each standing for `stride` values. Two sets of k points of the same
    weight are sorted together, and every second point is kept, from the first or the second by a draw: k points of twice
    the weight. This is the sketch of Karnin, Lang and Liberty (2016, Optimal quantile approximation in streams,
    arXiv:1603.05346, section 2) with buffers of one size, and a block that does at once what their lowest levels do.

    Error. Keeping points of weight W changes the rank of a value by an amount of mean 0 within an interval of length W.
    Of weight W = stride 2^h there are n / (B 2^h) such steps, so that the squares of all lengths add up to less than
    2 n^2 / k^2, and by Azuma and Hoeffding P(|error of rank| > e n) <= 2 exp(-(e k)^2). Reading a value between two points
    adds less than n / k. So ranks are right to n (sqrt(log(2 / DOUBT)) + 1) / k, but for one quantile in a million.

    Memory: B + k (log2(n / B) + 1) values for each entry. The result does not depend on the parts in which values came.
    NaN are values above all others, of which the quantiles know by the count of those present.
    """

    def __init__(self, entries: int, dtype: np.dtype, points: int, stride: int, exact: int | None):
        """`exact`: the number of values to come where all of them are kept, or None."""
        self._stride = stride
        self._block = np.empty((entries, stride * points if exact is None else exact), dtype)
        self._filled = 0
        self._levels: list[np.ndarray | None] = []
        self._random = np.random.default_rng(SEED)

    def add(self, values: Float[np.ndarray, "lanes entries"]) -> None:
        """Take in the values of some lanes."""
        begin = 0
        while begin < len(values):
            if self._filled == self._block.shape[1]:
                self._empty_block()
            part = values[begin : begin + self._block.shape[1] - self._filled]
            self._block[:, self._filled : self._filled + len(part)] = part.T
            self._filled += len(part)
            begin += len(part)

    @property
    def exact(self) -> bool:
        """Whether every value is still there."""
        return not self._levels

    def _empty_block(self) -> None:
        points = self._thinned(self._block, self._stride)
        self._filled = 0
        for level, there in enumerate(self._levels):
            if there is None:
                self._levels[level] = points
                return
            points = self._thinned(np.concatenate([there, points], axis=1), 2)
            self._levels[level] = None
        self._levels.append(points)

    def _thinned(self, values: np.ndarray, stride: int) -> np.ndarray:
        values.sort(axis=1)
        return values[:, int(self._random.integers(stride)) :: stride].copy()

    def quantiles(
        self,
        quantiles: tuple[float, ...],
        count: Int[np.ndarray, " entries"],
        minimum: Float[np.ndarray, " entries"],
        maximum: Float[np.ndarray, " entries"],
    ) -> Float[np.ndarray, "levels entries"]:
        """The values at the ranks q (count - 1), between points by linear interpolation, as `numpy.quantile` has them.

        `count`: how many values of each entry are present; `minimum`, `maximum`: theirs, ranks 0 and count - 1.
        """
        self._block[:, : self._filled].sort(axis=1)
        ranks = np.asarray(quantiles)[:, None] * np.maximum(count - 1, 0)
        if self.exact:
            return self._exact_quantiles(ranks, count)
        held = [(self._block[:, : self._filled], 1)]
        held += [(x, self._stride * 2**h) for h, x in enumerate(self._levels) if x is not None]
        weights = np.concatenate([np.full(x.shape[1], float(weight)) for x, weight in held])
        out = np.full(ranks.shape, np.nan)
        for entry in np.flatnonzero(count):
            values = np.concatenate([x[entry] for x, _ in held]).astype(np.float64)
            order = np.argsort(values, kind="stable")
            values, weight = values[order], weights[order]
            there = ~np.isnan(values)
            # A point is the one in the middle of those that it stands for.
            places = np.minimum(np.cumsum(weight) - 0.5 * (weight + 1.0), count[entry] - 1.0)
            places = np.concatenate([[0.0], places[there], [count[entry] - 1.0]])
            values = np.concatenate([minimum[entry : entry + 1], values[there], maximum[entry : entry + 1]])
            out[:, entry] = np.interp(ranks[:, entry], places, values)
        return out

    def _exact_quantiles(self, ranks: np.ndarray, count: np.ndarray) -> np.ndarray:
        if not self._filled:
            return np.full(ranks.shape, np.nan)
        values = self._block[:, : self._filled]
        below = np.floor(ranks).astype(np.int64)
        above = np.minimum(below + 1, np.maximum(count - 1, 0))
        low, high = (np.take_along_axis(values, i.T, axis=1).T.astype(np.float64) for i in (below, above))
        return np.where(count > 0, low + (ranks - below) * (high - low), np.nan)

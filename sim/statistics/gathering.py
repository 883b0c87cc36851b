"""`Gathering`: takes in the results of an ensemble tile by tile, in the memory of the host, and forgets the runs."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, PyTree

from ...core.pytrees import is_array
from ...core.status import Code, Status
from .moments import Moments
from .ranks import RankSketch, points_needed
from .summary import Statistics, Summary, is_status

# Up to this many runs, whose results take up to this many bytes, all values are kept and quantiles are exact.
MOST_RUNS_KEPT = 16384
BYTES_KEPT = 256 * 2**20
MOST_BYTES = 4 * 2**30  # of sketches
BYTES_AT_ONCE = 4 * 2**20  # taken from a tile, so that copies stay small


class Gathering:
    """Statistics in the making. `add` each tile, in order, then ask for `statistics`."""

    def __init__(self, summary: Summary, runs: int):
        self._summary, self._runs = summary, runs
        self._outs: list[Any] = []  # of the first tile: its leaves, with an `_Entry` for each array of numbers
        self._structure: Any = None
        self._statuses: list[tuple[np.ndarray, ...]] = []

    def add(self, out: PyTree) -> None:
        """Take in the results of some runs: arrays of the host with runs along the first axis."""
        leaves, structure = jax.tree.flatten(out, is_leaf=is_status)
        if self._structure is None:
            self._structure = structure
            self._outs = self._begin(leaves)
        arrays = [x for x, held in zip(leaves, self._outs, strict=True) if isinstance(held, _Entry)]
        status = _status([x for x in leaves if is_status(x)], arrays)
        self._statuses.append(status)
        ok = status[0] == Code.OK
        for x, held in zip(leaves, self._outs, strict=True):
            if isinstance(held, _Entry):
                held.add(x, ok)

    def _begin(self, leaves: list[Any]) -> list[Any]:
        numbers = [_is_number(x) for x in leaves]
        if not any(numbers):
            raise ValueError("the function returns no arrays of numbers: there is nothing to make statistics of.")
        size = sum(x[0].size * _kept_type(x).itemsize for x, n in zip(leaves, numbers, strict=True) if n)
        plan = _plan(self._summary, self._runs, size)
        return [_Entry(x, plan) if n else x for x, n in zip(leaves, numbers, strict=True)]

    def statistics(self) -> Statistics:
        """What all tiles come to."""
        status = Status(*(jnp.asarray(np.concatenate(parts)) for parts in zip(*self._statuses, strict=True)))
        found = [x.found(self._summary.quantiles) if isinstance(x, _Entry) else None for x in self._outs]

        def tree(name: str) -> PyTree:
            leaves = [
                statistics[name] if statistics is not None else status if is_status(x) else None if is_array(x) else x
                for x, statistics in zip(self._outs, found, strict=True)
            ]
            return jax.tree.unflatten(self._structure, leaves)

        exact = all(x.exact for x in self._outs if isinstance(x, _Entry))
        names = ("mean", "variance", "minimum", "maximum", "quantiles", "count")
        return Statistics(
            **{name: tree(name) for name in names},
            status=status,
            levels=self._summary.quantiles,
            rank_error=0.0 if exact else self._summary.rank_error,
        )


class _Entry:
    """One array of a run's results."""

    def __init__(self, x: np.ndarray, plan: tuple[int, int, int | None] | None):
        self._shape = x.shape[1:]
        size = math.prod(self._shape)
        self._moments = Moments(size)
        self._sketch = None if plan is None else RankSketch(size, _kept_type(x), *plan)
        self._lanes_at_once = max(1, BYTES_AT_ONCE // max(1, 8 * size))

    def add(self, x: np.ndarray, ok: Bool[np.ndarray, " lanes"]) -> None:
        for begin in range(0, len(x), self._lanes_at_once):
            rows = slice(begin, begin + self._lanes_at_once)
            values = x[rows].reshape(len(x[rows]), -1)
            values = (values if ok[rows].all() else values[ok[rows]]).astype(_kept_type(x), copy=False)
            finite = np.isfinite(values)
            if not finite.all():
                values = np.where(finite, values, np.nan)
            self._moments.add(values)
            if self._sketch is not None:
                self._sketch.add(values)

    @property
    def exact(self) -> bool:
        return self._sketch is None or self._sketch.exact

    def found(self, quantiles: tuple[float, ...]) -> dict[str, np.ndarray]:
        """Each statistic by name, in the shape of the array."""
        m = self._moments
        levels = np.empty((0, len(m.count)))
        if self._sketch is not None:
            levels = self._sketch.quantiles(quantiles, m.count, m.minimum, m.maximum)
        flat = dict(mean=m.mean, variance=m.variance, minimum=m.minimum, maximum=m.maximum, count=m.count)
        return {name: x.reshape(self._shape) for name, x in flat.items()} | {
            "quantiles": levels.reshape(len(levels), *self._shape)
        }


def _plan(summary: Summary, runs: int, size: int) -> tuple[int, int, int | None] | None:
    """Points, stride and (where all values are kept) number of values of each sketch, for results of `size` bytes a run.

    **Raises** `ValueError` where sketches as exact as was asked for take too much memory.
    """
    if not summary.quantiles:
        return None
    points = points_needed(summary.rank_error)
    kept = min(MOST_RUNS_KEPT, BYTES_KEPT // max(size, 1))
    exact = runs <= max(kept, points)
    stride = max(1, kept // points)
    doublings = math.floor(math.log2(max(1.0, runs / (stride * points)))) + 1
    needed = size * (runs if exact else points * (stride + doublings))
    if needed > MOST_BYTES:
        raise ValueError(
            f"quantiles to {100 * summary.rank_error:g} per cent of {runs} runs with {size / 2**20:.3g} MB of results each "
            f"take {needed / 2**30:.3g} GB: return fewer numbers from the function, allow a larger error "
            f"(wl.Summary(rank_error={2 * summary.rank_error:g})), or leave quantiles out (wl.Summary(quantiles=()))."
        )
    return points, stride, runs if exact else None


def _status(statuses: list[Status], arrays: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Code, time and step of the first failure in each run; without any status, whether all its numbers are finite."""
    if not statuses:
        parts = [np.isfinite(x.reshape(len(x), -1)).all(axis=1) for x in arrays]
        ok = np.logical_and.reduce(parts)
        code = np.where(ok, int(Code.OK), int(Code.NON_FINITE)).astype(np.int32)
        return code, np.full(len(ok), np.nan), np.full(len(ok), -1, np.int32)
    columns = [[np.asarray(x).reshape(len(x), -1) for x in (s.code, s.t, s.step)] for s in statuses]
    code, t, step = (np.concatenate(each, axis=1) for each in zip(*columns, strict=True))
    first = (code != Code.OK).argmax(axis=1)[:, None]
    return tuple(np.take_along_axis(x, first, axis=1)[:, 0] for x in (code, t, step))  # type: ignore[return-value]


def _is_number(x: Any) -> bool:
    """Whether statistics are made of this leaf. **Raises** `TypeError` for complex numbers."""
    if not is_array(x) or jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return False
    if np.issubdtype(x.dtype, np.complexfloating):
        raise TypeError("the function returns complex numbers, which have no order: return real and imaginary parts.")
    return True


def _kept_type(x: np.ndarray) -> np.dtype:
    """What values of this array are kept as: themselves, or as float64."""
    return np.dtype(x.dtype if x.dtype == np.float32 else np.float64)

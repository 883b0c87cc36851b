"""`Summary`, what to gather of an ensemble instead of its runs, and `Statistics`, what was gathered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from ...core.status import Status
from ..trajectory import Trajectory

USUAL_QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)


@dataclass(frozen=True)
class Summary:
    """What `wl.ensemble` keeps of its runs: statistics of every number that a run returns, in place of the runs.

    ```python
    many = wl.ensemble(run, summary=wl.Summary(quantiles=(0.05, 0.5, 0.95)))(births)      # Statistics
    ```

    - `quantiles`: which, between 0 and 1; `()` for none, which saves memory and time.
    - `rank_error`: how far the rank of a quantile may be off, as a share of the runs, where there are too many to
      keep all values: the median of a million runs has a rank between 495 000 and 505 000 with 0.005. One quantile in a
      million may be further off; most are off by a tenth of that.

    Quantiles are exact up to 16384 runs, or as many as fit 256 MB. Beyond they take about
    256 MB, and 5 / rank_error values more for each doubling of the runs and each number that a run returns.

    **Raises** `ValueError` for quantiles outside 0 to 1 and for a `rank_error` that is not between 0 and 0.5.
    """

    quantiles: tuple[float, ...] = USUAL_QUANTILES
    rank_error: float = 0.005

    def __post_init__(self) -> None:
        try:
            levels = tuple(float(q) for q in self.quantiles)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"quantiles={self.quantiles!r}: give them as a tuple of numbers, such as quantiles=(0.05, 0.5, 0.95)."
            ) from error
        for q in levels:
            if not 0.0 <= q <= 1.0:
                hint = f": write {q / 100:g} for {q:g} per cent" if 1.0 < q <= 100.0 else ""
                raise ValueError(f"quantiles holds {q:g}, but a quantile lies between 0 and 1{hint}.")
        if not isinstance(self.rank_error, (int, float)) or not 0.0 < self.rank_error < 0.5:
            raise ValueError(
                f"rank_error={self.rank_error!r}: it is a share of the runs between 0 and 0.5; 0.005 is the default."
            )
        object.__setattr__(self, "quantiles", levels)


@dataclass(frozen=True, eq=False)
class Statistics:
    """What `wl.ensemble(..., summary=wl.Summary())` returns: statistics over the runs of each number that a run returns.

    | attribute | meaning |
    | --- | --- |
    | `mean`, `variance`, `std`, `minimum`, `maximum` | what one run returns, with a statistic in the place of each number |
    | `quantiles` | the same with one more leading axis, [levels, ...]; `quantile(0.5)` is one of them |
    | `count` | the same: of how many runs each number was finite, and so taken in |
    | `status` | of every run, [runs]: prints as `9998 ok, 2 non-finite` |
    | `levels`, `rank_error` | which quantiles, and how far their ranks may be off, as a share of the runs; 0: exact |

    mean = sum x / n and variance = sum (x - mean)^2 / (n - 1), with the n of `count`; all are NumPy arrays of float64. For a
    `Trajectory`, `many.mean.states` and `many.quantile(0.5).final` are the states, and `many.mean.stats.steps` the steps.

    Runs that failed are in no statistic. Where no status is returned, a run has failed when anything in it is not
    finite. In runs that are ok, numbers that are not finite (states after an event that ended the run, say) are left
    out one by one, and `count` says where.
    """

    mean: PyTree
    variance: PyTree
    minimum: PyTree
    maximum: PyTree
    quantiles: PyTree
    count: PyTree
    status: Status
    levels: tuple[float, ...]
    rank_error: float

    @property
    def runs(self) -> int:
        """How many there were, failed ones included."""
        return int(self.status.code.shape[0])

    @property
    def failed(self) -> int:
        """How many of them failed; `status` says which, and how."""
        return int(np.count_nonzero(self.status.code))

    @cached_property
    def std(self) -> PyTree:
        """The standard deviation, sqrt(variance)."""
        return _each(np.sqrt, self.variance)

    def quantile(self, q: float) -> PyTree:
        """The quantile q of each number. **Raises** `ValueError` for one that was not gathered."""
        if q not in self.levels:
            there = ", ".join(f"{level:g}" for level in self.levels) or "none"
            raise ValueError(
                f"quantile {q!r} was not gathered, there are {there}: ask for it when the ensemble is made, "
                f"summary=wl.Summary(quantiles=(..., {q!r}))."
            )
        place = self.levels.index(q)
        return _each(lambda x: x[place], self.quantiles)

    def plot(self, ts: Any = None, **options: Any) -> Any:
        """Median and bands between quantiles over time; see `worldline.sim.plot.plot_statistics`. Returns the figure."""
        from ..plot import plot_statistics

        return plot_statistics(self, ts, **options)

    def __repr__(self) -> str:
        levels = ", ".join(f"{q:g}" for q in self.levels)
        how = "exact" if self.rank_error == 0 else f"ranks to {100 * self.rank_error:g} per cent"
        quantiles = f", quantiles {levels} ({how})" if levels else ""
        least = self.fewest
        missing = f", some numbers of {least} runs only" if least < self.runs - self.failed else ""
        return f"Statistics({self.runs} {'run' if self.runs == 1 else 'runs'}: {self.status.message()}{quantiles}{missing})"

    @property
    def fewest(self) -> int:
        """The least `count` of all numbers; of a `Trajectory`, those of its states."""
        counts = self.count.states if isinstance(self.count, Trajectory) else self.count
        return min((int(x.min()) for x in jax.tree.leaves(counts, is_leaf=is_status) if _has_numbers(x)), default=0)


def is_status(x: Any) -> bool:
    """Whether this is a `Status`, of which there are no statistics."""
    return isinstance(x, Status)


def _has_numbers(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.size > 0


def _each(function: Callable[[np.ndarray], np.ndarray], tree: PyTree) -> PyTree:
    """The tree with a function of each statistic in its place."""
    return jax.tree.map(lambda x: function(x) if isinstance(x, np.ndarray) else x, tree, is_leaf=is_status)

"""The best minimum of a least-squares problem on time series: several searches side by side until two agree.

A plain descent, a growing horizon from the same start, and growing horizons from points around it go on together, one
evaluation for all, until enough of them have ended at the same lowest sum of squares by different ways. How many are
enough depends on what they leave of the data: one that leaves next to nothing needs no other, and one that leaves much is
not believed however many agree. Where there are not enough, more starts are drawn, further away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from .continuation import GrowingHorizon
from .least_squares import Descent, Outcome, Tolerances

Witnesses = Callable[[Float[np.ndarray, " m"]], float]
EvaluateUpTo = Callable[[Float[np.ndarray, "k n"], Float[np.ndarray, " k"]], tuple[ArrayLike, ArrayLike]]

WIDTH = 4  # searches side by side
ROUNDS = 3  # most rounds of searches when none agree
SAME = 1e-3  # relative difference of sums of squares of one minimum
GOOD = 0.01  # of the data's sum of squares: a minimum that leaves less needs no second witness
POOR = 0.25  # of the data's sum of squares: a minimum that leaves more than this is not believed, whoever agrees
REACH = (1.0, 1.0, 2.0)  # how far starts are drawn in each round, in scales: a factor of e for positive unknowns


class _Whole:
    """A plain descent on the whole record, as a search with a horizon."""

    def __init__(self, descent: Descent, end: float) -> None:
        self.descent = descent
        self.horizon = end
        self.complete = True

    @property
    def running(self) -> bool:
        """Whether it wants to be told of another trial."""
        return self.descent.running

    @property
    def trial(self) -> NDArray:
        """The point at which residuals are wanted next."""
        return self.descent.trial

    def tell(self, residuals: ArrayLike, jacobian: ArrayLike) -> None:
        """Judge the trial point by what was found there."""
        self.descent.tell(residuals, jacobian)


@dataclass(frozen=True)
class Route:
    """One search: how it went about it, from where, and how it ended. `cost` is NaN where it never fitted the whole record."""

    way: str
    start: Float[np.ndarray, " n"]
    outcome: Outcome
    cost: float


@dataclass(frozen=True)
class Search:
    """The best of several searches.

    `x` [n], `residuals` [m], `jacobian` [m, n] and `outcome` are those of the lowest sum of squares; `way` is how it
    was found; `agreeing` counts the routes that ended there, of all `routes`; `calls` counts evaluations.
    """

    x: Float[np.ndarray, " n"]
    residuals: Float[np.ndarray, " m"]
    jacobian: Float[np.ndarray, "m n"]
    cost: float
    outcome: Outcome
    way: str
    agreeing: int
    confirmed: bool
    routes: tuple[Route, ...]
    calls: int

    @property
    def plain(self) -> Route:
        """The plain descent from the start given."""
        return self.routes[0]


def find_minimum(
    evaluate: EvaluateUpTo,
    start: ArrayLike,
    times: ArrayLike,
    *,
    scale: ArrayLike = 1.0,
    spread: float = 1.0,
    witnesses: Witnesses | None = None,
    tolerances: Tolerances | None = None,
    lower: ArrayLike = -np.inf,
    upper: ArrayLike = np.inf,
    starts: int | None = None,
    width: int = WIDTH,
    callback: Callable[[int, float], bool | None] | None = None,
) -> Search | None:
    """The lowest minimum of ``|r(x)|^2`` that several searches find, r residuals of a simulated time series.

    **Arguments**

    - `evaluate`: residuals [k, m] and Jacobians [k, m, n] at points [k, n], each wanted up to its horizon in [k] only;
      always called with k = `width`. Values that are not finite mean that the simulation failed there.
    - `start` [n]: where to begin; `scale` [n]: how far off it may well be (1 for the logarithm of a positive unknown).
    - `times` [m]: the time of each residual since the beginning of its run.
    - `spread`: root mean square of the data about their mean (or their trend), in the units of the residuals.
    - `witnesses`: how many searches must end where the residuals are the ones given, for the minimum to be believed. By
      default one where they leave a hundredth of the data's sum of squares, two where they leave a quarter.
    - `lower`, `upper` [n]: bounds of x, infinite where there are none.
    - `starts`: number of starting points; by default as many as it takes for enough searches to agree, `width` - 1 to
      `width` * 3 - 1. 1: only the one given, plainly and by growing horizon.
    - `callback`: called with the number of evaluations and the lowest sum of squares so far; True ends the search.

    **Returns** None where no search got a finite sum of squares over the whole record.
    """
    x0 = np.array(start, dtype=np.float64)
    t = np.asarray(times, dtype=np.float64)
    scales = np.broadcast_to(np.asarray(scale, dtype=np.float64), x0.shape)
    limits = tolerances or Tolerances()
    enough = witnesses or _shares(t.size * spread**2)
    box = {"lower": np.asarray(lower, dtype=np.float64), "upper": np.asarray(upper, dtype=np.float64)}

    def growing(x: NDArray) -> GrowingHorizon:
        return GrowingHorizon(x, t, scale=scales, spread=spread, tolerances=limits, **box)

    searches: list[_Whole | GrowingHorizon] = []
    begins: list[NDArray] = []
    points = _points(x0.size)
    most = width * ROUNDS - 1 if starts is None else starts
    calls, stopped = 0, False
    for turn in range(most):
        fresh: list[_Whole | GrowingHorizon] = (
            [] if searches else [_Whole(Descent(x0, limits, scale=scales, **box), float(t.max())), growing(x0)]
        )
        begins += [x0] * len(fresh)
        while len(fresh) < width and len(begins) - 1 < most:  # the first two share the start given
            away = REACH[min(turn, len(REACH) - 1)] * scales * next(points)
            begins.append(np.clip(x0 + away, box["lower"], box["upper"]))
            fresh.append(growing(begins[-1]))
        searches += fresh
        used, stopped = _advance(evaluate, fresh, searches, width, calls, enough if starts is None else None, callback)
        calls += used
        if stopped or len(begins) - 1 >= most or (starts is None and _agreed(searches, enough)):
            break
    return _summary(searches, begins, enough, calls)


def _shares(total: float) -> Witnesses:
    """Witnesses by the share that residuals leave of the data's sum of squares."""

    def witnesses(residuals: NDArray) -> float:
        cost = float(residuals @ residuals)
        return 1 if cost <= GOOD * total else 2 if cost <= POOR * total else np.inf

    return witnesses


def _points(n: int):
    """Points of [-1, 1]^n that fill it evenly however many are drawn (Roberts 2018, the R_d sequence)."""
    ratio = 1.5
    for _ in range(60):  # the positive root of ratio^(n + 1) = ratio + 1
        ratio = (1.0 + ratio) ** (1.0 / (n + 1))
    steps = ratio ** -np.arange(1.0, n + 1)
    i = 0
    while True:
        i += 1
        yield 2.0 * np.mod(0.5 + i * steps, 1.0) - 1.0


def _advance(evaluate, fresh, searches, width, calls, enough, callback) -> tuple[int, bool]:
    """Run a round of searches to their ends, or until some agree and no other is lower; evaluations, whether told to end."""
    used = 0
    while live := [s for s in fresh if s.running][:width]:
        if enough is not None and _agreed(searches, enough):
            lowest = min(map(_cost, _best(searches))) * (1.0 - SAME)
            live = [s for s in live if _cost(s) < lowest]
            if not live:
                break
        padded = live + [live[0]] * (width - len(live))
        residuals, jacobians = evaluate(np.stack([s.trial for s in padded]), np.array([s.horizon for s in padded]))
        used += 1
        for s, r, J in zip(live, np.asarray(residuals), np.asarray(jacobians), strict=False):
            s.tell(r, J)
        if callback is not None and callback(calls + used, min(map(_cost, searches))):
            return used, True
    return used, False


def _cost(search) -> float:
    """Sum of squares over the whole record of an ended or running search; infinite where it was never there."""
    return search.descent.cost if search.complete else np.inf


def _best(searches) -> list:
    """The lowest of the ended searches, and all others that are within reach of its sum of squares, ended or not."""
    ended = [s for s in searches if not s.running and np.isfinite(_cost(s))]
    if not ended:
        return []
    lowest = min(ended, key=_cost)
    floor = lowest.descent.tolerances.noise + lowest.descent.tolerances.exact
    return [s for s in searches if abs(_cost(s) - _cost(lowest)) <= _cost(lowest) * SAME + floor]


def _agreed(searches, enough: Witnesses) -> bool:
    """Whether as many searches as are enough ended at the lowest sum of squares."""
    best = _best(searches)
    ended = [s for s in best if s.descent.outcome.converged]
    return bool(ended) and len(best) >= enough(min(ended, key=_cost).descent.residuals)


def _summary(searches, begins, enough: Witnesses, calls: int) -> Search | None:
    candidates = [s for s in searches if np.isfinite(_cost(s))]
    if not candidates:
        return None
    same = _best(searches) or [min(candidates, key=_cost)]
    descent = min(same, key=lambda s: (not s.descent.outcome.converged, _cost(s))).descent
    ways = [_way(s, i) for i, s in enumerate(searches)]
    routes = tuple(
        Route(way, begin, s.descent.outcome, _cost(s) if np.isfinite(_cost(s)) else np.nan)
        for way, begin, s in zip(ways, begins, searches, strict=True)
    )
    return Search(
        x=descent.x,
        residuals=descent.residuals,
        jacobian=descent.jacobian,
        cost=descent.cost,
        outcome=descent.outcome,
        way=ways[searches.index(same[0])],
        agreeing=len(same),
        confirmed=_agreed(searches, enough),
        routes=routes,
        calls=calls,
    )


def _way(search, index: int) -> str:
    if isinstance(search, _Whole):
        return "a plain descent from the start"
    return "a growing horizon from the start" if index == 1 else "a growing horizon from a point near the start"

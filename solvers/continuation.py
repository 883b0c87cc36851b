"""Least squares on time series by a growing horizon, which passes by most wrong minima.

Fitting a whole trajectory at once has wrong minima: a model whose period is off by a little is out of step at the end
of the record, and no small change mends that. Over the beginning of the record the misfit is nearly a parabola. So the
fit begins there, and each time it has settled the horizon moves on, as far as the model is in step with the data yet
unseen (known in many fields, as progressive or incremental fitting; SciML's documentation, "Iterative growing of
fits to reduce probability of bad local minima").

A short beginning does not determine every unknown, and least squares would send the others far away. A weak pull
towards the start of the search holds them until the data speak: rows ``pull * spread * (x - start) / scale`` beside the
residuals, gone when the horizon has reached the end of the record.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .least_squares import Descent, Outcome, Tolerances

GROWTH = 2.0  # most growth of the number of times within the horizon
LEAST_GROWTH = 1.05  # even where the model is out of step at once
IN_STEP = 0.5  # misfit of data unseen, in spreads of the data, up to which the model is in step with them
NOISY = 3.0  # or in root mean squares of the misfit of data seen
PULL = 0.1  # one scale away from the start weighs as much as one residual of a tenth of the data's spread
WITHIN_REACH = 1.15  # a horizon this close to the end goes there
RETREATS = 12  # most times that a horizon is drawn back from a failing simulation
STAGE = Tolerances(stationary=0.05, step=1e-3, accuracy=1e-3, iterations=8)  # of horizons short of the end


class GrowingHorizon:
    """A least-squares search asked for points and told what was found there, like `Descent`, with a `horizon` in time.

    Residuals at times after `horizon` are not looked at, so they need not be computed. A run that fails within the
    horizon at the beginning of a stage draws the horizon back to where it still was fine.

    **Arguments**: `x` [n]: the start; `times` [m]: time of each residual since the beginning of its run; `scale` [n]:
    typical change of each unknown; `spread`: root mean square of the data about their mean, in units of the residuals;
    `tolerances`: of the last stage, where the horizon is the whole record; `lower`, `upper` [n]: bounds of x.
    """

    def __init__(
        self,
        x: ArrayLike,
        times: ArrayLike,
        *,
        scale: ArrayLike,
        spread: float,
        tolerances: Tolerances | None = None,
        lower: ArrayLike = -np.inf,
        upper: ArrayLike = np.inf,
    ) -> None:
        self._start = np.clip(np.array(x, dtype=np.float64), lower, upper)
        self._times = np.asarray(times, dtype=np.float64)
        self._steps = np.unique(self._times)
        self._tolerances = tolerances or Tolerances()
        self._scale = np.broadcast_to(np.asarray(scale, dtype=np.float64), self._start.shape)
        self._pull = PULL * spread / self._scale
        self._bounds = lower, upper
        self._reached = 0  # times within the last horizon that was fine
        self._tolerated = np.inf
        self._spread = spread
        self._retreats = 0
        enough = np.searchsorted(np.cumsum(np.unique(self._times, return_counts=True)[1]), self._start.size + 1) + 1
        self.iterations = 0
        self._begin(self._start, max(3, int(enough)))

    @property
    def horizon(self) -> float:
        """Time up to which residuals are wanted at `trial`."""
        return float(self._steps[self._count - 1])

    @property
    def trial(self) -> NDArray:
        """The point at which residuals are wanted next."""
        return self._descent.trial

    @property
    def complete(self) -> bool:
        """Whether the horizon is the whole record."""
        return self._count == self._steps.size

    @property
    def running(self) -> bool:
        """Whether it wants to be told of another trial."""
        return self._descent.running

    @property
    def descent(self) -> Descent:
        """The present stage; at the end the last one, which is a plain descent on all residuals if `complete`."""
        return self._descent

    def tell(self, residuals: ArrayLike, jacobian: ArrayLike) -> None:
        """Judge the trial point by what was found there: residuals [m], their Jacobian [m, n]."""
        self.iterations += 1
        r, J = np.asarray(residuals, np.float64), np.asarray(jacobian, np.float64)
        if self._descent.residuals.size == 0 and self._reached:
            self._stay_in_step(r)
        within = self._times <= self.horizon
        if self.complete:
            self._descent.tell(r, J)
        else:
            pull = self._pull * (self.trial - self._start)
            self._descent.tell(np.concatenate([r[within], pull]), np.concatenate([J[within], np.diag(self._pull)]))
        outcome = self._descent.outcome
        if outcome is Outcome.START_FAILED:
            self._retreat(within & ~(np.isfinite(r) & np.isfinite(J).all(axis=1)))
        elif outcome is not Outcome.RUNNING and not self.complete:
            self._reached = self._count
            seen = self._descent.residuals[: int(np.sum(within))]
            self._tolerated = max(IN_STEP * self._spread, NOISY * float(np.sqrt(np.mean(seen**2))))
            self._begin(self._descent.x, max(self._count + 1, int(np.ceil(GROWTH * self._count))))

    def _stay_in_step(self, r: NDArray) -> None:
        """Draw a new horizon back to where the model is out of step with data not seen before."""
        unseen = (self._times <= self.horizon) & (self._times > self._steps[self._reached - 1])
        out = self._times[unseen & ~(np.abs(r) <= self._tolerated)]
        if out.size:
            least = max(self._reached + 1, int(np.ceil(LEAST_GROWTH * self._reached)))
            count = max(least, int(np.searchsorted(self._steps, out.min(), side="right")))
            if count < self._count:
                self._begin(self._descent.trial, count, exactly=True)

    def _begin(self, x: NDArray, count: int, exactly: bool = False) -> None:
        near = count * WITHIN_REACH > self._steps.size and not exactly
        self._count = self._steps.size if near else count
        limits = self._tolerances if self.complete else replace(STAGE, rank=self._tolerances.rank)
        lower, upper = self._bounds
        self._descent = Descent(x, limits, scale=self._scale, lower=lower, upper=upper)

    def _retreat(self, failed: NDArray) -> None:
        """Draw the horizon back to the times before the first failure; give up where that is no progress."""
        first = self._times[failed].min() if failed.any() else self._steps[0]
        fine = int(np.searchsorted(self._steps, first))
        self._retreats += 1
        if fine > max(self._reached, 1) and self._retreats <= RETREATS:
            self._begin(self._descent.x, fine, exactly=True)

"""Nonlinear least squares: Levenberg-Marquardt in Moré's trust-region form, many starts in step.

The residuals come from a function of the caller, one call for all starts; everything here is small dense
linear algebra in NumPy, always in float64, whatever precision the residuals were computed in. The method knows
nothing of differential equations: `worldline.fit` gives it residuals of simulated trajectories.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy.linalg import lapack  # JAX needs it too, for the first stiff step: better now than in a user's first run

Evaluate = Callable[[Float[np.ndarray, "k n"]], tuple[ArrayLike, ArrayLike]]

ACCEPT = 1e-4  # least ratio of actual to predicted reduction at which a step is taken (MINPACK)
TINY = float(np.finfo(float).tiny)
RADIUS_TOLERANCE = 0.1  # the step's length matches the trust radius to this fraction (MINPACK)


class Outcome(IntEnum):
    """Why a descent ended; the first four are convergence."""

    RUNNING = -1
    STATIONARY = 0
    NO_REDUCTION = 1
    SMALL_STEP = 2
    EXACT = 3
    ITERATION_LIMIT = 4
    NO_PROGRESS = 5
    START_FAILED = 6
    BREAKDOWN = 7

    @property
    def converged(self) -> bool:
        """Whether x is a minimum, as far as the residuals can tell."""
        return Outcome.STATIONARY <= self <= Outcome.EXACT

    def describe(self) -> str:
        """The outcome in words."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS = {
    Outcome.RUNNING: "running",
    Outcome.STATIONARY: "converged: the residuals are orthogonal to the model's tangent plane",
    Outcome.NO_REDUCTION: "converged: no step lowers the sum of squares beyond the accuracy of the residuals",
    Outcome.SMALL_STEP: "converged: the step is negligible beside the unknowns",
    Outcome.EXACT: "converged: the residuals vanish",
    Outcome.ITERATION_LIMIT: "iteration limit reached",
    Outcome.NO_PROGRESS: "no progress: no step however short lowers the sum of squares; is the Jacobian right?",
    Outcome.START_FAILED: "the residuals or their Jacobian are not finite at the start",
    Outcome.BREAKDOWN: "the singular value decomposition of the Jacobian failed",
}


@dataclass(frozen=True)
class Tolerances:
    """When a descent ends.

    `stationary`: largest ``|P r| / |r|`` at which x counts as a minimum, P the projector onto the columns of the
    Jacobian (the relative offset of Bates and Watts 1981, "A relative offset orthogonality convergence criterion for
    nonlinear least squares", Technometrics 23: the distance to the minimum in standard errors, but for a factor of
    ``sqrt(n / (m - n))``; it depends on the units of neither x nor r).
    `step`: largest ``|D dx| / |D x|``, D the column norms of the Jacobian.
    `accuracy`: relative accuracy of the sum of squares as computed; changes of it below that are noise.
    `noise`: what errors of computing the residuals alone contribute to the sum of squares; changes below are noise too.
    `exact`: sum of squares at which the residuals count as zero.
    `rank`: singular values below this fraction of the largest carry no direction; the accuracy of the Jacobian.
    `iterations`: most trial steps.
    `enough`: largest ``|P r| / |r|`` at which a descent has converged when no step lowers the sum of squares.
    """

    stationary: float = 1e-6
    step: float = 1e-10
    accuracy: float = 1e-12
    noise: float = 0.0
    exact: float = 0.0
    rank: float = 1e-12
    iterations: int = 200
    enough: float = 0.0

    @classmethod
    def for_residuals(cls, dtype: DTypeLike, size: float, iterations: int = 200) -> Tolerances:
        """Tolerances for residuals computed by a program in `dtype` with some care.

        `size`: the sum of squares of the data themselves, in the units of the residuals.
        """
        single = np.finfo(dtype).eps > 1e-10
        return cls(
            stationary=1e-3 if single else 1e-5,
            step=1e-6 if single else 1e-10,
            accuracy=1e-5 if single else 1e-10,
            noise=size * (1e-6 if single else 1e-9) ** 2,
            exact=size * (1e-7 if single else 1e-11) ** 2,
            rank=1e-6 if single else 1e-12,
            iterations=iterations,
        )


class Descent:
    """One Levenberg-Marquardt run, asked for points and told what was found there.

    `trial` is the point where residuals and Jacobian are wanted next; `tell` judges it and sets the next one, until
    `outcome` is no longer ``Outcome.RUNNING``. The step solves ``min |J p + r|`` within ``|D p| <= radius`` by the
    singular value decomposition of ``J / D``, with D the largest column norms seen so far (Moré 1978, "The
    Levenberg-Marquardt algorithm: implementation and theory", Lecture Notes in Mathematics 630). A trial whose residuals
    or Jacobian are not finite is a step too far: the radius shrinks. Unknowns on a bound that the sum of squares pushes
    against stay there; steps across a bound end on it.

    **Arguments**: `x` [n]: the start; `scale` [n]: how far the first step may go in each unknown, by default the
    size of x; `lower`, `upper` [n]: bounds, infinite where there are none.

    **Raises** `ValueError` for a scale that is not positive.
    """

    def __init__(
        self,
        x: ArrayLike,
        tolerances: Tolerances | None = None,
        *,
        scale: ArrayLike | None = None,
        lower: ArrayLike = -np.inf,
        upper: ArrayLike = np.inf,
    ) -> None:
        start = np.array(x, dtype=np.float64)
        self.lower = np.broadcast_to(np.asarray(lower, dtype=np.float64), start.shape)
        self.upper = np.broadcast_to(np.asarray(upper, dtype=np.float64), start.shape)
        self.x = np.clip(start, self.lower, self.upper)
        self.trial = self.x
        self.tolerances = tolerances or Tolerances()
        self.outcome = Outcome.RUNNING
        self.residuals = np.zeros(0)
        self.jacobian = np.zeros((0, start.size))
        self.cost = np.inf
        self.iterations = 0
        self.failures = 0
        size = np.where(self.x != 0, np.abs(self.x), 1.0) if scale is None else np.asarray(scale, dtype=np.float64)
        if not (np.isfinite(size).all() and (size > 0).all()):
            raise ValueError(f"scale={scale!r}: a first step must be able to go somewhere; give positive numbers.")
        self._size = np.broadcast_to(size, start.shape)
        self._bounded = bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())
        self._radius = np.inf
        self._norms = np.zeros(start.size)

    @property
    def running(self) -> bool:
        """Whether it wants to be told of another trial."""
        return self.outcome is Outcome.RUNNING

    def tell(self, residuals: ArrayLike, jacobian: ArrayLike) -> None:
        """Judge the trial point by what was found there: residuals [m], their Jacobian [m, n]."""
        r = np.asarray(residuals, dtype=np.float64)
        J = np.asarray(jacobian, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            cost = float(r @ r)
            norms = np.sqrt(np.einsum("ij,ij->j", J, J))
        finite = math.isfinite(cost) and bool(np.isfinite(norms).all())
        if finite and np.isinf(self.cost):
            self._radius = float(np.linalg.norm(norms * self._size))
            self._take(r, J, cost, norms)
        elif finite:
            self._judge(r, J, cost, norms)
        elif np.isinf(self.cost):
            self.outcome = Outcome.START_FAILED
        else:
            self.failures += 1
            self._radius = 0.1 * self._length
            self._propose()
        if self.running and self.iterations >= self.tolerances.iterations:
            self.outcome = Outcome.ITERATION_LIMIT
        elif self.running:
            self.iterations += 1

    @property
    def _unseen(self) -> float:
        """Relative change of the sum of squares that is not told from noise."""
        return self.tolerances.accuracy + self.tolerances.noise / self.cost

    def _judge(self, r: NDArray, J: NDArray, cost: float, norms: NDArray) -> None:
        """Take the trial or not, and set the trust radius by the ratio of actual to predicted reduction."""
        actual = (self.cost - cost) / self.cost
        ratio = actual / self._predicted
        negligible = max(self._predicted, abs(actual)) <= self._unseen
        if ratio < 0.25:
            # the minimum of the parabola through cost, slope and new cost lies at this fraction of the step
            fraction = 0.5 * self._slope / (self._slope - actual) if actual < self._slope else 0.5
            self._radius = min(self._radius, self._length) * float(np.clip(fraction, 0.1, 0.5))
        elif ratio > 0.75:
            self._radius = max(self._radius, 2.0 * self._length)
        if ratio > ACCEPT:
            self.x = self.trial
            self._take(r, J, cost, norms)
            if self.running and negligible:
                self.outcome = Outcome.NO_REDUCTION
        elif negligible:
            self.outcome = Outcome.NO_REDUCTION
        else:
            self._propose()

    def _take(self, r: NDArray, J: NDArray, cost: float, norms: NDArray) -> None:
        """Make the trial the current point: test for convergence, propose the next trial."""
        self.residuals, self.jacobian, self.cost = r, J, cost
        self._norms = np.maximum(self._norms, norms)
        self._scale = np.where(self._norms > 0, self._norms, 1.0)
        if cost <= self.tolerances.exact:
            self.outcome = Outcome.EXACT
            return
        self._factorise(~self._held(-(r @ J)))
        if not self.running:
            return
        self._offset = math.sqrt(self._projected @ self._projected / cost)
        if self._offset <= self.tolerances.stationary:
            self.outcome = Outcome.STATIONARY
            return
        self._propose()

    def _held(self, direction: NDArray) -> NDArray:
        """The unknowns that are on a bound which the direction would cross."""
        if not self._bounded:
            return np.zeros(self.x.size, dtype=bool)
        return ((self.x <= self.lower) & (direction < 0)) | ((self.x >= self.upper) & (direction > 0))

    def _factorise(self, free: NDArray) -> None:
        """Singular values and directions of the scaled Jacobian of the free unknowns, and the residuals along them."""
        self._free = free
        scale = self._scale[free]
        n = scale.size
        # U of the tall matrix is only needed as U^T r: carry r through the QR factorisation as one more column. LAPACK
        # is called by its own names, for NumPy's wrappers take longer than these small factorisations.
        tall = np.empty((self.residuals.size, n + 1), order="F")
        np.divide(self.jacobian if free.all() else self.jacobian[:, free], scale, out=tall[:, :n])
        tall[:, n] = self.residuals
        factors, _, _, info = lapack.dgeqrf(tall, overwrite_a=1)
        triangle = np.triu(factors[: n + 1])
        if n == 0:
            self._singular, self._projected, self._directions = np.zeros(0), np.zeros(0), np.zeros((0, 0))
            return
        U, singular, Vt, failed = lapack.dgesdd(triangle[:n, :n], full_matrices=0)
        if failed:  # divide and conquer may not converge; the older iteration nearly always does
            U, singular, Vt, failed = lapack.dgesvd(triangle[:n, :n], full_matrices=0)
        if info or failed:
            self.outcome = Outcome.BREAKDOWN
            return
        kept = singular > self.tolerances.rank * singular[0]
        self._singular = singular[kept]
        self._projected = (triangle[:n, n] @ U)[kept]
        self._directions = Vt[kept].T / scale[:, None]

    def _propose(self) -> None:
        """Set the next trial: the minimum of the linear model within the trust radius and the bounds."""
        while True:
            damping = _damping(self._singular, self._projected, self._radius)
            step = np.zeros(self.x.size)
            step[self._free] = self._directions @ (-self._singular * self._projected / (self._singular**2 + damping))
            blocked = self._held(step)
            if not blocked.any():
                break
            self._factorise(self._free & ~blocked)
            if not self.running:
                return
        self.trial = self._within_bounds(step)
        step = self._scale * (self.trial - self.x)
        self._length = math.sqrt(step @ step)
        whole = self._scale * (np.abs(self.x) + self._size)
        if self._length <= self.tolerances.step * math.sqrt(whole @ whole):
            # a step of no length at all is one that failing trials have shrunk away
            unseen = self._length > 0.0 and self._predicted <= self._unseen
            settled = damping == 0.0 or unseen or self._offset <= self.tolerances.enough
            self.outcome = Outcome.SMALL_STEP if settled else Outcome.NO_PROGRESS

    def _within_bounds(self, step: NDArray) -> NDArray:
        """The point a step leads to: each unknown stops at its bound, or all where the first does if that is better."""
        aim = self.x + step
        clipped = np.clip(aim, self.lower, self.upper) if self._bounded else aim
        if self._predict(clipped - self.x) > 0 or np.array_equal(clipped, aim):
            return clipped
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.where(step != 0, (np.where(step > 0, self.upper, self.lower) - self.x) / step, np.inf)
        first = np.clip(self.x + step * np.min(shares), self.lower, self.upper)
        self._predict(first - self.x)
        return first

    def _predict(self, step: NDArray) -> float:
        """Note the relative reduction of the sum of squares by a step: by its slope, and by the whole linear model."""
        along = self.jacobian @ step
        slope = float(-2.0 * along @ self.residuals) / self.cost
        predicted = slope - float(along @ along) / self.cost
        self._slope, self._predicted = max(slope, TINY), max(predicted, TINY)
        return predicted


def _damping(singular: NDArray, projected: NDArray, radius: float) -> float:
    """The damping at which the step ``s g / (s^2 + damping)`` has the length of the radius; 0 where it is shorter."""

    def length(damping: float) -> tuple[float, float]:
        weights = singular**2 + damping
        c = singular * projected / weights
        squared = float(c @ c)
        norm = math.sqrt(squared)
        return norm, -float(c @ (c / weights)) / norm if norm > 0 else 0.0

    norm, slope = length(0.0)
    if norm <= (1.0 + RADIUS_TOLERANCE) * radius:
        return 0.0
    if radius <= 0.0:
        return math.inf
    low, high = 0.0, float(np.linalg.norm(singular * projected)) / radius
    damping = 0.0
    for _ in range(30):  # Newton on 1/length, which is nearly linear in the damping (Hebden 1973); bracketed
        # the slope of a very short step may round to zero: then the bracket alone decides
        damping = damping - (norm - radius) / radius * norm / slope if slope < 0.0 else -1.0
        if not low < damping < high:
            damping = max(np.sqrt(max(low, 1e-6 * high) * high), np.finfo(float).tiny)
        norm, slope = length(damping)
        if abs(norm - radius) <= RADIUS_TOLERANCE * radius:
            break
        low, high = (damping, high) if norm > radius else (low, damping)
    return damping


@dataclass(frozen=True)
class LeastSquaresResult:
    """Where descents from k starts ended: `x` [k, n], `cost` [k] (sums of squares, NaN where the start failed),
    `outcomes`.

    `residuals` [m] and `jacobian` [m, n] of each start are in lists, empty where the start failed. `calls` counts
    calls of the residual function.
    """

    x: Float[np.ndarray, "k n"]
    cost: Float[np.ndarray, " k"]
    outcomes: tuple[Outcome, ...]
    residuals: list[Float[np.ndarray, " m"]]
    jacobians: list[Float[np.ndarray, "m n"]]
    iterations: tuple[int, ...]
    calls: int

    @property
    def best(self) -> int:
        """The start with the smallest sum of squares. **Raises** `ValueError` when all starts failed."""
        if np.isnan(self.cost).all():
            raise ValueError(
                "all starts failed: the residuals or their Jacobian were not finite there. Start elsewhere."
            )
        return int(np.nanargmin(self.cost))


def levenberg_marquardt(
    evaluate: Evaluate,
    x0: ArrayLike,
    tolerances: Tolerances | None = None,
    *,
    lower: ArrayLike = -np.inf,
    upper: ArrayLike = np.inf,
    callback: Callable[[list[Descent]], bool | None] | None = None,
) -> LeastSquaresResult:
    """Minimise ``|r(x)|^2`` within bounds, from k starts at once by Levenberg-Marquardt.

    **Arguments**

    - `evaluate`: residuals [k, m] and Jacobians [k, m, n] at points [k, n]; always called with k points, those of ended
      descents repeated. Values that are not finite mean that the point lies outside the function's domain.
    - `x0`: starts [k, n], or one start [n] (results keep the axis k).
    - `tolerances`: when to stop; `lower`, `upper` [n]: bounds of x.
    - `callback`: called with the descents after each evaluation; returning True ends the search.

    **Raises** `ValueError` for starts that are not numbers of shape [k, n].
    """
    starts = np.atleast_2d(np.asarray(x0, dtype=np.float64))
    if starts.ndim != 2 or starts.size == 0:
        raise ValueError(f"x0 has shape {np.shape(x0)}; it must be [k, n], or [n] for a single start.")
    descents = [Descent(x, tolerances, lower=lower, upper=upper) for x in starts]
    calls = 0
    while any(d.running for d in descents):
        residuals, jacobians = evaluate(np.stack([d.trial for d in descents]))
        calls += 1
        for d, r, J in zip(descents, np.asarray(residuals), np.asarray(jacobians), strict=True):
            if d.running:
                d.tell(r, J)
        if callback is not None and callback(descents):
            break
    return LeastSquaresResult(
        x=np.stack([d.x for d in descents]),
        cost=np.array([d.cost if np.isfinite(d.cost) else np.nan for d in descents]),
        outcomes=tuple(d.outcome for d in descents),
        residuals=[d.residuals for d in descents],
        jacobians=[d.jacobian for d in descents],
        iterations=tuple(d.iterations for d in descents),
        calls=calls,
    )

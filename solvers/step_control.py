"""How large a step may be: error norm, PI control, the first step."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

SAFETY = 0.9
LARGEST_GROWTH = 10.0
STRONGEST_CUT = 0.2
CUT_AFTER_NON_FINITE = 0.1
SMALLEST_STEP_IN_ULPS = 16.0
SMALLEST_MEAN_SQUARE = 1e-20  # of an error; below, steps grow by the most anyway


class StepControl(eqx.Module):
    """Tolerances of an adaptive run, or its fixed step.

    A step is accepted when the weighted root mean square of its error estimate, with weights
    1 / (atol + rtol max(|y_0|, |y_1|)), is at most one. The next step is h 0.9 e^(-0.7/p) e_previous^(0.4/p)
    for a method of order p (Gustafsson's PI control; Hairer & Wanner, Solving ODEs II, IV.2), computed by logarithms.
    The step size is not part of any derivative.
    """

    rtol: Float[Array, ""]
    atol: Float[Array, ""]
    dt: Float[Array, ""] | None = None

    def weights(self, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """One over the error that each component may have."""
        return 1.0 / self.sizes(y)

    def mean_square(self, error: Float[Array, "... n"], weights: Float[Array, " n"]) -> Float[Array, ""]:
        """Square of the weighted root mean square of an error estimate [n], or of one that another damps [2, n].

        A second estimate e' of lower order makes it |e|^4 / (|e|^2 + |e'|^2 / 100) (Hairer, Norsett & Wanner, Solving
        ODEs I, II.10).
        """
        error, weights = jax.lax.stop_gradient((error, weights))
        share = 1.0 / weights.shape[0]
        squares = [share * jnp.sum((row * weights) ** 2) for row in error.reshape(-1, weights.shape[0])]
        if len(squares) == 1:
            return squares[0]
        below = squares[0] + 0.01 * squares[1]
        return squares[0] * (squares[0] / jnp.where(below > 0.0, below, 1.0))

    def sizes(self, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """The error that each component may have: atol + rtol |y|, and not quite zero."""
        allowed = jax.lax.stop_gradient(self.atol + self.rtol * jnp.abs(y))
        info = jnp.finfo(y.dtype)
        return allowed + (info.eps**2 * jnp.sum(allowed) + info.tiny)

    def strained(self, probe: Float[Array, "2 n"], weights: Float[Array, " n"], limit: float) -> Bool[Array, ""]:
        """Whether the ratio of the norms of two vectors exceeds `limit`; not where the second vanishes.

        Weighted as errors are: fast components are often the small ones, and would not be seen without weights.
        """
        above, below = self.mean_square(probe[0], weights), self.mean_square(probe[1], weights)
        return (below > 0.0) & (above > limit**2 * below)

    def factor(self, log_error: Float[Array, ""], previous: Float[Array, ""], order: int) -> Float[Array, ""]:
        """Ratio of the next step to this one, from the logarithms of the norms of two errors."""
        grown = (-0.7 / order) * log_error + (0.4 / order) * previous
        raw = SAFETY * jnp.exp(jnp.where(log_error <= 0.0, grown, (-1.0 / order) * log_error))
        clipped = smaller(larger(raw, STRONGEST_CUT), jnp.where(log_error <= 0.0, LARGEST_GROWTH, 1.0))
        return jnp.where(jnp.isfinite(log_error), clipped, CUT_AFTER_NON_FINITE)

    def first_step(
        self,
        field: Callable,
        t: Float[Array, ""],
        y: Float[Array, " n"],
        f: Float[Array, " n"],
        span: Float[Array, ""],
        order: int,
    ) -> Float[Array, ""]:
        """A first step from two evaluations (Hairer, Norsett & Wanner, Solving ODEs I, II.4)."""
        if self.dt is not None:
            return jnp.asarray(self.dt, y.dtype)
        weights = self.weights(y)

        def norm(vector: Array) -> Array:
            return jnp.sqrt(self.mean_square(vector, weights))

        d0, d1 = norm(y), norm(f)
        guess = jnp.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6 * span, 0.01 * d0 / jnp.maximum(d1, 1e-30))
        guess = jnp.minimum(guess, span)
        ahead = jax.lax.stop_gradient(field(t + guess, y + guess * f))
        d2 = norm(ahead - f) / jnp.maximum(guess, jnp.finfo(y.dtype).tiny)
        largest = jnp.maximum(d1, d2)
        second = jnp.where(largest <= 1e-15, 1e-3 * guess, (0.01 / jnp.maximum(largest, 1e-15)) ** (1.0 / order))
        step = jnp.minimum(jnp.minimum(100.0 * guess, second), span)
        return jax.lax.stop_gradient(jnp.where(jnp.isfinite(step) & (step > 0.0), step, 1e-6 * span))


def larger(a: Float[Array, "..."] | float, b: Float[Array, "..."] | float) -> Float[Array, "..."]:
    """The larger of two numbers; b where a is none. Processors have an instruction for this, not for passing NaN on."""
    return jnp.where(a > b, a, b)


def smaller(a: Float[Array, "..."] | float, b: Float[Array, "..."] | float) -> Float[Array, "..."]:
    """The smaller of two numbers; b where a is none."""
    return jnp.where(a < b, a, b)


def log_norm(mean_square: Float[Array, ""]) -> Float[Array, ""]:
    """The logarithm of the root of a mean square; not a number where that is none."""
    return 0.5 * jnp.log(larger(SMALLEST_MEAN_SQUARE, mean_square))


def same_time(a: Float[Array, ""], b: Float[Array, ""]) -> Bool[Array, ""]:
    """Whether two times differ by no more than the rounding of a few additions."""
    a, b = jax.lax.stop_gradient((a, b))
    return jnp.abs(a - b) <= 0.5 * SMALLEST_STEP_IN_ULPS * jnp.finfo(a.dtype).eps * (jnp.abs(a) + jnp.abs(b))


def all_finite(*arrays: Float[Array, "..."]) -> Bool[Array, ""]:
    """Whether no number is NaN or infinite: zero times such a one is NaN, and so is every sum with it."""
    zeros = [jnp.sum(0.0 * jax.lax.stop_gradient(x)) for x in arrays]
    return sum(zeros[1:], start=zeros[0]) == 0.0


def too_small(h: Float[Array, ""], t: Float[Array, ""]) -> Bool[Array, ""]:
    """Whether a step cannot move the time any more."""
    return h <= SMALLEST_STEP_IN_ULPS * jnp.finfo(t.dtype).eps * jnp.abs(t) + jnp.finfo(t.dtype).tiny

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


class StepControl(eqx.Module):
    """Tolerances of an adaptive run, or its fixed step.

    A step is accepted when the weighted root mean square of its error estimate, with weights
    1 / (atol + rtol max(|y_0|, |y_1|)), is at most one. The next step is h 0.9 e^(-0.7/p) e_previous^(0.4/p)
    for a method of order p (Gustafsson's PI control; Hairer & Wanner, Solving ODEs II, IV.2).
    The step size is not part of any derivative.
    """

    rtol: Float[Array, ""]
    atol: Float[Array, ""]
    dt: Float[Array, ""] | None = None

    def error_norm(self, error: Float[Array, " n"], y0: Float[Array, " n"], y1: Float[Array, " n"]) -> Float[Array, ""]:
        """Weighted root mean square of a local error."""
        error, y0, y1 = jax.lax.stop_gradient((error, y0, y1))
        scale = self.sizes(jnp.maximum(jnp.abs(y0), jnp.abs(y1)))
        return jnp.sqrt(jnp.mean((error / scale) ** 2))

    def sizes(self, y: Float[Array, " n"]) -> Float[Array, " n"]:
        """The error that each component may have: atol + rtol |y|, and not quite zero."""
        allowed = jax.lax.stop_gradient(self.atol + self.rtol * jnp.abs(y))
        info = jnp.finfo(y.dtype)
        return jnp.maximum(allowed, jnp.maximum(info.eps**2 * jnp.max(allowed), info.tiny))

    def ratio(self, probe: Float[Array, "2 n"], y0: Float[Array, " n"], y1: Float[Array, " n"]) -> Float[Array, ""]:
        """Ratio of the norms of two vectors, 0 when the second vanishes.

        Weighted as errors are: fast components are often the small ones, and would not be seen without weights.
        """
        above, below = self.error_norm(probe[0], y0, y1), self.error_norm(probe[1], y0, y1)
        return jnp.where(below > 0.0, above / jnp.where(below > 0.0, below, 1.0), 0.0)

    def factor(self, error: Float[Array, ""], previous: Float[Array, ""], order: int) -> Float[Array, ""]:
        """Ratio of the next step to this one."""
        bounded = jnp.maximum(error, 1e-10)
        grown = SAFETY * bounded ** (-0.7 / order) * previous ** (0.4 / order)
        cut = SAFETY * bounded ** (-1.0 / order)
        raw = jnp.where(error <= 1.0, grown, cut)
        clipped = jnp.clip(raw, STRONGEST_CUT, jnp.where(error <= 1.0, LARGEST_GROWTH, 1.0))
        return jnp.where(jnp.isfinite(error), clipped, CUT_AFTER_NON_FINITE)

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
        zero = jnp.zeros_like(y)
        d0, d1 = self.error_norm(y, y, zero), self.error_norm(f, y, zero)
        guess = jnp.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6 * span, 0.01 * d0 / jnp.maximum(d1, 1e-30))
        guess = jnp.minimum(guess, span)
        ahead = jax.lax.stop_gradient(field(t + guess, y + guess * f))
        d2 = self.error_norm(ahead - f, y, zero) / jnp.maximum(guess, jnp.finfo(y.dtype).tiny)
        largest = jnp.maximum(d1, d2)
        second = jnp.where(largest <= 1e-15, 1e-3 * guess, (0.01 / jnp.maximum(largest, 1e-15)) ** (1.0 / order))
        step = jnp.minimum(jnp.minimum(100.0 * guess, second), span)
        return jax.lax.stop_gradient(jnp.where(jnp.isfinite(step) & (step > 0.0), step, 1e-6 * span))


def same_time(a: Float[Array, ""], b: Float[Array, ""]) -> Bool[Array, ""]:
    """Whether two times differ by no more than the rounding of a few additions."""
    a, b = jax.lax.stop_gradient((a, b))
    return jnp.abs(a - b) <= SMALLEST_STEP_IN_ULPS * jnp.finfo(a.dtype).eps * jnp.maximum(jnp.abs(a), jnp.abs(b))


def too_small(h: Float[Array, ""], t: Float[Array, ""]) -> Bool[Array, ""]:
    """Whether a step cannot move the time any more."""
    return h <= SMALLEST_STEP_IN_ULPS * jnp.finfo(t.dtype).eps * jnp.abs(t) + jnp.finfo(t.dtype).tiny

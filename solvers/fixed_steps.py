"""Fixed steps for the solvers of diffrax that end where an output or a jump of the field asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox.internal as eqxi
import jax.numpy as jnp
from jaxtyping import Array, Float

from .step_control import same_time


class FixedSteps(dfx.AbstractStepSizeController):
    """Steps of size `dt`, the ones before a stop shortened to end there.

    `stops` are output times that must be ends of steps (a path with noise is known nowhere else), `jumps` are times at
    which the field is discontinuous; both increase, and either may be None. diffrax has the like for adaptive steps
    only.
    """

    dt: Float[Array, ""]
    stops: Float[Array, " s"] | None = None
    jumps: Float[Array, " j"] | None = None

    def wrap(self, direction: Any) -> FixedSteps:
        """Itself: runs go forward in time."""
        return self

    def init(
        self, terms: Any, t0: Any, t1: Any, y0: Any, dt0: Any, args: Any, func: Callable, error_order: Any
    ) -> tuple[Any, None]:
        """The end of the first step."""
        return self._end(t0), None

    def adapt_step_size(
        self, t0: Any, t1: Any, y0: Any, y1_candidate: Any, args: Any, y_error: Any, error_order: Any,
        controller_state: None
    ) -> tuple[Any, Any, Any, Any, None, dfx.RESULTS]:
        """Every step is accepted; after a jump the next begins on its other side."""
        jumped = jnp.asarray(False)
        if self.jumps is not None:
            jump = _next(self.jumps, t1)
            jumped = jnp.isfinite(jump) & (t1 == eqxi.prevbefore(jump))
            t1 = jnp.where(jumped, jump, t1)
        fine: Any = dfx.RESULTS.successful
        return jnp.asarray(True), t1, self._end(t1), jumped, None, fine

    def _end(self, t: Array) -> Array:
        """Where a step from t ends."""
        end = t + self.dt
        if self.stops is not None:
            stop = _next(self.stops, t)
            end = jnp.where((end > stop) | same_time(end, stop), stop, end)
        if self.jumps is not None:
            jump = _next(self.jumps, t)
            end = jnp.where((end >= jump) | same_time(end, jump), eqxi.prevbefore(jump), end)
        return end


def _next(times: Array, t: Array) -> Array:
    """The first of the times after t, infinity when there is none."""
    later = jnp.concatenate([times, jnp.full((1,), jnp.inf, times.dtype)])
    return later[jnp.searchsorted(times, t, side="right")].astype(t.dtype)

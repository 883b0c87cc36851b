"""Where within a step an event happened, with the derivative of that time."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .integrate import EVENT_PARTS, Progress, Run, crossed, event_values
from .one_step import DenseOutput, dense_output
from .problems import EventRecord

BISECTIONS = 60


def locate_event(run: Run, progress: Progress) -> tuple[EventRecord, Float[Array, " n"]]:
    """The earliest event of the last step and the state there.

    The root of g(t, y(t)) on the step's interpolant is found by bisection. Newton steps from there, which do not move
    it, give it the derivatives of the implicit function theorem, dt/dp = -(dg/dp + dg/dy dy/dp) / (dg/dt + dg/dy
    dy/dt).
    """
    field = run.field
    state = dense_output(field, progress.within, run.methods)
    frozen = jax.lax.stop_gradient(state)
    left, width = frozen.step.left, frozen.step.width

    def values(t: Array, state: DenseOutput) -> Array:
        return field.events(t, state(t))

    grid = jax.lax.stop_gradient(event_values(field, progress, frozen, values(left, frozen)))
    part = jnp.argmax(crossed(grid, field.problem.event_direction), axis=0)  # the first, for each event function
    sign_at_left = jnp.sign(jnp.take_along_axis(grid, part[None], axis=0)[0])

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket  # one bracket per event function, as fractions of the step
        middle = 0.5 * (low + high)
        sign = jnp.sign(jax.vmap(lambda m: values(left + m * width, frozen))(middle))
        before = jnp.diagonal(sign) == sign_at_left
        return jnp.where(before, middle, low), jnp.where(before, high, middle)

    low = (part / EVENT_PARTS).astype(left.dtype)
    _, high = jax.lax.fori_loop(0, BISECTIONS, halve, (low, low + 1.0 / EVENT_PARTS))
    high = jax.lax.stop_gradient(high)
    index = jnp.argmin(jnp.where(progress.fired, high, jnp.inf))
    found = left + high[index] * width
    # Each Newton step doubles the order to which derivatives hold: after two, third derivatives do. Their values stay
    # at the root found, which they would only disturb by rounding.
    t = _newton(_newton(found, values, state, index), values, state, index)
    happened = jnp.any(progress.fired)
    record = EventRecord(index=jnp.where(happened, index, -1).astype(jnp.int32), t=jnp.where(happened, t, jnp.nan))
    return record, jnp.where(happened, state(jnp.where(happened, t, progress.t)), progress.y)


def _newton(t: Array, values: Callable, state: DenseOutput, index: Array) -> Array:
    """t - g / (dg/dt), its value t and its derivatives those of the quotient."""
    residual, slope = jax.jvp(lambda t: values(t, state)[index], (t,), (jnp.ones_like(t),))
    residual = residual - jax.lax.stop_gradient(residual)
    return t - residual / jnp.where(slope == 0.0, 1.0, slope)

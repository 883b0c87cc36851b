"""L-BFGS: steps by the inverse of the curvature that the last steps have shown, for rows that are bounded in their steps."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..core.status import Code
from .descent import Descent, Rows, Seen, shortened

MEMORY = 10
DECREASE = 1e-4  # of what the slope promises: what energy must fall by at least
SHORTEST = 1e-10  # of the first trial along a direction


class History(eqx.Module):
    """The last changes of rows s [k, m, 3] and of gradients y, and 1 / (s · y), 0 for those that are not there; newest last."""

    s: Float[Array, "k m 3"]
    y: Float[Array, "k m 3"]
    inverse: Float[Array, " k"]


class Climbing(eqx.Module):
    """The place come to, the step from there under trial with the slope along it, its share of the first one tried."""

    trial: Rows
    best: Seen
    step: Rows
    share: Float[Array, ""]
    history: History
    begun: Array


class LimitedMemory(Descent):
    """x -> x - H g with H from the last 10 changes of the gradient, by the recursion of two loops.

    No row changes by more than `largest_step`. A step that does not lower the energy by what its slope promises is
    shortened; a direction that leads up is replaced by that of the force. Where a change of energy is lost in rounding, the
    slope decides alone.

    **Source**: J. Nocedal, Mathematics of Computation 35 (1980) 773; for rounding W. W. Hager and H. Zhang, SIAM Journal on
    Optimization 16 (2005) 170, equation 4.1.
    """

    largest_step: Float[Array, ""]

    def start(self, rows: Rows) -> Climbing:
        """Without history."""
        nothing, zero = jnp.zeros_like(rows), jnp.zeros((), rows.dtype)
        many = jnp.zeros((MEMORY, *rows.shape), rows.dtype)
        history = History(many, many, jnp.zeros(MEMORY, rows.dtype))
        return Climbing(rows, Seen(rows, zero, nothing), nothing, zero + 1, history, jnp.zeros((), bool))

    def take(self, kept: Any, seen: Seen) -> tuple[Climbing, Int[Array, ""]]:
        """Takes the trial and finds a new direction, or shortens the step."""
        best, moved = kept.best, kept.share * kept.step
        slope = jnp.sum(best.gradient * moved)
        rounding = 10 * jnp.finfo(seen.energy.dtype).eps * jnp.abs(best.energy)
        falls = seen.energy <= best.energy + DECREASE * slope
        level = (seen.energy <= best.energy + rounding) & (
            jnp.sum(seen.gradient * moved) <= (2 * DECREASE - 1) * slope
        )
        accepted = ~kept.begun | ((falls | level) & jnp.isfinite(seen.energy))
        history = _remembered(kept.history, moved, seen.gradient - best.gradient, kept.begun & accepted)
        direction = -_inverse_curvature(history, seen.gradient)
        downward = jnp.sum(direction * seen.gradient) < 0
        direction = jnp.where(downward, direction, -seen.gradient)
        # Without history there is no scale: the first step is as long as allowed by a tenth.
        bound = jnp.where(jnp.any(history.inverse > 0) & downward, 1.0, 0.1) * self.largest_step
        fresh = shortened(direction, bound)
        bend = seen.energy - best.energy - slope
        shorter = kept.share * jnp.where(bend > 0, jnp.clip(-0.5 * slope / jnp.where(bend > 0, bend, 1.0), 0.1, 0.5), 0.1)
        step, share = jnp.where(accepted, fresh, kept.step), jnp.where(accepted, 1.0, shorter)
        place = jax.tree.map(lambda a, b: jnp.where(accepted, a, b), seen, best)
        stuck = ~accepted & (share < SHORTEST)
        code = jnp.where(stuck, Code.STEP_TOO_SMALL, Code.OK).astype(jnp.int32)
        trial = place.rows + share * step
        return Climbing(trial, place, step, share, history, jnp.ones((), bool)), code


def _remembered(history: History, s: Rows, y: Rows, when: Array) -> History:
    """The history with one more change, if there is one and energy bends upward along it."""
    product = jnp.sum(s * y)
    bends = product > 1e-10 * jnp.sqrt(jnp.sum(s**2) * jnp.sum(y**2))
    inverse = 1 / jnp.where(bends, product, 1.0)
    longer = History(
        jnp.concatenate([history.s[1:], s[None]]),
        jnp.concatenate([history.y[1:], y[None]]),
        jnp.concatenate([history.inverse[1:], inverse[None]]),
    )
    return jax.tree.map(lambda a, b: jnp.where(when & bends, a, b), longer, history)


def _inverse_curvature(history: History, gradient: Rows) -> Rows:
    """H g by two loops."""

    def back(q: Rows, change: tuple) -> tuple[Rows, Array]:
        s, y, inverse = change
        weight = inverse * jnp.sum(s * q)
        return q - weight * y, weight

    def forth(r: Rows, change: tuple) -> tuple[Rows, None]:
        s, y, inverse, weight = change
        return r + s * (weight - inverse * jnp.sum(y * r)), None

    changes = (history.s, history.y, history.inverse)
    q, weights = jax.lax.scan(back, gradient, changes, reverse=True)
    newest = history.inverse[-1] > 0
    squares = jnp.where(newest, history.inverse[-1] * jnp.sum(history.y[-1] ** 2), 1.0)
    return jax.lax.scan(forth, q / squares, (*changes, weights))[0]

"""FIRE: a minimum as a ball with some inertia finds it, stopped whenever it runs uphill."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..core.status import Code
from .descent import Descent, Rows, Seen, shortened

# Names and values as in the paper's table of parameters.
DELAY, SLOWER, FASTER, MIX, LESS_MIX = 20, 0.5, 1.1, 0.25, 0.99
FIRST = 0.1  # of the largest step: how far the first one goes, which sets the first time step


class Rolling(eqx.Module):
    """Where the ball is and is going, how fast, and how long it has gone downhill."""

    trial: Rows
    best: Seen
    velocity: Rows
    dt: Float[Array, ""]
    mix: Float[Array, ""]
    downhill: Int[Array, ""]


class Fire(Descent):
    """v -> v + dt f, v -> (1 - a) v + a |v| f / |f|, x -> x + dt v, where v · f > 0; otherwise back by dt v / 2 and stopped.

    The time step grows by 1.1 after 20 steps downhill and is halved uphill. It begins such that the first step moves the
    row with the largest force by a tenth of `largest_step`, which no row exceeds in any step: particles that overlap leave
    each other slowly. The time step has no other bound, as there is no natural unit of time.

    **Source**: J. Guénolé et al., Computational Materials Science 175 (2020) 109584 (FIRE 2.0); E. Bitzek et al., Physical
    Review Letters 97 (2006) 170201.
    """

    largest_step: Float[Array, ""]

    def start(self, rows: Rows) -> Rolling:
        """At rest."""
        nothing, zero = jnp.zeros_like(rows), jnp.zeros((), rows.dtype)
        nowhere = Seen(rows, zero, nothing)
        return Rolling(rows, nowhere, nothing, zero, zero + MIX, jnp.zeros((), jnp.int32))

    def take(self, kept: Any, seen: Seen) -> tuple[Rolling, Int[Array, ""]]:
        """One step of the ball."""
        force = -seen.gradient
        strongest = jnp.sqrt(jnp.max(jnp.sum(force**2, 1)))
        tiny = jnp.finfo(force.dtype).tiny
        first = jnp.sqrt(FIRST * self.largest_step.astype(force.dtype) / jnp.maximum(strongest, tiny))
        dt = jnp.where(kept.dt > 0, kept.dt, first)
        power = jnp.sum(force * kept.velocity)
        down, begins = power > 0, kept.dt == 0
        downhill = jnp.where(down, kept.downhill + 1, 0)
        faster = downhill > DELAY
        mix = jnp.where(down, jnp.where(faster, kept.mix * LESS_MIX, kept.mix), MIX)
        dt = jnp.where(faster, dt * FASTER, jnp.where(down | begins, dt, dt * SLOWER))
        back = jnp.where(down, 0.0, -0.5 * kept.dt) * kept.velocity
        velocity = jnp.where(down, kept.velocity, 0.0) + dt * force
        speed = jnp.sqrt(jnp.sum(velocity**2)) / jnp.maximum(jnp.sqrt(jnp.sum(force**2)), tiny)
        velocity = (1 - mix) * velocity + mix * speed * force
        step = shortened(dt * velocity, self.largest_step)
        # The ball is as fast as it goes: otherwise it would shoot out of an overlap that it leaves in short steps.
        velocity = step / jnp.maximum(dt, tiny)
        trial = seen.rows + shortened(back, self.largest_step) + step
        return Rolling(trial, seen, velocity, dt, mix, downhill), jnp.asarray(Code.OK, jnp.int32)

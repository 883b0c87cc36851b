"""The one step that all explicit Runge-Kutta pairs share."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .one_step import LastStep, Method, Proposal
from .tableaux import RungeKuttaPair


def runge_kutta(pair: RungeKuttaPair) -> Method:
    """The one-step method of a pair."""

    def step(field: Callable, t: Array, y: Array, f: Array, h: Array, scale: Array) -> Proposal:
        del scale  # explicit steps solve no equations
        return runge_kutta_step(pair, field, t, y, f, h)

    further = functools.partial(_all_stages, pair) if len(pair.dense) > pair.stages else None
    return Method(
        pair.name, pair.order, step, stages=pair.stages, dense=pair.dense, further=further, estimates=bool(pair.error.any())
    )


def runge_kutta_step(
    pair: RungeKuttaPair,
    field: Callable,
    t: Float[Array, ""],
    y: Float[Array, " n"],
    f: Float[Array, " n"],
    h: Float[Array, ""],
) -> Proposal:
    """One explicit step: z_i = h f(t + c_i h, y + sum_j a_ij z_j), y_1 = y + sum_j b_j z_j.

    `f` is the field at (t, y), the first stage; the last stage is the field at the new point and is handed on.
    The two last stages, both at t + h, are the probe for stiffness (Hairer & Wanner, Solving ODEs II, IV.2).
    """
    rate, stages = f, [h * f]
    previous = point = y
    for row in range(1, pair.stages):
        previous, point = point, y + _weighted_sum(pair.a[row], stages)
        rate = field(t + float(pair.c[row]) * h, point)
        stages.append(h * rate)
    return Proposal(
        y=point,
        f=rate,
        error=jnp.stack([_weighted_sum(row, stages) for row in pair.error]),
        stages=jnp.stack(stages),
        probe=jnp.stack([stages[-1] - stages[-2], point - previous]),
    )


def _all_stages(pair: RungeKuttaPair, field: Callable, last: LastStep) -> Array:
    """The stages of the last step and those that only its dense output needs."""
    stages = list(last.stages[: pair.stages])
    t = last.left + last.lag
    for row in range(pair.stages, len(pair.c)):
        point = last.before + _weighted_sum(pair.a[row], stages)
        stages.append(last.width * field(t + float(pair.c[row]) * last.width, point))
    return jnp.stack(stages)


def _weighted_sum(weights: np.ndarray, terms: list[Array]) -> Array:
    """The sum of weight times term, without those whose weight is 0."""
    parts = [float(w) * term for w, term in zip(weights, terms, strict=False) if w != 0.0]
    return sum(parts[1:], start=parts[0]) if parts else jnp.zeros_like(terms[0])

"""What one-step methods have in common: a method as data, one attempted step, and the state within an accepted one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Proposal(eqx.Module):
    """One attempted step from (t, y) to t + h: the new state, the field there, and the local error estimate.

    The state between follows from the increments `stages` [s, n], see `Method.dense`. `probe` [2, n] holds
    h (f(y_a) - f(y_b)) and y_a - y_b for two states y_a, y_b at the same time: the ratio of their norms estimates h
    times the largest eigenvalue and never exceeds h |df/dy| (0 where a method has no such pair).
    """

    y: Float[Array, " n"]
    f: Float[Array, " n"]
    error: Float[Array, " n"]
    stages: Float[Array, "s n"]
    probe: Float[Array, "2 n"]


@dataclass(frozen=True, eq=False)
class Method:
    """A one-step method: name, order, step function (field, t, y, f, h, sizes of y) -> Proposal, its stages.

    `dense` [s, p] are the weights of the increments as polynomials in theta (constant term, which is 0, first):
    y(t + theta h) = y + sum_i (sum_j dense_ij theta^j) stages_i. Where a dense output needs more stages than a step,
    `further` makes all of them: (field, last step) -> stages. Without an error estimate (`estimates`) steps are fixed.
    """

    name: str
    order: int
    step: Callable[..., Proposal]
    stages: int
    dense: np.ndarray
    further: Callable[[Callable, LastStep], Array] | None = None
    estimates: bool = True


class LastStep(eqx.Module):
    """The last accepted step, as far as the state within it needs it.

    It began at `left + lag` in the state `before`, had the length `width`, and was made by `methods[method]`.
    """

    left: Float[Array, ""]
    lag: Float[Array, ""]
    width: Float[Array, ""]
    before: Float[Array, " n"]
    stages: Float[Array, "s n"]
    method: Int[Array, ""]


class DenseOutput(eqx.Module):
    """The state as a function of time within a step."""

    step: LastStep
    stages: Float[Array, "s n"]
    weights: Float[Array, "s p"]

    def __call__(self, t: Float[Array, ""]) -> Float[Array, " n"]:
        theta = (t - self.step.left - self.step.lag) / self.step.width
        value = self.weights[:, -1]
        for power in range(self.weights.shape[1] - 2, -1, -1):
            value = value * theta + self.weights[:, power]
        return self.step.before + jnp.sum(value[:, None] * self.stages, axis=0)


def dense_output(
    field: Callable, step: LastStep, methods: tuple[Method, ...], number: int | None = None
) -> DenseOutput:
    """The dense output of a step made by `methods[number]`; by `methods[step.method]` when no number is given."""
    if len(methods) == 1:
        number = 0
    if number is not None:
        method = methods[number]
        stages = step.stages[: method.stages] if method.further is None else method.further(field, step)
        return DenseOutput(step, stages, jnp.asarray(method.dense, step.before.dtype))
    terms = max(m.dense.shape[1] for m in methods)
    padded = [_padded(m.dense, (step.stages.shape[0], terms)) for m in methods]
    return DenseOutput(step, step.stages, jnp.asarray(np.stack(padded), step.before.dtype)[step.method])


def standing(
    t: Float[Array, ""], y: Float[Array, " n"], f: Float[Array, " n"], methods: tuple[Method, ...]
) -> LastStep:
    """Before the first step: a step of width one from here, with the slope of the field.

    So an output at the start has the right derivative by its time.
    """
    first = methods[0]
    # Increments v_i f with sum_i dense_ij v_i = 1 for j = 1 and 0 for higher powers: y(theta) = y + theta f.
    slope = np.zeros(max(m.stages for m in methods))
    slope[: first.stages] = np.linalg.pinv(first.dense[: first.stages, 1:].T)[:, 0]
    stages = jnp.asarray(slope[:, None], y.dtype) * f
    return LastStep(t, jnp.zeros_like(t), jnp.ones_like(t), y, stages, jnp.zeros((), jnp.int32))


def _padded(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.pad(array, [(0, want - have) for want, have in zip(shape, array.shape, strict=True)])

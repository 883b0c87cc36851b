"""Exponential decay: the smallest problem with everything known."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..system import System
from .definition import Problem, Time


def decay(t, y, p):
    """y' = -rate y."""
    return -p["rate"] * y


def solution(t: Time, state: Float[Array, "1"], system: System) -> Float[Array, "1"]:
    """y(t) = y0 exp(-rate t)."""
    return state * jnp.exp(-system.parameters["rate"] * t)


def gradient(t: Time, state: Float[Array, "1"], system: System) -> dict[str, Array]:
    """dy/drate = -t y(t)."""
    return {"rate": -t * solution(t, state, system)}


problem = Problem(
    name="exponential_decay",
    summary="A quantity that decays at a constant rate.",
    source="Hull, Enright, Fellen, Sedgwick, SIAM J. Numer. Anal. 9 (1972), problem A1",
    system=lambda: System(decay, {"rate": 1.0}),
    state=[1.0],
    span=(0.0, 5.0),
    names=("amount",),
    solution=solution,
    gradient=gradient,
)

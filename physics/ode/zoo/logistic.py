"""Logistic growth towards a capacity."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..system import System
from .definition import Problem, Time


def growth(t, y, p):
    """y' = rate y (1 - y / capacity)."""
    return p["rate"] * y * (1.0 - y / p["capacity"])


def solution(t: Time, state: Float[Array, "1"], system: System) -> Float[Array, "1"]:
    """y(t) = K y0 / (y0 + (K - y0) exp(-r t))."""
    rate, capacity = system.parameters["rate"], system.parameters["capacity"]
    return capacity * state / (state + (capacity - state) * jnp.exp(-rate * t))


def gradient(t: Time, state: Float[Array, "1"], system: System) -> dict[str, Array]:
    """dy/dr = t y (1 - y/K) and dy/dK = (y/K)^2 (1 - exp(-r t))."""
    rate, capacity = system.parameters["rate"], system.parameters["capacity"]
    y = solution(t, state, system)
    return {
        "rate": t * y * (1.0 - y / capacity),
        "capacity": (y / capacity) ** 2 * -jnp.expm1(-rate * t),
    }


problem = Problem(
    name="logistic",
    summary="A population that grows until it reaches the capacity of its surroundings.",
    source="Verhulst 1838; Hull et al., SIAM J. Numer. Anal. 9 (1972), problem A4: y' = y/4 (1 - y/20)",
    system=lambda: System(growth, {"rate": 0.25, "capacity": 20.0}),
    state=[1.0],
    span=(0.0, 20.0),
    names=("population",),
    solution=solution,
    gradient=gradient,
)

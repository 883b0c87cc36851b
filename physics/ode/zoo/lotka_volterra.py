"""Predators and prey."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ....core.arrays import stack
from ..system import System
from .definition import Problem, Time


def predation(t, y, p):
    """x' = birth x - predation x y;  y' = reproduction x y - death y."""
    prey, predators = y
    meetings = prey * predators
    return stack(
        p["birth"] * prey - p["predation"] * meetings,
        p["reproduction"] * meetings - p["death"] * predators,
    )


def first_integral(t: Time, y: Float[Array, "2"], system: System) -> Float[Array, ""]:
    """V = reproduction x - death ln x + predation y - birth ln y."""
    p = system.parameters
    prey, predators = y
    return (
        p["reproduction"] * prey
        - p["death"] * jnp.log(prey)
        + p["predation"] * predators
        - p["birth"] * jnp.log(predators)
    )


problem = Problem(
    name="lotka_volterra",
    summary="The numbers of prey and predators, which go round in cycles.",
    source="Lotka 1925, Volterra 1926; Murray, Mathematical Biology I, 3rd ed., section 3.1",
    system=lambda: System(predation, {"birth": 1.5, "predation": 1.0, "death": 3.0, "reproduction": 1.0}),
    state=[1.0, 1.0],
    span=(0.0, 10.0),
    names=("prey", "predators"),
    invariants={"first_integral": first_integral},
)

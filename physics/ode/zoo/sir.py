"""An epidemic; its state is a dict of named numbers."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..system import System
from .definition import Problem, Time

People = dict[str, Float[Array, ""]]


def epidemic(t, y, p):
    """S' = -transmission S I / N;  I' = transmission S I / N - recovery I;  R' = recovery I."""
    infections = p["transmission"] * y["susceptible"] * y["infected"] / population(t, y)
    recoveries = p["recovery"] * y["infected"]
    return {"infected": infections - recoveries, "recovered": recoveries, "susceptible": -infections}


def population(t: Time, y: People, system: System | None = None) -> Float[Array, ""]:
    """N = S + I + R."""
    return y["susceptible"] + y["infected"] + y["recovered"]


def first_integral(t: Time, y: People, system: System) -> Float[Array, ""]:
    """(S + I) / N - recovery / transmission ln(S / N)."""
    p = system.parameters
    total = population(t, y)
    susceptible = y["susceptible"] / total
    return susceptible + y["infected"] / total - p["recovery"] / p["transmission"] * jnp.log(susceptible)


problem = Problem(
    name="sir",
    summary="Susceptible, infected and recovered people: influenza in a boarding school of 763.",
    source="Kermack, McKendrick 1927; Murray, Mathematical Biology I, 3rd ed., eqs. (10.1)-(10.3)",
    system=lambda: System(epidemic, {"transmission": 1.66, "recovery": 0.44}),
    state={"infected": 1.0, "recovered": 0.0, "susceptible": 762.0},
    span=(0.0, 20.0),
    names=("infected", "recovered", "susceptible"),
    invariants={"population": population, "first_integral": first_integral},
)

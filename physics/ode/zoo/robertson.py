"""Three chemical species whose reactions differ by nine orders of magnitude in speed."""

from jaxtyping import Array, Float

from ....core.arrays import stack
from ..system import System
from .definition import Problem, Time


def kinetics(t, y, p):
    """A -> B (slow), B + B -> C + B (fast), B + C -> A + C (medium)."""
    a, b, c = y
    slow, fast, medium = p["slow"] * a, p["fast"] * b * b, p["medium"] * b * c
    return stack(medium - slow, slow - medium - fast, fast)


def total(t: Time, y: Float[Array, "3"], system: System) -> Float[Array, ""]:
    """A + B + C."""
    return y[0] + y[1] + y[2]


problem = Problem(
    name="robertson",
    summary="Autocatalytic reaction of three species, stiff over eleven decades of time.",
    source="Robertson 1966; Hairer, Wanner II, eq. IV.(1.4); Test Set for IVP Solvers, problem ROBER",
    system=lambda: System(kinetics, {"slow": 0.04, "fast": 3e7, "medium": 1e4}),
    state=[1.0, 0.0, 0.0],
    span=(0.0, 1e11),
    names=("a", "b", "c"),
    invariants={"total": total},
    stiff=True,
    reference={
        "t": 1e11,
        "state": [2.083340149701255e-08, 8.333360770334713e-14, 0.999999979166505],
        "source": "Test Set for IVP Solvers, problem ROBER",
    },
    size=1e-8,
    logarithmic=True,
)

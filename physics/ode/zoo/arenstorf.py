"""A closed orbit of a satellite around Earth and Moon, with close passages of both."""

from jaxtyping import Array, Float

from ....core.arrays import stack
from ..system import System
from .definition import Problem, Time


def restricted_three_body(t, y, p):
    """x'' = x + 2 y' - (1 - mu)(x + mu)/D1 - mu (x - 1 + mu)/D2;  y'' = y - 2 x' - (1 - mu) y/D1 - mu y/D2.

    D1 = ((x + mu)^2 + y^2)^(3/2) and D2 = ((x - 1 + mu)^2 + y^2)^(3/2), in the frame of both bodies.
    """
    moon = p["mu"]
    earth = 1.0 - moon
    x, y_, vx, vy = y
    from_earth, from_moon = x + moon, x - earth
    d1 = (from_earth**2 + y_**2) ** 1.5
    d2 = (from_moon**2 + y_**2) ** 1.5
    return stack(
        vx,
        vy,
        x + 2.0 * vy - earth * from_earth / d1 - moon * from_moon / d2,
        y_ - 2.0 * vx - earth * y_ / d1 - moon * y_ / d2,
    )


def jacobi_constant(t: Time, y: Float[Array, "4"], system: System) -> Float[Array, ""]:
    """x^2 + y^2 + 2 (1 - mu)/r1 + 2 mu/r2 - |v|^2."""
    moon = system.parameters["mu"]
    x, y_, vx, vy = y
    r1 = ((x + moon) ** 2 + y_**2) ** 0.5
    r2 = ((x - 1.0 + moon) ** 2 + y_**2) ** 0.5
    return x**2 + y_**2 + 2.0 * (1.0 - moon) / r1 + 2.0 * moon / r2 - vx**2 - vy**2


problem = Problem(
    name="arenstorf",
    summary="A satellite that returns to its start after passing Moon and Earth; one period.",
    source="Arenstorf 1963; Hairer, Norsett, Wanner I, eqs. II.(0.1)-(0.2)",
    system=lambda: System(restricted_three_body, {"mu": 0.012277471}),
    state=[0.994, 0.0, 0.0, -2.0015851063790824],
    span=(0.0, 17.065216560157964),
    names=("x", "y", "vx", "vy"),
    invariants={"jacobi_constant": jacobi_constant},
    # Every close passage magnifies what came before: a change of mu by its own size grows 15000-fold.
    condition=100.0,
    reference={
        "t": 17.065216560157964,
        "state": [0.994, 0.0, 0.0, -2.0015851063790824],
        "source": "Hairer, Norsett, Wanner I, section II.0: the orbit closes after one period",
    },
)

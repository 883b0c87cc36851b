"""A star in the field of a galaxy: the simplest Hamiltonian with order and chaos."""

from jaxtyping import Array, Float

from ....core.arrays import stack
from ..system import System
from .definition import Problem, Time


def galaxy(t, y, p):
    """x'' = -stiffness_x x - 2 coupling x y;  y'' = -stiffness_y y - coupling (x^2 - y^2)."""
    x, y_, vx, vy = y
    return stack(
        vx,
        vy,
        -p["stiffness_x"] * x - 2.0 * p["coupling"] * x * y_,
        -p["stiffness_y"] * y_ - p["coupling"] * (x**2 - y_**2),
    )


def energy(t: Time, y: Float[Array, "4"], system: System) -> Float[Array, ""]:
    """(vx^2 + vy^2 + stiffness_x x^2 + stiffness_y y^2) / 2 + coupling (x^2 y - y^3 / 3)."""
    p = system.parameters
    x, y_, vx, vy = y
    quadratic = vx**2 + vy**2 + p["stiffness_x"] * x**2 + p["stiffness_y"] * y_**2
    return 0.5 * quadratic + p["coupling"] * (x**2 * y_ - y_**3 / 3.0)


problem = Problem(
    name="henon_heiles",
    summary="A star in an axisymmetric galaxy, at energy 1/12, where most orbits are regular.",
    source="Henon, Heiles, Astron. J. 69 (1964) 73; Hairer, Lubich, Wanner, Geometric Num. Integration, I.3",
    system=lambda: System(galaxy, {"stiffness_x": 1.0, "stiffness_y": 1.0, "coupling": 1.0}),
    state=[0.0, 0.1, (1.0 / 6.0 - 0.01 + 0.002 / 3.0) ** 0.5, 0.0],
    span=(0.0, 50.0),
    names=("x", "y", "vx", "vy"),
    invariants={"energy": energy},
)

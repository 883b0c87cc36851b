"""HIRES: the high irradiance response of plants, eight species."""

from jaxtyping import Array, Float

from ....core.arrays import stack
from ..system import System
from .definition import Problem, Time


def photomorphogenesis(t, y, p):
    """Phytochrome, red and far-red: free, bound to X, bound to X and effector Y. Rates as in the source."""
    red, far_red, red_bound, far_red_bound, red_effector, far_red_effector, complex_, effector = y
    k1, k2, k3, k4, k5, k6 = p["k1"], p["k2"], p["k3"], p["k4"], p["k5"], p["k6"]
    binding = p["k_plus"] * far_red_effector * effector
    release = (k2 + p["k_minus"] + p["k_star"]) * complex_
    return stack(
        -k1 * red + k2 * far_red + k6 * red_bound + p["supply"],
        k1 * red - (k2 + k3) * far_red,
        -(k6 + k1) * red_bound + k2 * far_red_bound + k5 * red_effector,
        k3 * far_red + k1 * red_bound - (k4 + k2) * far_red_bound,
        -(k1 + k5) * red_effector + k2 * (far_red_effector + complex_),
        -binding + k4 * far_red_bound + k1 * red_effector - k2 * far_red_effector + p["k_minus"] * complex_,
        binding - release,
        release - binding,
    )


def effector_total(t: Time, y: Float[Array, "8"], system: System) -> Float[Array, ""]:
    """Effector, free and in the complex: y7 + y8."""
    return y[6] + y[7]


problem = Problem(
    name="hires",
    summary="How light drives the growth of a plant: eight species of phytochrome.",
    source="Schaefer 1975; Test Set for IVP Solvers, problem HIRES; Hairer, Wanner II, section IV.10",
    system=lambda: System(
        photomorphogenesis,
        {
            "k1": 1.71,
            "k2": 0.43,
            "k3": 8.32,
            "k4": 0.69,
            "k5": 0.035,
            "k6": 8.32,
            "k_plus": 280.0,
            "k_minus": 0.69,
            "k_star": 0.69,
            "supply": 0.0007,
        },
    ),
    state=[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057],
    span=(0.0, 321.8122),
    names=tuple(f"y{i}" for i in range(1, 9)),
    invariants={"effector_total": effector_total},
    stiff=True,
    reference={
        "t": 321.8122,
        "state": [
            0.0007371312573325668,
            0.0001442485726316185,
            5.888729740967575e-05,
            0.001175651343283149,
            0.002386356198831331,
            0.006238968252742796,
            0.002849998395185769,
            0.002850001604814231,
        ],
        "source": "Test Set for IVP Solvers, problem HIRES",
    },
    size=1e-4,
)

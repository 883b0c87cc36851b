"""The Oregonator: the Belousov-Zhabotinskii reaction as three species."""

from ....core.arrays import stack
from ..system import System
from .definition import Problem


def reaction(t, y, p):
    """y1' = s (y2 - y1 y2 + y1 - q y1^2);  y2' = (y3 - y2 - y1 y2) / s;  y3' = w (y1 - y3)."""
    y1, y2, y3 = y
    return stack(
        p["s"] * (y2 - y1 * y2 + y1 - p["q"] * y1**2),
        (y3 - y2 - y1 * y2) / p["s"],
        p["w"] * (y1 - y3),
    )


problem = Problem(
    name="oregonator",
    summary="A chemical clock whose concentrations swing over five orders of magnitude.",
    source="Field, Noyes 1974; Hairer, Wanner II, section IV.10; Test Set for IVP Solvers, problem OREGO",
    system=lambda: System(reaction, {"s": 77.27, "q": 8.375e-6, "w": 0.161}),
    state=[1.0, 2.0, 3.0],
    span=(0.0, 360.0),
    names=("y1", "y2", "y3"),
    stiff=True,
    reference={
        "t": 360.0,
        "state": [1.000814870318523, 1228.178521549917, 132.0554942846706],
        "source": "Test Set for IVP Solvers, problem OREGO",
    },
)

"""The stiff relaxation oscillator."""

from ....core.arrays import stack
from ..system import System
from .definition import Problem


def relaxation(t, y, p):
    """y1' = y2;  epsilon y2' = (1 - y1^2) y2 - y1."""
    y1, y2 = y
    return stack(y2, ((1.0 - y1**2) * y2 - y1) / p["epsilon"])


problem = Problem(
    name="van_der_pol",
    summary="A relaxation oscillator that jumps between two slow branches; epsilon 1 makes it easy.",
    source="Test Set for IVP Solvers, problem VDPOL; Hairer, Wanner II, section IV.10",
    system=lambda: System(relaxation, {"epsilon": 1e-6}),
    state=[2.0, 0.0],
    span=(0.0, 2.0),
    names=("y1", "y2"),
    stiff=True,
    # In a jump y moves a million times faster than after it, and dy/depsilon is as much larger.
    sensitivity_condition=1000.0,
    reference={
        "t": 2.0,
        "state": [1.706167732170483, -0.8928097010247975],
        "source": "Test Set for IVP Solvers, problem VDPOL",
    },
)

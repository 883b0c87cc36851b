"""Convection rolls: the first strange attractor."""

from ....core.arrays import stack
from ..system import System
from .definition import Problem


def convection(t, y, p):
    """x' = sigma (y - x);  y' = x (rho - z) - y;  z' = x y - beta z."""
    flow, contrast, distortion = y
    return stack(
        p["sigma"] * (contrast - flow),
        flow * (p["rho"] - distortion) - contrast,
        flow * contrast - p["beta"] * distortion,
    )


# The largest Lyapunov exponent is 0.906: by t = 10 an early error has grown about ten thousand times, which a
# comparison with another program in double precision still survives.
problem = Problem(
    name="lorenz",
    summary="Three modes of a fluid heated from below, chaotic for the classical parameters.",
    source="Lorenz, J. Atmos. Sci. 20 (1963) 130-141, eqs. (25)-(27)",
    system=lambda: System(convection, {"sigma": 10.0, "rho": 28.0, "beta": 8.0 / 3.0}),
    state=[1.0, 1.0, 1.0],
    span=(0.0, 10.0),
    names=("x", "y", "z"),
)

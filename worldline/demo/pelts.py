"""Hares and lynxes of Hudson Bay: their equations fitted to fur counts, and ten thousand runs around the
fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..core.arrays import stack
from ..core.random import streams
from ..physics.ode import System
from ..sim.ensemble import ensemble
from ..sim.fit import FitResult, LogNormal, Observations, Positive, fit
from ..sim.simulate import simulate
from ..sim.trajectory import Trajectory

# Furs bought by the Hudson's Bay Company, thousands a year, 1900 to 1920: Elton and Nicholson 1942, as
# tabulated by Howard 2009.
YEARS = np.arange(1900.0, 1921.0)
HARE = (
    30.0,
    47.2,
    70.2,
    77.4,
    36.3,
    20.6,
    18.1,
    21.4,
    22.0,
    25.4,
    27.1,
    40.3,
    57.0,
    76.6,
    52.3,
    19.5,
    11.2,
    7.6,
    14.6,
    16.2,
    24.7,
)
LYNX = (
    4.0,
    6.1,
    9.8,
    35.2,
    59.4,
    41.7,
    19.0,
    13.0,
    8.3,
    9.1,
    7.4,
    8.0,
    12.3,
    19.5,
    45.7,
    51.1,
    29.7,
    15.8,
    9.7,
    10.1,
    8.6,
)
NAMES = ("hare", "lynx")
UNKNOWNS = ("birth", "capture", "death", "growth")
LANES = 10_000
SEED = 1900


def predation(t: Array, y: Float[Array, "2"], p: dict[str, Array]) -> Float[Array, "2"]:
    """hare' = birth hare - capture hare lynx;  lynx' = growth hare lynx - death lynx."""
    hare, lynx = y
    return stack(
        p["birth"] * hare - p["capture"] * hare * lynx, p["growth"] * hare * lynx - p["death"] * lynx
    )


def observations() -> Observations:
    """The counts, with noise in proportion to them."""
    return Observations(YEARS, np.column_stack([HARE, LYNX]), LogNormal())


def fit_pelts() -> FitResult:
    """Four rates and two initial values from 42 counts."""
    system = System(predation, {"birth": 0.5, "capture": 0.03, "death": 0.8, "growth": 0.02})
    return fit(system, observations(), free={name: Positive() for name in (*UNKNOWNS, "y0")}, progress=False)


@dataclass(frozen=True)
class Fan:
    """Many runs around a fit."""

    ts: Float[np.ndarray, " n"]
    runs: Trajectory


def fan(result: FitResult, lanes: int = LANES) -> Fan:
    """Runs with unknowns drawn from what the fit leaves possible: logarithms normal with the fit's
    covariance.
    """
    ts = np.linspace(YEARS[0], YEARS[-1], 121)
    root = np.linalg.cholesky(result.unconstrained_covariance)
    noise = jax.random.normal(
        streams(SEED, "unknowns")["unknowns"], (lanes, len(result.names)), dtype=root.dtype
    )
    drawn = jnp.exp(jnp.log(result.best) + noise @ root.T)

    def one(unknowns: Float[Array, "6"]) -> Trajectory:
        system = result.system.replace(dict(zip(UNKNOWNS, unknowns[:4], strict=True)))
        return simulate(system, unknowns[4:], ts=ts, throw=False)

    return Fan(ts, ensemble(one, progress=False)(drawn))

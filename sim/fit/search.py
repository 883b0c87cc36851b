"""How a fit looks for the best optimum: the searches of `worldline.solvers.multistart` on the residuals of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...solvers.least_squares import Outcome, Tolerances
from ...solvers.multistart import WIDTH, Search, find_minimum
from .bounds import Free
from .residuals import Residuals
from .unknowns import Unknowns


@dataclass(frozen=True)
class Found:
    """Where a search ended."""

    x: np.ndarray
    residuals: np.ndarray
    jacobian: np.ndarray
    converged: bool
    message: str
    notes: tuple[str, ...] = ()


def search(
    residuals: Residuals,
    unknowns: Unknowns,
    *,
    spread: float,
    starts: int | None = None,
    max_iterations: int = 200,
    callback: Callable[[int, float], bool | None] | None = None,
) -> Found | None:
    """The best minimum that several searches find, see `find_minimum`; None when nothing could be simulated to the end.

    `spread`: root mean square of the data about their mean, in the units of the residuals.
    """
    count = len(residuals.times)
    spread = spread if np.isfinite(spread) and spread > 0 else 1.0
    found = find_minimum(
        residuals,
        unknowns.start_number,
        residuals.times,
        scale=_scales(residuals, unknowns, spread),
        spread=spread,
        tolerances=Tolerances.for_residuals(residuals.dtype, count * spread**2, max_iterations),
        lower=unknowns.interval[0],
        upper=unknowns.interval[1],
        starts=starts,
        callback=callback,
    )
    if found is None:
        return None
    others = f", {found.agreeing} of {len(found.routes)} searches arrived there" if found.agreeing > 1 else ""
    message = f"{found.outcome.describe()}; found by {found.way}{others}"
    return Found(
        found.x,
        found.residuals,
        found.jacobian,
        found.outcome.converged,
        message,
        tuple(_notes(found, count * spread**2)),
    )


def _scales(residuals: Residuals, unknowns: Unknowns, spread: float) -> np.ndarray:
    """How far off each start may well be: what its bounds say, 1 for the logarithm of a positive unknown.

    A free initial state is at home at the size of the motion, and a start of zero says nothing of the size: there it is
    the change that moves the residuals by a third of the spread of the data.
    """
    x = unknowns.start_number
    _, jacobian = residuals(np.tile(x, (WIDTH, 1)))
    slopes = jacobian[0][np.isfinite(jacobian[0]).all(axis=1)]
    norms = np.sqrt(np.mean(slopes**2, axis=0)) if len(slopes) else np.zeros(x.size)
    moving = np.where(norms > 0, 0.3 * spread / np.where(norms > 0, norms, 1.0), 0.0)
    own = np.concatenate([np.ravel(e.bound.size(e.start)) for e in unknowns.entries])
    at_home = np.repeat([e.experiment is not None and type(e.bound) is Free for e in unknowns.entries], unknowns.sizes)
    scales = np.where(at_home | (own == 0), np.maximum(own, moving), own)
    return np.where(scales > 0, scales, 1.0)


def _notes(found: Search, total: float) -> list[str]:
    notes = []
    plain = found.plain
    if plain.outcome is Outcome.START_FAILED:
        notes.append("the start given could not be simulated to the end of the data")
    elif plain.cost > found.cost * 1.01:
        notes.append(f"a plain descent from the start given ends at a sum of squares of {plain.cost:.6g}")
    if not found.confirmed and found.agreeing > 1:
        share = 100 * (1 - found.cost / total)
        little = f"only {share:.0f} %" if share >= 0.5 else "nothing"
        than = " (their mean fits better)" if share < 0 else ""
        notes.append(f"the best fit found explains {little} of the variation of the data{than}: start elsewhere?")
    elif not found.confirmed:
        notes.append("no second search ended at this optimum: there may be a better one (other starts, starts=20)")
    return notes

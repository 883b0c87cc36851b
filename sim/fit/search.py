"""How a fit looks for the best optimum: the searches of `worldline.solvers.multistart` on the residuals of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...solvers.least_squares import Outcome, Tolerances
from ...solvers.multistart import WIDTH, Search, find_minimum
from .bounds import Free
from .evidence import Evidence
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
    evidence: Evidence,
    tolerances: Tolerances,
    starts: int | None = None,
    callback: Callable[[int, float], bool | None] | None = None,
) -> Found | None:
    """The best minimum that several searches find, see `find_minimum`; None when nothing could be simulated to the end."""
    found = find_minimum(
        residuals,
        unknowns.start_number,
        residuals.times,
        scale=_scales(residuals, unknowns, evidence.spread),
        spread=evidence.motion,
        witnesses=evidence.witnesses,
        tolerances=tolerances,
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
        tuple(_notes(found, evidence)),
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


def _notes(found: Search, evidence: Evidence) -> list[str]:
    notes = []
    plain = found.plain
    if plain.outcome is Outcome.START_FAILED:
        notes.append("the start given could not be simulated to the end of the data")
    elif plain.cost > found.cost * 1.01:
        notes.append(f"a plain descent from the start given ends at a sum of squares of {plain.cost:.6g}")
    if not found.confirmed:
        notes.append(_doubt(found, evidence))
    if evidence.patterned(found.residuals):
        notes.append(
            "the residuals follow a pattern, one being like the next: either the model leaves something unexplained, or there "
            "is a better optimum (starts=20); standard errors, which take them for independent, mean little"
        )
    return notes


def _doubt(found: Search, evidence: Evidence) -> str:
    """Why the best that was found may not be the best there is."""
    searches = f"{len(found.routes)} searches found nothing better"
    if evidence.far(found.cost):
        return (
            f"chi-square is {found.cost / evidence.freedom:.4g} per degree of freedom, where noise of the sigma given leaves "
            f"1, and {searches}: start elsewhere (start=, starts=20), or check sigma and the model"
        )
    if np.isfinite(evidence.witnesses(found.residuals)):
        return "no second search ended at this optimum: there may be a better one (other starts, starts=20)"
    share = 100 * (1 - found.cost / evidence.total)
    if share >= 50:
        return (
            f"beside the trend of the data the best fit found explains little, it leaves {found.cost:.4g} of the "
            f"{evidence.beside_trend:.4g} that a smooth curve leaves, and {searches}: start elsewhere (start=, starts=20)?"
        )
    little = f"only {share:.0f} %" if share >= 0.5 else "nothing"
    than = " (their mean fits better)" if share < 0 else ""
    return f"the best fit found explains {little} of the variation of the data{than}: start elsewhere?"

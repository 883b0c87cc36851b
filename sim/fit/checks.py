"""What `fit` refuses before it simulates anything, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import PyTree

from .observations import Experiment
from .unknowns import Unknowns

SLACK = 1e-6  # of its own length by which a control may fall short of a run, as in `simulate`
FINEST = {"float32": 1e-5, "float64": 1e-12}  # tolerances that rounding errors leave any meaning


def check_system(system: Any) -> None:
    """**Raises** `TypeError` for what is no system, saying how to make it one."""
    if hasattr(system, "problem") and not isinstance(system, type):
        return
    if callable(system):
        name = getattr(system, "__name__", "function")
        raise TypeError(
            f"system is {name!r}, a {type(system).__name__}, which has no parameters to fit: pass "
            "wl.ode.System(function, parameters), with numbers for parameters from which to start."
        )
    raise TypeError(
        f"system has type {type(system).__name__}; pass a system such as wl.ode.System(function, parameters)."
    )


def check_at_least_one(**counts: int | None) -> None:
    """**Raises** `ValueError` naming the count that is less than one."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name}={count}: at least one is needed; leave it out for the default.")


def check_tolerance(tolerance: float | None, dtype: np.dtype) -> None:
    """**Raises** `ValueError` for a tolerance that is no small number, or finer than numbers of this type tell."""
    if tolerance is None:
        return
    finest = FINEST[np.dtype(dtype).name]
    if not 0 < tolerance < 1:
        raise ValueError(
            f"tolerance={tolerance!r}: it is the distance from the minimum, in standard errors, at which the search may "
            "end, such as 1e-8; leave it out for the default."
        )
    if tolerance < finest:
        switch = ": call wl.use_float64() first" if finest > 1e-10 else ""
        raise ValueError(
            f"tolerance={tolerance:g} is finer than rounding in {np.dtype(dtype).name} allows: at least {finest:g} is "
            f"needed{switch}."
        )


def check_runs(system: Any, experiments: Sequence[Experiment], states: Sequence[PyTree]) -> None:
    """Whether each experiment can be simulated at all times that were measured, and has one outcome.

    **Raises** `ValueError` for observations before the initial state, for controls that do not cover the observations, and
    for systems with noise.
    """
    for i, (experiment, state) in enumerate(zip(experiments, states, strict=True)):
        where = f"experiments[{i}]: " if len(experiments) > 1 else ""
        first, last = float(experiment.ts[0]), float(experiment.ts[-1])
        if experiment.start > first:
            raise ValueError(
                f"{where}t0={experiment.start:.10g}, the time of the initial state, lies after the first observation at "
                f"t = {first:.10g}: start earlier, or leave out what was observed before."
            )
        if experiment.span is not None:
            begin, end = experiment.span
            slack = SLACK * (end - begin)
            if experiment.start < begin - slack or last > end + slack:
                raise ValueError(
                    f"{where}controls are known from t = {begin:.10g} to {end:.10g}, but the run goes from "
                    f"{experiment.start:.10g} to the last observation at {last:.10g}: give samples that cover the run, or "
                    "leave out the observations beyond."
                )
        if getattr(system.problem(state, experiment.controls), "noise", None) is not None:
            raise ValueError(
                "system has noise: each of its runs is another one, so that no single trajectory can be fitted to data. Fit "
                "the system without noise, wl.ode.System(field, parameters), the noise of measurement being that of "
                "wl.Normal or wl.LogNormal."
            )


def check_counts(count: int, given: int, unknowns: Unknowns) -> None:
    """**Raises** `ValueError` for fewer measured values than unknowns; `given`: values that are the initial state."""
    n = len(unknowns.start)
    if count < n:
        but = f" (and {given} that serve{'s' * (given == 1)} as the initial state)" if given else ""
        raise ValueError(
            f"{count} measured value{'s' * (count != 1)}{but} cannot determine {n} unknown{'s' * (n != 1)}: fix some of "
            f"{', '.join(unknowns.labels)}."
        )


def sigma_known(experiments: Sequence[Experiment]) -> bool:
    """Whether sigma was given for all observations.

    **Raises** `ValueError` where it was for some only, or for none of observations with both kinds of noise: the one
    sigma that is estimated then would be in two units, and the best fit depends on their ratio.
    """
    several = len(experiments) > 1
    named = [
        (f"experiments[{i}].observations[{j}]" if several else f"observations[{j}]", o)
        for i, e in enumerate(experiments)
        for j, o in enumerate(e.observations)
    ]
    unknown = [name for name, o in named if not o.sigma_known]
    if unknown and len(unknown) < len(named):
        raise ValueError(
            f"the size of the noise is known for some observations but not for {', '.join(unknown)}, so that their weights "
            "against each other are not: give sigma for all (wl.Normal(sigma), wl.LogNormal(sigma)), or for none, and "
            "one sigma is estimated for all."
        )
    if unknown and len({o.noise.logarithmic for _, o in named}) == 2:
        raise ValueError(
            "observations with normal and with log-normal noise cannot share one estimated sigma, one being in the units "
            "of the values and the other a ratio: give sigma for all (wl.Normal(sigma), wl.LogNormal(sigma))."
        )
    return not unknown

"""`fit`: unknown physical parameters from measurements, by least squares on simulated trajectories."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ...core.status import Code, SimulationError
from ...solvers.covariance import covariance
from ...solvers.least_squares import Tolerances
from ..growing import with_room
from ..simulate import as_state, simulate
from .bounds import Bounded, Free
from .checks import FINEST, check_at_least_one, check_counts, check_runs, check_system, check_tolerance, sigma_known
from .evidence import Evidence
from .observations import Experiment, Observations
from .progress import SearchBar
from .residuals import Residuals
from .result import FitResult
from .search import search
from .unknowns import Unknowns

MOST_STEPS = 1_000_000  # of a run, as in `simulate`
FINEST_STEP, ROUNDING = 1e-14, 1e-15  # relative, of a step and of a sum of squares: what is less has no meaning
LEAD = 100.0  # errors of simulation to this many times rtol, in standard errors, are the least that a search looks for
ROOM = 1.5  # times the neighbors that the first states have


def fit(
    system: Any,
    observations: Observations | Experiment | Sequence[Observations | Experiment],
    state: PyTree = None,
    *,
    free: Mapping[str, Free] | Sequence[str] | str,
    controls: Any = None,
    t0: float | None = None,
    starts: int | None = None,
    solver: Any = "auto",
    rtol: Any = None,
    atol: Any = None,
    dt: Any = None,
    max_steps: int | None = None,
    max_iterations: int = 200,
    tolerance: float | None = None,
    progress: bool | None = None,
) -> FitResult:
    """The parameters with which a system's trajectories match measurements best, in the sense of least squares.

    Minimises sum_i w_i ((model_i - measured_i) / sigma_i)^2, of logarithms under log-normal noise, over the unknowns
    in `free` by Levenberg-Marquardt with sensitivities from the simulation itself.

    ```python
    result = wl.fit(system, wl.Observations(years, counts, wl.LogNormal()),
                    free={"birth": wl.Positive(), "death": wl.Positive(), "y0": wl.Positive()})
    print(result)
    ```

    **Arguments**

    - `observations`: what was measured; several `Observations` of one run as a list (different quantities or times), or
      `wl.Experiment`s, one for each run with its own initial state and controls.
    - `state`: the initial state; by default the first observation, where that is the whole state, and it is then measured
      only where it is free; `t0`: its time, by default the first of the observations. `controls`: as in `simulate`.
    - `free`: what is unknown: names mapped to `wl.Positive()`, `wl.Bounded(lower, upper)` or `wl.Free()`, each with an
      optional `start=`; `"y0"` is the initial state, `"y0[1]"` or `"y0.q"` a part of it. Starts are the system's
      values.
    - `starts`: how many starting points are tried; by default the search judges that for itself, see below.
    - `solver`, `rtol`, `atol`, `dt`, `max_steps`: as in `simulate`. `max_iterations`: most steps of one descent.
    - `tolerance`: how near to the minimum a descent may end, in standard errors; by default 1e-5 (1e-3 in float32), or a
      hundred times `rtol` where that is less.
    - `progress`: True shows a bar with the lowest sum of squares so far, False none; by default it appears on terminals
      after a few seconds.

    A trial whose simulation fails, or takes much longer than the one at the start, is a rejected step. Least squares on
    trajectories have wrong minima: the search starts from the values given and then looks for better ones (see
    `worldline.sim.fit.search`).

    **Returns** a `FitResult`; one whose `success` is False when the search did not converge.

    **Raises** `UnknownParameter` for unknown names; `ValueError` for bounds that exclude the start, data, times and
    controls that do not fit the model, and systems with noise; `SimulationError` when no start could be simulated.
    """
    began = time.perf_counter()
    check_system(system)
    check_at_least_one(starts=starts, max_iterations=max_iterations, max_steps=max_steps)
    experiments = _experiments(observations, state, controls, t0)
    known = sigma_known(experiments)
    states = [as_state(e.initial_state()) for e in experiments]
    system = _with_room(system, states)
    unknowns = Unknowns(system, states, free)
    options = {"solver": solver, "rtol": rtol, "atol": atol, "dt": dt, "max_steps": int(max_steps or MOST_STEPS)}
    residuals = Residuals(unknowns, experiments, options)
    check_tolerance(tolerance, residuals.dtype)
    check_counts(len(residuals.times), residuals.given, unknowns)
    check_runs(system, experiments, states)
    evidence = Evidence(experiments, residuals.present, len(unknowns.start), known)
    with SearchBar(progress) as bar:
        found = search(
            residuals,
            unknowns,
            evidence=evidence,
            tolerances=_tolerances(residuals.dtype, evidence.total, max_iterations, tolerance, rtol),
            starts=starts,
            callback=bar.note,
        )
    if found is None:
        _explain_failed_start(residuals, unknowns, experiments, options)
    return _result(residuals, unknowns, experiments, options, found, known, began)


def _experiments(observations: Any, state: PyTree, controls: Any, t0: float | None) -> list[Experiment]:
    several = list(observations) if isinstance(observations, (list, tuple)) else [observations]
    if several and all(isinstance(o, Observations) for o in several):
        return [Experiment(tuple(several), state, controls, t0)]
    for one in several:
        if not isinstance(one, Experiment):
            raise TypeError(
                f"observations has type {type(one).__name__}; write wl.Observations(ts, values), a list of them for one "
                "run, or a list of wl.Experiment(...) for several runs."
            )
    if not several:
        raise ValueError("observations are empty: there is nothing to fit.")
    if state is not None or controls is not None or t0 is not None:
        raise ValueError("state, controls and t0 belong to each wl.Experiment when experiments are given.")
    return several


def _with_room(system: Any, states: Sequence[PyTree]) -> Any:
    """The system with lists of neighbors that hold those of all states and some more, where it has such lists."""
    for state in states:
        system = with_room(system, state, ROOM)
    return system


def _tolerances(dtype: Any, size: float, iterations: int, tolerance: float | None, rtol: Any) -> Tolerances:
    """When descents end: as near to the minimum as is asked for, or as runs of this accuracy can tell.

    The errors of residuals are taken to be as much smaller as `tolerance` is. Where they prove not to be, a descent that
    can go no further has converged all the same if it is as near as it must be by default.
    """
    usual = Tolerances.for_residuals(dtype, size, iterations)
    if tolerance is None and rtol is not None:
        tolerance = min(usual.stationary, max(LEAD * float(rtol), FINEST[np.dtype(dtype).name]))
    if tolerance is None or tolerance == usual.stationary:
        return usual
    share = min(1.0, tolerance / usual.stationary)
    return dataclasses.replace(
        usual,
        stationary=tolerance,
        step=max(usual.step * share, FINEST_STEP),
        accuracy=max(usual.accuracy * share**2, ROUNDING),
        noise=usual.noise * share**2,
        enough=max(tolerance, usual.stationary),
    )


def _explain_failed_start(residuals, unknowns, experiments, options) -> None:
    """Say why the simulation at the start fails, by running it."""
    system, states = unknowns.placement.apply(jnp.asarray(unknowns.start_number, residuals.dtype))
    for experiment, state in zip(experiments, states, strict=True):
        run = simulate(
            system,
            state,
            ts=experiment.ts,
            t0=experiment.start,
            controls=experiment.controls,
            throw=False,
            progress=False,
            **options,
        )
        if bool(run.status.failed):
            remedy = "start from values with which the model can be simulated (system.replace(...), or start= in free)"
            if int(run.status.code) == Code.STEP_LIMIT:
                remedy = f"raise max_steps={options['max_steps']}, name another solver, or {remedy}"
            raise SimulationError(
                f"the run at the start of the fit failed: {run.status.message()}. {remedy[0].upper()}{remedy[1:]}.",
                run.status,
                run,
            )
        if run.event is not None and bool(run.event.happened):
            number, t = int(run.event.index), float(run.event.t)
            raise ValueError(
                f"the run at the start of the fit was ended by {_event_name(system, number)} at t = {t:.6g}, before the last "
                f"observation at t = {experiment.ts[-1]:.6g}: start from values with which it comes later "
                "(system.replace(...), or start= in free), leave out the observations after it, or fit the system without "
                "the event."
            )
    raise ValueError(
        "the residuals at the start are not finite although the run succeeds: under log-normal noise the model must be "
        "positive at every observation; otherwise check `observe`."
    )


def _event_name(system: Any, number: int) -> str:
    """The event of that number, in words."""
    events = getattr(system, "events", ())
    name = getattr(getattr(events[number], "function", None), "__name__", "") if number < len(events) else ""
    return f"event {number}" + (f" ({name})" if name and name != "<lambda>" else "")


def _result(residuals, unknowns, experiments, options, found, known, began) -> FitResult:
    system, states = unknowns.placement.apply(jnp.asarray(found.x, residuals.dtype))
    best = np.asarray(unknowns.placement.values(jnp.asarray(found.x)), np.float64)
    slopes = unknowns.slopes(best)
    dof = len(found.residuals) - len(best)
    variance = 1.0 if known else float(found.residuals @ found.residuals) / dof if dof > 0 else np.nan
    determined = covariance(found.jacobian, rank_tolerance=1e-11 if residuals.dtype == np.float64 else 1e-5)
    inner = variance * determined.matrix
    notes = list(found.notes)
    lost = [name for name, is_lost in zip(unknowns.labels, determined.undetermined, strict=True) if is_lost]
    if lost:
        notes.append(f"the data do not determine {', '.join(lost)}: fix or bound some of them")
    elif np.isnan(variance):
        notes.append(
            f"with {len(best)} measured values for as many unknowns there are no degrees of freedom to estimate the size of "
            "the noise from, and so no standard errors: give sigma, wl.Normal(sigma) or wl.LogNormal(sigma)"
            if len(best) > 1
            else "with one measured value for one unknown there are no degrees of freedom to estimate the size of the noise "
            "from, and so no standard error: give sigma, wl.Normal(sigma) or wl.LogNormal(sigma)"
        )
    notes += _on_bounds(unknowns, found.x)
    return FitResult(
        names=tuple(unknowns.labels),
        best=best,
        start=unknowns.start,
        bounds=tuple(unknowns.bounds),
        covariance=np.outer(slopes, slopes) * inner,
        unconstrained_covariance=inner,
        residuals=found.residuals,
        sigma_known=known,
        success=found.converged,
        message=found.message,
        system=system,
        states=states,
        experiments=experiments,
        notes=tuple(notes),
        evaluations=residuals.evaluations,
        seconds=time.perf_counter() - began,
        options=options,
        unknowns=unknowns.each_bound,
    )


def _on_bounds(unknowns: Unknowns, x: np.ndarray) -> list[str]:
    """Notes on unknowns that ended on a bound; x [n] are the numbers that the search moved, of which it clips each.

    The values of the unknowns may have been rounded since, to single precision.
    """
    notes, place = [], 0
    for entry, size in zip(unknowns.entries, unknowns.sizes, strict=True):
        for bound in entry.bound.interval:
            if isinstance(entry.bound, Bounded) and np.any(x[place : place + size] == bound):
                notes.append(f"{entry.label} ended on its bound {bound:g}: its standard error means little")
        place += size
    return notes

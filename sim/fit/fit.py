"""`fit`: unknown physical parameters from measurements, by least squares on simulated trajectories."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ...core.status import Code, SimulationError
from ...solvers.covariance import covariance
from ...solvers.least_squares import Tolerances
from ..simulate import as_state, simulate
from .bounds import Bounded, Free
from .evidence import Evidence
from .observations import Experiment, Observations
from .progress import SearchBar
from .residuals import Residuals
from .result import FitResult
from .search import search
from .unknowns import Unknowns

MOST_STEPS = 1_000_000  # of a run, as in `simulate`


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
    - `state`: the initial state; by default the first observation, where that is the whole state. `controls` are those
      of `simulate`; `t0` is the time of the initial state, by default the first time of the observations.
    - `free`: what is unknown: names mapped to `wl.Positive()`, `wl.Bounded(lower, upper)` or `wl.Free()`, each with an
      optional `start=`; `"y0"` is the initial state, `"y0[1]"` or `"y0.q"` a part of it. Starts are the system's
      values.
    - `starts`: how many starting points are tried; by default the search judges that for itself, see below.
    - `solver`, `rtol`, `atol`, `dt`, `max_steps`: as in `simulate`. `max_iterations`: most steps of one descent.
    - `progress`: True shows a bar with the lowest sum of squares so far, False none; by default it appears on terminals
      after a few seconds.

    A trial whose simulation fails, or takes much longer than the one at the start, is a rejected step. Least squares on
    trajectories have wrong minima: the search starts from the values given and then looks for better ones (see
    `worldline.sim.fit.search`).

    **Returns** a `FitResult`; one whose `success` is False when the search did not converge.

    **Raises** `UnknownParameter` for unknown names; `ValueError` for bounds that exclude the start and data that do not
    fit the model; `SimulationError` when no starting point could be simulated.
    """
    began = time.perf_counter()
    _check_system(system)
    _check_at_least_one(starts=starts, max_iterations=max_iterations, max_steps=max_steps)
    experiments = _experiments(observations, state, controls, t0)
    unknowns = Unknowns(system, [as_state(e.initial_state()) for e in experiments], free)
    limit = MOST_STEPS if max_steps is None else int(max_steps)
    options = {"solver": solver, "rtol": rtol, "atol": atol, "dt": dt, "max_steps": limit}
    residuals = Residuals(unknowns, experiments, options)
    _check_counts(residuals, unknowns)
    known = _sigma_known(experiments)
    evidence = Evidence(experiments, residuals.present, len(unknowns.start), known)
    with SearchBar(progress) as bar:
        found = search(
            residuals,
            unknowns,
            evidence=evidence,
            tolerances=Tolerances.for_residuals(residuals.dtype, evidence.count * evidence.spread**2, max_iterations),
            starts=starts,
            callback=bar.note,
        )
    if found is None:
        _explain_failed_start(residuals, unknowns, experiments, options)
    return _result(residuals, unknowns, experiments, options, found, known, began)


def _check_system(system: Any) -> None:
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


def _check_at_least_one(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name}={count}: at least one is needed; leave it out for the default.")


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


def _check_counts(residuals: Residuals, unknowns: Unknowns) -> None:
    m, n = len(residuals.times), len(unknowns.start)
    if m < n:
        raise ValueError(
            f"{m} measured values cannot determine {n} unknowns: fix some of {', '.join(unknowns.labels)}."
        )


def _sigma_known(experiments: Sequence[Experiment]) -> bool:
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


def _explain_failed_start(residuals, unknowns, experiments, options) -> None:
    """Say why the simulation at the start fails, by running it."""
    system, states = residuals.model.placement.apply(jnp.asarray(unknowns.start_number, residuals.dtype))
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
    raise ValueError(
        "the residuals at the start are not finite although the run succeeds: under log-normal noise the model must be "
        "positive at every observation; otherwise check `observe`."
    )


def _result(residuals, unknowns, experiments, options, found, known, began) -> FitResult:
    system, states = residuals.model.placement.apply(jnp.asarray(found.x, residuals.dtype))
    best = np.asarray(residuals.model.placement.values(jnp.asarray(found.x)), np.float64)
    slopes = unknowns.slopes(best)
    dof = len(found.residuals) - len(best)
    variance = 1.0 if known else float(found.residuals @ found.residuals) / dof if dof > 0 else np.nan
    inner = covariance(found.jacobian, variance, rank_tolerance=1e-11 if residuals.dtype == np.float64 else 1e-5).matrix
    message, notes = found.message, list(found.notes)
    undetermined = [
        name for name, spread in zip(unknowns.labels, np.diag(inner), strict=True) if not np.isfinite(spread)
    ]
    if undetermined:
        notes.append(f"the data do not determine {', '.join(undetermined)}: fix or bound some of them")
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
        message=message,
        system=system,
        states=states,
        experiments=experiments,
        notes=tuple(notes),
        evaluations=residuals.evaluations,
        seconds=time.perf_counter() - began,
        options=options,
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

"""Every problem of the ODE zoo against SciPy, closed forms, published end points and conservation laws.

`worldline validate ode` prints what `validate` returns. A problem added to the zoo is checked from then on.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..core.transforms import jacobian
from ..physics.ode import System, zoo
from ..physics.ode.zoo import Problem
from ..sim.simulate import simulate
from ..sim.trajectory import Trajectory
from .report import Check, Report, Row, report_on
from .scipy_reference import EXPLICIT, ScipyFailure, Solution, scipy_sensitivities, scipy_states

TIMES = 41

# Tight enough for errors to stay far below what a wrong term or coefficient would make of them, loose enough
# for a fifth-order method to take thousands of steps, not millions.
RTOL = 1e-10
# SciPy's methods for problems that are not stiff and that are. Of each pair the first is the reference, at a
# tolerance that makes its own error small beside ours; how far the second is from it says how good that is.
REFERENCES = {False: ((EXPLICIT, 1e-12), ("LSODA", 1e-12)), True: (("Radau", 1e-10), ("LSODA", 1e-12))}
# LSODA chases the rounding errors of the variational equations here, with up to a million evaluations.
SENSITIVITY_REFERENCE = {False: (EXPLICIT, 1e-12), True: ("Radau", 1e-9)}

# A run of some hundred steps, each allowed an error of RTOL, adds up to a thousand times RTOL at the most,
# and `problem.condition` times that where early errors grow.
STATE_TOLERANCE = 1e-7
# Step sizes are chosen for the error of the state alone; sensitivities are carried along on the same steps.
SENSITIVITY_TOLERANCE = 1e-6
# Below this part of the state itself a sensitivity counts as zero: errors are measured against no less.
SMALLEST_SENSITIVITY = 1e-3

NOTES = (
    f"Ours: wl.simulate(solver='auto', rtol={RTOL:.0e}, atol=rtol * size of the problem) in float64.",
    "state: largest difference from SciPy (DOP853, or Radau for stiff problems) at any time, relative to the",
    "  largest value of each component. SciPy itself: the same between that method and SciPy's LSODA.",
    "sensitivity: the same for p dy/dp, against SciPy on the variational equations.",
    "closed form, its gradient: the same against the formula and against its derivative by hand.",
    "published: relative difference of each component from the published end point.",
    "invariants: drift of what is conserved, relative to the size of its terms.",
    f"Allowed: {STATE_TOLERANCE:.0e}, derivatives {SENSITIVITY_TOLERANCE:.0e}, times the condition a problem states.",
    f"steps: those accepted. SciPy's tolerance is {REFERENCES[False][0][1]:.0e} with DOP853, {REFERENCES[True][0][1]:.0e} "
    "with Radau; calls: its evaluations of dy/dt.",
    "s: seconds of one run of each for the states, compiled beforehand; SciPy calls a compiled right-hand side.",
)


def validate(names: Sequence[str] | None = None, *, progress: Callable[[Row], None] | None = None) -> Report:
    """Check problems of the zoo (all of them by default) and return the report.

    `progress` is called with each row as it is done. A problem that cannot be run is a failed row.

    Raises:
        ValueError: the default precision is float32, in which the tolerances make no sense.
        LookupError: there is no problem of that name.
    """
    problems = [zoo.problem(name) for name in (zoo.names() if names is None else names)]
    cases = {problem.name: partial(check_problem, problem) for problem in problems}
    return report_on("Ordinary differential equations: the zoo against SciPy", cases, NOTES, progress)


def check_problem(problem: Problem) -> Row:
    """Run one problem and compare it with everything known about it."""
    system, ts = problem.system(), np.asarray(problem.times(TIMES))
    try:
        run, seconds = _timed_run(problem, system, ts)
        facts = _facts(run, seconds)
        if not bool(run.status.ok):
            return Row(problem.name, facts=facts, failure=f"the run ended with {run.status}")
        sensitivities = _sensitivities(problem, system, ts)
        reference, second = (scipy_states(problem, ts, *choice) for choice in REFERENCES[problem.stiff])
        least = SMALLEST_SENSITIVITY * np.max(np.abs(reference.states), axis=0)
        by_scipy = scipy_sensitivities(problem, ts, *SENSITIVITY_REFERENCE[problem.stiff], least)
    except (ScipyFailure, ArithmeticError, ValueError, TypeError) as error:
        return Row(problem.name, failure=str(error).splitlines()[0])
    states = _rows(run.states)
    checks = [
        *_against_scipy(problem, states, sensitivities, reference, second, by_scipy),
        *_against_closed_form(problem, system, ts, states, sensitivities),
        *_against_published(problem, states),
        *_invariants(problem, system, ts, run),
    ]
    facts |= {
        "SciPy steps": reference.steps,
        "SciPy calls": reference.evaluations,
        "SciPy s": round(reference.seconds, 3),
    }
    return Row(problem.name, checks, facts)


def _run(problem: Problem, system: System, ts: np.ndarray) -> Trajectory:
    return simulate(
        system,
        problem.state,
        ts=ts,
        rtol=RTOL,
        atol=RTOL * problem.size,
        controls=problem.controls,
        throw=False,
    )


def _timed_run(problem: Problem, system: System, ts: np.ndarray) -> tuple[Trajectory, float]:
    jax.block_until_ready(_run(problem, system, ts).states)  # compiles
    began = time.perf_counter()
    run = _run(problem, system, ts)
    jax.block_until_ready(run.states)
    return run, time.perf_counter() - began


def _facts(run: Trajectory, seconds: float) -> dict[str, str | int | float]:
    stats = run.stats
    handed_over = stats.stiff_solver is not None and bool(np.isfinite(stats.switched_at))
    return {
        "solver": f"{stats.solver}, {stats.stiff_solver}" if handed_over else stats.solver,
        "our steps": int(stats.steps) - int(stats.rejected),
        "our s": round(seconds, 3),
    }


def _rows(states: object) -> Float[np.ndarray, "n d"]:
    """States over time, flattened."""
    return np.asarray(jax.vmap(lambda y: ravel_pytree(y)[0])(states))


def _sensitivities(problem: Problem, system: System, ts: np.ndarray) -> Float[np.ndarray, "n d m"]:
    """p dy/dp by differentiating the run itself."""

    def states(values):
        run = _run(problem, system.replace(values), ts)
        return jax.vmap(lambda y: ravel_pytree(y)[0])(run.states)

    values = system.parameters
    table = jax.jit(jacobian(states, mode="forward"))(values)
    return _scaled(table, values)


def _scaled(
    table: Mapping[str, Array | np.ndarray], values: Mapping[str, Array]
) -> Float[np.ndarray, "n d m"]:
    """Stack dy/dp of all parameters on a last axis, each times the value of its parameter."""
    return np.stack([np.asarray(table[name] * values[name]) for name in values], axis=-1)


def _difference(ours: np.ndarray, theirs: np.ndarray, least: np.ndarray | float = 0.0) -> float:
    """Largest difference at any time, each entry relative to its largest value at any time (or `least`)."""
    size = np.maximum(np.max(np.abs(theirs), axis=0), least)
    return float(np.max(np.abs(ours - theirs) / np.where(size > 0.0, size, 1.0)))


def _allowed_sensitivity(problem: Problem) -> float:
    return SENSITIVITY_TOLERANCE * problem.condition * problem.sensitivity_condition


def _least(states: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d 1"]:
    return SMALLEST_SENSITIVITY * np.max(np.abs(states), axis=0)[:, None]


def _against_scipy(
    problem: Problem,
    states: np.ndarray,
    sensitivities: np.ndarray,
    reference: Solution,
    second: Solution,
    by_scipy: np.ndarray,
) -> list[Check]:
    own = _difference(second.states, reference.states)
    error = _difference(states, reference.states)
    by_parameter = _difference(sensitivities, by_scipy, _least(reference.states))
    return [
        Check("state", error, STATE_TOLERANCE * problem.condition),
        Check("SciPy itself", own, STATE_TOLERANCE * problem.condition),
        Check("sensitivity", by_parameter, _allowed_sensitivity(problem)),
    ]


def _against_closed_form(
    problem: Problem, system: System, ts: np.ndarray, states: np.ndarray, sensitivities: np.ndarray
) -> list[Check]:
    elapsed, start, checks = jnp.asarray(ts - problem.span[0]), problem.initial(), []
    if problem.solution is not None:
        solution = problem.solution
        exact = _rows(jax.vmap(lambda t: solution(t, start, system))(elapsed))
        error = _difference(states, exact)
        checks.append(Check("closed form", error, STATE_TOLERANCE * problem.condition))
    if problem.gradient is not None:
        gradient = problem.gradient
        table = jax.vmap(lambda t: gradient(t, start, system))(elapsed)
        by_hand = _scaled({name: _rows(column) for name, column in table.items()}, system.parameters)
        error = _difference(sensitivities, by_hand, _least(states))
        checks.append(Check("its gradient", error, _allowed_sensitivity(problem)))
    return checks


def _against_published(problem: Problem, states: np.ndarray) -> list[Check]:
    if problem.reference is None:
        return []
    published = np.asarray(problem.reference["state"])
    size = np.where(published != 0.0, np.abs(published), np.max(np.abs(published)))
    error = float(np.max(np.abs(states[-1] - published) / size))
    return [Check("published", error, STATE_TOLERANCE * problem.condition)]


def _invariants(problem: Problem, system: System, ts: np.ndarray, run: Trajectory) -> list[Check]:
    """Largest drift of an invariant I, against the size of its terms: the largest |I| or sum |y dI/dy|."""
    drifts = []
    for invariant in problem.invariants.values():

        def value_and_size(t, y, invariant=invariant):
            value, by_state = jax.value_and_grad(invariant, 1)(t, y, system)
            terms = ravel_pytree(by_state)[0] * ravel_pytree(y)[0]
            return value, jnp.maximum(jnp.abs(value), jnp.sum(jnp.abs(terms)))

        values, sizes = jax.jit(jax.vmap(value_and_size))(jnp.asarray(ts), run.states)
        drifts.append(float(jnp.max(jnp.abs(values - values[0])) / jnp.max(sizes)))
    # NumPy's maximum keeps a NaN, which must not pass.
    return [Check("invariants", float(np.max(drifts)), STATE_TOLERANCE * problem.condition)] if drifts else []

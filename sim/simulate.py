"""`simulate`: one run of one system, from plain Python or inside any transformation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from ..core.lanes.width import within_lanes
from ..core.precision import check_tolerances, default_float, default_tolerances
from ..core.status import Code, Status, raise_if_failed
from ..solvers import choose_solver
from ..solvers.adaptive import Adaptive
from ..solvers.problems import Options, Solution, Solver
from ..solvers.sensitivity import GRADIENTS
from ..solvers.signals import Signal, as_signal
from ..solvers.stepping import FixedStep
from .growing import with_room
from .pieces import solve_in_pieces
from .progress import solve_in_parts
from .request import Request, solve
from .times import as_number, check_controls, covered, in_rows, run_times
from .trajectory import Trajectory

REMEDIES = {
    Code.STEP_LIMIT: "Raise max_steps, loosen rtol and atol, or name another solver (solver='rodas5p' for stiff problems).",
    Code.STEP_TOO_SMALL: "The solution may become infinite or jump there: end the run earlier (t1=...), check the "
    "parameters, or smooth the jump.",
    Code.NON_FINITE: "Check the vector field at that state (division by zero, root or logarithm of a negative number), "
    "the parameters, take smaller steps (dt=...) where they are fixed, or end the run earlier (t1=...).",
}


def simulate(
    system: Any,
    state: PyTree,
    *,
    ts: Any = None,
    t0: Any = None,
    t1: Any = None,
    dt: Any = None,
    steps: int | None = None,
    solver: str | Solver | Any = "auto",
    rtol: Any = None,
    atol: Any = None,
    controls: Any = None,
    key: Any = None,
    record: Callable[[Any, PyTree], PyTree] | None = None,
    gradient: str = "auto",
    max_steps: int | Array = 1_000_000,
    progress: bool | None = None,
    throw: bool = True,
) -> Trajectory:
    """Run a system from a state and return its `Trajectory`.

    **Arguments**

    - `system`: what evolves, such as `wl.ode.System`; `state`: its initial state (numbers, array, tuple, dict or
      Module).
    - Times, one of: `ts` [n], increasing, states are stored there and the run starts at `ts[0]` (or at `t0`);
      `t1` (and `t0`, default 0): states at the beginning and the end; `dt` and `steps`: fixed steps, each stored.
      `dt` with `ts` or `t1` takes fixed steps too, the last one cut to end there. A system may bring a step of its own
      (`model.timestep`), which fixed-step solvers take when no `dt` is given.
    - `solver`: `"auto"` (explicit, handing over to a stiff solver when the problem proves stiff), a name such as
      `"tsit5"`, `"rodas5p"`, `"kvaerno5"` (see `wl.solvers.names()`), or a diffrax solver. Systems may have solvers of
      their own kind, and mean one of them by `"auto"`: see `wl.rigid.Model`.
    - `rtol`, `atol`: tolerances of each step's error; by default 1e-6 and 1e-9 in float64, 1e-4 and 1e-6 in float32.
    - `controls`: `wl.Sampled(times, values)`, a function of time, a policy `u = f(t, state)`, or with `steps` an array
      with one row a step; given to the field as its last argument.
    - `key`: randomness, for systems with noise: an integer seed or a JAX key.
    - `record`: a function of (system, state) whose value is stored at each output time in place of the state, for
      solvers of fixed steps: what is measured while a run goes on, `run.states` then holds it.
    - `gradient`: `"forward"` sensitivities (cheap for few parameters, any order of derivative, also serve reverse
      mode), `"reverse"` (checkpointed, for many parameters; no forward mode), `"tangent"` (forward mode only: of each
      direction its own, for functions that lanes run in one direction each), or `"auto"`: forward up to 24
      differentiated numbers. Fixed steps of `steps` have both modes by `"auto"` and `"reverse"`, each step made again
      in the reverse pass.
    - `max_steps`: most attempted steps; `progress`: a progress bar (by default on terminals, once a run takes long);
      `throw`: raise on failure when called from plain Python.

    **Raises** `ValueError` for input that makes no sense, and `SimulationError` (with the status and what was computed
    so far) when the run fails. Under `jit`, `vmap` or `grad` nothing is raised for a failed run: the status comes back
    as data, and states after the failure are NaN.
    """
    if not hasattr(system, "problem"):
        raise TypeError(
            f"system has type {type(system).__name__}; pass a system, such as wl.ode.System(field, dict(rate=0.5))."
        )
    state = as_state(state)
    dtype = _dtype(state)
    given_start = t0 is not None
    chosen = choose_solver(solver, getattr(system, "solvers", None))
    if dt is None and isinstance(chosen, FixedStep):
        dt = getattr(system, "timestep", None)
    t0, ts, dt = run_times(ts, t0, t1, dt, steps, dtype)
    # Outputs at the start and the end alone, or at every fixed step: no state within a step is asked for.
    landing = steps is not None or ts.shape[0] <= (1 if given_start else 2)
    controls = in_rows(controls, ts, steps, dtype) if steps is not None else as_signal(controls)
    check_controls(controls, t0, ts)
    options = _options(dtype, rtol, atol, dt, key, gradient, max_steps, landing, steps is not None, record, chosen)
    if isinstance(chosen, FixedStep):
        system = with_room(system, state)
    request = Request(system, state, controls, t0, ts, options, chosen)
    traced = any(_traced(leaf) for leaf in jax.tree.leaves(request))
    solution = solve(request) if traced else _solve_on_host(request, progress)
    if any(_traced(x) for x in jax.tree.leaves((t0, ts, dt, controls))):
        solution = _refuse_invalid_times(solution, t0, ts, dt, controls)
    run = Trajectory(jnp.asarray(ts), solution.states, solution.final, solution.status, solution.stats, solution.event)
    if throw and not traced:  # inside a transformation the status comes back as data
        raise_if_failed(run.status, remedy=_remedies(system, solution), trajectory=run)
    return run


def _remedies(system: Any, solution: Solution) -> dict[Code, str]:
    """What to try after a failure; systems may know more about the state that was reached."""
    failed = not _traced(solution.status.code) and bool(np.any(solution.status.failed))
    return REMEDIES | system.remedies(solution.reached) if failed and hasattr(system, "remedies") else REMEDIES


def _solve_on_host(request: Request, progress: bool | None) -> Solution:
    """In parts, where a run may be long or prove too large for its arrays."""
    if isinstance(request.solver, Adaptive) and progress is not False:
        return solve_in_parts(request, always=bool(progress))
    if isinstance(request.solver, FixedStep):
        return solve_in_pieces(request, always=progress)
    return solve(request)


def _refuse_invalid_times(solution: Solution, t0: Any, ts: Any, dt: Any, controls: Signal | None) -> Solution:
    """What is raised for times whose values are known, as a status and NaN for those that are traced."""
    valid = jnp.all(jnp.isfinite(ts)) & jnp.all(jnp.diff(ts) > 0) & (t0 <= ts[0])
    if dt is not None:
        valid &= dt > 0
    span = None if controls is None else controls.span()
    if span is not None:
        valid &= covered(span, t0, ts)
    states, final = jax.tree.map(lambda y: jnp.where(valid, y, jnp.nan), (solution.states, solution.final))
    status = Status.fine(solution.status.t.dtype).fail(~valid, Code.INVALID_TIMES, jnp.nan, -1)
    status = jax.tree.map(lambda a, b: jnp.where(valid, a, b), solution.status, status)
    return eqx.tree_at(lambda s: (s.states, s.final, s.status), solution, (states, final, status))


def _options(
    dtype: np.dtype,
    rtol: Any,
    atol: Any,
    dt: Any,
    key: Any,
    gradient: str,
    max_steps: int | Array,
    landing: bool,
    stepwise: bool,
    record: Callable | None,
    chosen: Solver,
) -> Options:
    if record is not None and not isinstance(chosen, FixedStep):
        raise ValueError("record is for solvers of fixed steps: leave it out, and measure run.states.")
    if gradient not in GRADIENTS:
        raise ValueError(f"gradient={gradient!r}: write 'auto', 'forward', 'reverse' or 'tangent'.")
    if not isinstance(max_steps, (int, np.integer, jax.Array)) or (not _traced(max_steps) and max_steps < 1):
        raise ValueError(f"max_steps={max_steps!r}: a whole number of steps is needed, at least one.")
    default_rtol, default_atol = default_tolerances(dtype)
    rtol = as_number("rtol", default_rtol if rtol is None else rtol, dtype)
    atol = as_number("atol", default_atol if atol is None else atol, dtype)
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value.ndim:
            raise ValueError(
                f"{name} has shape {value.shape}: it must be one number. Where components differ in size, scale them."
            )
    check_tolerances(rtol, atol, dtype)
    return Options(rtol, atol, dt, _as_key(key), max_steps, record, gradient, landing, stepwise, not within_lanes())


def as_state(state: PyTree) -> PyTree:
    """The state with every number as a float array (a list of numbers becomes one array), checked to be finite.

    **Raises** `ValueError` naming the component that is NaN or infinite, `TypeError` for what is not a number.
    """
    state = jax.tree.map(_as_float_array, state, is_leaf=lambda x: isinstance(x, list))
    leaves = jax.tree_util.tree_leaves_with_path(state)
    if not any(np.size(leaf) for _, leaf in leaves):
        raise ValueError("state is empty: pass the initial state, e.g. [30.0, 4.0].")
    for path, leaf in leaves:
        if not _traced(leaf) and not np.isfinite(leaf).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(np.asarray(leaf)))[0])
            where = jax.tree_util.keystr(path) + "".join(f"[{i}]" for i in index)
            value = float(np.asarray(leaf)[index])
            raise ValueError(
                f"the initial state is not finite: state{where} = {value}. Every component needs a finite number."
            )
    return state


def _as_float_array(value: Any) -> Array | np.ndarray:
    if _traced(value) or isinstance(value, jax.Array):
        if jnp.issubdtype(value.dtype, jnp.unsignedinteger):
            return value  # a counter within a state, which nobody writes by hand
        array = value
    else:
        try:
            array = (
                np.asarray(jnp.stack(value))
                if isinstance(value, list) and any(_is_jax(v) for v in value)
                else np.asarray(value)
            )
        except jax.errors.TracerArrayConversionError:
            array = jnp.stack(value)
        except ValueError as error:
            raise ValueError(
                f"the state holds the list {value!r}, whose entries differ in shape: pass a tuple or a dict of arrays."
            ) from error
        if array.dtype == object or array.dtype.kind in "USmM":
            raise TypeError(f"the state holds {value!r}, which is not a number.")
        if isinstance(value, (int, float, list)) or array.dtype.kind in "iub":
            array = array.astype(default_float()) if not _traced(array) else array
        array = array if _traced(array) else array.astype(jax.dtypes.canonicalize_dtype(array.dtype), copy=False)
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError("the state is complex: split it into real and imaginary parts.")
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(default_float())


def _is_jax(value: Any) -> bool:
    return isinstance(value, jax.Array) or _traced(value)


def _dtype(state: PyTree) -> np.dtype:
    floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
    return np.dtype(jnp.result_type(*floats))


def _traced(value: Any) -> bool:
    return isinstance(value, jax.core.Tracer)


def _as_key(key: Any) -> Any:
    return jax.random.key(key) if isinstance(key, (int, np.integer)) else key

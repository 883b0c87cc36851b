"""Every solver of diffrax behind the face of our own: implicit, IMEX and stochastic methods by name or instance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float, PyTree

from ..core.precision import default_float
from ..core.status import Code, Status
from .diffrax_ends import FAILED_NON_FINITE, STAGE_ITERATIONS, Bisection, PatientChord, watched
from .fixed_steps import FixedSteps
from .problems import EventRecord, InitialValueProblem, Options, Solution, Solver, Stats
from .sensitivity import count_outputs, differentiable, hoisted
from .signals import Before


class Diffrax(Solver):
    """A diffrax solver instance, such as `diffrax.Kvaerno5()`, with our tolerances, status and derivatives.

    IMEX solvers (`KenCarp3` to `5`, `Sil3`) need a system with an `implicit` part; stochastic solvers a system with
    `noise`, a `key` and a step `dt`. Noise is a `VirtualBrownianTree`, so that one key gives one path whatever `dt`.

    **Raises** `ValueError` naming what is missing or does not fit.
    """

    method: dfx.AbstractSolver
    name: str = eqx.field(static=True, default="")

    def __check_init__(self) -> None:
        if not isinstance(self.method, dfx.AbstractSolver):
            raise TypeError(f"{self.method!r} is no diffrax solver; write e.g. diffrax.Kvaerno5().")

    @property
    def label(self) -> str:
        """The solver's name, for statistics."""
        return self.name or type(self.method).__name__.lower()

    def solve(
        self, problem: InitialValueProblem, t0: Float[Array, ""], ts: Float[Array, " k"], options: Options
    ) -> Solution:
        """States at `ts`, differentiable as `options.gradient` says."""
        self._check(problem, options)
        # The solver too: it may hold arrays of its own, and a function with a derivative rule must not close over them.
        arrays, rest = eqx.partition((self, problem, t0, ts, options), eqx.is_array)
        leaves, structure = jax.tree.flatten(arrays)

        def run(adjoint: dfx.AbstractAdjoint) -> Callable:
            def evaluate(*values: Array) -> dict[str, Any]:
                solver, *inputs = eqx.combine(jax.tree.unflatten(structure, values), rest)
                return solver._run(*inputs, adjoint=adjoint)

            return evaluate

        forward, reverse = run(dfx.ForwardMode()), run(dfx.RecursiveCheckpointAdjoint())
        if problem.closes_over_traced():
            (forward, reverse), leaves = hoisted((forward, reverse), leaves)
        out = differentiable(forward, reverse, options.gradient, count_outputs(problem, ts))(*leaves)
        failed = out["code"] != Code.OK
        # Attempts are counted from 0: the last one made is the bad one, the limit stops the one after it.
        bad = jnp.maximum(out["steps"] - (out["code"] != Code.STEP_LIMIT), 0)
        status = Status(out["code"], jnp.where(failed, out["t"], jnp.nan), jnp.where(failed, bad, -1))
        stats = Stats(self.label, out["steps"], out["rejected"], jnp.full_like(out["t"], jnp.nan))
        return Solution(out["states"], out["final"], status, stats, out["event"])

    def _check(self, problem: InitialValueProblem, options: Options) -> None:
        if self._is_imex() and problem.implicit is None:
            raise ValueError(
                f"{self.label} treats one part of the field implicitly, but the system does not say which: write "
                "wl.ode.System(field, parameters, implicit=stiff_part)."
            )
        if problem.noise is not None and (options.key is None or options.dt is None):
            missing = "key" if options.key is None else "dt"
            raise ValueError(f"a system with noise needs a key and a step: pass {missing}=... to simulate.")
        if self._needs_noise() and problem.noise is None:
            raise ValueError(f"{self.label} is a stochastic solver, but the system has no noise: name another solver.")
        if not isinstance(options.max_steps, int):
            raise TypeError(f"{self.label} needs max_steps as a plain integer, not as an array.")
        adaptive = isinstance(self.method, dfx.AbstractAdaptiveSolver)
        if not adaptive and options.dt is None:
            raise ValueError(f"{self.label} has no error estimate, so that it cannot choose its step: pass dt=step.")

    def _is_imex(self) -> bool:
        return isinstance(self.method, (dfx.KenCarp3, dfx.KenCarp4, dfx.KenCarp5, dfx.Sil3))

    def _needs_noise(self) -> bool:
        return isinstance(self.method, (dfx.AbstractItoSolver, dfx.AbstractStratonovichSolver)) and not isinstance(
            self.method, (dfx.AbstractERK, dfx.Euler, dfx.Heun, dfx.Midpoint, dfx.Ralston)
        )

    def _method(self, options: Options) -> dfx.AbstractSolver:
        """The solver; the stages of named implicit ones are solved in another way where diffrax's own fails."""
        if not self.name or not isinstance(self.method, dfx.AbstractImplicitSolver):
            return self.method
        # Judged by the first two rounds, as diffrax does, stages of KenCarp are refused at any size of the step.
        if options.dt is None and not isinstance(self.method, (dfx.KenCarp3, dfx.KenCarp4, dfx.KenCarp5)):
            return self.method
        finder = PatientChord(options.rtol, options.atol)  # type: ignore[arg-type]
        return eqx.tree_at(lambda m: (m.root_finder, m.root_find_max_steps), self.method, (finder, STAGE_ITERATIONS))

    def _run(self, problem, t0, ts, options, *, adjoint) -> dict[str, Any]:
        fixed = options.dt is not None
        breaks = problem.breakpoints()
        if problem.controls is not None and problem.controls.jumps:  # the last step ends at t1, where one may jump
            problem = eqx.tree_at(lambda p: p.controls, problem, Before(problem.controls, ts[-1]))
        controller: Any
        if fixed:
            stops = None if problem.noise is None else jax.lax.stop_gradient(ts)
            controller = FixedSteps(jax.lax.stop_gradient(options.dt), stops, breaks)
        else:
            controller = dfx.PIDController(rtol=options.rtol, atol=options.atol)
            if breaks is not None:
                controller = dfx.ClipStepSizeController(controller, jump_ts=breaks)
        solution = dfx.diffeqsolve(
            _terms(problem, t0, ts, options, self._is_imex(), self.method),
            self._method(options),
            t0,
            ts[-1],
            None,
            problem.state,
            problem,
            saveat=dfx.SaveAt(subs=[dfx.SubSaveAt(ts=ts), dfx.SubSaveAt(t1=True)]),
            stepsize_controller=watched(controller),
            adjoint=adjoint,
            event=_event(problem),
            max_steps=options.max_steps,
            throw=False,
        )
        return _conclude(problem, t0, ts, solution)


def diffrax_solvers() -> dict[str, Callable[[], dfx.AbstractSolver]]:
    """Diffrax's solvers by lower-case name; implicit ones solve their stages to the tolerance of the step."""
    found = {}
    for name in dir(dfx):
        kind = getattr(dfx, name)
        concrete = isinstance(kind, type) and issubclass(kind, dfx.AbstractSolver) and not name.startswith("Abstract")
        if concrete and name not in _NOT_BY_NAME:
            found[name.lower()] = kind
    return found


# They need arguments, a kind of problem we do not offer, or exist here as our own.
_NOT_BY_NAME = {
    *("HalfSolver", "ALIGN", "QUICSORT", "ShOULD"),
    *("SemiImplicitEuler", "LeapfrogMidpoint", "ReversibleHeun", "Tsit5", "Dopri5", "Dopri8"),
}


def _terms(problem, t0, ts, options, imex: bool, method) -> Any:
    if problem.noise is not None:
        return dfx.MultiTerm(dfx.ODETerm(_field), dfx.ControlTerm(_diffusion, _brownian(problem, t0, ts, options, method)))
    if imex:
        return dfx.MultiTerm(dfx.ODETerm(_explicit), dfx.ODETerm(_implicit))
    return dfx.ODETerm(_field)


def _field(t: Any, y: PyTree, problem: Any) -> PyTree:
    return _like(problem.field(t, y), y)


def _explicit(t: Any, y: PyTree, problem: Any) -> PyTree:
    return _like(problem.rate(problem.system, t, y, problem.control(t, y)), y)


def _implicit(t: Any, y: PyTree, problem: Any) -> PyTree:
    assert problem.implicit is not None
    return _like(problem.implicit(problem.system, t, y, problem.control(t, y)), y)


def _diffusion(t: Any, y: PyTree, problem: Any) -> lx.AbstractLinearOperator:
    assert problem.noise is not None
    amplitude = problem.noise(problem.system, t, y, problem.control(t, y))
    return lx.DiagonalLinearOperator(jax.tree.map(lambda a, v: jnp.broadcast_to(a, v.shape).astype(v.dtype), amplitude, y))


def _brownian(problem: InitialValueProblem, t0: Array, ts: Array, options: Options, method) -> dfx.VirtualBrownianTree:
    areas: Any = dfx.BrownianIncrement
    if isinstance(method, dfx.AbstractSRK):
        # The solver names the least it needs, an abstract class; the path is of a concrete one.
        kinds = (dfx.BrownianIncrement, dfx.SpaceTimeLevyArea, dfx.SpaceTimeTimeLevyArea)
        areas = next(kind for kind in kinds if issubclass(kind, method.minimal_levy_area))
    shape = jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype), problem.state)
    assert options.dt is not None and options.key is not None
    t0, end, dt = jax.lax.stop_gradient((t0, ts[-1], options.dt))
    return dfx.VirtualBrownianTree(t0, end, dt / 4, shape, options.key, levy_area=areas)


def _like(rate: PyTree, y: PyTree) -> PyTree:
    return jax.tree.map(lambda r, v: jnp.asarray(r, v.dtype), rate, y)


def _event(problem: InitialValueProblem) -> dfx.Event | None:
    if problem.event is None:
        return None
    event, count = problem.event, len(problem.event_direction)

    def condition(i: int) -> Callable:
        # Of the default float type whatever the state's: diffrax joins it with a Python number.
        return lambda t, y, args, **_: event(args.system, t, y)[i].astype(default_float())

    wanted = tuple({1: True, -1: False, 0: None}[d] for d in problem.event_direction)
    return dfx.Event(tuple(condition(i) for i in range(count)), Bisection(), direction=wanted)


def _conclude(problem: InitialValueProblem, t0: Array, ts: Array, solution: dfx.Solution) -> dict[str, Any]:
    assert solution.ys is not None and solution.ts is not None
    states, last = solution.ys
    final = jax.tree.map(lambda v: v[0], last)
    t = solution.ts[1][0]
    event = None
    stopped = jnp.asarray(False)
    if problem.event is not None:
        fired = jnp.stack(jax.tree.leaves(solution.event_mask))
        stopped = jnp.any(fired)
        event = EventRecord(
            jnp.where(stopped, jnp.argmax(fired), -1).astype(jnp.int32), jnp.where(stopped, t, jnp.nan)
        )
    good = dfx.is_okay(solution.result)
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(v)) for v in jax.tree.leaves(final)]))
    bad = jnp.where(solution.result == FAILED_NON_FINITE, Code.NON_FINITE, Code.STEP_TOO_SMALL)
    bad = jnp.where(solution.result == dfx.RESULTS.max_steps_reached, Code.STEP_LIMIT, bad)
    code = jnp.where(good, jnp.where(finite, Code.OK, Code.NON_FINITE), bad).astype(jnp.int32)
    reached = jnp.where(stopped, ts <= t, True)

    never_moved = (t == t0) & (ts == t0)  # diffrax stores the start only with the first step that it keeps

    def mask(v: Array, start: Array) -> Array:
        def wide(x: Array) -> Array:
            return x.reshape((-1,) + (1,) * (v.ndim - 1))

        v = jnp.where(wide(never_moved), start, v)
        return jnp.where(wide(reached) & jnp.isfinite(v), v, jnp.nan)

    return {
        "states": jax.tree.map(mask, states, problem.state),
        "final": jax.tree.map(lambda v: jnp.where(code == Code.OK, v, jnp.nan), final),
        "code": code,
        "t": t,
        "steps": jnp.asarray(solution.stats["num_steps"], jnp.int32),
        "rejected": jnp.asarray(solution.stats["num_rejected_steps"], jnp.int32),
        "event": event,
    }

"""The default solvers: explicit Tsit5, stiff Rodas5P, and the choice between them while running."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from ..core.status import Code, Status
from .events import locate_event
from .integrate import Progress, Run, advance, advance_by, start
from .one_step import Method
from .problems import FlatField, InitialValueProblem, Options, Solution, Solver, Stats
from .rosenbrock import RODAS5P
from .runge_kutta import runge_kutta
from .sensitivity import count_outputs, differentiable, hoisted
from .step_control import StepControl
from .tableaux import DOPRI5, DOPRI8, RK4, TSIT5

_EXPLICIT = {pair.name: runge_kutta(pair) for pair in (TSIT5, DOPRI5, DOPRI8, RK4)}
METHODS: dict[str, tuple[Method, ...]] = {
    "auto": (_EXPLICIT["tsit5"], RODAS5P),
    "rodas5p": (RODAS5P,),
    **{name: (method,) for name, method in _EXPLICIT.items()},
}


class Adaptive(Solver):
    """One-step methods with error control and dense output.

    `"auto"` starts with the explicit pair Tsit5 and hands over to the stiff method Rodas5P when steps turn out to be
    limited by stability instead of accuracy; other names of `METHODS` stay with one. With `options.dt` steps are
    fixed, and `"auto"` is Tsit5.
    """

    name: str = eqx.field(static=True, default="auto")

    def methods(self, options: Options) -> tuple[Method, ...]:
        """The methods of a run, in the order in which they take over.

        **Raises** `ValueError` for adaptive steps with a method that does not estimate its error.
        """
        if options.dt is None and not METHODS[self.name][0].estimates:
            raise ValueError(f"{self.name} has no error estimate, so that it cannot choose its step: pass dt=step.")
        return METHODS[self.name][:1] if options.dt is not None else METHODS[self.name]

    def solve(
        self, problem: InitialValueProblem, t0: Float[Array, ""], ts: Float[Array, " k"], options: Options
    ) -> Solution:
        """States at `ts`, differentiable as `options.gradient` says."""
        _check(problem)
        methods = self.methods(options)
        arrays, rest = eqx.partition((problem, t0, ts, options), eqx.is_array)
        leaves, structure = jax.tree.flatten(arrays)

        def run(gradient: str) -> Callable:
            def evaluate(*values: Array) -> dict[str, Any]:
                inputs = eqx.combine(jax.tree.unflatten(structure, values), rest)
                return _run(*inputs, methods=methods, gradient=gradient)

            return evaluate

        forward, reverse = run("forward"), run("reverse")
        if problem.closes_over_traced():
            (forward, reverse), leaves = hoisted((forward, reverse), leaves)
        out = differentiable(forward, reverse, options.gradient, count_outputs(problem, ts))(*leaves)
        return _solution(problem, out, methods)


def begin(
    problem: InitialValueProblem, t0: Array, ts: Array, options: Options, methods: tuple[Method, ...]
) -> tuple[Progress, Array]:
    """The progress of a run at its start, and rows for its outputs, still empty."""
    _check(problem)
    run = _as_run(problem, ts, options, methods)
    y0 = ravel_pytree(problem.state)[0]
    return start(run, t0, y0), jnp.full((ts.shape[0], y0.shape[0]), jnp.nan, y0.dtype)


def go_on(
    problem: InitialValueProblem,
    state: tuple[Progress, Array],
    ts: Array,
    budget: Int[Array, ""],
    options: Options,
    methods: tuple[Method, ...],
    number: int,
) -> tuple[Solution, Progress, Array, Bool[Array, ""]]:
    """Continue a run by `methods[number]`, until that hands over or `budget` steps have been attempted in all.

    Returns the solution so far, where it stands, and whether it goes on, by the method `progress.method`.
    """
    run = _as_run(problem, ts, options, methods)
    progress, rows = advance_by(number, run, *state, budget)
    solution = _solution(problem, _conclude(run, progress, rows), methods)
    return solution, progress, rows, progress.unfinished(ts.shape[0])


def _check(problem: InitialValueProblem) -> None:
    if problem.noise is not None:
        raise ValueError(
            "the system has noise, which 'auto', 'tsit5' and 'rodas5p' do not know: pass solver='euler' (Ito) or "
            "solver='heun' (Stratonovich), with key=0 and dt=0.01, to simulate."
        )


def _as_run(
    problem: InitialValueProblem, ts: Array, options: Options, methods: tuple[Method, ...], gradient: Any = "forward"
) -> Run:
    dt = None if options.dt is None else jax.lax.stop_gradient(options.dt)
    control = StepControl(rtol=options.rtol, atol=options.atol, dt=dt)
    field = FlatField(problem, ravel_pytree(problem.state)[1])
    return Run(field, ts, control, methods, options.landing, gradient)


def _run(problem, t0, ts, options, *, methods, gradient) -> dict[str, Any]:
    run = _as_run(problem, ts, options, methods, gradient)
    progress, rows = advance(run, *begin(problem, t0, ts, options, methods), jnp.asarray(options.max_steps))
    return _conclude(run, progress, rows)


def _conclude(run: Run, progress: Progress, rows: Array) -> dict[str, Any]:
    """The end of a run as plain arrays: event, last state, status."""
    final, event = rows[-1], None
    if run.has_events:
        event, at_event = locate_event(run, progress)
        rows = jnp.where((event.happened & (run.ts > event.t))[:, None], jnp.nan, rows)
        final = jnp.where(event.happened, at_event, final)
    code = jnp.where(progress.unfinished(run.ts.shape[0]), Code.STEP_LIMIT, progress.code)
    final = jnp.where(code == Code.OK, final, jnp.nan)
    return {
        "rows": rows,
        "final": final,
        "code": code,
        "t": progress.t,
        "steps": progress.steps,
        "rejected": progress.rejected,
        "switched": progress.switched,
        "event": event,
    }


def _solution(problem: InitialValueProblem, out: dict[str, Any], methods: tuple[Method, ...]) -> Solution:
    _, unravel = ravel_pytree(problem.state)
    failed = out["code"] != Code.OK
    status = Status(
        code=out["code"],
        t=jnp.where(failed, out["t"], jnp.nan),
        # Attempts are counted from 0: the last one made is the bad one, the limit stops the one after it.
        step=jnp.where(failed, jnp.maximum(out["steps"] - (out["code"] != Code.STEP_LIMIT), 0), -1),
    )
    stats = Stats(
        solver=methods[0].name,
        steps=out["steps"],
        rejected=out["rejected"],
        switched_at=out["switched"],
        stiff_solver=methods[1].name if len(methods) > 1 else None,
    )
    return Solution(
        states=jax.vmap(unravel)(out["rows"]),
        final=unravel(out["final"]),
        status=status,
        stats=stats,
        event=out["event"],
    )

"""Runs of fixed steps: where steps end, what is stored, failures, derivatives. A solver adds the one step.

Between two output times the step is the largest one not above `dt` that divides the interval evenly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from ..core.lanes.single import one_lane
from ..core.lanes.width import lane_width
from ..core.loops import scan, while_loop
from ..core.status import Code, Status
from .problems import InitialValueProblem, Options, Solution, Solver, Stats
from .sensitivity import count_outputs, differentiable, hoisted
from .step_control import all_finite, same_time


class FixedStep(Solver):
    """Solvers that take steps of a fixed size. Subclasses define `step`, and `check` what they can solve."""

    name: str = eqx.field(static=True)

    def check(self, problem: InitialValueProblem) -> None:
        """**Raises** `ValueError` for a problem that this solver cannot solve."""
        raise NotImplementedError

    def enter(self, problem: InitialValueProblem, t: Float[Array, ""], state: PyTree) -> PyTree:
        """What goes from step to step: the state, and what else a solver keeps that can be made anew from a state."""
        return state

    def leave(self, working: PyTree) -> PyTree:
        """The state in what goes from step to step."""
        return working

    def seen(self, working: PyTree) -> PyTree:
        """The state as it is shown to measurements, which may use what else a solver keeps."""
        return self.leave(working)

    def step(
        self, problem: InitialValueProblem, t: Float[Array, ""], working: PyTree, h: Float[Array, ""]
    ) -> tuple[PyTree, Int[Array, ""]]:
        """What goes on to the next step at t + h, and a `Code`. A state that is not finite need not be reported.

        With CAPACITY_OVERFLOW it is what was given: the run can be continued from there with more room.
        """
        raise NotImplementedError

    def solve(
        self, problem: InitialValueProblem, t0: Float[Array, ""], ts: Float[Array, " k"], options: Options
    ) -> Solution:
        """States at `ts`, differentiable as `options.gradient` says."""
        self.check(problem)
        if options.dt is None:
            raise ValueError(f"{self.name} takes fixed steps: pass dt=step to simulate.")
        arrays, rest = eqx.partition((problem, t0, ts, options), eqx.is_array)
        leaves, structure = jax.tree.flatten(arrays)

        def run(gradient: Literal["forward", "reverse"]) -> Callable:
            def evaluate(*values: Array) -> dict[str, Any]:
                inputs = eqx.combine(jax.tree.unflatten(structure, values), rest)
                return _run(self, *inputs, gradient=gradient)

            return evaluate

        forward, reverse = run("forward"), run("reverse")
        if options.stepwise and options.gradient in ("auto", "reverse"):
            # A scan over steps that are made again on the way back: it has both modes, and costs little in either.
            out = (one_lane(reverse) if options.alone else reverse)(*leaves)
        else:
            if problem.closes_over_traced():
                (forward, reverse), leaves = hoisted((forward, reverse), leaves)
            out = differentiable(forward, reverse, options.gradient, count_outputs(problem, ts))(*leaves)
        failed = out["code"] != Code.OK
        # Steps are counted from 0: the last one made is the bad one, the limit stops the one after it.
        bad_step = jnp.maximum(out["steps"] - (out["code"] != Code.STEP_LIMIT), 0)
        status = Status(out["code"], jnp.where(failed, out["t"], jnp.nan), jnp.where(failed, bad_step, -1))
        stats = Stats(
            self.name, out["steps"], jnp.zeros_like(out["steps"]), jnp.full_like(out["t"], jnp.nan), lanes=out["lanes"]
        )
        final = _unless(failed, out["reached"])
        return Solution(out["states"], final, status, stats, reached=out["reached"])


def _run(
    solver: FixedStep,
    problem: InitialValueProblem,
    t0: Array,
    ts: Array,
    options: Options,
    *,
    gradient: Literal["forward", "reverse"],
) -> dict[str, Any]:
    dt = jnp.asarray(options.dt)

    def attempt(t: Array, state: PyTree, h: Array) -> tuple[PyTree, Array]:
        state, code = solver.step(problem, t, state, h)
        numbers = [x for x in jax.tree.leaves(solver.leave(state)) if jnp.issubdtype(x.dtype, jnp.floating)]
        return state, jnp.where((code == Code.OK) & ~all_finite(*numbers), Code.NON_FINITE, code).astype(jnp.int32)

    def show(state: PyTree) -> PyTree:
        return solver.leave(state) if options.record is None else options.record(problem.system, solver.seen(state))

    def interval(carry: tuple, target: Array) -> tuple[tuple, PyTree]:
        left, state, count, code = carry
        number = _count(left, target, dt)
        enough = number <= options.max_steps - count
        h = _step_size(left, target, number, dt)
        number = jnp.where(enough, number, options.max_steps - count)

        def body(c: tuple) -> tuple:
            i, y, _ = c
            y, code = attempt(left + i * h, y, h)
            return i + 1, y, code

        start = (jnp.zeros((), jnp.int32), state, code)
        goes_on = lambda c: (c[0] < number) & (c[2] == Code.OK)
        taken, state, new = while_loop(goes_on, body, start, gradient=gradient)
        bad = new != Code.OK
        # A run ends where its bad step, or the one too many, begins.
        last = left + jnp.maximum(taken - bad, 0) * h
        new = jnp.where(bad | enough, new, Code.STEP_LIMIT)
        left = jnp.where(code != Code.OK, left, jnp.where(new != Code.OK, last, target))
        return (left, state, count + taken, new), _unless(new != Code.OK, show(state))

    def single(carry: tuple, target: Array) -> tuple[tuple, PyTree]:
        left, state, count, code = carry
        runs = code == Code.OK
        over = runs & (count >= options.max_steps)
        h = _step_size(left, target, jnp.ones((), jnp.int32), dt)
        moved, new = attempt(left, state, h)
        new = jnp.where(runs, jnp.where(over, Code.STEP_LIMIT, new), code)
        shown = _unless(new != Code.OK, show(moved))
        kept = jax.tree.map(lambda a, b: jnp.where(new == Code.OK, a, b), moved, state)
        return (jnp.where(new == Code.OK, target, left), kept, count + (runs & ~over), new), shown

    first = solver.enter(problem, t0, problem.state)
    start = (t0, first, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))
    if options.stepwise:
        # Each state is a result, and so all that the reverse pass need keep: a step is computed again on the way back.
        body = jax.checkpoint(single) if gradient == "reverse" else single
        # What a solver keeps beside the state may be large: it is kept at few places, and made again between them.
        places = "sqrt" if gradient == "reverse" and _size(first) > 2 * _size(problem.state) else None
        (t, last, count, code), states = scan(body, start, ts[1:], checkpoints=places)
        states = jax.tree.map(lambda first, later: jnp.concatenate([first[None], later]), show(first), states)
    else:
        if gradient == "reverse":
            interval = jax.checkpoint(interval)
        (t, last, count, code), states = scan(interval, start, ts)
    reached = solver.leave(last)
    return {"states": states, "reached": reached, "code": code, "t": t, "steps": count, "lanes": lane_width()}


def _unless(failed: Array, states: PyTree) -> PyTree:
    """States, or NaN in place of their numbers."""
    return jax.tree.map(
        lambda v: jnp.where(failed, jnp.nan, v) if jnp.issubdtype(v.dtype, jnp.floating) else v,
        jax.tree.map(jnp.asarray, states),
    )


def _size(tree: PyTree) -> int:
    return sum(x.size for x in jax.tree.leaves(tree))


def _count(left: Array, target: Array, dt: Array) -> Array:
    """The number of steps from one time to another."""
    span = jax.lax.stop_gradient(target - left)
    return jnp.ceil(span / dt * (1 - 1e-6)).astype(jnp.int32)


def _step_size(left: Array, target: Array, number: Array, dt: Array) -> Array:
    """The even part of an interval; `dt` itself where that differs by rounding only, so that runs in pieces agree."""
    h = (target - left) / jnp.maximum(number, 1)
    same = same_time(left + number * dt, target)
    return jnp.where(same, jax.lax.stop_gradient(dt) + (h - jax.lax.stop_gradient(h)), h)

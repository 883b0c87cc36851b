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

RENEW = -1  # a step's code: its company was not right any more


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

    def seen(self, working: PyTree, company: PyTree) -> PyTree:
        """The state as it is shown to measurements, which may use what else a solver keeps."""
        return self.leave(working)

    def small(self, problem: InitialValueProblem) -> bool:
        """Whether a run may become native code as a whole; not one whose steps work on large arrays."""
        return True

    def company(self, problem: InitialValueProblem, state: PyTree) -> PyTree:
        """What steps need beside the state and stays right for many of them, such as lists of neighbors."""
        return None

    def step(
        self, problem: InitialValueProblem, t: Float[Array, ""], working: PyTree, company: PyTree, h: Float[Array, ""]
    ) -> tuple[PyTree, Int[Array, ""]]:
        """What goes on to the next step at t + h, and a `Code`. A state that is not finite need not be reported.

        With the code RENEW the company was not right any more for the state that is returned: the step is made again from
        where it began, in the company made for that state.
        """
        raise NotImplementedError

    def solve(
        self, problem: InitialValueProblem, t0: Float[Array, ""], ts: Float[Array, " k"], options: Options
    ) -> Solution:
        """States at `ts`, differentiable as `options.gradient` says."""
        problem = eqx.tree_at(lambda p: p.key, problem, options.key, is_leaf=lambda x: x is None)
        self.check(problem)
        if options.dt is None:
            raise ValueError(f"{self.name} takes fixed steps: pass dt=step to simulate.")
        arrays, rest = eqx.partition((self, problem, t0, ts, options), eqx.is_array)
        leaves, structure = jax.tree.flatten(arrays)

        def run(gradient: Literal["forward", "reverse"]) -> Callable:
            def evaluate(*values: Array) -> dict[str, Any]:
                inputs = eqx.combine(jax.tree.unflatten(structure, values), rest)
                return _run(*inputs, gradient=gradient)

            return evaluate

        forward, reverse = run("forward"), run("reverse")
        if options.stepwise and options.gradient in ("auto", "reverse"):
            # A scan over steps that are made again on the way back: it has both modes, and costs little in either.
            out = (one_lane(reverse) if options.alone and self.small(problem) else reverse)(*leaves)
        else:
            if problem.closes_over_traced():
                (forward, reverse), leaves = hoisted((forward, reverse), leaves)
            outputs, small = count_outputs(problem, ts), self.small(problem)
            out = differentiable(forward, reverse, options.gradient, outputs, native=small)(*leaves)
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

    def attempt(t: Array, state: PyTree, company: PyTree, h: Array) -> tuple[PyTree, Array]:
        state, code = solver.step(problem, t, state, company, h)
        numbers = [x for x in jax.tree.leaves(solver.leave(state)) if jnp.issubdtype(x.dtype, jnp.floating)]
        return state, jnp.where((code == Code.OK) & ~all_finite(*numbers), Code.NON_FINITE, code).astype(jnp.int32)

    def show(state: PyTree, company: PyTree) -> PyTree:
        if options.record is None:
            return solver.leave(state)
        return options.record(problem.system, solver.seen(state, company))

    def many(left: Array, h: Array, number: Array, begin: tuple) -> tuple:
        """Up to `number` steps: how many were made, the state, the company and the code."""

        def steps(c: tuple, company: PyTree) -> tuple:
            def body(c: tuple) -> tuple:
                i, y, _, _ = c
                new, code = attempt(left + i * h, y, company, h)
                made = code == Code.OK
                # Without company every step is made, and the last one is what the run ends with, even if it failed.
                return i + made, new if company is None else _select(made, new, y), _unless_none(company, new), code

            return while_loop(lambda c: (c[0] < number) & (c[3] == Code.OK), body, c, gradient=gradient)

        def in_company(c: tuple) -> tuple:
            company, rest = c
            i, y, aim, code = steps(rest, company)
            renew = code == RENEW
            company = _if_so(renew, lambda: solver.company(problem, solver.leave(aim)), company)
            return company, (i, y, aim, jnp.where(renew, Code.OK, code))

        state, company, code = begin
        start = (jnp.zeros((), jnp.int32), state, _unless_none(company, state), code)
        if company is None:
            i, state, _, code = steps(start, None)
            return i, state, None, code
        goes_on = lambda c: (c[1][0] < number) & (c[1][3] == Code.OK)
        company, (i, state, _, code) = while_loop(goes_on, in_company, (company, start), gradient=gradient)
        return i, state, company, code

    def interval(carry: tuple, target: Array) -> tuple[tuple, PyTree]:
        left, state, company, count, code = carry
        number = _count(left, target, dt)
        enough = number <= options.max_steps - count
        h = _step_size(left, target, number, dt)
        number = jnp.where(enough, number, options.max_steps - count)
        taken, state, company, new = many(left, h, number, (state, company, code))
        bad = new != Code.OK
        # A run ends where its bad step, or the one too many, begins.
        last = left + taken * h
        new = jnp.where(bad | enough, new, Code.STEP_LIMIT)
        left = jnp.where(code != Code.OK, left, jnp.where(new != Code.OK, last, target))
        return (left, state, company, count + taken + (bad & (code == Code.OK)), new), _unless(
            new != Code.OK, show(state, company)
        )

    def single(carry: tuple, target: Array) -> tuple[tuple, PyTree]:
        left, state, company, count, code = carry
        runs = code == Code.OK
        over = runs & (count >= options.max_steps)
        h = _step_size(left, target, jnp.ones((), jnp.int32), dt)
        moved, new = attempt(left, state, company, h)
        if company is not None:

            def again(c: tuple) -> tuple:
                company, aim, _ = c
                company = solver.company(*jax.lax.stop_gradient((problem, solver.leave(aim))))
                return company, *jax.lax.stop_gradient(attempt(left, state, company, h))

            # Who is in company has no derivative: the loop that finds it does not, so that the step has both modes.
            renew = new == RENEW
            begin = (company, *jax.lax.stop_gradient((moved, new)))
            company, _, _ = while_loop(lambda c: c[2] == RENEW, again, begin)
            moved, new = jax.lax.cond(renew, lambda: attempt(left, state, company, h), lambda: (moved, new))
        new = jnp.where(runs, jnp.where(over, Code.STEP_LIMIT, new), code)
        shown = _unless(new != Code.OK, show(moved, company))
        kept = _select(new == Code.OK, moved, state)
        return (jnp.where(new == Code.OK, target, left), kept, company, count + (runs & ~over), new), shown

    first = solver.enter(problem, t0, problem.state)
    company = solver.company(problem, solver.leave(first))
    start = (t0, first, company, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))
    if options.stepwise:
        # Each state is a result, and so all that the reverse pass need keep: a step is computed again on the way back.
        body = _made_again(single) if gradient == "reverse" else single
        # What a solver keeps beside the state may be large: it is kept at few places, and made again between them.
        places: Literal["sqrt"] | None = "sqrt" if gradient == "reverse" and company is not None else None
        (t, last, _, count, code), states = scan(body, start, ts[1:], checkpoints=places)
        states = jax.tree.map(lambda first, later: jnp.concatenate([first[None], later]), show(first, company), states)
    else:
        if gradient == "reverse":
            interval = _made_again(interval)
        (t, last, _, count, code), states = scan(interval, start, ts)
    reached = solver.leave(last)
    return {"states": states, "reached": reached, "code": code, "t": t, "steps": count, "lanes": lane_width()}


def _made_again(body: Callable) -> Callable:
    """A body of a scan that is made again on the way back; leaves of its carry that are no arrays stay as they are."""

    def run(carry: PyTree, x: Array) -> tuple[PyTree, PyTree]:
        arrays, rest = eqx.partition(carry, eqx.is_array)

        def of_arrays(arrays: PyTree, x: Array) -> tuple[PyTree, PyTree]:
            new, y = body(eqx.combine(arrays, rest), x)
            return eqx.filter(new, eqx.is_array), y

        new, y = jax.checkpoint(of_arrays)(arrays, x)
        return eqx.combine(new, rest), y

    return run


def _select(which: Array, new: PyTree, old: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(which, a, b), new, old)


def _unless_none(company: PyTree, state: PyTree) -> PyTree:
    return None if company is None else state


def _if_so(which: Array, make: Callable[[], PyTree], otherwise: PyTree) -> PyTree:
    """A loop of one turn or none. Of a branch `vmap` would make both sides for every run; this it makes if any needs it."""
    return while_loop(lambda c: c[0], lambda c: (jnp.zeros((), bool), make()), (which, otherwise))[1]


def _unless(failed: Array, states: PyTree) -> PyTree:
    """States, or NaN in place of their numbers."""
    return jax.tree.map(
        lambda v: jnp.where(failed, jnp.nan, v) if jnp.issubdtype(v.dtype, jnp.floating) else v,
        jax.tree.map(jnp.asarray, states),
    )


def _count(left: Array, target: Array, dt: Array) -> Array:
    """The number of steps from one time to another."""
    span = jax.lax.stop_gradient(target - left)
    return jnp.ceil(span / dt * (1 - 1e-6)).astype(jnp.int32)


def _step_size(left: Array, target: Array, number: Array, dt: Array) -> Array:
    """The even part of an interval; `dt` itself where that differs by rounding only, so that runs in pieces agree."""
    h = (target - left) / jnp.maximum(number, 1)
    same = same_time(left + number * dt, target)
    return jnp.where(same, jax.lax.stop_gradient(dt) + (h - jax.lax.stop_gradient(h)), h)

"""The march of a run of fixed steps: from output to output, in company that is made anew where it must be.

The company of a step is what it needs beside the state and what stays right for many steps, such as lists of neighbors. It
is made in loops around those of steps, which do not carry it, and where it is made has no derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from ..core.lanes.width import lane_width
from ..core.loops import scan, while_loop
from ..core.status import Code
from .problems import InitialValueProblem, Options
from .step_control import all_finite, same_time

if TYPE_CHECKING:
    from .stepping import FixedStep

RENEW = -1  # a step's code: its company was not right any more
UNTRIED = -2

Carry = tuple[Array, PyTree, PyTree, Array, Array]  # time, working state, company, steps made, code


class March:
    """The steps of one run; `run` makes them all."""

    def __init__(
        self, solver: FixedStep, problem: InitialValueProblem, options: Options, gradient: Literal["forward", "reverse"]
    ):
        self.solver, self.problem, self.options, self.gradient = solver, problem, options, gradient
        self.dt = jnp.asarray(options.dt)

    def run(self, t0: Array, ts: Array) -> dict[str, Any]:
        """States at `ts`, the state reached, the code, the time and the number of steps there."""
        solver, problem = self.solver, self.problem
        company = solver.company(problem, solver.basis(problem.state))
        first = solver.enter(problem, t0, problem.state, company)
        start = (t0, first, company, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))
        reverse = self.gradient == "reverse"
        body = _made_again if reverse else lambda body: body
        if self.options.stepwise:
            # Each state is a result, and so all that the reverse pass need keep: a step is computed again on the way back.
            # What a solver keeps beside the state may be large: it is kept at few places, and made again between them.
            places: Literal["sqrt"] | None = "sqrt" if reverse and company is not None else None
            (t, last, _, count, code), states = scan(body(self.one_step), start, ts[1:], checkpoints=places)
            begin = self.show(first, company)
            states = jax.tree.map(lambda first, later: jnp.concatenate([first[None], later]), begin, states)
        else:
            (t, last, _, count, code), states = scan(body(self.to_output), start, ts)
        reached = solver.leave(last)
        return {"states": states, "reached": reached, "code": code, "t": t, "steps": count, "lanes": lane_width()}

    def attempt(self, t: Array, state: PyTree, company: PyTree, h: Array) -> tuple[PyTree, Array]:
        """One step, and its code."""
        state, code = self.solver.step(self.problem, t, state, company, h)
        numbers = [x for x in jax.tree.leaves(self.solver.leave(state)) if jnp.issubdtype(x.dtype, jnp.floating)]
        return state, jnp.where((code == Code.OK) & ~all_finite(*numbers), Code.NON_FINITE, code).astype(jnp.int32)

    def show(self, state: PyTree, company: PyTree) -> PyTree:
        """What is stored of a state."""
        if self.options.record is None:
            return self.solver.leave(state)
        measured = self.options.record(self.problem.system, self.solver.seen(state, company))
        # A state that is returned as it came brings the company with it, which is no result.
        measured = jax.tree.map(lambda x: None if x is company else x, measured, is_leaf=lambda x: x is company)
        return jax.tree.map(_as_result, measured)

    def to_output(self, carry: Carry, target: Array) -> tuple[Carry, PyTree]:
        """All steps to the next output time."""
        left, state, company, count, code = carry
        number = _count(left, target, self.dt)
        enough = number <= self.options.max_steps - count
        h = _step_size(left, target, number, self.dt)
        number = jnp.where(enough, number, self.options.max_steps - count)
        taken, state, company, new = self.many(left, h, number, (state, company, code))
        bad = new != Code.OK
        # A run ends where its bad step, or the one too many, begins.
        last = left + taken * h
        new = jnp.where(bad | enough, new, Code.STEP_LIMIT)
        left = jnp.where(code != Code.OK, left, jnp.where(new != Code.OK, last, target))
        count = count + taken + (bad & (code == Code.OK))
        return (left, state, company, count, new), unless(new != Code.OK, self.show(state, company))

    def many(self, left: Array, h: Array, number: Array, begin: tuple) -> tuple[Array, PyTree, PyTree, Array]:
        """Up to `number` steps: how many were made, the state, the company and the code."""
        state, company, code = begin
        solver, lasting = self.solver, not _has_arrays(company)

        def steps(c: tuple, company: PyTree) -> tuple:
            def body(c: tuple) -> tuple:
                i, y, _, _ = c
                new, code = self.attempt(left + i * h, y, company, h)
                made = code == Code.OK
                # Company that lasts lets every step be made, and the last one is where the run ends, even if it failed.
                aim = None if lasting else solver.basis(solver.leave(new))
                return i + made, new if company is None else _select(made, new, y), aim, code

            return while_loop(lambda c: (c[0] < number) & (c[3] == Code.OK), body, c, gradient=self.gradient)

        def in_company(c: tuple) -> tuple:
            company, rest = c
            i, y, aim, code = steps(rest, company)
            renew = code == RENEW
            company = self.renewed(renew, aim, company)
            return company, (i, y, aim, jnp.where(renew, Code.OK, code))

        start = (jnp.zeros((), jnp.int32), state, None if lasting else solver.basis(solver.leave(state)), code)
        if lasting:
            i, state, _, code = steps(start, company)
            return i, state, company, code
        goes_on = lambda c: (c[1][0] < number) & (c[1][3] == Code.OK)
        company, (i, state, _, code) = while_loop(goes_on, in_company, (company, start), gradient=self.gradient)
        return i, state, company, code

    def one_step(self, carry: Carry, target: Array) -> tuple[Carry, PyTree]:
        """The one step to the next output time."""
        left, state, company, count, code = carry
        runs = code == Code.OK
        over = runs & (count >= self.options.max_steps)
        h = _step_size(left, target, jnp.ones((), jnp.int32), self.dt)
        if _has_arrays(company):
            company = self.right_company(left, state, company, h)
        moved, new = self.attempt(left, state, company, h)
        new = jnp.where(runs, jnp.where(over, Code.STEP_LIMIT, new), code)
        shown = unless(new != Code.OK, self.show(moved, company))
        kept = _select(new == Code.OK, moved, state)
        return (jnp.where(new == Code.OK, target, left), kept, company, count + (runs & ~over), new), shown

    def right_company(self, t: Array, state: PyTree, company: PyTree, h: Array) -> PyTree:
        """Company that is right for a step, found by trying; of a trial only what the company depends on is computed."""
        solver = self.solver
        march = March(solver, jax.lax.stop_gradient(self.problem), self.options, "forward")
        t, state, company, h = jax.lax.stop_gradient((t, state, company, h))

        def again(c: tuple) -> tuple:
            company, aim, code = c
            company = march.renewed(code == RENEW, aim, company)
            moved, code = solver.step(march.problem, t, state, company, h)
            return company, solver.basis(solver.leave(moved)), code

        start = (company, solver.basis(solver.leave(state)), jnp.asarray(UNTRIED, jnp.int32))
        return while_loop(lambda c: c[2] < 0, again, start)[0]

    def renewed(self, which: Array, aim: PyTree, company: PyTree) -> PyTree:
        """The company made for another state, where that is asked for.

        It is a loop of one turn or none: of a branch `vmap` would make both sides for every run, this if any needs it.
        """
        make = lambda c: (jnp.zeros((), bool), self.solver.company(self.problem, aim))
        return while_loop(lambda c: c[0], make, (which, company))[1]


def _as_result(value: Any) -> Array:
    if not isinstance(value, (bool, int, float, complex, np.generic, np.ndarray, jax.Array)):
        raise TypeError(f"record returned {value!r}: it must return numbers, arrays, or tuples, lists and dicts of them.")
    return jnp.asarray(value)


def _has_arrays(company: PyTree) -> bool:
    return any(eqx.is_array(x) for x in jax.tree.leaves(company))


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


def unless(failed: Array, states: PyTree) -> PyTree:
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

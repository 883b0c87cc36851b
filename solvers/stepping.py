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
from ..core.status import Code, Status
from .march import March, unless
from .problems import InitialValueProblem, Options, Solution, Solver, Stats
from .sensitivity import count_outputs, differentiable, hoisted


class FixedStep(Solver):
    """Solvers that take steps of a fixed size. Subclasses define `step`, and `check` what they can solve."""

    name: str = eqx.field(static=True)

    def check(self, problem: InitialValueProblem) -> None:
        """**Raises** `ValueError` for a problem that this solver cannot solve."""
        raise NotImplementedError

    def enter(self, problem: InitialValueProblem, t: Float[Array, ""], state: PyTree, company: PyTree) -> PyTree:
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

    def company(self, problem: InitialValueProblem, basis: PyTree) -> PyTree:
        """What steps need beside the state and stays right for many of them, such as lists of neighbors."""
        return None

    def basis(self, state: PyTree) -> PyTree:
        """The part of a state that company is made from."""
        return state

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
                solver, problem, t0, ts, options = inputs
                return March(solver, problem, options, gradient).run(t0, ts)

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
        final = unless(failed, out["reached"])
        return Solution(out["states"], final, status, stats, reached=out["reached"])



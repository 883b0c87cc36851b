"""Runs of fixed steps, made piece by piece: long ones report their progress, and arrays that prove too small grow.

A piece ends at an output time, or where its steps are used up. The next one begins with the state in which it ended, so that
the steps are those of one long run and their numbers agree to rounding. What is a piece depends on the size of the state
and the times alone, and never on the clock or on whether there is a terminal: a run can be repeated exactly.
"""

from __future__ import annotations

import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..core.status import Code
from ..solvers.problems import Solution
from .growing import with_more_room
from .progress import ProgressBar
from .request import Request, solve

WORK = 100_000_000  # numbers of a state times steps in a piece: about a second or two
FEWEST_STEPS, MOST_STEPS = 200, 500_000


class _Going:
    """How far a run has come, the output times of the piece that are left, and what was stored before."""

    def __init__(self, state: PyTree, t0: Any, stepwise: bool):
        self.state, self.t, self.stepwise = state, t0, stepwise
        self.left = np.empty(0)
        self.stored: list[PyTree] = []
        self.steps = 0

    def absorb(self, solution: Solution) -> None:
        """Go on from where a solution ended."""
        status, self.state = solution.status, solution.reached
        self.t = np.asarray(status.t) if bool(status.failed) else np.asarray(self.left[-1])
        # A run of `steps` stores the state it starts from first, and starts at an output time.
        done = int(np.searchsorted(self.left, self.t, side="right")) - self.stepwise
        self.stored.append(jax.tree.map(lambda x: x[:done], solution.states))
        self.left = self.left[done:]
        overflow = int(status.code) == Code.CAPACITY_OVERFLOW
        self.steps += int(solution.stats.steps) - overflow  # the step that found too little room was not made

    def whole(self, last: Solution, rows: int) -> Solution:
        """All pieces as one solution of so many rows, with NaN where the run did not come."""
        if not self.stored and len(self.left) == rows:
            return last
        missing = rows - sum(len(jax.tree.leaves(x)[0]) for x in self.stored) - len(self.left)
        rest = jax.tree.map(lambda x: x[: len(self.left)], last.states)
        never = jax.tree.map(lambda x: jnp.repeat(x[-1:], missing, 0), last.states)  # the last row was not reached either
        states = jax.tree.map(lambda *xs: jnp.concatenate(xs), *self.stored, rest, never)
        status = last.status
        step = jnp.where(status.failed, status.step + self.steps, status.step)
        return eqx.tree_at(
            lambda s: (s.states, s.status.step, s.stats.steps), last, (states, step, last.stats.steps + self.steps)
        )


def solve_in_pieces(request: Request, *, always: bool | None) -> Solution:
    """The whole run of fixed steps, with room enough all along.

    A step that finds too little room is not made: the run goes on from the state before it, by `system.grown`. Runs of
    several pieces show a bar when `always` or, where that is None, on a terminal.
    """
    t0, ts, options = request.t0, request.ts, request.options
    if options.dt is None:
        return solve(request)  # which says that it is missing
    limit = int(options.max_steps)
    budget = min(limit, _steps_in_a_piece(request.state))
    pieces, one = _pieces(float(t0), np.asarray(ts), float(options.dt), budget, options.stepwise)
    size = max(map(len, pieces))
    system, growths = request.system, 0
    going = _Going(request.state, t0, options.stepwise)

    def attempt(system: Any) -> Solution:
        # One size of arrays for all pieces, so that one program makes them; with further rows at the end of the piece.
        wanted = going.left if going.stepwise else np.pad(going.left, (0, size - len(going.left)), mode="edge")
        most = options.max_steps if one else np.asarray(min(budget, limit - going.steps), np.int32)
        limited = eqx.tree_at(lambda o: o.max_steps, options, most)
        return solve(request._replace(system=system, state=going.state, t0=going.t, ts=wanted, options=limited))

    shown = not one and (sys.stderr.isatty() if always is None else always)
    with ProgressBar(float(t0), float(ts[-1]), shown=shown) as bar:
        for k, piece in enumerate(pieces):
            going.left = piece
            while True:
                solution = attempt(system)
                if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(solution)):
                    # By values that came in unseen, such as those that functions close over: the status is data.
                    return solve(request)
                code, larger = int(solution.status.code), None
                if code == Code.CAPACITY_OVERFLOW:
                    larger, growths = with_more_room(system, solution.reached, growths), growths + 1
                out_of_steps = code == Code.STEP_LIMIT and going.steps + int(solution.stats.steps) < limit
                if larger is None and not out_of_steps:
                    break
                system = system if larger is None else larger
                going.absorb(solution)
                bar.reach(float(going.t))
            if code != Code.OK or k == len(pieces) - 1:
                return going.whole(solution, len(ts))
            going.absorb(solution)
            bar.reach(float(going.t))
    raise AssertionError("a run has at least one piece")


def _steps_in_a_piece(state: PyTree) -> int:
    size = sum(np.size(leaf) for leaf in jax.tree.leaves(state))
    return int(np.clip(WORK // max(size, 1), FEWEST_STEPS, MOST_STEPS))


def _pieces(t0: float, ts: np.ndarray, dt: float, budget: int, stepwise: bool) -> tuple[list[np.ndarray], bool]:
    """The output times of each piece, and whether all of them are within the steps of one.

    Each is as many outputs as the budget of steps lasts for, and at least one. Pieces of `steps`, which start at the first
    of their times, are of one length if possible.
    """
    if stepwise:
        n = len(ts) - 1
        least = -(-n // budget)
        count = next((c for c in range(least, min(2 * least, n) + 1) if n % c == 0), least)
        length = -(-n // count)
        return [ts[k : k + length + 1] for k in range(0, n, length)], count == 1
    steps = np.cumsum(np.maximum(np.ceil(np.diff(ts, prepend=t0) / dt * (1 - 1e-6)), 0))
    pieces, begin = [], 0
    while begin < len(ts):
        before = steps[begin - 1] if begin else 0.0
        end = max(begin + 1, int(np.searchsorted(steps, before + budget, side="right")))
        pieces.append(ts[begin:end])
        begin = end
    return pieces, steps[-1] <= budget


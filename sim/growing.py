"""Systems whose arrays may prove too small, such as lists of neighbors: made for a state, and grown where a run needs more.

Such a system has `sized(state, spare)` and `grown(state)`; every other system is taken as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..core.status import Code
from ..solvers.problems import Options, Solution, Solver
from ..solvers.signals import Signal

MOST_GROWTHS = 30

_Outcome = TypeVar("_Outcome")


def with_room(system: Any, state: PyTree, spare: float | None = None) -> Any:
    """The system with arrays that hold what a state needs, or `spare` times as much."""
    return system.sized(state, spare) if hasattr(system, "sized") else system


def until_it_fits(
    attempt: Callable[[Any, _Outcome | None], _Outcome],
    system: Any,
    ended: Callable[[_Outcome], tuple[Any, Callable[[], PyTree]]],
) -> _Outcome:
    """The first outcome of `attempt(system, outcome before)` for which the arrays of the system were large enough.

    `ended` gives the code that an outcome ended with, and the state that had too little room. Where the code is traced, or
    the system cannot grow, the outcome is left as it is: the status is data.
    """
    outcome = attempt(system, None)
    for _ in range(MOST_GROWTHS if hasattr(system, "grown") else 0):
        code, state = ended(outcome)
        if isinstance(code, jax.core.Tracer) or int(code) != Code.CAPACITY_OVERFLOW:
            break
        larger = system.grown(state())
        if larger is None:
            break
        system = larger
        outcome = attempt(system, outcome)
    return outcome


def solve_and_grow(
    solve: Callable[..., Solution],
    system: Any,
    state: PyTree,
    controls: Signal | None,
    t0: Any,
    ts: Any,
    options: Options,
    solver: Solver,
) -> Solution:
    """What `solve` gives for a system with room enough for the whole run.

    A step that finds too little room is not made. The run goes on from the state before it, with `system.grown(state)`,
    so that its numbers are those of a run that had the room from the beginning.
    """
    parts: list[PyTree] = []
    steps = 0

    def attempt(system: Any, before: Solution | None) -> Solution:
        nonlocal steps, state, t0, ts
        if before is not None:
            t, state = np.asarray(before.status.t), before.reached
            # A run of `steps` stores the state it starts from first, and starts at an output time.
            done = int(np.searchsorted(np.asarray(ts), t, side="right")) if options.stepwise else int(np.sum(np.asarray(ts) <= t))
            keep = done - 1 if options.stepwise else done
            parts.append(jax.tree.map(lambda x: x[:keep], before.states))
            steps += int(before.stats.steps) - 1  # the last one was not made
            t0, ts = t, ts[keep:]
        return solve(system, state, controls, t0, ts, options, solver)

    def ended(found: Solution) -> tuple[Any, Callable[[], PyTree]]:
        traced = [leaf for leaf in jax.tree.leaves(found) if isinstance(leaf, jax.core.Tracer)]  # by values that came in unseen
        return traced[0] if traced else found.status.code, lambda: found.reached

    solution = until_it_fits(attempt, system, ended)
    if not parts:
        return solution
    states = jax.tree.map(lambda *xs: jnp.concatenate(xs), *parts, solution.states)
    status = solution.status
    later = eqx.tree_at(lambda s: s.step, status, jnp.where(status.failed, status.step + steps, status.step))
    stats = eqx.tree_at(lambda s: s.steps, solution.stats, solution.stats.steps + steps)
    return eqx.tree_at(lambda s: (s.states, s.status, s.stats), solution, (states, later, stats))

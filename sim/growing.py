"""Runs of systems whose arrays may prove too small: they stop where that is seen, grow, and go on from there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..core.status import Code
from ..solvers.problems import Options, Solution, Solver
from ..solvers.signals import Signal

MOST_GROWTHS = 30


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
    solution = solve(system, state, controls, t0, ts, options, solver)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(solution)):
        return solution  # by values that came in unseen: the status is data
    parts, steps = [], 0
    for _ in range(MOST_GROWTHS):
        if int(solution.status.code) != Code.CAPACITY_OVERFLOW:
            break
        t, state = np.asarray(solution.status.t), solution.reached
        larger = system.grown(state)
        if larger is None:
            break
        system = larger
        # A run of `steps` stores the state it starts from first, and starts at an output time.
        done = int(np.searchsorted(np.asarray(ts), t, side="right")) if options.stepwise else int(np.sum(np.asarray(ts) <= t))
        keep = done - 1 if options.stepwise else done
        parts.append(jax.tree.map(lambda x: x[:keep], solution.states))
        steps += int(solution.stats.steps) - 1  # the last one was not made
        t0, ts = t, ts[keep:]
        solution = solve(system, state, controls, t0, ts, options, solver)
    if not parts:
        return solution
    states = jax.tree.map(lambda *xs: jnp.concatenate(xs), *parts, solution.states)
    status = solution.status
    later = eqx.tree_at(lambda s: s.step, status, jnp.where(status.failed, status.step + steps, status.step))
    stats = eqx.tree_at(lambda s: s.steps, solution.stats, solution.stats.steps + steps)
    return eqx.tree_at(lambda s: (s.states, s.status, s.stats), solution, (states, later, stats))

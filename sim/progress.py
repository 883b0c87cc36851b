"""Long runs in parts: a progress bar with simulated time and rate."""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.lanes.single import one_lane
from ..core.transforms import jit
from ..solvers.adaptive import begin, go_on
from ..solvers.problems import Solution
from .request import Request

STEPS_IN_FIRST_PART = 20_000
STEPS_IN_LATER_PARTS = 100_000


def solve_in_parts(request: Request, *, always: bool) -> Solution:
    """Solve as `solver.solve` does, to the last bit, but in parts of many steps with a progress bar between them.

    Most runs end within the first part and cost nothing extra. The bar appears when `always`, or on a terminal.
    """
    t0, ts = request.t0, request.ts
    limit = int(request.options.max_steps)
    budget = min(STEPS_IN_FIRST_PART, limit)
    solution, progress, rows, goes_on = _first_part(request, np.int32(budget))
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((solution, goes_on))):
        # Inside a transformation of values that came in unseen (constants, closures) there is no host to go on.
        return request._replace(t0=jnp.asarray(t0), ts=jnp.asarray(ts)).solved()
    if not bool(goes_on) or int(progress.steps) == limit:
        return solution
    with ProgressBar(float(t0), float(ts[-1]), shown=always or sys.stderr.isatty()) as bar:
        while bool(goes_on) and int(progress.steps) < limit:
            if int(progress.steps) >= budget:  # else it was handed over to the next method
                bar.reach(float(progress.t))
                budget = min(budget + STEPS_IN_LATER_PARTS, limit)
            number = int(progress.method)
            solution, progress, rows, goes_on = _later_part(number, request, progress, rows, np.int32(budget))
        bar.reach(float(progress.t))
    return solution


@jit
@one_lane
def _first_part(request, budget):
    problem, options = request.problem, request.options
    methods = request.solver.methods(options)
    start = begin(problem, request.t0, request.ts, options, methods)
    return go_on(problem, start, request.ts, budget, options, methods, 0)


@jit(static="number")
def _later_part(number, request, progress, rows, budget):
    """Goes on by the method of this number; each is compiled when a run first needs it."""

    def part(request, progress, rows, budget):
        options = request.options
        methods = request.solver.methods(options)
        return go_on(request.problem, (progress, rows), request.ts, budget, options, methods, number)

    return one_lane(part)(request, progress, rows, budget)


class ProgressBar:
    """A tqdm bar over simulated time; silent without tqdm or when not `shown`."""

    def __init__(self, start: float, end: float, *, shown: bool, unit: str = "t"):
        self._bar: Any = None
        self._start = start
        if shown:
            try:
                from tqdm import tqdm
            except ImportError:
                return
            form = "{desc}{percentage:3.0f}%|{bar}| {n:.6g}/{total:.6g} {unit} [{elapsed}<{remaining}, {rate_fmt}]"
            self._bar = tqdm(total=end - start, unit=unit, bar_format=form, leave=False)

    def reach(self, t: float) -> None:
        """Move the bar to simulated time t."""
        if self._bar is not None and np.isfinite(t):
            self._bar.update(t - self._start - self._bar.n)

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()

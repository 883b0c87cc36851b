"""One run as it was asked for: what every way to make it takes."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import PyTree

from ..core.transforms import jit
from ..solvers.problems import InitialValueProblem, Options, Solution, Solver
from ..solvers.signals import Signal


class Request(NamedTuple):
    """A system from a state on, at times `ts`, by a solver; all of it checked."""

    system: Any
    state: PyTree
    controls: Signal | None
    t0: Any
    ts: Any
    options: Options
    solver: Solver

    @property
    def problem(self) -> InitialValueProblem:
        """The initial value problem of the system."""
        return self.system.problem(self.state, self.controls)

    def solved(self) -> Solution:
        """The whole run at once, without a program of its own."""
        return self.solver.solve(self.problem, self.t0, self.ts, self.options)


@jit
def solve(request: Request) -> Solution:
    """The whole run at once, as one compiled program."""
    return request.solved()

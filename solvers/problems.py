"""What a solver is asked to solve and what it hands back.

Physics builds an `InitialValueProblem`, a solver turns it into a `Solution`, and neither knows more of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

from ..core.lanes.width import lane_width
from ..core.status import Status
from .particles import Particles
from .signals import Signal


class Motion(eqx.Module):
    """How a mechanical system moves: velocity [n], acceleration [n], rates of its other states, and what went wrong.

    `free` is the acceleration without what a stepper asks to be taken at the end of the step, a first guess for the
    next step's.
    """

    velocity: Float[Array, " n"]
    acceleration: Float[Array, " n"]
    rate: PyTree
    free: Float[Array, " n"]
    code: Int[Array, ""]


@dataclass(frozen=True)
class Mechanics:
    """What steppers know of a mechanical system, whose positions need not be numbers that velocities add to.

    | function | signature | meaning |
    | --- | --- | --- |
    | `motion` | (system, t, state, u, h, implicit) -> `Motion` | the motion now; forces that `implicit` names, "none", \
"damping" or "velocity" (all that depend on velocities), as they are after the step h, to first order |
    | `advance` | (system, state, motion, h, whole) -> state | the state after moving so for the time h, at the end of \
a `whole` step or, along a straight line, at a stage within one |
    | `displacement_rate` | (system, u, velocity) -> [n] | du/dt of a displacement u, where velocities are not such rates |
    """

    motion: Callable[..., Motion]
    advance: Callable[..., PyTree]
    displacement_rate: Callable[..., Array]


class InitialValueProblem(eqx.Module):
    """dy/dt = rate(parameters, t, y, u(t)), y(t0) = state, with optional events, stiff part and noise.

    Every function takes the system first, so that the functions are static and all numbers are leaves:

    | field | signature | meaning |
    | --- | --- | --- |
    | `rate` | (system, t, y, u) -> dy | the vector field; u is None without controls |
    | `implicit` | (system, t, y, u) -> dy | the stiff part of the field, for IMEX solvers; `rate` is then the rest |
    | `noise` | (system, t, y, u) -> dy | diagonal diffusion coefficient, for stochastic solvers |
    | `event` | (system, t, y) -> [m] | scalars whose change of sign ends the run |
    | `separable` | (system, t, p) -> dq, (system, t, q) -> dp | velocity and force, for symplectic solvers |
    | `mechanics` | a `Mechanics` | accelerations and how to go along them, for steppers of mechanical systems |
    | `particles` | a `Particles` | forces and neighbors, for steppers of particles |

    `key` is the randomness of a run of fixed steps, from which solvers draw what belongs to each step.
    """

    system: PyTree
    state: PyTree
    controls: Signal | None = None
    key: Array | None = None
    rate: Callable = eqx.field(static=True, kw_only=True)
    implicit: Callable | None = eqx.field(static=True, default=None, kw_only=True)
    noise: Callable | None = eqx.field(static=True, default=None, kw_only=True)
    event: Callable | None = eqx.field(static=True, default=None, kw_only=True)
    event_direction: tuple[int, ...] = eqx.field(static=True, default=(), kw_only=True)
    separable: tuple[Callable, Callable] | None = eqx.field(static=True, default=None, kw_only=True)
    mechanics: Mechanics | None = eqx.field(static=True, default=None, kw_only=True)
    particles: Particles | None = eqx.field(static=True, default=None, kw_only=True)

    def control(self, t: Float[Array, ""], y: PyTree) -> PyTree:
        """The control at time t in state y; None for a run without controls."""
        return None if self.controls is None else self.controls.at(t, y)

    def field(self, t: Float[Array, ""], y: PyTree) -> PyTree:
        """The whole vector field, stiff part included, on a state of the user's structure."""
        u = self.control(t, y)
        rate = self.rate(self.system, t, y, u)
        if self.implicit is None:
            return rate
        return jax.tree.map(jnp.add, rate, self.implicit(self.system, t, y, u))

    def piece(self, t: Float[Array, ""]) -> InitialValueProblem:
        """The problem as it is from t to the next breakpoint."""
        if self.controls is None:
            return self
        return eqx.tree_at(lambda p: p.controls, self, self.controls.piece(t))

    def closes_over_traced(self) -> bool:
        """Whether field or events use a value being differentiated or mapped that is no leaf of the problem."""

        def functions(problem: InitialValueProblem, t: Array) -> Any:
            event = None if problem.event is None else problem.event(problem.system, t, problem.state)
            # The laws of mechanics are the library's own, and long to trace.
            if problem.particles is not None:
                lists = problem.particles.prepare(problem.system, problem.state)
                return problem.particles.force(problem.system, t, problem.state, lists), event
            moving = problem.field if problem.mechanics is None else problem.control
            return moving(t, problem.state), event

        arrays, rest = eqx.partition(self, eqx.is_array)
        t = jnp.zeros((), jax.tree.leaves(self.state)[0].dtype)
        traced = jax.make_jaxpr(lambda a, t: functions(eqx.combine(a, rest), t))(arrays, t)
        return any(isinstance(constant, jax.core.Tracer) for constant in traced.consts)

    def breakpoints(self) -> Float[Array, " b"] | None:
        """Times at which the field is not smooth and a step must end; None when there are none."""
        return None if self.controls is None else self.controls.breakpoints()


class FlatField(eqx.Module):
    """The vector field and events of a problem on states flattened to one vector [n]."""

    problem: InitialValueProblem
    unravel: Callable = eqx.field(static=True)

    def __call__(self, t: Float[Array, ""], y: Float[Array, " n"]) -> Float[Array, " n"]:
        return ravel_pytree(self.problem.field(t, self.unravel(y)))[0].astype(y.dtype)

    def events(self, t: Float[Array, ""], y: Float[Array, " n"]) -> Float[Array, " m"]:
        """Values of the event functions; [0] when there are none."""
        if self.problem.event is None:
            return jnp.zeros((0,), y.dtype)
        return jnp.asarray(self.problem.event(self.problem.system, t, self.unravel(y)), y.dtype)


class EventRecord(eqx.Module):
    """The event that ended a run: `index` of the event function (-1: none), its time `t` (NaN: none)."""

    index: Int[Array, "..."]
    t: Float[Array, "..."]

    @property
    def happened(self) -> Bool[Array, "..."]:
        """Whether an event ended the run, per lane."""
        return self.index >= 0

    def __repr__(self) -> str:
        if isinstance(self.index, jax.core.Tracer) or np.ndim(self.index):
            return f"EventRecord({self.index!r}, {self.t!r})"
        if not bool(self.happened):
            return "EventRecord(none)"
        return f"EventRecord(index={int(self.index)}, t={float(self.t):.6g})"


class Stats(eqx.Module):
    """How a run was solved: numbers per lane, read as attributes or by name, `run.stats["steps"]`.

    `solver` is the solver's name; `steps` counts attempts, of which `rejected` were refused; `switched_at` is the time
    at which a problem that proved stiff was handed to `stiff_solver` (NaN: never). `lanes` is the number of runs that
    one group of native lanes held, 1 for a single run of native code; 0 where XLA ran it.
    """

    solver: str = eqx.field(static=True)
    steps: Int[Array, "..."]
    rejected: Int[Array, "..."]
    switched_at: Float[Array, "..."]
    stiff_solver: str | None = eqx.field(static=True, default=None)
    lanes: Int[Array, "..."] = eqx.field(default_factory=lane_width, kw_only=True)

    def __getitem__(self, name: str) -> Any:
        if name not in self.keys():
            raise KeyError(f"no statistic named {name!r}; there are {', '.join(self.keys())}.")
        return getattr(self, name)

    def keys(self) -> tuple[str, ...]:
        """Names of the statistics."""
        return ("solver", "steps", "rejected", "switched_at", "stiff_solver", "lanes")

    def __repr__(self) -> str:
        if isinstance(self.steps, jax.core.Tracer):
            return f"Stats(solver={self.solver!r}, traced)"
        steps, rejected = np.asarray(self.steps), np.asarray(self.rejected)
        parts = [f"solver={self.solver!r}"]
        if steps.ndim == 0:
            parts += [f"steps={int(steps)}", f"rejected={int(rejected)}"]
        else:
            parts += [
                f"steps={int(steps.min())}..{int(steps.max())}",
                f"rejected={int(rejected.min())}..{int(rejected.max())}",
            ]
        switched = np.asarray(self.switched_at)
        if np.isfinite(switched).any():
            where = f"t = {float(np.nanmin(switched)):.6g}"
            lanes = "" if switched.ndim == 0 else f" in {int(np.isfinite(switched).sum())} runs, first"
            parts.append(f"proved stiff{lanes} at {where}: continued with {self.stiff_solver!r}")
        width = int(np.max(self.lanes, initial=0))
        if width > 0:
            parts.append("as native code" if width == 1 else f"in native lanes, {width} at once")
        return f"Stats({', '.join(parts)})"


class Options(eqx.Module):
    """What a run asks of its solver: tolerances, a fixed step or none, limits, the way to differentiate, noise key.

    A `max_steps` given as an array is an argument of the compiled program, one given as a number part of it. With
    `landing` steps end at the output times, because there are no others than starts and ends of steps anyway.
    `stepwise`: from each output time to the next is one step. `record`(system, state) is what is stored in place of the
    state, for solvers of fixed steps. `alone`: the run is not part of a lane's program, and may
    become native code of its own.
    """

    rtol: Float[Array, ""]
    atol: Float[Array, ""]
    dt: Float[Array, ""] | None
    key: Array | None = None
    max_steps: int | Int[Array, ""] = 1_000_000
    record: Any = None
    gradient: str = eqx.field(static=True, default="auto")
    landing: bool = eqx.field(static=True, default=False)
    stepwise: bool = eqx.field(static=True, default=False)
    alone: bool = eqx.field(static=True, default=True)


class Solution(eqx.Module):
    """States at the times asked for (time first), the last state reached, and how the run went.

    Rows of times that were not reached are NaN; `final` is the state at the last time or at the event that ended the
    run, and NaN after a failure. `reached` is the state that a run of fixed steps stopped in, at `status.t` if it failed.
    """

    states: PyTree
    final: PyTree
    status: Status
    stats: Stats
    event: EventRecord | None = None
    reached: PyTree = None


class Solver(eqx.Module):
    """A way to solve initial value problems. Small, frozen, without knowledge of the physics."""

    def solve(
        self, problem: InitialValueProblem, t0: Float[Array, ""], ts: Float[Array, " k"], options: Options
    ) -> Solution:
        """States at `ts` (increasing, none before `t0`)."""
        raise NotImplementedError

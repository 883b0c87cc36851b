"""Ordinary and stochastic differential equations from plain functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ...core.arrays import floats_to_arrays
from ...core.parameters import Parametrized
from ...core.precision import default_float
from ...solvers.problems import InitialValueProblem
from ...solvers.signals import Signal
from .checks import check_control, check_event, check_field, check_part, control_of, describe, name_of


class Event(eqx.Module):
    """Ends a run when `function(t, y, p)` changes sign; `direction` +1: only upwards, -1: only downwards, 0: both."""

    function: Callable
    direction: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(
                f"an event got {self.function!r}, but is a function g(t, y, p) whose change of sign ends the run: write "
                "wl.ode.Event(lambda t, y, p: y[0])."
            )
        if self.direction not in (-1, 0, 1):
            raise ValueError(f"direction={self.direction!r}: an event's direction is -1, 0 or 1.")


class System(Parametrized):
    """dy/dt = field(t, y, p), with parameters that have names.

    **Arguments**

    - `field`: `field(t, y, p)`, or `field(t, y, p, u)` for runs with `controls`; returns dy/dt with the structure
      of y (array, tuple, dict or Module). It must be written for one state, in `jax.numpy`.
    - `parameters`: a dict, tuple, array or Module of numbers, given to `field` as `p`. Every number in it, whole ones
      too, becomes a float and so a named leaf one can differentiate, fit and replace: `system.replace(birth=0.4)`.
      Arrays keep their type: an array of integers is data and no parameter.
    - `implicit`: the stiff part of the field, same signature, for IMEX solvers; `field` is then the rest.
    - `noise`: `noise(t, y, p)`, the coefficient b of diagonal noise in dy = field dt + b dW (Ito or Stratonovich as
      the solver named in `simulate` says), one number for all components of y or one for each.
    - `event`: an `Event` or several, or a function `g(t, y, p)` whose change of sign ends the run.

    `implicit` and `noise` may take the control as their fourth argument as `field` does, or do without it.

    ```python
    def decay(t, y, p):
        return -p["rate"] * y

    system = wl.ode.System(decay, dict(rate=0.5))
    run = wl.simulate(system, 1.0, t1=4.0)
    ```
    """

    field: Callable
    parameters_: PyTree
    implicit: Callable | None = None
    noise: Callable | None = None
    events: tuple[Event, ...] = ()

    transparent: ClassVar[tuple[str, ...]] = ("parameters_",)

    def __init__(
        self,
        field: Callable,
        parameters: PyTree = None,
        *,
        implicit: Callable | None = None,
        noise: Callable | None = None,
        event: Event | Callable | Sequence[Event | Callable] | None = None,
    ):
        for kind, function in {"field": field, "implicit": implicit, "noise": noise}.items():
            if not (callable(function) or function is None and kind != "field"):
                raise TypeError(f"{kind} has type {type(function).__name__}; it must be a function {kind}(t, y, p).")
        self.field = field
        self.parameters_ = _constants(parameters)
        self.implicit = implicit
        self.noise = noise
        several: Any = event if isinstance(event, (list, tuple)) else [] if event is None else [event]
        self.events = tuple(e if isinstance(e, Event) else Event(e) for e in several)

    def vector_field(self, t: Float[Array, ""], y: PyTree, u: PyTree = None) -> PyTree:
        """`field` at time t, state y and control u: dy/dt, less the part that is `implicit`."""
        return self._rate(t, y, u)

    def problem(self, state: PyTree, controls: Signal | None) -> InitialValueProblem:
        """The initial value problem of this system, for a solver.

        **Raises** `ValueError` when what a function of the system returns does not fit the state, or when controls are
        given that the field does not take, or missing where it does.
        """
        if controls is not None and not control_of(self.field, "field"):
            raise ValueError(
                f"controls were given, but {name_of('field', self.field)} takes no control: write it as "
                "field(t, y, p, u)."
            )
        parts = {"field": self.field, "implicit": self.implicit, "noise": self.noise}
        for kind, function in parts.items():
            if function is not None:
                check_control(function, kind, controls is not None)
        problem = InitialValueProblem(
            self,
            state,
            controls,
            rate=System._rate,
            implicit=None if self.implicit is None else System._implicit,
            noise=None if self.noise is None else System._noise,
            event=None if not self.events else System._events,
            event_direction=tuple(e.direction for e in self.events),
        )
        check_field(problem, name_of("field", self.field))
        if problem.implicit is not None:
            check_part(problem, problem.implicit, name_of("implicit", self.implicit), "the stiff part of dy/dt")
        if problem.noise is not None:
            check_part(problem, problem.noise, name_of("noise", self.noise), "the coefficient of noise", spread=True)
        for number, event in enumerate(self.events):
            check_event(event.function, number, state, self.parameters_)
        return problem

    def _rate(self, t, y, u):
        return self.field(t, y, self.parameters_) if u is None else self.field(t, y, self.parameters_, u)

    def _implicit(self, t, y, u):
        return _call(self.implicit, "implicit", t, y, self.parameters_, u)

    def _noise(self, t, y, u):
        return _call(self.noise, "noise", t, y, self.parameters_, u)

    def _events(self, t, y):
        return jnp.stack([jnp.asarray(e.function(t, y, self.parameters_)).reshape(()) for e in self.events])


class Separable(Parametrized):
    """dq/dt = velocity(t, p, c), dp/dt = force(t, q, c): a system whose state is a pair (positions, momenta).

    `parameters` c as in `System`. Symplectic solvers (`"leapfrog"`, `"yoshida4"`) keep its energy error bounded over
    long runs; every other solver works on it too.

    ```python
    kepler = wl.ode.Separable(lambda t, p, c: p, lambda t, q, c: -c["mu"] * q / jnp.linalg.norm(q)**3, dict(mu=1.0))
    run = wl.simulate(kepler, ([1.0, 0.0], [0.0, 1.0]), dt=0.01, steps=1000, solver="yoshida4")
    ```
    """

    velocity: Callable
    force: Callable
    parameters_: PyTree

    transparent: ClassVar[tuple[str, ...]] = ("parameters_",)

    def __init__(self, velocity: Callable, force: Callable, parameters: PyTree = None):
        self.velocity = velocity
        self.force = force
        self.parameters_ = _constants(parameters)

    def vector_field(self, t: Float[Array, ""], y: PyTree, u: PyTree = None) -> PyTree:
        """(dq/dt, dp/dt) at time t and state (q, p)."""
        del u
        q, p = y
        return (self.velocity(t, p, self.parameters_), self.force(t, q, self.parameters_))

    def problem(self, state: PyTree, controls: Signal | None) -> InitialValueProblem:
        """The initial value problem of this system. **Raises** `ValueError` for a state that is no pair."""
        if not (isinstance(state, tuple) and len(state) == 2):
            raise ValueError(f"the state of a separable system is a pair (positions, momenta), not {describe(state)}.")
        if controls is not None:
            raise ValueError("a separable system takes no controls: write it as wl.ode.System.")
        problem = InitialValueProblem(
            self, state, rate=Separable.vector_field, separable=(Separable._velocity, Separable._force)
        )
        check_field(problem, "the separable field")
        return problem

    def _velocity(self, t, p):
        return self.velocity(t, p, self.parameters_)

    def _force(self, t, q):
        return self.force(t, q, self.parameters_)


def _constants(parameters: PyTree) -> PyTree:
    """Parameters as leaves: a number, Python's or NumPy's, is a float array, and so can be fitted and differentiated.

    Arrays keep their type, so that an array of integers is data that the field may index with. Booleans, strings and
    functions are options, which stay as they are.
    """

    def leaf(value: Any) -> Any:
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        return jnp.asarray(value, default_float()) if whole else value

    return floats_to_arrays(jax.tree.map(leaf, {} if parameters is None else parameters))


def _call(function: Callable | None, kind: str, t: Any, y: Any, p: Any, u: Any) -> Any:
    """`function` with the control where there is one and it takes one."""
    assert function is not None
    return function(t, y, p, u) if u is not None and control_of(function, kind) else function(t, y, p)

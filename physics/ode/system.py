"""Ordinary and stochastic differential equations from plain functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ...core.parameters import Parametrized
from ...core.precision import default_float
from ...solvers.problems import InitialValueProblem
from ...solvers.signals import Signal


class Event(eqx.Module):
    """Ends a run when `function(t, y, p)` changes sign; `direction` +1: only upwards, -1: only downwards, 0: both."""

    function: Callable
    direction: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        if self.direction not in (-1, 0, 1):
            raise ValueError(f"direction={self.direction!r}: an event's direction is -1, 0 or 1.")


class System(Parametrized):
    """dy/dt = field(t, y, p), with parameters that have names.

    **Arguments**

    - `field`: `field(t, y, p)`, or `field(t, y, p, u)` for runs with `controls`; returns dy/dt with the structure
      of y (array, tuple, dict or Module). It must be written for one state, in `jax.numpy`.
    - `parameters`: a dict, tuple, array or Module of numbers, given to `field` as `p`. Every float in it is a named
      leaf one can differentiate, fit and replace: `system.replace(birth=0.4)`.
    - `implicit`: the stiff part of the field, same signature, for IMEX solvers; `field` is then the rest.
    - `noise`: `noise(t, y, p)`, the coefficient b of diagonal noise in dy = field dt + b dW (Ito or Stratonovich as
      the solver named in `simulate` says).
    - `event`: an `Event` or several, or a function `g(t, y, p)` whose change of sign ends the run.

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
        if not callable(field):
            raise TypeError(f"field has type {type(field).__name__}; it must be a function field(t, y, p).")
        self.field = field
        self.parameters_ = jax.tree.map(_as_leaf, {} if parameters is None else parameters)
        self.implicit = implicit
        self.noise = noise
        several: Any = event if isinstance(event, (list, tuple)) else [] if event is None else [event]
        self.events = tuple(e if isinstance(e, Event) else Event(e) for e in several)

    def vector_field(self, t: Float[Array, ""], y: PyTree, u: PyTree = None) -> PyTree:
        """dy/dt at time t, state y and control u."""
        return _call(self.field, t, y, self.parameters_, u)

    def problem(self, state: PyTree, controls: Signal | None) -> InitialValueProblem:
        """The initial value problem of this system, for a solver.

        **Raises** `ValueError` when the vector field's result does not have the structure and shapes of the state.
        """
        accepts = _accepts_control(self.field)
        if controls is not None and not accepts:
            raise ValueError(
                f"controls were given, but {_name(self.field)} takes no control: write it as field(t, y, p, u)."
            )
        if controls is None and accepts == "required":
            raise ValueError(
                f"{_name(self.field)} takes a control u, but none was given: pass controls=wl.Sampled(times, values) "
                "or controls=lambda t: ... to simulate."
            )
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
        check_field(problem, _name(self.field))
        return problem

    def _rate(self, t, y, u):
        return _call(self.field, t, y, self.parameters_, u)

    def _implicit(self, t, y, u):
        return _call(self.implicit, t, y, self.parameters_, u)

    def _noise(self, t, y, u):
        return _call(self.noise, t, y, self.parameters_, u)

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
        self.parameters_ = jax.tree.map(_as_leaf, {} if parameters is None else parameters)

    def vector_field(self, t: Float[Array, ""], y: PyTree, u: PyTree = None) -> PyTree:
        """(dq/dt, dp/dt) at time t and state (q, p)."""
        del u
        q, p = y
        return (self.velocity(t, p, self.parameters_), self.force(t, q, self.parameters_))

    def problem(self, state: PyTree, controls: Signal | None) -> InitialValueProblem:
        """The initial value problem of this system. **Raises** `ValueError` for a state that is no pair."""
        if not (isinstance(state, tuple) and len(state) == 2):
            raise ValueError(f"the state of a separable system is a pair (positions, momenta), not {_describe(state)}.")
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


def check_field(problem: InitialValueProblem, name: str) -> None:
    """Raise one clear `ValueError` when dy/dt does not match the state; nothing is computed."""
    t = jnp.zeros((), jax.tree.leaves(problem.state)[0].dtype)
    result = eqx.filter_eval_shape(lambda p: p.field(t, p.state), problem)
    wanted = jax.tree.structure(problem.state)
    if jax.tree.structure(result) != wanted:  # type: ignore[operator]
        raise ValueError(
            f"{name} returned {_describe(result)}, but the state is {_describe(problem.state)}: dy/dt must have the "
            "structure of y (wl.stack(...) makes one array of several numbers)."
        )
    for (path, got), y in zip(jax.tree_util.tree_leaves_with_path(result), jax.tree.leaves(problem.state), strict=True):
        where = jax.tree_util.keystr(path)
        if not hasattr(got, "shape") and not isinstance(got, (int, float)):
            raise ValueError(f"{name} returned {got!r}{' for ' + where if where else ''}; dy/dt must be numbers.")
        if jnp.shape(got) != y.shape:
            raise ValueError(
                f"{name} returned shape {jnp.shape(got)}{' for ' + where if where else ''}, but the state there has shape "
                f"{y.shape}: return one derivative for each component of y."
            )
        if hasattr(got, "dtype") and not jnp.issubdtype(got.dtype, jnp.floating):
            raise ValueError(
                f"{name} returned {got.dtype}{' for ' + where if where else ''}; dy/dt must be real floating-point "
                "numbers (split complex states into real and imaginary parts)."
            )


def _call(function: Callable | None, t: Any, y: Any, p: Any, u: Any) -> Any:
    assert function is not None
    return function(t, y, p) if u is None else function(t, y, p, u)


def _accepts_control(field: Callable) -> str:
    """ "" when the field cannot take a fourth argument, "required" when it must, "optional" otherwise."""
    try:
        parameters = list(inspect.signature(field).parameters.values())
    except (TypeError, ValueError):
        return "optional"
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return "optional"
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) < 3:
        raise TypeError(
            f"{_name(field)} takes {len(positional)} arguments; a vector field is field(t, y, p), with time, state and "
            "parameters, or field(t, y, p, u) with a control."
        )
    if len(positional) == 3:
        return ""
    return "required" if positional[3].default is inspect.Parameter.empty else "optional"


def _as_leaf(value: Any) -> Any:
    """Numbers become float arrays; integers stay what they are only as arrays given on purpose."""
    if isinstance(value, bool) or value is None or isinstance(value, str) or callable(value):
        return value
    if isinstance(value, (int, float)):
        return jnp.asarray(value, default_float())
    return jnp.asarray(value)


def _name(field: Callable) -> str:
    return f"the vector field {getattr(field, '__name__', type(field).__name__)!r}"


def _describe(tree: Any) -> str:
    if hasattr(tree, "shape"):
        return f"an array of shape {tree.shape}"
    if isinstance(tree, dict):
        return f"a dict with keys {', '.join(map(str, tree))}"
    if isinstance(tree, (tuple, list)):
        return f"a {type(tree).__name__} of {len(tree)}"
    return f"a {type(tree).__name__}"

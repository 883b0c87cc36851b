"""Whether the functions of a system fit its state and its controls, found out by their shapes before a run."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ...solvers.problems import InitialValueProblem

ONE_EACH = "return one derivative for each component of y"
ONE_OR_ALL = "return one coefficient for each component of y, or one number for all"


def check_field(problem: InitialValueProblem, name: str) -> None:
    """Raise one clear `ValueError` when dy/dt does not match the state; nothing is computed."""
    check_part(problem, problem.rate, name, "dy/dt")


def check_part(problem: InitialValueProblem, function: Callable, name: str, what: str, spread: bool = False) -> None:
    """The same for any function (system, t, y, u) of a problem that returns `what`, which `name` stands for.

    With `spread` a result may have fewer axes than the state, or axes of size one.
    """
    dtype = jax.tree.leaves(problem.state)[0].dtype
    t = jnp.zeros((), dtype)
    result = eqx.filter_eval_shape(lambda p: function(p.system, t, p.state, p.control(t, p.state)), problem)
    if jax.tree.structure(result) != jax.tree.structure(problem.state):  # type: ignore[operator]
        raise ValueError(
            f"{name} returned {describe(result)}, but the state is {describe(problem.state)}: {what} must have the "
            "structure of y (wl.stack(...) makes one array of several numbers)."
        )
    for (path, got), y in zip(jax.tree_util.tree_leaves_with_path(result), jax.tree.leaves(problem.state), strict=True):
        place = jax.tree_util.keystr(path)
        where = f" for {place}" if place else ""
        if not hasattr(got, "shape") and not isinstance(got, (int, float)):
            raise ValueError(f"{name} returned {got!r}{where}; {what} must be numbers.")
        if not _fits(jnp.shape(got), y.shape, spread):
            raise ValueError(
                f"{name} returned shape {jnp.shape(got)}{where}, but the state there has shape {y.shape}: "
                f"{ONE_OR_ALL if spread else ONE_EACH}."
            )
        if hasattr(got, "dtype") and not jnp.issubdtype(got.dtype, jnp.floating):
            raise ValueError(
                f"{name} returned {got.dtype}{where}; {what} must be real floating-point numbers (split complex states "
                "into real and imaginary parts)."
            )


def check_event(function: Callable, number: int, state: PyTree, parameters: PyTree) -> None:
    """Raise `ValueError` when event function `number` of a system does not return one number."""
    t = jnp.zeros((), jax.tree.leaves(state)[0].dtype)
    result = eqx.filter_eval_shape(function, t, state, parameters)
    if isinstance(result, (bool, int, float)) or math.prod(getattr(result, "shape", (0,))) == 1:
        return
    raise ValueError(
        f"{name_of('event', function)} (number {number}) returned {describe(result)}; an event is one number whose "
        "change of sign ends the run: return one component, such as y[0], or give several events."
    )


def control_of(function: Callable, kind: str) -> str:
    """Whether a function (t, y, p) of a system takes a control u as its fourth argument: "", "optional", "required".

    `kind` is what it is to the system, such as `"field"`, for the `TypeError` when it takes fewer than three.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return "optional"
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return "optional"
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) < 3:
        article = "a vector field" if kind == "field" else f"the {kind} function"
        raise TypeError(
            f"{name_of(kind, function)} takes {len(positional)} arguments; {article} is {kind}(t, y, p), with time, "
            f"state and parameters, or {kind}(t, y, p, u) with a control."
        )
    if len(positional) == 3:
        return ""
    return "required" if positional[3].default is inspect.Parameter.empty else "optional"


def check_control(function: Callable, kind: str, given: bool) -> None:
    """Raise `ValueError` when a function cannot do without a control, and none was given."""
    if control_of(function, kind) == "required" and not given:
        raise ValueError(
            f"{name_of(kind, function)} takes a control u, but none was given: pass controls=wl.Sampled(times, values) "
            "or controls=lambda t: ... to simulate."
        )


def name_of(kind: str, function: Callable | None) -> str:
    """A function of a system in words: "the vector field 'decay'"."""
    words = {"field": "the vector field", "event": "the event function", "implicit": "the implicit part"}
    return f"{words.get(kind, f'the {kind}')} {getattr(function, '__name__', type(function).__name__)!r}"


def describe(tree: Any) -> str:
    """The outside of a pytree in words: "a tuple of 2"."""
    if hasattr(tree, "shape"):
        return f"an array of shape {tree.shape}"
    if isinstance(tree, dict):
        return f"a dict with keys {', '.join(map(str, tree))}"
    if isinstance(tree, (tuple, list)):
        return f"a {type(tree).__name__} of {len(tree)}"
    return f"a {type(tree).__name__}"


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...], spread: bool) -> bool:
    if not spread:
        return shape == wanted
    ends = zip(reversed(shape), reversed(wanted))
    return len(shape) <= len(wanted) and all(n in (1, m) for n, m in ends)

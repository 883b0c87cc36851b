"""How simulated states are compared with what was measured, inside compiled functions."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree


class Comparison(eqx.Module):
    """The numerical part of `Observations`, for compiled functions: residuals of simulated states.

    `rows` picks the observation times among the run's; `values`, `factors` (sqrt(weight) / sigma) and `present` are
    structured as what was observed.
    """

    rows: Any
    values: PyTree
    factors: PyTree
    present: PyTree
    observe: Any = eqx.field(static=True)
    logarithmic: bool = eqx.field(static=True)

    def residuals(self, ts: Array, states: PyTree, system: Any) -> Float[Array, " k"]:
        """Residuals in units of sigma (of 1 where sigma is not known), zero for missing values.

        **Raises** `ValueError` when the observed part of the state is not shaped as what was measured.
        """
        ts, states = jax.tree.map(lambda v: v[self.rows], (ts, states))
        predicted = self._columns(self.observed(ts, states, system))
        self._check(predicted)
        parts = []
        leaves = zip(*map(jax.tree.leaves, (predicted, self.values, self.factors, self.present)), strict=True)
        for model, value, factor, present in leaves:
            value, factor = value.astype(model.dtype), factor.astype(model.dtype)
            if self.logarithmic:
                difference = jnp.log(jnp.where(model > 0, model, jnp.nan)) - jnp.log(value)
            else:
                difference = model - value
            parts.append(jnp.where(present, difference * factor, 0.0).ravel())
        return jnp.concatenate(parts)

    def observed(self, ts: Array, states: PyTree, system: Any) -> PyTree:
        """The observed part of states with time first, at times ts."""
        what = self.observe
        if what is None:
            return states
        if callable(what):
            if takes_state_only(what):
                return jax.vmap(lambda y: what(y))(states)
            return jax.vmap(lambda t, y: what(t, y, system))(ts, states)
        if isinstance(what, tuple):
            return jnp.stack([_component(states, w) for w in what], axis=1)
        return _component(states, what)

    def _columns(self, predicted: PyTree) -> PyTree:
        """The observed part with one number at each time as the data have it: as a column or without."""
        if jax.tree.structure(predicted) != jax.tree.structure(self.values):  # type: ignore[operator]
            return predicted

        def like(got: Array, want: Any) -> Array:
            single = got.ndim > 0 and got.size == got.shape[0] == np.size(want) == np.shape(want)[0]
            return got.reshape(np.shape(want)) if single else got

        return jax.tree.map(like, predicted, self.values)

    def _check(self, predicted: PyTree) -> None:
        if jax.tree.structure(predicted) != jax.tree.structure(self.values):  # type: ignore[operator]
            raise ValueError(
                f"the values are {structure_in_words(self.values)}, but the observed part of the state is "
                f"{structure_in_words(predicted)}: give values of the same structure, or say observe=..."
            )
        for got, want in zip(jax.tree.leaves(predicted), jax.tree.leaves(self.values), strict=True):
            if got.shape != want.shape:
                raise ValueError(
                    f"the data have {_columns(want)}, but the observed part of the state has {_columns(got)}: one column "
                    "for each observed component is needed, or observe=... to say which were measured."
                )


def _columns(rows: Any) -> str:
    if rows.ndim == 1:
        return "one number at each time"
    if rows.shape[1:] == (1,):
        return "one number at each time"
    return f"{' x '.join(map(str, rows.shape[1:]))} numbers at each time"


def structure_in_words(tree: PyTree) -> str:
    """What a pytree is, for messages: "a dict with keys q, v"."""
    if isinstance(tree, dict):
        return f"a dict with keys {', '.join(map(str, tree))}"
    return f"a {type(tree).__name__} of {len(tree)}" if isinstance(tree, (tuple, list)) else "one array"


def as_observe(observe: Any) -> Callable | int | str | tuple[int | str, ...] | None:
    """What `observe` says, hashable: a component or several, numbers as plain ones, a mask as the numbers it picks.

    **Raises** `TypeError` for what names no component, `ValueError` for no component at all and functions of arguments
    that nobody gives.
    """
    if observe is None or isinstance(observe, str):
        return observe
    if callable(observe):
        takes_state_only(observe)
        return observe
    if np.ndim(observe) == 0:
        return _as_component(observe)
    array = np.asarray(observe)
    several = np.flatnonzero(array) if array.dtype == bool and array.ndim == 1 else observe
    if len(several) == 0:
        raise ValueError(f"observe={observe!r} names no component: leave it out for the whole state, or name some.")
    return tuple(_as_component(one) for one in several)


def _as_component(one: Any) -> int | str:
    if isinstance(one, str):
        return str(one)
    if np.ndim(one) == 0 and jnp.issubdtype(jnp.result_type(one), jnp.integer):
        return int(one)
    raise TypeError(
        f"observe={one!r}: write a component's number or name, a list of them, or a function observe(state) or "
        "observe(t, state, system)."
    )


def takes_state_only(function: Callable) -> bool:
    """Whether a function is observe(state), by the arguments that it needs, rather than observe(t, state, system).

    **Raises** `TypeError` when it can be called in neither way.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions do not say
        return True
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = sum(p.kind in kinds and p.default is p.empty for p in signature.parameters.values())
    count = 1 if needed <= 1 and any(p.kind in kinds for p in signature.parameters.values()) else 3
    try:
        signature.bind(*range(count))
    except TypeError:
        name = getattr(function, "__name__", type(function).__name__)
        raise TypeError(
            f"observe={name!r} takes {signature}; write it as observe(state) or as observe(t, state, system)."
        ) from None
    return count == 1


def _component(states: PyTree, what: int | str) -> Any:
    """A part of states [time, ...]: by its name, its number, or name and number as in "q[0]"."""
    parts = re.fullmatch(r"(.+)\[(\d+)\]", what) if isinstance(what, str) else None
    try:
        if isinstance(states, dict) and what in states:
            return states[what]
        if parts is not None:
            return _entry(_component(states, parts[1]), int(parts[2]))
        if isinstance(what, str):
            return getattr(states, what)
        return states[what] if isinstance(states, (dict, tuple, list)) else _entry(states, what)
    except (KeyError, AttributeError, IndexError, TypeError):
        parted = dataclasses.is_dataclass(states)
        names = list(states) if isinstance(states, dict) else [f.name for f in dataclasses.fields(states)] if parted else []
        there = f"; it has {', '.join(map(repr, names))}" if names else ""
        raise ValueError(f"observe={what!r}: the state has no such component{there}.") from None


def _entry(values: Any, number: int) -> Any:
    if not -values.shape[1] <= number < values.shape[1]:
        raise IndexError
    return values[:, number]

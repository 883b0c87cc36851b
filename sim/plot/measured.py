"""What was measured, as named columns to draw, and what a run predicts for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..fit.observations import Observations
from ..trajectory import state_columns


def measured_names(observations: Observations) -> list[str]:
    """A name for each column that was measured: the component's own, or that of the function that
    observes.
    """
    columns = [name for name, _ in state_columns(observations.values)]
    what = observations.observe
    if what is None:
        return columns
    if isinstance(what, tuple):
        return [_component_name(one) for one in what]
    if not callable(what):
        own = _component_name(what)
        return [own] if len(columns) == 1 else [own + name.removeprefix("y") for name in columns]
    return [_function_name(what) + name.removeprefix("y") for name in columns]


def measured_columns(
    observations: Observations, names: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Times and values of each column by name, without missing ones.

    **Raises** `ValueError` when counts differ, `TypeError` for what is no `Observations`.
    """
    if not isinstance(observations, Observations):
        raise TypeError(
            f"data has type {type(observations).__name__}, which has no times: write "
            "data=wl.Observations(times, values), with values of the whole state."
        )
    columns = state_columns(observations.values)
    if len(names) != len(columns):
        raise ValueError(
            f"data has {len(columns)} columns, but {len(names)} components are drawn ({', '.join(names)}): "
            "give observations of the whole state."
        )
    return {
        name: (observations.ts[np.isfinite(values)], values[np.isfinite(values)])
        for name, (_, values) in zip(names, columns, strict=True)
    }


def predicted_columns(
    observations: Observations, ts: np.ndarray, states: PyTree, system: Any
) -> list[np.ndarray]:
    """What the states of a run, [n, ...] at ts [n], predict for each measured column."""
    predicted = observations.comparison(ts).observed(jnp.asarray(ts), states, system)
    return [np.asarray(values) for _, values in state_columns(predicted)]


def _component_name(what: int | str) -> str:
    return f"y[{what}]" if isinstance(what, int) else str(what)


def _function_name(what: Callable[..., Any]) -> str:
    name = getattr(what, "__name__", "observed")
    return "observed" if name == "<lambda>" else name

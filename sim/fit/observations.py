"""What was measured: `Observations` with their noise, and `Experiment`, the conditions under which they were taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from ...solvers.signals import Signal, as_signal
from .comparison import Comparison, as_observe, structure_in_words

SHOWN = 6  # numbers of an array that are written out


@dataclass(frozen=True)
class Normal:
    """Additive noise: residual = (model - measured) / sigma. Without `sigma` its size is estimated from the fit."""

    sigma: Any = None

    logarithmic = False


@dataclass(frozen=True)
class LogNormal:
    """Multiplicative noise: residual = (log model - log measured) / sigma; measured values must be positive."""

    sigma: Any = None

    logarithmic = True


class Observations:
    """Measured values over time, and how the state is observed.

    **Arguments**

    - `ts` [m]: times in the unit of the model, from early to late; the same time again for values measured again.
    - `values`: what was measured, one row a time, in the structure of what is observed: [m, n] for a state of n
      components, [m] for one component, a dict of arrays for a dict state. NaN marks a missing value.
    - `noise`: `Normal(sigma)` or `LogNormal(sigma)`; sigma a number, anything that broadcasts to the values, or one for
      each array in the structure of the values.
    - `observe`: which part of the state was measured: a component's number or name, several of them (list, array, mask),
      or a function `observe(state)` or `observe(t, state, system)`; None for the whole state.
    - `weights`: factors on the squared residuals, given like sigma. A value of weight zero counts as missing.

    **Raises** `ValueError` for times that fall, counts that differ, no values at all, or values that are not
    positive under log-normal noise; `TypeError` for what is no `noise` and no `observe`.
    """

    def __init__(
        self,
        ts: Any,
        values: PyTree,
        noise: Normal | LogNormal | None = None,
        observe: Any = None,
        weights: Any = None,
    ):
        self.ts = _times(ts)
        self.noise = Normal() if noise is None else noise
        if not isinstance(self.noise, (Normal, LogNormal)):
            raise TypeError(f"noise={noise!r}: write wl.Normal(sigma) or wl.LogNormal(sigma).")
        self.observe = as_observe(observe)
        self.values = jax.tree.map(_rows, values, is_leaf=lambda x: isinstance(x, (list, np.ndarray)))
        self._check_values()
        self.sigma = self._spread(self.noise.sigma, "sigma")
        self.weights = self._spread(weights, "weights")
        self.present = jax.tree.map(lambda value, weight: np.isfinite(value) & (weight > 0), self.values, self.weights)
        if self.count == 0:
            raise ValueError(
                f"weights={weights!r}: no measured value has a weight above zero, so there is nothing to fit. Give "
                "positive weights, or leave these observations out."
            )

    def __repr__(self) -> str:
        times = f"{self.ts.size} time{'s' * (self.ts.size != 1)} from {self.ts[0]:.6g} to {self.ts[-1]:.6g}"
        leaves = jax.tree.leaves(self.values)
        shape = str(list(leaves[0].shape)) if len(leaves) == 1 else structure_in_words(self.values)
        all_ = sum(leaf.size for leaf in leaves)
        missing = f", {all_ - self.count} of {all_} missing" if self.count < all_ else ""
        observe = "" if self.observe is None else f", observe={getattr(self.observe, '__name__', self.observe)!r}"
        noise = type(self.noise).__name__
        sigma = "" if self.noise.sigma is None else f"sigma={_brief(self.noise.sigma)}"
        weighted = any((leaf != 1).any() for leaf in jax.tree.leaves(self.weights))
        weights = ", weights" if weighted else ""
        return f"Observations({times}, values {shape}{missing}, {noise}({sigma}){observe}{weights})"

    @property
    def sigma_known(self) -> bool:
        """Whether the size of the noise was given."""
        return self.noise.sigma is not None

    @property
    def count(self) -> int:
        """Number of values that were measured and have a weight."""
        return int(sum(leaf.sum() for leaf in jax.tree.leaves(self.present)))

    def comparison(self, ts: np.ndarray) -> Comparison:
        """The numerical part, for a run whose states are known at `ts`."""
        empty = 1.0 if self.noise.logarithmic else 0.0
        return Comparison(
            rows=np.searchsorted(ts, self.ts),
            values=jax.tree.map(lambda v, ok: np.where(ok, v, empty), self.values, self.present),
            factors=jax.tree.map(lambda w, s: np.sqrt(w) / s, self.weights, self.sigma),
            present=self.present,
            observe=self.observe,
            logarithmic=self.noise.logarithmic,
        )

    def residual_times(self) -> np.ndarray:
        """The time of each residual, [k], in the order of `residuals`; NaN for missing values."""
        parts = []
        for present in jax.tree.leaves(self.present):
            times = np.broadcast_to(self.ts.reshape((-1,) + (1,) * (present.ndim - 1)), present.shape)
            parts.append(np.where(present, times, np.nan).ravel())
        return np.concatenate(parts)

    def _check_values(self) -> None:
        leaves = jax.tree.leaves(self.values)
        if not leaves:
            raise ValueError("values are empty: give one row for each time.")
        for leaf in leaves:
            if leaf.ndim == 0 or leaf.shape[0] != self.ts.shape[0]:
                raise ValueError(
                    f"values have shape {leaf.shape} for {self.ts.shape[0]} times: one row for each time is needed"
                    + (" (transpose them?)." if leaf.ndim == 2 and leaf.shape[1] == self.ts.shape[0] else ".")
                )
            if np.isinf(leaf).any():
                raise ValueError("values contain infinity: mark missing values by NaN.")
            if self.noise.logarithmic and (leaf[np.isfinite(leaf)] <= 0).any():
                raise ValueError(
                    "values are not all positive, as log-normal noise needs: use wl.Normal(), or drop them as NaN."
                )
        if not any(np.isfinite(leaf).any() for leaf in leaves):
            raise ValueError("all values are missing (NaN): there is nothing to fit.")

    def _spread(self, given: Any, what: str) -> PyTree:
        """One number for each value, from one number, one for each array of the values, or anything between."""
        structure = jax.tree.structure(given, is_leaf=lambda x: isinstance(x, list))
        if structure == jax.tree.structure(self.values):  # type: ignore[operator]
            return jax.tree.map(lambda leaf, own: _spread(leaf, own, what), self.values, given)
        if isinstance(given, dict):
            raise ValueError(
                f"{what} is {structure_in_words(given)}, but the values are {structure_in_words(self.values)}: give a "
                f"number or an array for each, or one number for all."
            )
        return jax.tree.map(lambda leaf: _spread(leaf, given, what), self.values)


@dataclass(frozen=True, repr=False)
class Experiment:
    """One run that was measured: its observations, initial state and controls. `wl.fit` takes one or several.

    `state` None: the first observation of the whole state, which then counts as measured only where it is free; `t0` None:
    the first time of the observations.
    """

    observations: Any  # one Observations or several; a tuple afterwards
    state: PyTree = None
    controls: Signal | Callable | None = None
    t0: float | None = None

    def __post_init__(self) -> None:
        several = self.observations
        if not isinstance(several, (tuple, list)):
            several = (several,)
        for one in several:
            if not isinstance(one, Observations):
                raise TypeError(f"observations has type {type(one).__name__}; write wl.Observations(ts, values).")
        object.__setattr__(self, "observations", tuple(several))
        object.__setattr__(self, "controls", as_signal(self.controls))

    def __repr__(self) -> str:
        several = ", ".join(map(repr, self.observations))
        shown = several if len(self.observations) == 1 else f"[{several}]"
        state = "first observation" if self.state is None else _brief(self.state)
        given = ""
        if self.controls is not None:
            over = "" if self.span is None else " from {:.6g} to {:.6g}".format(*self.span)
            given = f", controls={type(self.controls).__name__}{over}"
        return f"Experiment({shown}, state={state}{given}, t0={self.start:.6g})"

    @property
    def ts(self) -> np.ndarray:
        """All times at which the state is needed, increasing."""
        return np.unique(np.concatenate([o.ts for o in self.observations]))

    @property
    def start(self) -> float:
        """The time of the initial state."""
        return float(self.ts[0]) if self.t0 is None else float(self.t0)

    @property
    def span(self) -> tuple[float, float] | None:
        """First and last time at which the controls are known; None without controls or where they always are."""
        signal = as_signal(self.controls)
        span = None if signal is None else signal.span()
        return None if span is None else (float(span[0]), float(span[1]))

    def initial_state(self) -> PyTree:
        """The initial state given, or else the first observation. **Raises** `ValueError` when there is none."""
        if self.state is not None:
            return self.state
        source = self._source()
        if source is not None:
            return jax.tree.map(lambda v: v[0], source.values)
        raise ValueError(
            "the initial state is not known: the first observation is not the whole state. Pass it to fit as its third "
            'argument, and free={"y0": ...} to estimate it.'
        )


    def given(self, fixed: PyTree) -> np.ndarray:
        """Which values of all observations are the initial state itself where it is fixed, so that no model differs from
        them; `fixed`: which numbers of the initial state are.
        """
        source, parts = self._source() if self.state is None else None, []
        for o in self.observations:
            marks = jax.tree.map(lambda v: np.zeros(v.shape, bool), o.values)
            if o is source:
                for leaf, is_fixed in zip(jax.tree.leaves(marks), jax.tree.leaves(fixed), strict=True):
                    leaf[0] = is_fixed
            parts += [leaf.ravel() for leaf in jax.tree.leaves(marks)]
        return np.concatenate(parts)

    def _source(self) -> Observations | None:
        """The observations whose first row is the whole state at the start."""
        for o in self.observations:
            complete = all(np.isfinite(leaf[0]).all() for leaf in jax.tree.leaves(o.values))
            if o.observe is None and o.ts[0] == self.start and complete:
                return o
        return None


def _times(ts: Any) -> np.ndarray:
    array = np.asarray(ts, np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"ts has shape {array.shape}; it must be a list of times, shape [m].")
    if not np.isfinite(array).all():
        raise ValueError("ts contains NaN or infinite times: drop those rows.")
    falls = np.flatnonzero(np.diff(array) < 0)
    if falls.size:
        i = int(falls[0])
        raise ValueError(
            f"ts must increase, but ts[{i}] = {array[i]:.6g} is followed by ts[{i + 1}] = {array[i + 1]:.6g}: sort the rows "
            "(order = np.argsort(ts)), or give each series that was measured as one wl.Observations of a list."
        )
    return array


def _brief(value: Any) -> str:
    """A number, or an array or a tree of them, in a few words."""
    leaves = jax.tree.leaves(value)
    if sum(np.size(leaf) for leaf in leaves) <= SHOWN:
        return repr(jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), value))
    return f"array{list(np.shape(leaves[0]))}" if len(leaves) == 1 else structure_in_words(value)


def _rows(values: Any) -> np.ndarray:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            "values are not all numbers: convert text columns first, and mark missing values by NaN."
        ) from None


def _spread(leaf: np.ndarray, own: Any, what: str) -> np.ndarray:
    array = np.asarray(1.0 if own is None else own, np.float64)
    low = np.min(array) if array.size else -1.0
    if not np.isfinite(array).all() or low < 0 or (what == "sigma" and low == 0):
        raise ValueError(
            f"{what}={own!r}: {what} must be finite and {'positive' if what == 'sigma' else 'not negative'}."
        )
    try:
        return np.broadcast_to(array, leaf.shape)
    except ValueError:
        raise ValueError(f"{what} has shape {array.shape}, which does not fit values of shape {leaf.shape}.") from None

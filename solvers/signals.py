"""Inputs over time: sampled signals, functions of time and policies, as the controls of a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree


class Signal(eqx.Module):
    """A control input u(t). Subclasses say how it is evaluated and where it jumps."""

    def __call__(self, t: Float[Array, ""]) -> PyTree:
        raise NotImplementedError

    def at(self, t: Float[Array, ""], y: PyTree) -> PyTree:
        """The input at time t in state y, which most signals do not look at."""
        return self(t)

    def breakpoints(self) -> Float[Array, " b"] | None:
        """Times at which the signal jumps or has a kink, where steps must end; None when it is smooth."""
        return None

    def piece(self, t: Float[Array, ""]) -> Signal:
        """The signal from t to the next breakpoint, smooth and quick to evaluate."""
        return self

    @property
    def jumps(self) -> bool:
        """Whether the signal is discontinuous at its breakpoints."""
        return False

    def span(self) -> tuple[Float[Array, ""], Float[Array, ""]] | None:
        """First and last time at which the signal is known; None when it is known everywhere."""
        return None


class Sampled(Signal):
    """A signal known at sample times: u(t) by linear interpolation, or held from each sample to the next.

    **Arguments**: `ts` [n], increasing, in the time unit of the run; `values`: a pytree of arrays [n, ...], one row
    a sample; `kind`: `"linear"` or `"hold"`. Values are differentiable leaves.

    **Raises** `ValueError` when times do not increase, when a sample is not finite, or when counts differ.
    """

    ts: Float[Array, " n"]
    values: PyTree[Float[Array, "n ..."]]
    kind: str = eqx.field(static=True)

    def __init__(self, ts: Any, values: Any, kind: str = "linear"):
        if kind not in ("linear", "hold"):
            raise ValueError(f"kind={kind!r}: a sampled signal is 'linear' or 'hold'.")
        self.ts = _floats(ts)
        self.values = jax.tree.map(_floats, values, is_leaf=_is_list)
        self.kind = kind
        _check_samples(self.ts, self.values)

    def __call__(self, t: Float[Array, ""]) -> PyTree:
        """The signal at time t, without the sample axis."""
        t = jnp.asarray(t)
        ts = self.ts.astype(t.dtype) if jnp.issubdtype(t.dtype, jnp.floating) else self.ts
        i = jnp.clip(jnp.searchsorted(ts, t, side="right") - 1, 0, ts.shape[0] - 2)
        if self.kind == "hold":
            i = i + (t >= ts[-1])
            return jax.tree.map(lambda v: v[i], self.values)
        weight = (t - ts[i]) / (ts[i + 1] - ts[i])
        return jax.tree.map(lambda v: v[i] + weight * (v[i + 1] - v[i]), self.values)

    def breakpoints(self) -> Float[Array, " b"] | None:
        """The sample times: a held signal jumps there, an interpolated one has kinks."""
        return self.ts

    def piece(self, t: Float[Array, ""]) -> Signal:
        """The signal between the samples around t."""
        ts = self.ts.astype(t.dtype)
        i = jnp.clip(jnp.searchsorted(ts, t, side="right", method="scan_unrolled") - 1, 0, ts.shape[0] - 2)
        ends = jax.tree.map(lambda v: (v[i], v[i + 1]), self.values)
        left, right = jax.tree.transpose(jax.tree.structure(self.values), jax.tree.structure((0, 0)), ends)
        return _Piece(ts[i], ts[i + 1], left, left if self.kind == "hold" else right)

    @property
    def jumps(self) -> bool:
        """True for a held signal."""
        return self.kind == "hold"

    def span(self) -> tuple[Float[Array, ""], Float[Array, ""]] | None:
        """First and last sample time."""
        return self.ts[0], self.ts[-1]


class Rows(Signal):
    """A signal with one row for each of n steps of equal length, held through it: `rows` [n, ...], `ts` [n + 1]."""

    rows: Float[Array, "n ..."]
    ts: Float[Array, " m"]

    def __call__(self, t: Float[Array, ""]) -> PyTree:
        """The row of the step that begins at or before t."""
        ts = self.ts.astype(jnp.result_type(t))
        width = (ts[-1] - ts[0]) / self.rows.shape[0]
        nearest = jnp.clip(jnp.round((t - ts[0]) / width), 0, self.rows.shape[0]).astype(jnp.int32)
        return self.rows[jnp.clip(nearest - (t < ts[nearest]), 0, self.rows.shape[0] - 1)]

    def breakpoints(self) -> Float[Array, " b"] | None:
        """The beginnings and ends of the steps."""
        return self.ts

    def piece(self, t: Float[Array, ""]) -> Signal:
        """The row itself."""
        return Rows(self(t)[None], self.ts[jnp.array([0, -1])])

    @property
    def jumps(self) -> bool:
        """True: each row begins anew."""
        return True

    def span(self) -> tuple[Float[Array, ""], Float[Array, ""]] | None:
        """First and last time at which the signal is known."""
        return self.ts[0], self.ts[-1]


class _Piece(Signal):
    """A straight line between two samples."""

    start: Array
    end: Array
    left: PyTree
    right: PyTree

    def __call__(self, t: Float[Array, ""]) -> PyTree:
        weight = (t - self.start) / (self.end - self.start)
        return jax.tree.map(lambda a, b: a + weight * (b - a), self.left, self.right)


class Before(Signal):
    """A signal up to and with a time: a jump at that time has not happened yet."""

    signal: Signal
    end: Float[Array, ""]

    def __call__(self, t: Float[Array, ""]) -> PyTree:
        """The signal's value at time t, at `end` the one it had just before."""
        return self.signal(self._until(t))

    def at(self, t: Float[Array, ""], y: PyTree) -> PyTree:
        """As when called, for signals that look at the state."""
        return self.signal.at(self._until(t), y)

    def _until(self, t: Float[Array, ""]) -> Float[Array, ""]:
        end = jax.lax.stop_gradient(self.end)
        last = jnp.nextafter(end, jnp.full_like(end, -jnp.inf))
        return t + jax.lax.stop_gradient(jnp.minimum(t, last) - t)


class FunctionSignal(Signal):
    """A control given by a function of time, `u = function(t)`; an Equinox module keeps its leaves differentiable."""

    function: Callable

    def __call__(self, t: Float[Array, ""]) -> PyTree:
        """The function's value at time t."""
        return self.function(t)


class Policy(Signal):
    """A control that looks at the state, `u = function(t, y)`; an Equinox module keeps its leaves differentiable."""

    function: Callable

    def __call__(self, t: Float[Array, ""]) -> PyTree:
        """**Raises** `TypeError`: without a state there is no control."""
        raise TypeError("a policy u = f(t, y) needs the state.")

    def at(self, t: Float[Array, ""], y: PyTree) -> PyTree:
        """What the policy does at time t in state y."""
        return self.function(t, y)


def as_signal(controls: Any) -> Signal | None:
    """A `Signal` from what a user passes as `controls`: a `Signal`, a function f(t) or f(t, y), or None."""
    if controls is None or isinstance(controls, Signal):
        return controls
    if callable(controls):
        return Policy(controls) if _takes_state(controls) else FunctionSignal(controls)
    raise TypeError(
        f"controls has type {type(controls).__name__}; it must be a function of time, u = f(t), or of time and state, "
        "u = f(t, y), an array with a row for each of the steps of a run with steps=, or a sampled signal: write "
        "wl.Sampled(times, values)."
    )


def _takes_state(function: Callable) -> bool:
    """Whether a function wants two arguments. What cannot be asked, such as some of NumPy's, gets the time alone."""
    try:
        wanted = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    places = [p for p in wanted if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    return len(places) == 2


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, (int, float)) or _is_list(v) for v in value)


def _floats(value: Any) -> Array:
    array = jnp.asarray(value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.result_type(float))


def _check_samples(ts: Array, values: PyTree) -> None:
    leaves = jax.tree.leaves(values)
    if ts.ndim != 1 or ts.shape[0] < 2:
        raise ValueError(f"ts has shape {ts.shape}; a sampled signal needs at least two times, shape [n].")
    for leaf in leaves:
        if leaf.ndim == 0 or leaf.shape[0] != ts.shape[0]:
            raise ValueError(f"values have shape {leaf.shape} for {ts.shape[0]} sample times; one row a sample is needed.")
    if any(isinstance(leaf, jax.core.Tracer) for leaf in [ts, *leaves]):
        return
    if not np.all(np.diff(np.asarray(ts)) > 0):
        raise ValueError("ts of a sampled signal must increase: sort the samples and drop repeated times.")
    for leaf in [ts, *leaves]:
        bad = np.argwhere(~np.isfinite(np.asarray(leaf)))
        if len(bad):
            raise ValueError(f"sample {int(bad[0][0])} of the signal is not finite: interpolate or drop it first.")

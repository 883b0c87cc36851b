"""The times of a run as a user may give them, and the controls that go with them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..solvers.signals import Rows, Signal, as_signal


def run_times(ts: Any, t0: Any, t1: Any, dt: Any, steps: int | None, dtype: np.dtype) -> tuple[Any, Any, Any]:
    """Start, output times and fixed step from the ways in which a user may give them.

    **Raises** `ValueError` and `TypeError` for times that make no sense, naming the argument.
    """
    if ts is not None and (t1 is not None or steps is not None):
        raise ValueError("ts already says when to end: pass ts alone, or t1, or dt and steps.")
    if _traced(steps):
        raise TypeError("steps is traced: it says how many states there are, so it must be a whole number of Python.")
    if steps is not None:
        if dt is None or t1 is not None:
            raise ValueError("steps needs dt, and excludes t1: pass dt=0.01, steps=1000.")
        if steps != int(steps) or steps < 1:
            raise ValueError(f"steps={steps}: at least one step is needed, and a whole number of them.")
        _check_step(as_number("dt", dt, dtype))
        begin = 0.0 if t0 is None else t0
        ts = as_number("t0", begin, dtype) + as_number("dt", dt, dtype) * np.arange(int(steps) + 1, dtype=dtype)
    elif ts is None:
        if t1 is None:
            raise ValueError("no times were given: pass ts=times, or t1=end, or dt=step and steps=count.")
        begin = as_number("t0", 0.0 if t0 is None else t0, dtype)
        pair = (begin, as_number("t1", t1, dtype))
        if not any(_traced(x) for x in pair) and pair[1] <= begin:
            raise ValueError(f"t1={float(pair[1]):.6g} must lie after the start t0={float(begin):.6g}.")
        ts = jnp.stack(pair) if any(_traced(x) for x in pair) else np.stack(pair)
    if isinstance(ts, (list, tuple)) and any(_traced(t) for t in ts):
        ts = jnp.stack([jnp.asarray(t) for t in ts])
    ts = as_number("ts", ts, dtype)
    if ts.ndim != 1 or ts.shape[0] == 0:
        raise ValueError(
            f"ts has shape {ts.shape}; it must be a list of times, shape [n]. For a single end time pass t1."
        )
    t0 = ts[0] if t0 is None else as_number("t0", t0, dtype)
    dt = None if dt is None else as_number("dt", dt, dtype)
    _check_times(t0, ts, dt)
    return t0, ts, dt


def _array(value: Any, dtype: np.dtype) -> Any:
    return value.astype(dtype) if _traced(value) else np.asarray(value, dtype)


def as_number(name: str, value: Any, dtype: np.dtype) -> Any:
    """`value` as an array of numbers. **Raises** `TypeError` naming the argument for what is none."""
    try:
        return _array(value, dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}={value!r} is not a number.") from error


def _check_times(t0: Any, ts: Any, dt: Any) -> None:
    if _traced(ts) or _traced(t0):
        return
    if not (np.isfinite(ts).all() and np.isfinite(t0)):
        raise ValueError("ts contains NaN or infinite times: every time must be a finite number.")
    falls = np.flatnonzero(np.diff(ts) <= 0)
    if falls.size:
        i = int(falls[0])
        raise ValueError(
            f"ts must increase, but ts[{i}] = {ts[i]:.6g} is followed by ts[{i + 1}] = {ts[i + 1]:.6g}: sort the times "
            "and drop repeated ones (in float32, times closer than 1e-7 of their size are the same)."
        )
    if t0 > ts[0]:
        raise ValueError(f"t0={float(t0):.6g} lies after the first output time {float(ts[0]):.6g}: start earlier.")
    if dt is not None:
        _check_step(dt)


def _check_step(dt: Any) -> None:
    if not _traced(dt) and not (np.isfinite(dt) and dt > 0):
        raise ValueError(f"dt={float(dt):.6g}: a step must be a positive number.")


def in_rows(controls: Any, ts: Any, steps: int, dtype: np.dtype) -> Signal | None:
    """The signal of controls that may have a row for each step. **Raises** `ValueError` for other rows."""
    if not (isinstance(controls, (list, np.ndarray)) or isinstance(controls, jax.Array)):
        return as_signal(controls)
    rows = jnp.asarray(controls)
    if rows.ndim == 0 or rows.shape[0] != steps:
        raise ValueError(f"controls has shape {rows.shape} for {steps} steps: give one row for each step.")
    rows = rows if jnp.issubdtype(rows.dtype, jnp.floating) else rows.astype(dtype)
    if not _traced(rows) and not np.isfinite(rows).all():
        row = int(np.argwhere(~np.isfinite(np.asarray(rows)))[0][0])
        raise ValueError(f"controls[{row}] = {np.asarray(rows)[row]} is not finite: every control must be a finite number.")
    return Rows(rows, jnp.asarray(ts))


def check_controls(controls: Signal | None, t0: Any, ts: Any) -> None:
    """**Raises** `ValueError` for controls that are not known all through a run."""
    span = None if controls is None else controls.span()
    if span is None or any(_traced(x) for x in (*span, ts, t0)):
        return
    if not covered(span, t0, ts):
        raise ValueError(
            f"controls are known from t = {float(span[0]):.10g} to {float(span[1]):.10g}, but the run goes from "
            f"{float(t0):.10g} to {float(ts[-1]):.10g}: give samples that cover the run, or shorten it."
        )


def covered(span: tuple[Any, Any], t0: Any, ts: Any) -> Any:
    """Whether a signal is known all through a run, to a millionth of its own length."""
    slack = 1e-6 * (span[1] - span[0])
    return (t0 >= span[0] - slack) & (ts[-1] <= span[1] + slack)


def _traced(value: Any) -> bool:
    return isinstance(value, jax.core.Tracer)

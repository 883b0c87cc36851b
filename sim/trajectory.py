"""The result of a run: `Trajectory`, states over time with the status and statistics of how they were computed."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..core.status import Code, Status
from ..solvers.problems import EventRecord, Stats
from .interpolation import hermite


class Trajectory(eqx.Module):
    """States over time.

    | attribute | shape | meaning |
    | --- | --- | --- |
    | `ts` | [n] | times |
    | `states` | structure of the state, leaves [n, ...] | the state at each time; NaN where a run did not get there |
    | `final` | structure of the state | state at the last time, or at the event that ended the run; NaN after a failure |
    | `status` | | ok, or what went wrong and where |
    | `stats` | | solver, steps, rejected steps, switch to a stiff solver |
    | `event` | | which event ended the run and when; None for systems without events |

    `run.at(2.5)` interpolates in time, `run[3]` and `run[-1]` are states by number, `run[1.0:2.0]` is the part between
    two times. A part has the status, the event and the final state that a run to its last time would have had: what
    happened after that time is no part of it. Its `stats` are those of the whole run. Results of `wl.ensemble` carry
    one more leading axis everywhere.
    """

    ts: Float[Array, "*lanes n"]
    states: PyTree[Float[Array, "*lanes n ..."]]
    final: PyTree[Float[Array, "*lanes ..."]]
    status: Status
    stats: Stats
    event: EventRecord | None = None

    def __len__(self) -> int:
        return self.ts.shape[-1]

    def at(self, t: Any) -> PyTree:
        """The state at time t (a number, or an array of times [m] for states with leading axis m).

        Cubic Hermite interpolation between stored states with slopes from their neighbours (Catmull-Rom on unequal
        times): third-order accurate in the spacing of `ts`. For the solver's own accuracy at given times, put them
        into `ts`. What counts, such as the steps of a run, is that of the last stored state. The state at an event that
        ended the run is the last one interpolated; after it, and after the last state before a failure, the result is
        NaN. **Raises** `ValueError` for times outside the span.
        """
        self._single("at")
        times = jnp.asarray(t, jnp.result_type(self.ts))
        if not isinstance(times, jax.core.Tracer) and not isinstance(self.ts, jax.core.Tracer):
            low, high = float(self.ts[0]), float(self.ts[-1])
            outside = np.asarray(times)[(np.asarray(times) < low) | (np.asarray(times) > high)]
            if outside.size:
                raise ValueError(
                    f"t={float(outside.flat[0]):.6g} lies outside the run, which spans {low:.6g} to {high:.6g}."
                )
        ts, states, end = self._knots()
        last = jnp.clip(jnp.searchsorted(ts, times, side="right") - 1, 0, len(self) - 1)
        i = jnp.minimum(last, max(len(self) - 2, 0))

        def between(y: Array) -> Array:
            return hermite(ts, y, i, times, end) if jnp.issubdtype(y.dtype, jnp.inexact) else y[last]

        return jax.tree.map(between, states)

    def _knots(self) -> tuple[Array, PyTree, Array]:
        """Times and states to interpolate between, and the time at which they end.

        The first time that is not before an event gives way to the event and its state.
        """
        end = self.ts[-1]
        if self.event is None:
            return self.ts, self.states, end
        t, rows = self.event.t, jnp.arange(len(self))
        here = (rows == jnp.searchsorted(self.ts, t, side="left")) & self.event.happened

        def replaced(y: Array, at_event: Array) -> Array:
            return jnp.where(here.reshape((-1,) + (1,) * (y.ndim - 1)), at_event, y)

        states = jax.tree.map(replaced, self.states, self.final)
        return replaced(self.ts, t), states, jnp.where(self.event.happened, t, end)

    def __getitem__(self, index: Any) -> Any:
        self._single("[...]")
        if isinstance(index, slice):
            rows = self._rows(index)
            ts, states = jax.tree.map(lambda x: x[rows], (self.ts, self.states))
            return self._part(ts, states) if ts.shape[0] else eqx.tree_at(lambda r: (r.ts, r.states), self, (ts, states))
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"state {index} of a run with {len(self)} stored times.")
            return jax.tree.map(lambda x: x[index], self.states)
        if isinstance(index, (float, np.floating)):
            return self.at(index)
        raise TypeError(f"a run is indexed by a number, a time, or a slice of either, not by {type(index).__name__}.")

    def _part(self, ts: Array, states: PyTree) -> Trajectory:
        """The run up to the last of these times, of which these are stored."""
        last = jnp.argmax(ts)  # a slice may run backwards
        final, event = jax.tree.map(lambda y: y[last], states), self.event
        reached = jnp.all(jnp.stack([jnp.all(jnp.isfinite(y)) for y in jax.tree.leaves(final)]))
        # Failures whose time is not known are part of everything; no comparison with NaN holds.
        ok = self.status.ok | reached & (ts[last] <= self.status.t)
        status = Status(
            jnp.where(ok, Code.OK, self.status.code).astype(self.status.code.dtype),
            jnp.where(ok, jnp.nan, self.status.t),
            jnp.where(ok, -1, self.status.step),
        )
        if event is not None:
            happened = event.happened & (event.t <= ts[last])
            final = jax.tree.map(lambda a, b: jnp.where(happened, a, b), self.final, final)
            event = EventRecord(jnp.where(happened, event.index, -1), jnp.where(happened, event.t, jnp.nan))
        return Trajectory(ts, states, final, status, self.stats, event)

    def _rows(self, index: slice) -> slice:
        parts = (index.start, index.stop)
        if not any(isinstance(part, (float, np.floating)) for part in parts):
            return index
        ts = np.asarray(self.ts)
        start = 0 if parts[0] is None else int(np.searchsorted(ts, parts[0], side="left"))
        stop = len(ts) if parts[1] is None else int(np.searchsorted(ts, parts[1], side="right"))
        return slice(start, stop, index.step)

    def _single(self, what: str) -> None:
        if self.ts.ndim != 1:
            raise ValueError(
                f"{what} works on one run, but this holds {self.ts.shape[:-1]} of them: pick one with "
                "jax.tree.map(lambda x: x[i], runs)."
            )

    def to_numpy(self) -> tuple[np.ndarray, Any]:
        """Times and states as NumPy arrays, the states in the structure they have."""
        return np.asarray(self.ts), jax.tree.map(np.asarray, self.states)

    def columns(self) -> dict[str, np.ndarray]:
        """Each scalar component of the state over time, by name: `"y[0]"`, `"q"`, `"link.angle[2]"`."""
        self._single("columns")
        return dict(state_columns(self.states))

    def to_pandas(self) -> Any:
        """A pandas DataFrame with index t and one column for each scalar component of the state."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_pandas needs pandas: pip install pandas.") from error
        return pandas.DataFrame(self.columns(), index=pandas.Index(np.asarray(self.ts), name="t"))

    def plot(self, **options: Any) -> Any:
        """Plot every component over time; see `worldline.sim.plot.plot_trajectory`. Returns the matplotlib figure."""
        from .plot import plot_trajectory

        return plot_trajectory(self, **options)

    def __repr__(self) -> str:
        if any(isinstance(x, jax.core.Tracer) for x in (self.ts, self.status.code)):
            return f"Trajectory(traced, ts={self.ts})"
        shapes = ", ".join(
            f"{_label(path)} {tuple(x.shape)}" for path, x in jax.tree_util.tree_leaves_with_path(self.states)
        )
        ts = np.asarray(self.ts)
        span = f"t = {ts.min():.6g} to {ts.max():.6g} at {len(self)} times" if ts.size else "no times"
        lanes = "" if ts.ndim == 1 else f"{int(np.prod(ts.shape[:-1]))} runs, "
        ended = self._event_words()
        # The mean of runs that all failed has none.
        stats = f", {self.stats!r}" if np.isfinite(self.stats.steps).all() else ""
        return f"Trajectory({lanes}{span}, states: {shapes}, status: {self.status.message()}{ended}{stats})"

    def _event_words(self) -> str:
        if self.event is None:
            return ""
        happened = np.asarray(self.event.happened)
        if happened.ndim:
            return f", {int(happened.sum())} ended by an event"
        return f", ended by event {int(self.event.index)} at t = {float(self.event.t):.6g}" if happened else ""


def state_columns(states: PyTree) -> list[tuple[str, np.ndarray]]:
    """(name, values [n]) of each scalar component of states with time first."""
    columns = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(states):
        values, label = np.asarray(leaf), _label(path)
        if values.ndim == 1:
            columns.append((label, values))
        else:
            columns += [
                (f"{label}[{','.join(map(str, index))}]", values[(slice(None), *index)])
                for index in np.ndindex(values.shape[1:])
            ]
    return columns


def _label(path: tuple) -> str:
    words = []
    for key in path:
        if isinstance(key, jax.tree_util.SequenceKey):
            words.append(f"[{key.idx}]")
        else:
            words.append(("." if words else "") + str(getattr(key, "key", getattr(key, "name", key))))
    text = "".join(words)
    return f"y{text}" if text.startswith("[") or not text else text

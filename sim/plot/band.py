"""An ensemble as a fan: a line in the middle and bands between quantiles, of runs or of their statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import PyTree

from ..fit.observations import Observations
from ..statistics import Statistics
from ..trajectory import Trajectory, state_columns
from .measured import measured_columns
from .style import (
    QUIET,
    SMALL,
    chosen,
    colour,
    draw_points,
    dress,
    finish,
    legend_above,
    log_axis,
    named,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = (0.025, 0.25, 0.5, 0.75, 0.975)
OUTER, INNER = 0.2, 0.48  # opacity of the widest band and of the narrowest


def plot_band(
    ts: Any,
    states: PyTree,
    *,
    data: Observations | None = None,
    names: Sequence[str] | None = None,
    components: Sequence[str] | None = None,
    log: bool = False,
    log_time: bool = False,
    time_label: str = "t",
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw the median, the central 50 % and the central 95 % of an ensemble at each time, a panel for each
    component.

    **Arguments**

    - `ts` [n]: times; `states`: what an ensemble of runs returned, leaves [lanes, n, ...].
    - `data`: observations of the whole state, drawn as points.
    - `names`: what to call the components; `components`: which of them to draw.
    - `log`, `log_time`: logarithmic values and times; `time_label`, `title`: texts; `path`: where to save.

    Runs with NaN anywhere are left out, and the picture says how many.

    **Returns** the figure. **Raises** `ValueError` when no run is complete, and for unknown components or too many;
    `ImportError` without matplotlib.
    """
    ts = np.asarray(ts)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(states)]
    if ts.ndim != 1 or any(leaf.ndim < 2 or leaf.shape[1] != ts.shape[0] for leaf in leaves):
        shapes = ", ".join(str(leaf.shape) for leaf in leaves)
        raise ValueError(
            f"states have shapes {shapes} for ts of shape {ts.shape}; they must be [lanes, {len(ts)}, ...]."
        )
    complete = np.all([np.isfinite(leaf).reshape(len(leaf), -1).all(axis=1) for leaf in leaves], axis=0)
    if not complete.any():
        raise ValueError(f"none of the {len(complete)} runs is finite throughout: there is nothing to draw.")
    tree = jax.tree.map(lambda leaf: np.quantile(np.asarray(leaf)[complete], LEVELS, axis=0), states)
    fan = _fan_of_quantiles([jax.tree.map(lambda q: q[i], tree) for i in range(len(LEVELS))], LEVELS)
    missing = int((~complete).sum())
    words = f"{missing} of {len(complete)} runs failed and are left out" if missing else ""
    return _draw(ts, fan, words, data, names, components, log, log_time, time_label, title, path)


def plot_statistics(
    statistics: Statistics,
    ts: Any = None,
    *,
    data: Observations | None = None,
    names: Sequence[str] | None = None,
    components: Sequence[str] | None = None,
    log: bool = False,
    log_time: bool = False,
    time_label: str = "t",
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw statistics of an ensemble at each time, a panel for each component: the median, or the mean where it was not
    gathered, and bands between quantiles.

    The lowest quantile and the highest are the ends of the widest band, the next two those of the next: (0.05, 0.25, 0.5,
    0.75, 0.95) give the central 50 % and 90 %. Without quantiles the band is the mean give or take one standard deviation.

    **Arguments**

    - `ts` [n]: times; those of the runs where a run returned a `Trajectory`, whose states are drawn. Otherwise all that a run
      returned is drawn, arrays [n, ...].
    - `data`, `names`, `components`, `log`, `log_time`, `time_label`, `title`, `path`: as for `plot_band`.

    Failed runs are in no statistic, and the picture says how many; it says too where fewer runs than that have values.

    **Returns** the figure. **Raises** `ValueError` when no run is ok, for results without times, for times that differ between
    runs, for unknown components or too many; `ImportError` without matplotlib.
    """
    if statistics.failed == statistics.runs:
        raise ValueError(f"none of the {statistics.runs} runs is ok ({statistics.status}): there is nothing to draw.")
    ts = _times(statistics, ts)
    levels = statistics.levels
    if levels:
        fan = _fan_of_quantiles([_states(statistics.quantile(q)) for q in levels], levels)
    else:
        mean, std = _states(statistics.mean), _states(statistics.std)
        low, high = jax.tree.map(lambda m, s: m - s, mean, std), jax.tree.map(lambda m, s: m + s, mean, std)
        fan = _Fan([(low, high, "mean ± standard deviation")], mean, "mean")
    if levels and 0.5 not in levels:
        fan = _Fan(fan.bands, _states(statistics.mean), "mean")
    words = []
    if statistics.failed:
        words.append(f"{statistics.failed} of {statistics.runs} runs failed and are left out")
    if statistics.fewest < statistics.runs - statistics.failed:
        words.append(f"at some times {_runs(statistics.fewest)} only")
    return _draw(ts, fan, "; ".join(words), data, names, components, log, log_time, time_label, title, path)


@dataclass(frozen=True)
class _Fan:
    """Bands (lower, upper, label), the widest first, and a line: pytrees of arrays [n, ...] like the state."""

    bands: list[tuple[PyTree, PyTree, str]]
    line: PyTree
    line_label: str


def _fan_of_quantiles(curves: Sequence[PyTree], levels: Sequence[float]) -> _Fan:
    order = np.argsort(levels, kind="stable")
    pairs = [(order[i], order[-1 - i]) for i in range(len(order) // 2)]
    bands = [(curves[i], curves[j], _band_label(levels[i], levels[j])) for i, j in pairs if levels[i] < levels[j]]
    middle = list(levels).index(0.5) if 0.5 in levels else order[len(order) // 2]
    return _Fan(bands, curves[middle], "median")


def _band_label(lower: float, upper: float) -> str:
    if (lower, upper) == (0.0, 1.0):
        return "all runs"
    if abs(lower + upper - 1.0) < 1e-9:
        return f"{100 * (upper - lower):.4g} %"
    return f"{100 * lower:.4g} to {100 * upper:.4g} %"


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count != 1)}"


def _states(tree: PyTree) -> PyTree:
    return tree.states if isinstance(tree, Trajectory) else tree


def _times(statistics: Statistics, ts: Any) -> np.ndarray:
    """The times of the runs, checked against the arrays to draw."""
    mean = statistics.mean
    if ts is None:
        if not isinstance(mean, Trajectory):
            raise ValueError("a run returned no Trajectory but other values: say at which times they are, plot(ts).")
        if np.any(statistics.minimum.ts != statistics.maximum.ts):
            raise ValueError("the times differ between the runs: give all the same ts to draw statistics over time.")
        ts = mean.ts
    ts = np.asarray(ts)
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(_states(mean))]
    if ts.ndim != 1 or any(shape[:1] != ts.shape for shape in shapes):
        raise ValueError(
            f"a run returned arrays of shapes {', '.join(map(str, shapes))} for ts of shape {ts.shape}; they must be "
            f"[{len(ts) if ts.ndim else 'n'}, ...]: give the ts of the runs, and return from the function what is to be drawn."
        )
    return ts


def _draw(ts, fan: _Fan, words: str, data, names, components, log, log_time, time_label, title, path) -> Figure:
    columns = _columns(fan, names)
    points = {} if data is None else measured_columns(data, [name for name, _ in columns])
    columns = chosen(columns, components)
    shown = ts > 0 if log_time else np.ones(len(ts), bool)
    figure = new_figure(8.0, 1.0 + 2.6 * len(columns))
    grid = figure.subplots(len(columns), 1, sharex=True, squeeze=False)[:, 0]
    for number, (name, curves) in enumerate(columns):
        axes = grid[number]
        curves = [curve[shown] for curve in curves]
        _draw_fan(axes, ts[shown], curves, [*(label for *_, label in fan.bands), fan.line_label], colour(number))
        if name in points:
            draw_points(axes, *points[name], label="measured")
        dress(axes, x_label=time_label if number == len(columns) - 1 else "", y_label=name)
        axes.margins(x=0.01)
        if log_time:
            axes.set_xscale("log")
        if log:
            log_axis(axes, curves)
    legend_above(grid[0])
    if words:
        grid[0].set_title(words, fontsize=SMALL, color=QUIET, loc="left")
    figure.align_ylabels(list(grid))
    return finish(figure, title, path)


def _columns(fan: _Fan, names: Sequence[str] | None) -> list[tuple[str, list[np.ndarray]]]:
    """For each component its name and its curves [n]: the ends of each band, then the line."""
    trees = [*(end for low, high, _ in fan.bands for end in (low, high)), fan.line]
    each = [named(state_columns(tree), names) for tree in trees]
    return [(curves[0][0], [values for _, values in curves]) for curves in zip(*each, strict=True)]


def _draw_fan(axes, ts: np.ndarray, curves: list[np.ndarray], labels: list[str], shade: str) -> None:
    *ends, middle = curves
    *bands, line = labels
    behind = 0.0
    for i, label in enumerate(bands):
        opacity = OUTER + (INNER - OUTER) * i / max(1, len(bands) - 1)
        # Bands lie on top of each other; the legend shows the colour that comes of it.
        own = 1.0 - (1.0 - opacity) / (1.0 - behind)
        axes.fill_between(ts, ends[2 * i], ends[2 * i + 1], color=shade, alpha=own, linewidth=0)
        axes.fill([], [], color=shade, alpha=opacity, linewidth=0, label=label)
        behind = opacity
    axes.plot(ts, middle, color=shade, linewidth=1.8, label=line)

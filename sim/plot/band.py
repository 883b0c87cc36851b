"""An ensemble as a fan: median, central half, central 95 %."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import PyTree

from ..fit.observations import Observations
from ..trajectory import state_columns
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
    columns = _quantiles(states, complete, names)
    points = {} if data is None else measured_columns(data, [name for name, _ in columns])
    columns = chosen(columns, components)
    shown = ts > 0 if log_time else np.ones(len(ts), bool)
    figure = new_figure(8.0, 1.0 + 2.6 * len(columns))
    grid = figure.subplots(len(columns), 1, sharex=True, squeeze=False)[:, 0]
    for number, (name, levels) in enumerate(columns):
        axes = grid[number]
        _draw_fan(axes, ts[shown], [level[shown] for level in levels], colour(number))
        if name in points:
            draw_points(axes, *points[name], label="measured")
        dress(axes, x_label=time_label if number == len(columns) - 1 else "", y_label=name)
        axes.margins(x=0.01)
        if log_time:
            axes.set_xscale("log")
        if log:
            log_axis(axes, [levels[0], levels[-1]])
    legend_above(grid[0])
    missing = int((~complete).sum())
    if missing:
        words = f"{missing} of {len(complete)} runs failed and are left out"
        grid[0].set_title(words, fontsize=SMALL, color=QUIET, loc="left")
    figure.align_ylabels(list(grid))
    return finish(figure, title, path)


def _quantiles(
    states: PyTree, complete: np.ndarray, names: Sequence[str] | None
) -> list[tuple[str, list[np.ndarray]]]:
    """For each component its name and the curves [n] of `LEVELS`."""
    tree = jax.tree.map(lambda leaf: np.quantile(np.asarray(leaf)[complete], LEVELS, axis=0), states)
    levels = [named(state_columns(jax.tree.map(lambda q: q[i], tree)), names) for i in range(len(LEVELS))]
    return [(lines[0][0], [values for _, values in lines]) for lines in zip(*levels, strict=True)]


def _draw_fan(axes, ts: np.ndarray, levels: list[np.ndarray], shade: str) -> None:
    low, quarter, middle, three_quarters, high = levels
    axes.fill_between(ts, low, high, color=shade, alpha=0.2, linewidth=0, label="95 %")
    axes.fill_between(ts, quarter, three_quarters, color=shade, alpha=0.35, linewidth=0, label="50 %")
    axes.plot(ts, middle, color=shade, linewidth=1.8, label="median")

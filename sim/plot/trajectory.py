"""Components of one run over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..fit.observations import Observations
from ..trajectory import Trajectory, state_columns
from .band import plot_band
from .measured import measured_columns
from .style import (
    DATA,
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

SHARED_SCALE = 20.0  # components whose sizes differ by less share a panel


def plot_trajectory(
    run: Trajectory,
    *,
    names: Sequence[str] | None = None,
    components: Sequence[str] | None = None,
    panels: bool | None = None,
    data: Observations | None = None,
    log: bool = False,
    log_time: bool = False,
    time_label: str = "t",
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw every component of a run over time; an ensemble is drawn as a band.

    **Arguments**

    - `names`: what to call the components, in the order of `run.columns()`; `components`: which of them to
      draw.
    - `panels`: one panel for each component (True) or all in one (False); by default components of similar
      size share one panel.
    - `data`: observations of the whole state, drawn as points; `log`: logarithmic values.
    - `log_time`: a logarithmic time axis, for which times must be positive (a first time of zero is left
      out).
    - `time_label`, `title`: texts, with units where there are some; `path`: where to save the picture.

    A run that failed is drawn as far as it got, with a cross there and the status in words.

    **Returns** the figure. **Raises** `ValueError` for unknown components or more than 12 of them, and
    `ImportError` without matplotlib.
    """
    if run.ts.ndim > 1:
        if panels is False:
            raise ValueError(
                "panels=False: the bands of an ensemble would hide each other; leave panels out."
            )
        return plot_band(
            np.asarray(run.ts)[0],
            run.states,
            data=data,
            names=names,
            components=components,
            log=log,
            log_time=log_time,
            time_label=time_label,
            title=title,
            path=path,
        )
    columns = named(state_columns(run.states), names)
    points = {} if data is None else measured_columns(data, [name for name, _ in columns])
    columns = chosen(columns, components)
    ts = np.asarray(run.ts)
    shown = ts > 0 if log_time else np.ones(len(ts), bool)
    apart = _differ_in_size([v[shown] for _, v in columns]) if panels is None else panels
    rows = len(columns) if apart else 1
    figure = new_figure(8.0, 4.2 if rows == 1 else 1.2 + 1.7 * rows)
    grid = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    for number, (name, values) in enumerate(columns):
        axes = grid[number] if apart else grid[0]
        axes.plot(ts[shown], values[shown], color=colour(number), linewidth=1.6, label=name)
        if name in points:
            draw_points(axes, *points[name], colour(number) if len(columns) > len(grid) else DATA)
        if bool(run.status.failed):
            _mark_end(axes, ts[shown], values[shown], colour(number))
    for number, axes in enumerate(grid):
        alone = columns[number][0] if apart else columns[0][0] if len(columns) == 1 else ""
        dress(axes, x_label=time_label if number == rows - 1 else "", y_label=alone)
        if log:
            log_axis(axes, [values for _, values in (columns[number : number + 1] if apart else columns)])
        if log_time:
            axes.set_xscale("log")
        axes.margins(x=0.01)
    if not apart and len(columns) > 1:
        legend_above(grid[0])
    if bool(run.status.failed):
        grid[0].set_title(run.status.message(), fontsize=SMALL, color=DATA, loc="left")
    figure.align_ylabels(list(grid))
    return finish(figure, title, path)


def _differ_in_size(columns: list[np.ndarray]) -> bool:
    sizes = [np.max(np.abs(v[np.isfinite(v)]), initial=0.0) for v in columns]
    sizes = [size for size in sizes if size > 0]
    return len(columns) > 7 or (len(sizes) > 1 and max(sizes) > SHARED_SCALE * min(sizes))


def _mark_end(axes, ts: np.ndarray, values: np.ndarray, shade: str) -> None:
    last = np.flatnonzero(np.isfinite(values))
    if last.size:
        axes.plot(ts[last[-1]], values[last[-1]], marker="x", markersize=8, color=shade)

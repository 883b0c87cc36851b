"""A fit over its data, with the residuals below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import PyTree

from ..fit.result import FitResult
from ..simulate import simulate
from ..trajectory import state_columns
from .measured import measured_names, predicted_columns
from .style import (
    MANY_POINTS,
    QUIET,
    SMALL,
    TEXT,
    colour,
    draw_points,
    dress,
    finish,
    legend_above,
    log_axis,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE_POINTS = 600
WARNING = "#b00020"


@dataclass(frozen=True)
class Column:
    """One measured quantity beside what the fitted model predicts for it."""

    name: str
    ts: np.ndarray  # [m], of the values that are not missing
    values: np.ndarray  # [m]
    residuals: np.ndarray  # [m], measured - model, in units of sigma where that is known
    curve: np.ndarray  # [n], at the fine times
    logarithmic: bool
    in_sigma: bool


def plot_fit(
    result: FitResult,
    *,
    experiment: int = 0,
    names: Sequence[str] | None = None,
    time_label: str = "t",
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw what was measured, the fitted model on a fine time grid, and below it the residuals, measured - model.

    Every measured component has a panel; it is logarithmic where the noise is. The curve is a new simulation
    with `result.system`, the fitted initial state and the controls of the experiment.

    **Arguments**

    - `experiment`: which one, where several were fitted.
    - `names`: what to call the measured components; `time_label`, `title`: texts; `path`: where to save the
      picture.

    **Returns** the figure. **Raises** `IndexError` for an experiment that does not exist, `ValueError` for
    the wrong number of names, `ImportError` without matplotlib.
    """
    if not 0 <= experiment < len(result.experiments):
        raise IndexError(f"experiment={experiment}: this fit has {len(result.experiments)}, counted from 0.")
    fine, columns = _columns(result, experiment, names)
    figure = new_figure(8.0, 0.8 + 3.0 * len(columns))
    heights = [share for _ in columns for share in (3.0, 1.0)]
    grid = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for number, column in enumerate(columns):
        upper, lower = grid[2 * number : 2 * number + 2]
        last = number == len(columns) - 1
        _draw_values(upper, fine, column, colour(number))
        _draw_residuals(lower, column, colour(number), time_label if last else "")
        if number == 0:
            legend_above(upper)
    if not result.success:
        grid[0].set_title(f"not converged: {result.message}", fontsize=SMALL, color=WARNING, loc="left")
    figure.align_ylabels(list(grid))
    return finish(figure, title, path)


def _columns(result: FitResult, number: int, names: Sequence[str] | None) -> tuple[np.ndarray, list[Column]]:
    experiment = result.experiments[number]
    begin, end = experiment.start, float(experiment.ts[-1])
    fine = np.linspace(begin, end, CURVE_POINTS) if end > begin else np.array([begin])
    ts = np.union1d(fine, experiment.ts)
    run = simulate(
        result.system,
        result.states[number],
        ts=ts,
        t0=begin,
        controls=experiment.controls,
        throw=False,
        progress=False,
        **result.options,
    )
    columns: list[Column] = []
    found = [name for o in experiment.observations for name in measured_names(o)]
    if names is not None and len(names) != len(found):
        raise ValueError(
            f"names has {len(names)} entries, but {len(found)} components were measured ({', '.join(found)})."
        )
    for o in experiment.observations:
        rows = np.searchsorted(ts, o.ts)
        measured = _flat(o.values)
        spreads = _flat(o.sigma)
        for values, sigma, curve in zip(
            measured, spreads, predicted_columns(o, ts, run.states, result.system), strict=True
        ):
            there = np.isfinite(values)
            with np.errstate(invalid="ignore", divide="ignore"):
                model = curve[rows]
                gap = np.log(values / model) if o.noise.logarithmic else values - model
            name = found[len(columns)] if names is None else names[len(columns)]
            columns.append(
                Column(
                    name,
                    o.ts[there],
                    values[there],
                    (gap / sigma)[there],
                    curve,
                    o.noise.logarithmic,
                    o.sigma_known,
                )
            )
    return ts, columns


def _flat(tree: PyTree) -> list[np.ndarray]:
    return [values for _, values in state_columns(tree)]


def _draw_values(axes, fine: np.ndarray, column: Column, shade: str) -> None:
    draw_points(axes, column.ts, column.values, label="measured")
    axes.plot(fine, column.curve, color=shade, linewidth=1.8, label="fitted")
    dress(axes, y_label=column.name)
    axes.margins(x=0.015)
    if column.logarithmic:
        log_axis(axes, [column.values, column.curve])


def _draw_residuals(axes, column: Column, shade: str, time_label: str) -> None:
    axes.axhline(0.0, color=QUIET, linewidth=0.9)
    if len(column.residuals) > MANY_POINTS:
        axes.plot(column.ts, column.residuals, color=shade, linewidth=0.9)
    else:
        axes.vlines(column.ts, 0.0, column.residuals, color=shade, linewidth=1.2, alpha=0.6)
        axes.plot(column.ts, column.residuals, "o", color=shade, markersize=3.5)
    what = "log measured\n− log model" if column.logarithmic else "measured\n− model"
    dress(axes, x_label=time_label, y_label=f"({what}) / σ" if column.in_sigma else what)
    axes.yaxis.label.set_fontsize(TEXT - 1.5)
    largest = np.max(np.abs(column.residuals[np.isfinite(column.residuals)]), initial=0.0)
    if largest > 0:
        axes.set_ylim(-1.2 * largest, 1.2 * largest)
    axes.margins(x=0.015)
    axes.locator_params(axis="y", nbins=3)

"""How every picture looks: sizes, colours that colour-blind readers can tell apart, axes without clutter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, without the yellow, which is too pale for lines: https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DATA = "#333333"
QUIET = "#7a7a7a"
DOTS_PER_INCH = 150
MANY_POINTS = 200
MOST_COMPONENTS = 12
TEXT, SMALL = 11.0, 9.5


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches. **Raises** `ImportError` that says how to get matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'worldline[plot]'") from error
    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")


def colour(number: int) -> str:
    """The colour of the component of that number."""
    return COLOURS[number % len(COLOURS)]


def dress(axes: Axes, *, x_label: str = "", y_label: str = "") -> None:
    """Labels and ticks of readable size, no box around the data, a faint grid across."""
    from matplotlib.ticker import MaxNLocator

    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(which="both", labelsize=SMALL, color=QUIET, labelcolor=DATA)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 5, 10]))  # years as 1902, not as 1902.5
    axes.set_xlabel(x_label, fontsize=TEXT, color=DATA)
    axes.set_ylabel(y_label, fontsize=TEXT, color=DATA)


def log_axis(axes: Axes, values: Sequence[Any]) -> None:
    """A logarithmic y axis, with plain numbers (10, 20, 50) where the values span few decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    positive = np.concatenate([np.ravel(v) for v in values])
    positive = positive[np.isfinite(positive) & (positive > 0)]
    if positive.size and positive.max() / positive.min() < 1e3:
        axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def draw_points(
    axes: Axes, ts: np.ndarray, values: np.ndarray, shade: str = DATA, label: str | None = None
) -> None:
    """Measured values as dots with a white edge in front of lines; many of them small, light and behind."""
    if len(ts) > MANY_POINTS:
        axes.plot(
            ts, values, "o", color="#b0b0b0", markersize=3.5, markeredgewidth=0, label=label, zorder=1.5
        )
        return
    axes.plot(ts, values, "o", color=shade, markersize=5, mec="white", mew=0.7, label=label, zorder=3)


def legend(axes: Axes, **options: Any) -> None:
    """A legend without a frame, for axes that have labelled lines."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=SMALL, labelcolor=DATA, **options)


def legend_above(axes: Axes) -> None:
    """A legend in one row over the axes, where it hides no data."""
    count = len(axes.get_legend_handles_labels()[1])
    if count:
        legend(
            axes,
            loc="lower right",
            bbox_to_anchor=(1.0, 0.99),
            ncols=count,
            borderaxespad=0.2,
            columnspacing=1.6,
        )


def finish(figure: Figure, title: str | None, path: str | Path | None) -> Figure:
    """Set the title over all panels, and save the figure where a path is given."""
    if title:
        figure.suptitle(title, fontsize=TEXT + 2, color="#111111", x=0.01, ha="left", fontweight="bold")
    if path is not None:
        figure.savefig(path)
    return figure


def named(
    columns: Sequence[tuple[str, np.ndarray]], names: Sequence[str] | None
) -> list[tuple[str, np.ndarray]]:
    """Columns under the names given for them. **Raises** `ValueError` when their numbers differ."""
    if names is None:
        return list(columns)
    if len(names) != len(columns):
        raise ValueError(
            f"names has {len(names)} entries, but there are {len(columns)} components "
            f"({', '.join(name for name, _ in columns)}): give one name for each."
        )
    return [(name, values) for name, (_, values) in zip(names, columns, strict=True)]


def chosen(columns: list[tuple[str, Any]], components: Sequence[str] | None) -> list[tuple[str, Any]]:
    """The components to draw. **Raises** `ValueError` for names that do not exist, and for too many of them."""
    known = [name for name, _ in columns]
    if components is not None:
        unknown = [name for name in components if name not in known]
        if unknown:
            raise ValueError(f"components has {unknown[0]!r}; the state has {', '.join(known[:24])}.")
        columns = [column for column in columns if column[0] in components]
    if not columns:
        raise ValueError("there is nothing to draw: name at least one of the components.")
    if len(columns) > MOST_COMPONENTS:
        raise ValueError(
            f"the state has {len(columns)} components, more than one picture shows "
            f"({MOST_COMPONENTS}): choose some, "
            f"components={known[:3]}."
        )
    return columns

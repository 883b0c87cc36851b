"""A fit as text: the table a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .result import FitResult

MOST_CORRELATIONS = 8
WORTH_NAMING = 0.8


def report(result: FitResult) -> str:
    """Values, standard errors, starts and bounds; strong correlations; goodness of fit; how the search ended."""
    lines = [*_parameter_table(result), "", *_goodness(result)]
    correlations = _correlation_lines(result)
    if correlations:
        lines += ["", "strongest correlations", *correlations]
    lines += ["", f"status: {result.message}", *(f"note: {note}" for note in result.notes)]
    return "\n".join(lines)


def _parameter_table(result: FitResult) -> list[str]:
    errors = result.standard_errors
    rows = [("parameter", "value", "standard error", "start", "bounds")]
    for name, value, start, bound in zip(result.names, result.best, result.start, result.bounds, strict=True):
        error = errors[name]
        if np.isfinite(error):
            share = f" ({100 * error / abs(value):.3g} %)" if abs(value) > 1e-3 * error else ""
            shown = f"{error:.3g}{share}"
        else:
            shown = "not determined" if result.sigma_known or result.degrees_of_freedom > 0 else "not known"
        rows.append((name, f"{value:.6g}", shown, f"{start:.6g}", bound or "free"))
    return _align(rows)


def _goodness(result: FitResult) -> list[str]:
    rows = [
        ("observations", f"{len(result.residuals)}"),
        ("degrees of freedom", f"{result.degrees_of_freedom}"),
        ("sum of squares", f"{result.sum_of_squares:.6g}"),
    ]
    if result.sigma_known:
        rows += [("chi-square", f"{result.chi_square:.6g}"), ("reduced", f"{result.reduced_chi_square:.4g}")]
    else:
        sigma = f"{result.sigma:.4g}" if result.degrees_of_freedom > 0 else "not known"
        rows += [("sigma (estimated)", sigma)]
    rows += [("AIC", f"{result.aic:.5g}"), ("simulations", f"{result.evaluations} in {result.seconds:.2g} s")]
    return _align(rows)


def _correlation_lines(result: FitResult) -> list[str]:
    matrix, names = result.correlations, result.names
    pairs = [
        (matrix[i, j], names[i], names[j])
        for i in range(len(names))
        for j in range(i)
        if np.isfinite(matrix[i, j]) and abs(matrix[i, j]) >= WORTH_NAMING
    ]
    pairs.sort(key=lambda pair: -abs(pair[0]))
    lines = _align([(a, b, f"{value:+.3f}") for value, a, b in pairs[:MOST_CORRELATIONS]])
    if len(pairs) > MOST_CORRELATIONS:
        lines.append(f"  and {len(pairs) - MOST_CORRELATIONS} more above {WORTH_NAMING}")
    return lines


def _align(rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]

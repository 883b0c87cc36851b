"""What a validation comes to: rows of checks with their tolerances, as a table a person reads and as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp


@dataclass(frozen=True)
class Check:
    """One number that must not exceed its tolerance."""

    quantity: str  # the heading of its column
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is a number within the tolerance; NaN is not."""
        return self.error <= self.tolerance


@dataclass(frozen=True)
class Row:
    """One case: what was found, how it was computed, and what broke where no checks could be made."""

    name: str
    checks: Sequence[Check] = ()
    facts: Mapping[str, str | int | float] = field(default_factory=dict)  # column heading -> for information
    failure: str | None = None
    skipped: str | None = None  # why nothing could be checked here, where that is no fault

    @property
    def passed(self) -> bool:
        """Whether there are checks and all of them passed, or the row was skipped."""
        if self.skipped is not None:
            return True
        return self.failure is None and bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def verdict(self) -> str:
        """`ok`, or `FAILED` or `skipped` with the reason."""
        if self.skipped is not None:
            return f"skipped: {self.skipped}"
        if self.failure is not None:
            return f"FAILED: {self.failure}"
        if not self.checks:
            return "FAILED: nothing was checked"
        missed = [f"{c.quantity} (allowed {c.tolerance:.0e})" for c in self.checks if not c.passed]
        return f"FAILED: {', '.join(missed)}" if missed else "ok"


@dataclass(frozen=True)
class Report:
    """All rows of one validation. `print(report)` shows the table, `report.passed` is the verdict."""

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()  # what the columns mean and where the tolerances come from

    @property
    def passed(self) -> bool:
        """Whether something was checked and all rows passed."""
        return any(row.skipped is None for row in self.rows) and all(row.passed for row in self.rows)

    def __str__(self) -> str:
        facts = list(dict.fromkeys(key for row in self.rows for key in row.facts))
        quantities = list(dict.fromkeys(check.quantity for row in self.rows for check in row.checks))
        lines = _stacked(["problem", *facts, *quantities, "verdict"])
        for row in self.rows:
            errors = {check.quantity: check.error for check in row.checks}
            lines.append(
                [
                    row.name,
                    *(_text(row.facts.get(key), ".3f") for key in facts),
                    *(_text(errors.get(key), ".1e") for key in quantities),
                    row.verdict,
                ]
            )
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        numeric = range(1 + len([key for key in facts if self._is_text(key)]), len(lines[0]) - 1)
        table = [
            "  ".join(
                cell.rjust(width) if i in numeric else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, "", *table, "", self.summary, *(["", *self.notes] if self.notes else [])])

    @property
    def summary(self) -> str:
        """How many problems were right, failed, and were skipped: "9 problems: 4 ok, 5 skipped"."""
        failed = sum(not row.passed for row in self.rows)
        skipped = sum(row.skipped is not None for row in self.rows)
        count = f"{len(self.rows)} problem{'s' if len(self.rows) != 1 else ''}"
        if self.rows and not failed and not skipped:
            return f"{count}, all ok"
        counts = {"ok": len(self.rows) - failed - skipped, "FAILED": failed, "skipped": skipped}
        return f"{count}: {', '.join(f'{many} {word}' for word, many in counts.items() if many) or 'nothing was checked'}"

    def _is_text(self, key: str) -> bool:
        return any(isinstance(row.facts.get(key), str) for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values for JSON; errors that are no finite numbers are None."""
        return {
            "title": self.title,
            "passed": self.passed,
            "rows": [
                {
                    "problem": row.name,
                    "passed": row.passed,
                    "verdict": row.verdict,
                    "checks": [
                        {
                            "quantity": check.quantity,
                            "error": check.error if math.isfinite(check.error) else None,
                            "tolerance": check.tolerance,
                            "passed": check.passed,
                        }
                        for check in row.checks
                    ],
                    **dict(row.facts),
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
        }


def _stacked(headings: Sequence[str]) -> list[list[str]]:
    """Headings of several words as lines one above the other, so that they are no wider than their columns."""
    words = [heading.split() for heading in headings]
    height = max(map(len, words))
    return [list(line) for line in zip(*([""] * (height - len(w)) + w for w in words))]


def _text(value: str | int | float | None, style: str) -> str:
    if value is None:
        return "-"
    return format(value, style) if isinstance(value, float) else str(value)


def chosen(names: Sequence[str] | None, problems: Sequence[str]) -> Sequence[str]:
    """The problems that are named, all of them by default. **Raises** `LookupError` for a name that there is not."""
    names = problems if names is None else names
    if unknown := [name for name in names if name not in problems]:
        raise LookupError(f"there is no problem {unknown[0]!r}; the problems are {'; '.join(problems)}")
    return names


def report_on(
    title: str,
    cases: Mapping[str, Callable[[], Row]],
    notes: Sequence[str] = (),
    progress: Callable[[Row], None] | None = None,
) -> Report:
    """Check one case after the other, by its name; `progress` is called with each row as it is done.

    A case that raises `ValueError` or `ArithmeticError` is a failed row. **Raises** `ValueError` in float32, in which
    the tolerances make no sense.
    """
    if jnp.result_type(float) != jnp.float64:
        raise ValueError("validation compares in float64, which is off: call wl.use_float64() first")
    rows = []
    for name, check in cases.items():
        try:
            rows.append(check())
        except (ValueError, ArithmeticError) as error:
            rows.append(Row(name, failure=str(error).splitlines()[0]))
        if progress is not None:
            progress(rows[-1])
    return Report(title, rows, notes)

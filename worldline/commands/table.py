"""Reading a CSV file of measurements, with errors that say line and column."""

from __future__ import annotations

import csv
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from .failure import WrongInput, near
from .numbers import read_number

MISSING = frozenset({"", "na", "nan", "n/a", "null", "none", "-", "?"})
TIME_NAMES = ("t", "time", "year")


@dataclass(frozen=True)
class Table:
    """Columns of cells by name, read as numbers when asked for. `lines` are the lines of the file they came from."""

    source: str
    cells: dict[str, list[str]]
    lines: list[int]

    @property
    def names(self) -> list[str]:
        """What the columns are called."""
        return list(self.cells)

    def check(self, name: str, option: str) -> None:
        """**Raises** `WrongInput` listing the columns where none is called so."""
        if name not in self.cells:
            raise WrongInput(
                f"{option} {name}: {self.source} has no such column; {near(name, self.names)}"
                f"it has {', '.join(self.names)}"
            )

    def numbers(self, name: str) -> Float[np.ndarray, " n"]:
        """The column of that name, NaN where a cell is empty. **Raises** `WrongInput` for text in a cell."""
        values = []
        for line, cell in zip(self.lines, self.cells[name], strict=True):
            value = math.nan if cell.lower() in MISSING else read_number(cell)
            if value is None or math.isinf(value):
                raise WrongInput(
                    f"{self.source}, line {line}, column {name!r}: {cell!r} is not a finite number (leave the cell "
                    f"empty where a value is missing, or the column out with --ignore {name})"
                )
            values.append(value)
        return np.array(values)

    def time_column(self, name: str | None) -> str:
        """The column of times: the one named, else t, time or year, else the first; its values increase.

        **Raises** `WrongInput` for missing times and times that do not increase, with their lines.
        """
        if name is None:
            plain = {column.lower(): column for column in reversed(self.names)}
            name = next((plain[known] for known in TIME_NAMES if known in plain), self.names[0])
        self.check(name, "--time")
        times = self.numbers(name)
        for i, t in enumerate(times):
            if not math.isfinite(t):
                raise WrongInput(
                    f"{self.source}, line {self.lines[i]}: the time in column {name!r} is missing"
                )
            if i and t <= times[i - 1]:
                raise WrongInput(
                    f"{self.source}, line {self.lines[i]}, column {name!r}: times must increase, "
                    f"but {t:g} comes after "
                    f"{times[i - 1]:g}: sort the rows, and drop or average repeated times"
                )
        return name


def read_table(path: str) -> Table:
    """Read a CSV file (comma, semicolon or tab; lines starting with # are comments); `-` is standard input.

    The first line names the columns. Empty cells, NA and NaN are missing values.

    **Raises** `WrongInput` for a missing or empty file, and lines with the wrong number of cells.
    """
    name = "standard input" if path == "-" else path
    text = _read(path, name)
    rows = [
        (number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.startswith("#")
    ]
    if not rows:
        raise WrongInput(
            f"{name} is empty: it needs a line of column names, such as t,prey,predators, and data below it"
        )
    mark = next((m for m in (",", ";", "\t") if m in rows[0][1]), ",")
    cells = [(number, [c.strip() for c in next(csv.reader([line], delimiter=mark))]) for number, line in rows]
    header = _header(name, *cells[0])
    if len(cells) == 1:
        raise WrongInput(f"{name} has column names but no data below them")
    for number, row in cells[1:]:
        _check_length(name, number, header, row)
    columns = [list(column) for column in zip(*(row for _, row in cells[1:]), strict=True)]
    return Table(name, dict(zip(header, columns, strict=True)), [number for number, _ in cells[1:]])


def _read(path: str, name: str) -> str:
    try:
        if path == "-":
            return sys.stdin.read()
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise WrongInput(f"cannot read {name}: there is no such file") from None
    except UnicodeDecodeError:
        raise WrongInput(f"cannot read {name}: it is not text (UTF-8)") from None
    except OSError as error:
        raise WrongInput(f"cannot read {name}: {error.strerror}") from None


def _header(name: str, number: int, header: list[str]) -> list[str]:
    if all(read_number(cell) is not None for cell in header):
        raise WrongInput(
            f"{name}, line {number}: these are numbers, but the first line must name the columns"
        )
    for cell in header:
        if not cell:
            raise WrongInput(f"{name}, line {number}: column {header.index(cell) + 1} has no name")
        if header.count(cell) > 1:
            raise WrongInput(f"{name}, line {number}: two columns are named {cell!r}")
    return header


def _check_length(name: str, line: int, header: list[str], cells: list[str]) -> None:
    if len(cells) != len(header):
        raise WrongInput(
            f"{name}, line {line}: {len(cells)} cells, but the first line names {len(header)} "
            f"columns ({', '.join(header)})"
        )

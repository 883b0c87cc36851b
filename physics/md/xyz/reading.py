"""Files in extended XYZ: read and written without other packages, with the line named where one is wrong.

A frame is a line with the number of atoms, a line of fields (edges of the cell in Lattice=, names of the columns in
Properties=), and a line for each atom. Its numbers are in angstrom, eV, amu, and momenta in the unit that follows from
these, as in the files of ASE; or in reduced units, which the field reduced_units=T says.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..box import Box
from ..cells import box_from_cell
from ..elements import SYMBOLS
from ..structure import Structure, structure_from_columns
from ..units import units as units_by_name
from .comment import read_comment

Source = str | os.PathLike[str]
PLAIN = "species:S:1:pos:R:3"
# Columns of other programs that look like something that is read, and are in units that nobody tells.
MEANINGS = dict.fromkeys(("vel", "velo", "velocity", "velocities"), "velocities") | dict.fromkeys(("charge", "charges"), "charges")
_READ_APART = ("species", "pos", "masses", "momenta", "initial_charges")


def read_xyz(path: Source, *, frame: int | None = None, units: str = "metal") -> Structure:
    """The structure in an XYZ file, plain or extended, in the numbers of `units`.

    Of a file with several frames `frame` chooses one, counted from 0, or from the end by -1 and so on.

    Columns species (or Z), pos, masses, momenta and initial_charges make the atoms; all others are kept in `arrays` under
    their own names, and all fields in `info`. The box repeats along all edges of Lattice= unless pbc= says otherwise, and
    without either space is free.

    **Raises** `ValueError` naming the line: counts that are wrong, a truncated file, columns that are not what Properties=
    says; and for a file of several frames where `frame` is not given. **Warns** of columns such as `velo` or `charge`, which are
    in no known units.
    """
    frames = read_xyz_frames(path, units=units)
    if frame is None and len(frames) > 1:
        raise ValueError(f"{path} holds {len(frames)} frames: write read_xyz(path, frame=0), or read_xyz_frames(path) for all.")
    if frame is not None and not isinstance(frame, (int, np.integer)):
        raise ValueError(f"frame={frame!r}: it must be a whole number, 0 for the first.")
    try:
        return frames[frame or 0]
    except IndexError:
        raise ValueError(f"frame={frame}, but {path} holds {len(frames)} frames.") from None


def read_xyz_frames(path: Source, *, units: str = "metal") -> list[Structure]:
    """All frames of an XYZ file, as `read_xyz` reads one. **Raises** as `read_xyz` does."""
    units_by_name(units)
    with open(path, encoding="utf-8-sig") as file:
        try:
            frames = list(_frames(enumerate(file, 1), str(path), units))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no text file: {error}.") from error
    for name in sorted({name for frame in frames for name in frame.arrays} & set(MEANINGS)):
        warnings.warn(
            f"{path}: the column {name!r} is kept in arrays[{name!r}] and not taken for {MEANINGS[name]}, whose columns are "
            "momenta and initial_charges in ASE's units.",
            stacklevel=3,
        )
    if not frames:
        raise ValueError(f"{path} is empty: an XYZ file begins with the number of atoms.")
    return frames


@dataclass(frozen=True)
class _Column:
    name: str
    kind: str
    count: int


def _real(word: str) -> float:
    if "_" in word:
        raise ValueError
    return float(word)


def _whole(word: str) -> int:
    if "_" in word:
        raise ValueError
    return int(word)


def _flag(word: str) -> bool:
    return {"t": True, "true": True, "f": False, "false": False}[word.lower()]


# Reader, type of the array, and what a word that cannot be read is not.
_KINDS: dict[str, tuple[Callable[[str], Any], Any, str]] = {
    "S": (str, None, "text"),
    "R": (_real, np.float64, "a number"),
    "I": (_whole, np.int64, "a whole number"),
    "L": (_flag, np.bool_, "T or F"),
}


def _frames(lines: Iterator[tuple[int, str]], path: str, units: str) -> Iterator[Structure]:
    before = ""
    for number, line in lines:
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        word = line.strip()
        if not word.isdecimal() or int(word) < 1:
            raise ValueError(f"{where}: {word[:40]!r} where the number of atoms should be, a positive whole number{before}.")
        count = int(word)
        fields = next(lines, (0, None))[1]
        if fields is None:
            raise ValueError(f"{where}: the file ends after the number of atoms; a line of comment and {count} atoms are lacking.")
        try:
            info = read_comment(fields)
            columns = _columns(info.pop("Properties", PLAIN))
            box = _box(info)
        except ValueError as error:
            raise ValueError(f"{path}, line {number + 1}: {error}") from error
        data = _table(lines, columns, path, number, count)
        if info.pop("reduced_units", False) and units != "lj":
            raise ValueError(f"{where}: these numbers are in reduced units: write units='lj'.")
        try:
            yield _structure(data, box, info, units)
        except ValueError as error:
            raise ValueError(f"{path}, frame that begins on line {number}: {error}") from error
        before = f"; the frame before, from line {number}, should have {count} atoms, and perhaps it has more"


def _columns(properties: Any) -> list[_Column]:
    words = str(properties).split(":")
    if len(words) % 3:
        raise ValueError(f"Properties={properties}: it lists name:type:columns, three words for each property.")
    columns = []
    for name, kind, count in zip(words[::3], words[1::3], words[2::3]):
        if kind not in _KINDS:
            raise ValueError(f"Properties={properties}: type {kind!r} of {name!r} is not known: write S, R, I or L.")
        if not count.isdecimal() or int(count) < 1:
            raise ValueError(f"Properties={properties}: {name!r} has {count!r} columns; write a positive whole number.")
        columns.append(_Column(name, kind, int(count)))
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"Properties={properties}: {name!r} is listed twice.")
    shapes = {column.name: (column.kind, column.count) for column in columns}
    needed = {"species": ("S", 1), "Z": ("I", 1), "pos": ("R", 3), "masses": ("R", 1), "momenta": ("R", 3)}
    for name, (kind, many) in {**needed, "initial_charges": ("R", 1)}.items():
        if shapes.get(name, (kind, many)) != (kind, many):
            raise ValueError(f"Properties={properties}: {name!r} must be {name}:{kind}:{many}.")
    if "pos" not in names or not {"species", "Z"} & set(names):
        raise ValueError(f"Properties={properties}: species:S:1 (or Z:I:1) and pos:R:3 are needed.")
    return columns


def _box(info: dict[str, Any]) -> Box:
    lattice, flags = info.pop("Lattice", None), info.pop("pbc", None)
    if lattice is not None and (np.shape(lattice) != (3, 3) or np.asarray(lattice).dtype.kind not in "if"):
        raise ValueError(f"Lattice={lattice!r}: it must be nine numbers, the edges a, b and c.")
    periodic = np.full(3, lattice is not None) if flags is None else np.asarray(flags)
    if periodic.shape == ():
        periodic = np.repeat(periodic, 3)
    if periodic.dtype.kind == "i" and np.isin(periodic, (0, 1)).all():
        periodic = periodic.astype(bool)
    if periodic.shape != (3,) or periodic.dtype != np.bool_:
        raise ValueError(f"pbc={flags!r}: it must be three flags, pbc=\"T T F\".")
    # The transpose: fields hold tensors column after column, and edges are the rows here.
    return box_from_cell(np.zeros((3, 3)) if lattice is None else np.asarray(lattice).T, periodic.tolist())


def _table(
    lines: Iterator[tuple[int, str]], columns: list[_Column], path: str, start: int, count: int
) -> dict[str, np.ndarray]:
    """The columns of a frame by name, each word of them checked."""
    width = sum(column.count for column in columns)
    rows: list[list[str]] = []
    for row in range(count):
        number, line = next(lines, (0, None))
        if line is None:
            raise ValueError(
                f"{path}, line {start + 1 + row}: the file ends after {row} of {count} atoms; it is truncated, or the {count} on "
                f"line {start} is wrong."
            )
        words = line.split()
        if len(words) != width:
            listed = ":".join(f"{column.name}:{column.kind}:{column.count}" for column in columns)
            hint = f"; the {count} on line {start} is perhaps wrong" if len(words) < 2 else ""
            raise ValueError(
                f"{path}, line {number}: atom {row + 1} of {count} has {len(words)} columns, and {listed} are {width}{hint}."
            )
        rows.append(words)
    data, at = {}, 0
    for column in columns:
        convert, dtype, needed = _KINDS[column.kind]
        entries = []
        for row, words in enumerate(rows):
            try:
                entries.append([convert(word) for word in words[at : at + column.count]])
            except (ValueError, KeyError):
                found = " ".join(words[at : at + column.count])
                each = "" if column.count == 1 else " each"
                raise ValueError(
                    f"{path}, line {start + 2 + row}: {found!r} for {column.name!r} is not {needed}{each}."
                ) from None
        array = np.array(entries, dtype)
        if column.name == "pos" and not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array).all(1))[0])
            raise ValueError(f"{path}, line {start + 2 + row}: the position {array[row].tolist()} is not finite.")
        data[column.name] = array[:, 0] if column.count == 1 else array
        at += column.count
    return data


def _structure(data: dict[str, np.ndarray], box: Box, info: dict[str, Any], units: str) -> Structure:
    names = data.get("species")
    if names is None:
        numbers = data.pop("Z")
        if not ((numbers >= 0) & (numbers < len(SYMBOLS))).all():
            raise ValueError(f"Z holds {numbers.min()} to {numbers.max()}, and atomic numbers are 0 to {len(SYMBOLS) - 1}.")
        names = np.array(SYMBOLS)[numbers]
    return structure_from_columns(
        names.tolist(),
        data["pos"],
        box,
        units=units,
        mass=data.get("masses"),
        charge=data.get("initial_charges"),
        momentum=data.get("momenta"),
        info=info,
        arrays={name: column for name, column in data.items() if name not in _READ_APART},
    )

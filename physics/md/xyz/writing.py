"""Structures written as extended XYZ, so that every number is read back as it was."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..cells import cell_from_box
from ..structure import Structure, element, scaled_energies, velocity_factor
from ..units import units as units_by_name
from .comment import write_comment

_RESERVED = ("lattice", "properties", "pbc", "reduced_units")


def write_xyz(path: str | os.PathLike[str], structures: Structure | Iterable[Structure]) -> None:
    """Write one structure, or several as frames, in extended XYZ; all numbers are read back as they were.

    The file is replaced only after all frames are written. **Raises** `ValueError` and `TypeError` for what the format
    cannot hold, naming it.
    """
    frames = [structures] if isinstance(structures, Structure) else structures
    target = Path(path)
    unfinished = target.with_name(target.name + ".unfinished")
    try:
        with open(unfinished, "w", encoding="utf-8") as file:
            for frame in frames:
                file.write(_frame_text(frame))
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def _frame_text(structure: Structure) -> str:
    if clash := [key for key in structure.info if str(key).lower() in _RESERVED]:
        raise ValueError(f"info[{clash[0]!r}]: this key has a meaning of its own in an XYZ file; name the entry differently.")
    columns = _written_columns(structure)
    fields: dict[str, Any] = {}
    cell = cell_from_box(structure.box)
    if cell.any():
        fields["Lattice"] = cell.T
    fields["Properties"] = ":".join(
        f"{name}:{_kind(name, column)}:{1 if column.ndim == 1 else column.shape[1]}" for name, column in columns.items()
    )
    fields["pbc"] = np.array(structure.box.periodic)
    if structure.units == "lj":
        fields["reduced_units"] = True
    fields.update(scaled_energies(structure.info, _electronvolts(structure.units)))
    texts = [_words(name, column) for name, column in columns.items()]
    rows = (" ".join(words) for words in zip(*texts))
    return f"{len(structure.species)}\n{write_comment(fields)}\n" + "".join(row + "\n" for row in rows)


def _electronvolts(units: str) -> float:
    return 1.0 if units == "lj" else 1 / units_by_name(units).factor("eV")


def _written_columns(structure: Structure) -> dict[str, np.ndarray]:
    names = structure.species
    columns: dict[str, np.ndarray] = {
        "species": np.array([element(name) or name for name in names]),
        "pos": structure.position,
    }
    if all(name in structure.mass for name in names):
        columns["masses"] = np.array([structure.mass[name] for name in names])
    charges = np.array([structure.charge.get(name, 0.0) for name in names])
    if charges.any():
        columns["initial_charges"] = charges
    if structure.velocity.any():
        if "masses" not in columns:
            absent = next(name for name in names if name not in structure.mass)
            raise ValueError(f"species {absent!r} has velocities and no mass, but XYZ files hold momenta: give mass[{absent!r}].")
        columns["momenta"] = columns["masses"][:, None] * structure.velocity / velocity_factor(structure.units)
    for name, column in scaled_energies(structure.arrays, _electronvolts(structure.units)).items():
        if name in columns or not name or any(mark in name for mark in ": =\"'"):
            raise ValueError(f"arrays[{name!r}]: a column of an XYZ file cannot have this name.")
        columns[name] = np.asarray(column)
    return columns


def _kind(name: str, column: np.ndarray) -> str:
    kinds = {"f": "R", "i": "I", "u": "I", "b": "L", "U": "S"}
    if column.ndim not in (1, 2) or column.dtype.kind not in kinds or 0 in column.shape:
        raise ValueError(
            f"arrays[{name!r}] is {column.dtype} of shape {column.shape}: a column is [n] or [n, m] of numbers, flags or text."
        )
    return kinds[column.dtype.kind]


def _words(name: str, column: np.ndarray) -> list[str]:
    rows = column.reshape(len(column), -1).tolist()
    if column.dtype.kind == "U" and (bad := [word for row in rows for word in row if word.split() != [word]]):
        raise ValueError(f"{name} holds the text {bad[0]!r}: words in an XYZ file are not empty and have no spaces.")
    if column.dtype.kind == "b":
        return [" ".join("T" if flag else "F" for flag in row) for row in rows]
    if column.dtype.kind == "U":
        return [" ".join(f"{word:<2}" for word in row) for row in rows]
    return [" ".join(f"{number!r:>23}" for number in row) for row in rows]

"""Tables of embedded-atom potentials in setfl files (LAMMPS eam/alloy), read and written, with wrong lines named.

Three lines of comment; the elements; the sizes of the tables; then for each element a line about it, its embedding function
and its density; then r phi(r) for each pair of elements, i not before j. Numbers are broken over lines anywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Source = str | os.PathLike[str]


@dataclass(frozen=True, eq=False, repr=False)
class Setfl:
    """The tables of U = sum_i F_i(sum_j rho_j(r_ij)) + sum_{i<j} phi_ij(r_ij), in eV and angstrom.

    | field | shape | meaning |
    | --- | --- | --- |
    | `elements` | s names | |
    | `atomic_number`, `mass` | [s] | mass in amu |
    | `lattice_constant`, `lattice` | [s], s names | of the crystal at rest |
    | `drho`, `dr` | | steps of the tables; all begin at zero |
    | `cutoff` | | where densities and pair energies end |
    | `embedding` | [s, nrho] | F at 0, drho, 2 drho, ... |
    | `density` | [s, nr] | rho at 0, dr, 2 dr, ... |
    | `pair` | [s, s, nr] | r phi(r) at the same r, symmetric in the elements |
    | `comment` | 3 lines | |
    """

    elements: tuple[str, ...]
    atomic_number: np.ndarray
    mass: np.ndarray
    lattice_constant: np.ndarray
    lattice: tuple[str, ...]
    drho: float
    dr: float
    cutoff: float
    embedding: np.ndarray
    density: np.ndarray
    pair: np.ndarray
    comment: tuple[str, str, str] = ("", "", "")

    def __post_init__(self) -> None:
        many, rows = len(self.elements), self.density.shape[-1]
        shapes = {
            "atomic_number": (many,),
            "mass": (many,),
            "lattice_constant": (many,),
            "embedding": (many, self.embedding.shape[-1]),
            "density": (many, rows),
            "pair": (many, many, rows),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}: for {many} elements it must be {shape}.")

    def __repr__(self) -> str:
        nrho, nr = self.embedding.shape[-1], self.density.shape[-1]
        return f"Setfl({', '.join(self.elements)}; {nrho} densities, {nr} distances, cutoff {self.cutoff:.6g} angstrom)"


def read_setfl(path: Source) -> Setfl:
    """The tables in a setfl file; numbers may have Fortran exponents, 1.0D-3.

    **Raises** `ValueError` naming the line: numbers or columns that are missing or too many, what is no number, a file that
    ends early, tables that end before the cutoff.
    """
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        lines = _Lines(str(path), file.read().split("\n"))
    first, second, third = (lines.line("a line of comment") for _ in range(3))
    elements = _elements(lines)
    nrho, drho, nr, dr, cutoff = _sizes(lines)
    numbers, masses, constants, lattices, embedding, density = [], [], [], [], [], []
    for name in elements:
        words = lines.about(name)
        numbers.append(lines.whole(words[0], f"the atomic number of {name}"))
        masses.append(lines.positive(words[1], f"the mass of {name}"))
        constants.append(lines.real(words[2], f"the lattice constant of {name}"))
        lattices.append(words[3])
        embedding.append(lines.table(nrho, f"embedding energies of {name}"))
        density.append(lines.table(nr, f"densities of {name}"))
        lines.end_of_tables(f"the {nrho} embedding energies and {nr} densities of {name}")
    pair = np.zeros((len(elements), len(elements), nr))
    for i, one in enumerate(elements):
        for j, other in enumerate(elements[: i + 1]):
            pair[i, j] = pair[j, i] = lines.table(nr, f"values of r phi of {one}-{other}")
    lines.end_of_file(f"the {nr} values of r phi of the last pair")
    return Setfl(
        elements=elements,
        atomic_number=np.array(numbers),
        mass=np.array(masses),
        lattice_constant=np.array(constants),
        lattice=tuple(lattices),
        drho=drho,
        dr=dr,
        cutoff=cutoff,
        embedding=np.array(embedding),
        density=np.array(density),
        pair=pair,
        comment=(first, second, third),
    )


def write_setfl(path: Source, tables: Setfl) -> None:
    """Write tables as a setfl file, from which they are read back as they were.

    **Raises** `ValueError` for a comment of several lines in one, and a pair table that is not symmetric.
    """
    if any("\n" in line or "\r" in line for line in tables.comment):
        raise ValueError(f"comment={tables.comment!r}: each of the three must be one line.")
    if not np.array_equal(tables.pair, tables.pair.swapaxes(0, 1)):
        raise ValueError("pair is not symmetric: pair[i, j] and pair[j, i] are one table in a setfl file.")
    nrho, nr = tables.embedding.shape[-1], tables.density.shape[-1]
    lines = [*tables.comment, f"{len(tables.elements)} {' '.join(tables.elements)}"]
    lines.append(f"{nrho} {float(tables.drho)!r} {nr} {float(tables.dr)!r} {float(tables.cutoff)!r}")
    for k, lattice in enumerate(tables.lattice):
        about = f"{float(tables.mass[k])!r} {float(tables.lattice_constant[k])!r} {lattice}"
        lines += [f"{int(tables.atomic_number[k])} {about}", *_rows(tables.embedding[k]), *_rows(tables.density[k])]
    for i in range(len(tables.elements)):
        for j in range(i + 1):
            lines += _rows(tables.pair[i, j])
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _rows(numbers: np.ndarray) -> Iterator[str]:
    for start in range(0, len(numbers), 5):
        yield " ".join(f"{number:24.16e}" for number in numbers[start : start + 5])


def _elements(lines: _Lines) -> tuple[str, ...]:
    words = lines.words(None, "the number of elements and their names")
    many = lines.whole(words[0], "the number of elements")
    if many < 1 or len(words) != many + 1:
        lines.fail(f"the line says {many} elements and names {len(words) - 1}: {' '.join(words[1:])}")
    if len(set(words[1:])) != many:
        lines.fail(f"an element is named twice: {' '.join(words[1:])}")
    return tuple(words[1:])


def _sizes(lines: _Lines) -> tuple[int, float, int, float, float]:
    words = lines.words(5, "Nrho, drho, Nr, dr and the cutoff")
    nrho, nr = lines.whole(words[0], "Nrho"), lines.whole(words[2], "Nr")
    drho, dr, cutoff = (lines.positive(words[k], name) for k, name in ((1, "drho"), (3, "dr"), (4, "the cutoff")))
    if nrho < 2 or nr < 2:
        lines.fail(f"Nrho is {nrho} and Nr {nr}: a table needs two entries at least")
    # Published files round dr, so that the last entry is often a little before the cutoff.
    if cutoff > (nr + 1) * dr:
        lines.fail(f"the tables end at (Nr - 1) dr = {(nr - 1) * dr:.6g}, before the cutoff {cutoff:.6g}")
    return nrho, drho, nr, dr, cutoff


class _Lines:
    """The lines of a file as they are read, and the words left of the present one."""

    def __init__(self, path: str, lines: list[str]):
        self.path, self.lines, self.number = path, lines, 0
        self.left: list[str] = []

    def fail(self, what: str) -> None:
        raise ValueError(f"{self.path}, line {self.number}: {what}.")

    def line(self, needed: str) -> str:
        last = len(self.lines) - (not self.lines[-1])
        if self.number >= last:
            self.fail(f"the file ends here, and {needed} should follow")
        self.number += 1
        return self.lines[self.number - 1].rstrip("\r")

    def words(self, many: int | None, needed: str) -> list[str]:
        """The words of the next line that is not blank, so many of them."""
        words: list[str] = []
        while not words:
            words = self.line(needed).split()
        if many is not None and len(words) != many:
            few = "few" if len(words) < many else "many"
            self.fail(f"{len(words)} words where {needed} should be, too {few}: {' '.join(words)[:60]!r}")
        return words

    def about(self, element: str) -> list[str]:
        """The line about an element: words behind its lattice are a comment, but a number there belongs to no such line."""
        needed = f"atomic number, mass, lattice constant and lattice of {element}"
        words = self.words(None, needed)
        if len(words) < 4 or re.fullmatch(r"[-+.\d][-+.\dEeDd]*", words[3]):
            self.fail(f"{' '.join(words)[:60]!r} where {needed} should be; perhaps the table before has too many numbers")
        return words

    def table(self, many: int, needed: str) -> np.ndarray:
        """So many numbers, from as many lines as they take."""
        numbers: list[float] = []
        while len(numbers) < many:
            if not self.left:
                self.left = self.line(f"{needed}, of which {len(numbers)} of {many} are there,").split()
            taken, self.left = self.left[: many - len(numbers)], self.left[many - len(numbers) :]
            numbers += [self.real(word, f"number {len(numbers) + k + 1} of the {many} {needed}") for k, word in enumerate(taken)]
        return np.array(numbers)

    def end_of_tables(self, what: str) -> None:
        if self.left:
            self.fail(f"numbers are left on the line after {what}: {' '.join(self.left)[:60]!r}")

    def end_of_file(self, what: str) -> None:
        self.end_of_tables(what)
        for number in range(self.number, len(self.lines)):
            if self.lines[number].split():
                self.number = number + 1
                self.fail(f"the file goes on after {what}: {self.lines[number].strip()[:60]!r}")

    def real(self, word: str, what: str) -> float:
        try:
            number = float(word.replace("D", "E").replace("d", "e"))
        except ValueError:
            number = np.nan
        if not np.isfinite(number) or "_" in word:
            self.fail(f"{word[:40]!r} where {what} should be, a finite number")
        return number

    def positive(self, word: str, what: str) -> float:
        number = self.real(word, what)
        if number <= 0:
            self.fail(f"{what} is {word}; it must be positive")
        return number

    def whole(self, word: str, what: str) -> int:
        if not word.isdecimal():
            self.fail(f"{word[:40]!r} where {what} should be, a whole number")
        return int(word)

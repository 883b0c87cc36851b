"""`Structure`: atoms as files and other programs describe them, before there is a system of interactions.

Readers of files make one and writers take one. Atoms of one symbol that differ in mass or charge become species of their
own, because masses and charges belong to species here.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from jaxtyping import Array

from .box import Box
from .elements import STANDARD_MASS, SYMBOLS
from .state import State
from .units import Units
from .units import units as units_by_name

MOST_SPLITS = 100  # species more than there are symbols
_ENERGIES = re.compile(r"(^|_)(energy|energies|forces?|virials?|stress|stresses)$", re.IGNORECASE)


class Described(Protocol):
    """What is asked of a system to write it down: `species` names, the `kind` of each atom, masses and charges by species."""

    @property
    def species(self) -> tuple[str, ...]:
        """Names of the species."""

    @property
    def kind(self) -> Array:
        """The species of each atom, a place in `species`."""

    @property
    def mass(self) -> Array:
        """Mass by species, so that force is mass times acceleration."""

    @property
    def charge(self) -> Array:
        """Charge by species."""

    @property
    def units(self) -> Units:
        """The units of all numbers."""


@dataclass(frozen=True, eq=False, repr=False)
class Structure:
    """Atoms with all that was said of them, in the numbers of `units`; nothing that is computed from interactions.

    | field | meaning |
    | --- | --- |
    | `position`, `velocity` | [n, 3], NumPy arrays of float64 |
    | `box` | its edges, in JAX's default float type, and where it repeats |
    | `species` | the name of each atom's species, n names |
    | `mass` | amu by species (in "lj" the reduced mass); without the species whose mass nobody said |
    | `charge` | elementary charges by species |
    | `units` | "metal", "real" or "lj" |
    | `info` | what was said of the whole: energy, stress, labels |
    | `arrays` | further columns, one row an atom: forces, tags |

    A system is made from it by `wl.md.System(interaction, species=s.species, mass=s.mass, charge=s.charge, units=s.units)`,
    and a state by `system.state(s.position, s.velocity, s.box)`.
    """

    position: np.ndarray
    velocity: np.ndarray
    box: Box
    species: tuple[str, ...]
    mass: dict[str, float]
    charge: dict[str, float]
    units: str = "metal"
    info: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.species)
        if isinstance(self.species, str) or not count:
            raise ValueError(f"species={self.species!r}: give one name an atom, ('O', 'H', 'H').")
        for name, column in (("position", self.position), ("velocity", self.velocity)):
            if np.shape(column) != (count, 3):
                raise ValueError(f"{name} has shape {np.shape(column)}: {count} species need {(count, 3)}.")
        for name, column in self.arrays.items():
            if np.shape(column)[:1] != (count,):
                raise ValueError(f"arrays[{name!r}] has shape {np.shape(column)}: it needs one row for each of {count} atoms.")

    @staticmethod
    def of(system: Described, state: State, info: Mapping[str, Any] | None = None) -> Structure:
        """A system and one of its states as a structure, to be written; `info` is said of the whole."""
        names, kind = system.species, np.asarray(system.kind)
        masses, charges = np.asarray(system.mass, np.float64) / system.units.mass, np.asarray(system.charge, np.float64)
        return Structure(
            position=np.asarray(state.position, np.float64),
            velocity=np.asarray(state.velocity, np.float64),
            box=state.box,
            species=tuple(names[k] for k in kind),
            mass={name: float(masses[k]) for k, name in enumerate(names)},
            charge={name: float(charges[k]) for k, name in enumerate(names)},
            units=system.units.name,
            info=dict(info or {}),
        )

    def __repr__(self) -> str:
        atoms = ", ".join(f"{many} {name}" for name, many in Counter(self.species).items())
        said = "".join(
            f", {name}: {', '.join(mapping)}" for name, mapping in (("info", self.info), ("arrays", self.arrays)) if mapping
        )
        repeats = "".join(axis for axis, flag in zip("abc", self.box.periodic) if flag) or "no edge"
        return f"Structure({len(self.species)} atoms: {atoms}; periodic along {repeats}; {self.units}{said})"


def structure_from_columns(
    symbols: Sequence[str],
    position: np.ndarray,
    box: Box,
    *,
    units: str,
    mass: np.ndarray | None = None,
    charge: np.ndarray | None = None,
    momentum: np.ndarray | None = None,
    info: Mapping[str, Any] | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
) -> Structure:
    """The structure of columns in the units of ASE and of extended XYZ: angstrom, eV, amu, and amu angstrom / their time.

    Masses are the standard ones of the elements where no column says them, and 1 in "lj", whose numbers are taken as they
    are. Energies, forces and stresses in `info` and `arrays`, also those with a prefix such as REF_energy, are converted.

    **Raises** `ValueError` naming the atom for numbers that are not finite and masses that are not positive, and where almost
    every atom has a mass or charge of its own.
    """
    count = len(symbols)
    into = units_by_name(units)
    energy = 1.0 if units == "lj" else into.factor("eV")
    species, mass_of, charge_of = _species(symbols, _known_masses(symbols, mass, units), charge)
    velocity = np.zeros((count, 3))
    if momentum is not None:
        weights = np.array([mass_of.get(name, np.nan) for name in species])
        if np.isnan(weights).any():
            raise ValueError(f"momenta of {symbols[int(np.isnan(weights).argmax())]!r} are given but no mass: add masses:R:1.")
        velocity = np.asarray(momentum, np.float64) / weights[:, None] * velocity_factor(units)
    position = np.asarray(position, np.float64)
    for name, column in (("position", position), ("momentum", velocity)):
        bad = np.flatnonzero(~np.isfinite(column).all(1))
        if bad.size:
            raise ValueError(f"{name} of atom {bad[0]} ({symbols[bad[0]]}) is {column[bad[0]].tolist()}: it must be finite.")
    return Structure(
        position=position,
        velocity=velocity,
        box=box,
        species=species,
        mass=mass_of,
        charge=charge_of,
        units=units,
        info=scaled_energies(info or {}, energy),
        arrays=scaled_energies(arrays or {}, energy),
    )


def element(name: str) -> str | None:
    """The symbol of a species: "H" of "H" and of "H_2", nothing of what is no element."""
    symbol = re.sub(r"_\d+$", "", name)
    return symbol if symbol in SYMBOLS else None


def velocity_factor(units: str) -> float:
    """Velocities in these units by velocities of ASE, whose unit of time makes amu angstrom^2 / time^2 one eV."""
    into = units_by_name(units)
    return 1.0 if units == "lj" else float(np.sqrt(into.factor("eV") / into.mass))


def scaled_energies(entries: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """The same entries, with those that are energies, forces, virials or stresses (by their names) times `factor`."""
    def scaled(value: Any) -> Any:
        array = np.asarray(value)
        if array.dtype.kind not in "if":
            return value
        return array * factor if array.ndim else float(array) * factor

    return {name: scaled(value) if factor != 1 and _ENERGIES.search(name) else value for name, value in entries.items()}


def _known_masses(symbols: Sequence[str], mass: np.ndarray | None, units: str) -> list[float | None]:
    if mass is None:
        return [1.0 if units == "lj" else STANDARD_MASS.get(symbol) for symbol in symbols]
    masses = np.asarray(mass, np.float64)
    bad = np.flatnonzero(~(np.isfinite(masses) & (masses > 0)))
    if bad.size:
        raise ValueError(f"mass of atom {bad[0]} ({symbols[bad[0]]}) is {masses[bad[0]]:.6g}: it must be a positive number.")
    return masses.tolist()


def _species(
    symbols: Sequence[str], masses: Sequence[float | None], charge: np.ndarray | None
) -> tuple[tuple[str, ...], dict[str, float], dict[str, float]]:
    """Names of each atom's species, and mass and charge by name: the first of a symbol keeps its name, others get numbers."""
    charges = np.zeros(len(symbols)) if charge is None else np.asarray(charge, np.float64)
    bad = np.flatnonzero(~np.isfinite(charges))
    if bad.size:
        raise ValueError(f"charge of atom {bad[0]} ({symbols[bad[0]]}) is {charges[bad[0]]:.6g}: it must be finite.")
    kinds = list(zip(symbols, masses, charges.tolist()))
    names: dict[tuple[str, float | None, float], str] = {}
    used: set[str] = set()
    for kind in dict.fromkeys(kinds):
        symbol = kind[0]
        numbered = (f"{symbol}_{number}" for number in itertools.count(2))
        name = symbol if symbol not in used else next(n for n in numbered if n not in used.union(symbols))
        names[kind] = name
        used.add(name)
    if len(names) - len(set(symbols)) > MOST_SPLITS:
        raise ValueError(
            f"atoms of {len(set(symbols))} elements have {len(names)} different masses and charges, which belong to species "
            "here: give atoms of one kind the same mass and charge, or drop the column."
        )
    mass_of = {name: kind[1] for kind, name in names.items() if kind[1] is not None}
    return tuple(names[kind] for kind in kinds), mass_of, {name: kind[2] for kind, name in names.items()}

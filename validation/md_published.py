"""The molecular engine against published numbers: fluids of NIST, a lattice sum, Madelung constants.

`worldline validate md` prints what `validate` returns. Configurations and numbers of NIST are read from the folder of
reference data beside the checkout.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..core.transforms import jit
from ..physics import md
from .report import Check, Report, Row, chosen, report_on

SHARED = Path(__file__).resolve().parents[2] / "shared"
EXACT = 1e-12  # relative, where all digits are given
CONSTANTS = 1e-7  # relative: constants of nature were adjusted since, and parts of six times the total cancel
MADELUNG_TOLERANCE = 1e-10

FLUIDS = {
    "Lennard-Jones, cut at 3": ("cut_3sigma", 3.0, "cut"),
    "Lennard-Jones, cut at 4": ("cut_4sigma", 4.0, "cut"),
    "Lennard-Jones, force-shifted": ("linear_force_shift_3sigma", 3.0, "force_shift"),
}
LATTICE, WATER = "fcc crystal, cut at 2.5", "SPC/E water, Ewald"


class Crystal(NamedTuple):
    """Ions +1, -1 at distance 1 from their nearest: lattice vectors, where the second ion is, Madelung's constant."""

    vectors: np.ndarray
    second: tuple[float, float, float]
    constant: float


_FCC = np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
CRYSTALS = {
    "NaCl": Crystal(_FCC, (0.5, 0.5, 0.5), 1.7475645946331822),
    "CsCl": Crystal(2 / np.sqrt(3) * np.eye(3), (0.5, 0.5, 0.5), 1.7626747730709883),
    "ZnS": Crystal(2 / np.sqrt(3) * _FCC, (0.25, 0.25, 0.25), 1.6380550533887895),
}
# Other cells of the same lattice: a determinant of one, edges up to five times as long.
CELLS = {
    "": np.eye(3),
    ", skewed": np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]]),
    ", very skewed": np.array([[1, 0, 0], [3, 1, 0], [-2, 2, 1]]),
}
_CHOSEN = (("NaCl", ""), ("NaCl", ", skewed"), ("CsCl", ", very skewed"), ("ZnS", ", very skewed"))
MADELUNG = {f"Madelung constant of {name}{cell}": (name, cell) for name, cell in _CHOSEN}
PROBLEMS = (*FLUIDS, LATTICE, WATER, *MADELUNG)

NOTES = (
    "Errors relative to what may differ: half a unit of the last digit where few are given (allowed 1), rounding where all are",
    f"  ({EXACT:.0e} relative; {MADELUNG_TOLERANCE:.0e} for Madelung's constants; {CONSTANTS:.0e} for water's total, where",
    "  values of natural constants matter).",
    "energy, virial, tail: NIST Standard Reference Simulation Website, Lennard-Jones configuration 4 and SPC/E configuration 1.",
    "virial of a crystal of ions: trace W = U; its forces vanish.",
)


def validate(names: Sequence[str] | None = None, *, progress: Callable[[Row], None] | None = None) -> Report:
    """Compare with the published numbers (all of them by default) and return the report.

    `progress` is called with each row as it is done. Rows whose data are not there are skipped and say so. **Raises**
    `ValueError` in float32, `LookupError` for a name that there is not.
    """
    names = chosen(names, PROBLEMS)
    known: dict[str, Callable[[], Row]] = {name: partial(check_fluid, name, *case) for name, case in FLUIDS.items()}
    known |= {LATTICE: check_lattice, WATER: check_water}
    known |= {name: partial(check_madelung, name, *case) for name, case in MADELUNG.items()}
    cases = {name: partial(_or_skipped, name, known[name]) for name in names}
    return report_on("Molecules: published numbers", cases, NOTES, progress)


def _or_skipped(name: str, check: Callable[[], Row]) -> Row:
    try:
        return check()
    except FileNotFoundError as missing:
        return Row(name, skipped=f"{missing.filename} is not there")


def reference(name: str) -> dict[str, Any]:
    """Published numbers of one file. **Raises** `FileNotFoundError` where the folder is not there."""
    return json.loads((SHARED / "reference" / f"{name}.json").read_text())


def configuration(name: str) -> tuple[list[str], np.ndarray]:
    """Species and positions [n, 3] of a published configuration. **Raises** `FileNotFoundError` as `reference` does."""
    count, _, *lines = (SHARED / "data" / "nist_molecular" / f"{name}.xyz").read_text().splitlines()
    rows = [line.split() for line in lines[: int(count)]]
    return [row[-1] for row in rows], np.array([[float(x) for x in row[1:4]] for row in rows])


def by_digits(quantity: str, found: float, text: float) -> Check:
    """The difference from a published number in units of half its last digit, or of `EXACT` where all are given."""
    digits = repr(text).partition(".")[2]
    allowed = EXACT * abs(text) if len(digits) > 9 else 0.5 * 10.0 ** -len(digits)
    return Check(quantity, abs(found - text) / allowed, 1.0)


def check_fluid(name: str, entry: str, cutoff: float, shape: str) -> Row:
    """Energy, virial and tail of thirty particles."""
    published = reference("lennard_jones")["config4"][entry]
    _, position = configuration("lj_config4")
    box = md.Box.cubic(8.0)
    made = lambda **tail: md.System(md.LennardJones(1.0, 1.0, cutoff, shape=shape, **tail), {"A": len(position)})
    state = made().state(position, None, box)
    found = made().forces(state)
    checks = [
        by_digits("energy", float(found.energy), published["U"]),
        by_digits("virial", -float(jnp.trace(found.virial)), -published["W"]),
    ]
    if "U_long_range" in published:
        tail = float(made(tail=True).potential_energy(state) - found.energy)
        checks.append(by_digits("tail", tail, published["U_long_range"]))
    return Row(name, checks, {"U": float(found.energy)})


def check_lattice() -> Row:
    """Energy and pressure of a perfect crystal, of a cell smaller than the cutoff and of a larger one."""
    published = reference("lennard_jones")["fcc_lattice"]
    energies, virials = [], []
    for cells in (1, 4):
        position, box = md.lattice("fcc", density=0.8442, cells=cells)
        system = md.System(md.LennardJones(1.0, 1.0, 2.5), {"A": len(position)})
        found = system.forces(system.state(position, None, box))
        energies.append(float(found.energy) / len(position))
        virials.append(float(jnp.trace(found.virial) / (3 * box.volume())))
    worst = lambda quantity, values, text: max((by_digits(quantity, v, text) for v in values), key=lambda c: c.error)
    checks = [worst("energy", energies, published["U"]), worst("virial", virials, published["W_over_3V"])]
    return Row(LATTICE, checks, {"U": energies[0]})


def check_water() -> Row:
    """The parts of the energy of a hundred molecules of water, in kelvin, and their sum in kJ/mol."""
    published = reference("spce")
    species, position = configuration("spce_config1")
    count, units = len(species), md.units("real")
    bonds = [(3 * k, 3 * k + hydrogen) for k in range(count // 3) for hydrogen in (1, 2)]
    exclusions = md.Exclusions.from_bonds(bonds, count, reach=2)
    depth = 78.19743111 * units.boltzmann
    dispersion = {
        tail: md.LennardJones([depth, 0.0], [3.16555789, 1.0], 10.0, tail=tail, exclusions=exclusions) for tail in (False, True)
    }
    coulomb = md.Coulomb(10.0, alpha=5.6 / 20, waves=5, waves_square=26, exclusions=exclusions)
    charge = {"O": -0.8476, "H": 0.4238}
    system = md.System(dispersion[False] + coulomb, species, charge=charge, units="real")
    state = system.state(position, None, md.Box.cubic(20.0))
    system = system.sized(state)

    @jit
    def parts(system: md.System, state: md.State) -> dict[str, Array]:
        near = system.surroundings(state)
        lj, with_tail = (dispersion[tail].energy(near) for tail in (False, True))
        return {**coulomb.parts(near), "dispersion": lj, "long_range": with_tail - lj}

    found = {key: float(value) for key, value in parts(system, state).items()}
    kelvin = {key: value / units.boltzmann for key, value in found.items()}
    checks = [_six_digits(key, kelvin[key], published["kelvin"][key]) for key in published["kelvin"] if key != "total"]
    # In kelvin the total is published as the sum of rounded parts; in kJ/mol it has all digits.
    total, joules = sum(found.values()) / units.factor("kJ/mol"), published["kJ_per_mol"]["total"]
    checks.append(Check("total", abs(total / joules - 1), CONSTANTS))
    return Row(WATER, checks, {"U": sum(found.values())})


def _six_digits(quantity: str, found: float, text: float) -> Check:
    """Published with six digits: the difference in units of half the last of them."""
    allowed = 0.5 * 10.0 ** (np.floor(np.log10(abs(text))) - 5)
    return Check(quantity.replace("_", " "), float(abs(found - text) / allowed), 1.0)


def check_madelung(name: str, crystal: str, cell: str) -> Row:
    """The energy of a pair of ions in its crystal, by one cell of two ions."""
    vectors, second, constant = CRYSTALS[crystal]
    system = md.System(md.Coulomb(3.0, accuracy=1e-14), ["plus", "minus"], charge={"plus": 1.0, "minus": -1.0})
    position = np.array([[0.0, 0.0, 0.0], second]) @ vectors
    found = system.forces(system.state(position, None, md.Box.triclinic(CELLS[cell] @ vectors)))
    checks = [
        Check("Madelung", abs(-float(found.energy) - constant), MADELUNG_TOLERANCE),
        Check("forces", float(jnp.abs(found.force).max()), MADELUNG_TOLERANCE),
        Check("trace", abs(float(jnp.trace(found.virial) - found.energy)), MADELUNG_TOLERANCE),
    ]
    return Row(name, checks, {"U": float(found.energy)})

"""The interactions whose energies, forces and virials are compared with LAMMPS and OpenMM: theirs by command, ours as terms.

`md_forces.json` holds the configurations, in boxes smaller than two cutoffs some of them, and what the programs gave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..physics import md

CUTOFF = 2.5
SHORT_ERFC = 2e-6  # LAMMPS takes erfc from a polynomial of that accuracy
CHARGES = (0.6, -0.6)
PRODUCTS = np.outer(CHARGES, CHARGES)

Configuration = Mapping[str, Any]


class Case(NamedTuple):
    """An interaction for LAMMPS and for us, and the configurations in which it is compared.

    `commands` are those of LAMMPS, styles first; `term` makes our interaction for a configuration.
    """

    commands: Sequence[str]
    term: Callable[[Configuration], md.Term]
    places: Sequence[str] = ("brick", "skewed")
    units: str = "lj"
    files: Mapping[str, Callable[[], str]] = {}
    tolerance: float = 1e-9


def lennard_jones(**options: Any) -> md.LennardJones:
    """The potential with the parameters of most cases."""
    return md.LennardJones(1.1, 0.95, CUTOFF, **options)


def pair(style: str, coefficients: str, term: md.Term, *more: str, **options: Any) -> Case:
    """A pair potential with the same parameters for all pairs."""
    return Case([f"pair_style {style}", f"pair_coeff * * {coefficients}", *more], lambda _: term, **options)


def bonded(kind: str, style: str, coefficients: str, term: Callable[[np.ndarray], md.Term], *more: str) -> Case:
    """An interaction of bonds, angles or dihedrals."""
    commands = [f"{kind}_style {style}", *more, "pair_style zero 3.0", "pair_coeff * *", f"{kind}_coeff 1 {coefficients}"]
    return Case(commands, lambda c: term(np.asarray(c[f"{kind}s"])), ("chains",))


def mixed(rule: str, term: md.Term, *more: str) -> Case:
    """Lennard-Jones of two species."""
    each = ["pair_style lj/cut 2.5", "pair_coeff 1 1 1.1 0.95", "pair_coeff 2 2 0.6 0.8", f"pair_modify mix {rule}"]
    return Case([*each, *more], lambda _: term)


def by_function(fn: Callable[[Any, Any], Any], cutoff: float = CUTOFF, **parameters: Any) -> md.Term:
    """A pair potential as a user writes one."""
    return md.Pair(fn, parameters, cutoff)


def _sixth_power() -> md.Term:
    """Waldman and Hagler's mixing rule, as tables."""
    epsilon, sixth = np.array([1.1, 0.6]), np.array([0.95, 0.8]) ** 6
    mean = 0.5 * (sixth[:, None] + sixth)
    table = np.sqrt(np.outer(epsilon, epsilon) * np.outer(sixth, sixth)) / mean
    return md.LennardJones(table, mean ** (1 / 6), CUTOFF)


def _excluded(c: Configuration) -> md.Term:
    bonds = np.asarray(c["bonds"])
    exclusions = md.Exclusions.from_bonds(bonds, len(c["positions"]), reach=3, scale={2: 0.3, 3: 0.6})
    return lennard_jones(exclusions=exclusions) + md.Bonds(bonds, 60.0, 1.02)


def _opls(rows: np.ndarray) -> md.Term:
    each = ([0.65, -0.2, 1.05, 0.3], [1, 2, 3, 4], [0.0, np.pi, 0.0, np.pi])
    return md.Dihedrals(np.repeat(rows, 4, 0), *each, kind=np.tile(range(4), len(rows)))


# Stillinger and Weber's potential of two invented elements.
TWO: dict[str, Any] = dict(
    epsilon=[[2.17, 1.8], [1.8, 1.4]], sigma=[[2.0951, 1.95], [1.95, 1.8]], A=[[7.05, 7.3], [7.3, 7.9]],
    B=[[0.602, 0.65], [0.65, 0.72]], p=[[4.0, 4.0], [4.0, 4.5]], q=[[0.0, 0.0], [0.0, 0.3]], a=[[1.8, 1.75], [1.75, 1.7]],
    gamma=[[1.2, 1.1], [1.1, 1.3]], strength=[[[21.0, 24.0], [24.0, 28.0]], [[31.0, 19.0], [19.0, 26.0]]],
    cosine=[[[-1 / 3, -0.3], [-0.3, -0.25]], [[-0.4, -0.35], [-0.35, -0.2]]],
)  # fmt: skip


def _sw_file() -> str:
    """The same as a file of LAMMPS: entries i j k, whose pair part is read where j is k."""
    lines, t = [], {name: np.asarray(table) for name, table in TWO.items()}
    for i, j, k in np.ndindex(2, 2, 2):
        own = lambda name: t[name][i, j] if j == k else 0.0
        energy = np.sqrt(t["epsilon"][i, j] * t["epsilon"][i, k])
        angle = (own("sigma"), own("a"), t["strength"][i, j, k], own("gamma"), t["cosine"][i, j, k])
        rest = (own("A"), own("B"), own("p"), own("q"), 0.0)
        lines.append(" ".join(["XY"[i], "XY"[j], "XY"[k], *(f"{v:.17g}" for v in (energy, *angle, *rest))]))
    return "\n".join(lines) + "\n"


def alloy() -> md.Setfl:
    """Tables of two invented metals, smooth functions at 200 points."""
    points, cutoff, densest = 200, 5.5, 30.0
    r, rho = np.linspace(0, cutoff, points), np.linspace(0, densest, points)
    fade = (1 - (r / cutoff) ** 2) ** 3
    density = [3.0 * np.exp(-1.6 * (r - 2.5)) * fade, 2.2 * np.exp(-1.3 * (r - 2.7)) * fade]
    embedding = [-1.1 * (np.sqrt(rho + 0.2) - np.sqrt(0.2)), -0.9 * (np.sqrt(rho + 0.3) - np.sqrt(0.3)) + 2e-4 * rho**2]
    phi = lambda d, a, r0: r * d * (np.exp(-2 * a * (r - r0)) - 1.4 * np.exp(-a * (r - r0))) * fade
    unlike = phi(0.26, 1.4, 2.6)
    table = [[phi(0.30, 1.5, 2.5), unlike], [unlike, phi(0.22, 1.35, 2.8)]]
    return md.Setfl(
        ("X", "Y"), np.array([29, 30]), np.array([60.0, 90.0]), np.array([3.6, 3.6]), ("fcc", "fcc"), densest / (points - 1),
        cutoff / (points - 1), cutoff, np.array(embedding), np.array(density), np.array(table),
    )  # fmt: skip


def setfl_text() -> str:
    """The file of `alloy`."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "alloy"
        md.write_setfl(path, alloy())
        return path.read_text()


_EXCLUDED = (
    "bond_style harmonic", "special_bonds lj 0 0.3 0.6 coul 0 0 0", "pair_style lj/cut 2.5", "pair_coeff * * 1.1 0.95",
    "bond_coeff 1 30 1.02",
)  # fmt: skip
_EWALD = (
    "pair_style coul/long 8.0", "pair_coeff * *", "pair_modify table 0", "kspace_style ewald 1.0e-11",
    "kspace_modify gewald 0.65 kmax/ewald 26 26 26",
)  # fmt: skip
_SW = ("pair_style sw", "pair_coeff * * two.sw X Y")
_SILICON = ("pair_style sw", "pair_coeff * * Si.sw Si Si")
_SI_FILE = "Si Si Si 2.1683 2.0951 1.80 21.0 1.20 -0.3333333333333333 7.049556277 0.6022245584 4.0 0.0 0.0\n"
_EAM = ("pair_style eam/alloy", "pair_coeff * * alloy.eam X Y")

CASES: dict[str, Case] = {
    "Lennard-Jones, cut": pair("lj/cut 2.5", "1.1 0.95", lennard_jones()),
    "Lennard-Jones, shifted": pair("lj/cut 2.5", "1.1 0.95", lennard_jones(shape="shift"), "pair_modify shift yes"),
    "Lennard-Jones, force-shifted": pair("lj/smooth/linear 2.5", "1.1 0.95", lennard_jones(shape="force_shift")),
    "Lennard-Jones, switched": pair("lj/mdf 1.8 2.5", "1.1 0.95", lennard_jones(shape="switch", onset=1.8)),
    "Lennard-Jones, tail": pair("lj/cut 2.5", "1.1 0.95", lennard_jones(tail=True), "pair_modify tail yes"),
    "Lennard-Jones of two species, tail": mixed(
        "arithmetic", md.LennardJones([1.1, 0.6], [0.95, 0.8], CUTOFF, tail=True), "pair_modify tail yes"
    ),
    "Lennard-Jones, geometric means": mixed(
        "geometric", md.LennardJones([1.1, 0.6], [0.95, 0.8], CUTOFF, mixing="geometric")
    ),
    "Lennard-Jones, table of pairs": mixed("sixthpower", _sixth_power()),
    "Morse": pair("morse 2.5", "0.9 3.1 1.15", md.Morse(0.9, 3.1, 1.15, CUTOFF)),
    "Morse, shifted": pair("morse 2.5", "0.9 3.1 1.15", md.Morse(0.9, 3.1, 1.15, CUTOFF, shape="shift"), "pair_modify shift yes"),
    "Buckingham": pair("buck 2.5", "900.0 0.15 1.2", md.Buckingham(900.0, 0.15, 1.2, CUTOFF)),
    "soft sphere": pair("harmonic/cut", "3.3 1.4", md.SoftSphere(2 * 3.3 * 1.4**2, 1.4, 1.4)),
    "Yukawa": pair("yukawa 1.7 2.5", "4.0", md.Yukawa(4.0, 1.7, CUTOFF)),
    "Yukawa of charges": pair("coul/debye 1.2 2.5", "", md.Yukawa(PRODUCTS, 1.2, CUTOFF)),
    "function: 1 / r of charges": pair("coul/cut 2.5", "", by_function(lambda r, p: p["c"] / r, c=PRODUCTS)),
    "function: cosine": pair("soft 1.6", "2.2", by_function(lambda r, p: p["a"] * (1 + jnp.cos(jnp.pi * r / 1.6)), 1.6, a=2.2)),
    "function: Gaussian": pair("gauss 2.5", "-2.0 1.4", by_function(lambda r, p: 2 * p["a"] * jnp.exp(-1.4 * r * r), a=1.0)),
    "function: Mie": pair(
        "mie/cut 2.5", "1.1 0.95 14 7", by_function(lambda r, p: 4.4 * ((p["s"] / r) ** 14 - (p["s"] / r) ** 7), s=0.95)
    ),
    "function: Born": pair(
        "born 2.5", "1.3 0.15 0.9 1.2 0.3",
        by_function(lambda r, p: p["a"] * jnp.exp((0.9 - r) / 0.15) - 1.2 / r**6 + 0.3 / r**8, a=1.3),
    ),
    "Lennard-Jones, bonded pairs excluded": Case(_EXCLUDED, _excluded, ("melt",)),
    "bonds, harmonic": bonded("bond", "harmonic", "30 1.02", lambda rows: md.Bonds(rows, 60.0, 1.02)),
    "bonds, FENE": bonded(
        "bond", "fene", "30 1.5 1 1", lambda rows: md.FeneBonds(rows, 30.0, 1.5, epsilon=1.0, sigma=1.0), "special_bonds fene"
    ),
    "bonds, Morse": bonded("bond", "morse", "8 1.9 1.02", lambda rows: md.MorseBonds(rows, 8.0, 1.9, 1.02)),
    "angles, harmonic": bonded("angle", "harmonic", "12 109.47", lambda rows: md.Angles(rows, 24.0, np.radians(109.47))),
    "angles, cosine": bonded("angle", "cosine", "7", lambda rows: md.CosineAngles(rows, 7.0)),
    "angles, squared cosine": bonded(
        "angle", "cosine/squared", "7 120", lambda rows: md.CosineSquaredAngles(rows, 14.0, np.radians(120.0))
    ),
    "dihedrals": bonded("dihedral", "charmm", "2.5 2 35 0", lambda rows: md.Dihedrals(rows, 2.5, 2, np.radians(35.0))),
    "dihedrals, several cosines": bonded("dihedral", "opls", "1.3 -0.4 2.1 0.6", _opls),
    "Stillinger-Weber, silicon": Case(
        _SILICON, lambda _: md.StillingerWeber.silicon(), ("diamond",), "metal", {"Si.sw": lambda: _SI_FILE}
    ),
    "Stillinger-Weber, two species": Case(
        _SW, lambda _: md.StillingerWeber(**TWO), ("diamond",), "metal", {"two.sw": _sw_file}
    ),
    "embedded atoms": Case(_EAM, lambda _: md.EmbeddedAtom.from_setfl(alloy()), ("metal",), "metal", {"alloy.eam": setfl_text}),
    "Coulomb, Ewald": Case(
        _EWALD, lambda _: md.Coulomb(8.0, accuracy=1e-13), ("salt", "skewed salt"), "real", {}, SHORT_ERFC
    ),
}  # fmt: skip

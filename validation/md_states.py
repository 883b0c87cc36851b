"""Equations of state: energy and pressure of the Lennard-Jones fluid against published simulations.

`worldline validate md-states` prints what `validate` returns. Runs are long: minutes for each point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array

from ..physics import md
from ..sim import simulate
from .md_published import reference
from .report import Check, Report, Row, chosen, report_on

ATOMS, CUTOFF, DT = 500, 3.0, 0.005
WARM_STEPS, PART_STEPS, EVERY = 8000, 20_000, 10
PARTS = {"nve": 10, "canonical": 20}
U_ALLOWED, P_ALLOWED = 0.001, 0.006  # as published
SIGMAS = 3.0
BATH = 0.5  # relaxation time
CANONICAL_T = 0.85

DENSITIES = (0.776, 0.78, 0.82, 0.84, 0.86)
CANONICAL = (0.776, 0.82, 0.86)
# U, its standard error, P, its standard error at T = 0.85 by LAMMPS 20250722: the same system and step, fix temp/csvr, from
# lines through means of 50 time units.
LAMMPS = {
    0.82: (-5.79459, 0.00038, 0.54771, 0.0027),
    0.84: (-5.91475, 0.00053, 0.88082, 0.0027),
}
CASES = {f"nve, density {x:g}": ("nve", x) for x in DENSITIES} | {
    f"T = 0.85, density {x:g}": ("canonical", x) for x in CANONICAL
}
PROBLEMS = tuple(CASES)

_NVE, _CANONICAL = (PARTS[kind] * PART_STEPS for kind in ("nve", "canonical"))
NOTES = (
    f"{ATOMS} particles, cutoff {CUTOFF:g} with tail, steps of {DT}; U per particle. NIST Standard Reference Simulation Website.",
    f"nve: velocity Verlet, {_NVE} steps in {PARTS['nve']} parts with energies a little apart. Lines through their T, U and P",
    f"  give U and P at T = {CANONICAL_T}. U is held against the published canonical values, of a parabola in the density between",
    f"  them (allowed: {U_ALLOWED} and {SIGMAS:g} of our standard errors), U and P against LAMMPS in standard errors of",
    "  both. Our own errors must be as small as those published.",
    "less that of nve: what U and P at the published T differ by from published runs at constant energy. Not judged: these",
    "  contradict the canonical values of the same source. At density 0.82 their U is 0.008 lower at a T that is 0.002 higher,",
    "  while U rises with T; LAMMPS agrees with the canonical values.",
    f"T = {CANONICAL_T}: VelocityRescaling, {_CANONICAL} steps. Allowed: {SIGMAS:g} standard errors, the published one and ours",
    "  (by blocks) together.",
)


class Point(NamedTuple):
    """What was measured at each sampled step of one part of a run."""

    temperature: np.ndarray
    energy: np.ndarray  # per particle
    pressure: np.ndarray


def validate(names: Sequence[str] | None = None, *, progress: Callable[[Row], None] | None = None) -> Report:
    """Simulate the points (all of them by default) and return the report.

    `progress` is called with each row as it is done. Rows whose numbers are not there are skipped. **Raises**
    `ValueError` in float32, `LookupError` for a name that there is not.
    """
    names = chosen(names, PROBLEMS)
    cases = {name: partial(check_point, name, *CASES[name]) for name in names}
    return report_on("Molecules: equations of state of the Lennard-Jones fluid", cases, NOTES, progress)


def check_point(name: str, kind: str, density: float, parts: int | None = None, steps: int = PART_STEPS) -> Row:
    """One point, in `parts` of so many steps."""
    try:
        published = reference("lennard_jones")
    except FileNotFoundError as missing:
        return Row(name, skipped=f"{missing.filename} is not there")
    parts = PARTS[kind] if parts is None else parts
    if kind == "nve":
        row = next(row for row in published["nve_molecular_dynamics"]["rows"] if row[1] == density)
        points = run_parts(density, CANONICAL_T, parts, steps, None)
        canonical = canonical_energy(density, published["canonical_T0.85"]["rows"])
        return _at_constant_energy(name, points, (row[0], row[2], row[3]), canonical, LAMMPS.get(density))
    row = next(row for row in published["canonical_T0.85"]["rows"] if row[0] == density)
    bath = md.VelocityRescaling(CANONICAL_T, BATH)
    return _canonical(name, run_parts(density, CANONICAL_T, parts, steps, bath), *row[1:])


def run_parts(density: float, temperature: float, parts: int, steps: int, bath: Any) -> list[Point]:
    """A long run in parts; without a bath velocities are scaled before each, to temperatures around the given one."""
    position, box = md.lattice("fcc", density=density, cells=5)
    system = md.System(md.LennardJones(1.0, 1.0, CUTOFF, tail=True), {"A": ATOMS})
    # Half of the energy of a crystal's atoms goes into places as it melts.
    start = system.state(position, md.thermal_velocities(system.masses, 2 * temperature, 0, exact=True), box)
    system = system.sized(start)
    warm = md.VelocityRescaling(temperature, BATH)
    state = simulate(system, start, t1=WARM_STEPS * DT, dt=DT, solver=warm, key=0).final
    times = np.arange(1, steps // EVERY + 1) * (EVERY * DT)
    points = []
    for part in range(parts):
        if bath is None:
            state = _at_energy_of(system, state, temperature, part, parts)
            run = simulate(system, state, t0=0.0, ts=times, dt=DT, record=measured)
        else:
            run = simulate(system, state, t0=0.0, ts=times, dt=DT, record=measured, solver=bath, key=1)
        points.append(Point(*(np.asarray(x) for x in run.states)))
        state = run.final
    return points


def measured(system: md.System, state: md.State) -> tuple[Array, Array, Array]:
    """Temperature, energy per particle and pressure."""
    return md.temperature(system, state), md.potential_energy(system, state) / ATOMS, md.pressure(system, state)


def _at_energy_of(system: md.System, state: md.State, temperature: float, part: int, parts: int) -> md.State:
    """The state brought to the bath's temperature for a while, then to a kinetic energy that its mean will be near."""
    spread = 0.01 * ((part + 0.5) / parts - 0.5) * 2
    near = md.VelocityRescaling(temperature * (1 + spread), BATH)
    times = np.arange(1, 201) * (EVERY * DT)
    run = simulate(system, state, t0=0.0, ts=times, dt=DT, solver=near, key=100 + part, record=measured)
    mean = float(np.mean(np.asarray(run.states[1])))  # what of the energy is potential on average
    short = mean + 1.5 * temperature * (1 + spread) * (ATOMS - 1) / ATOMS
    now = float(md.potential_energy(system, run.final)) / ATOMS
    kinetic = float(md.kinetic_energy(system, run.final)) / ATOMS
    scale = float(np.sqrt(max(short - now, 0.1 * kinetic) / kinetic))
    return system.state(run.final.position, scale * run.final.velocity, run.final.box)


def _at_constant_energy(
    name: str, points: list[Point], published: Sequence[float], canonical: float, lammps: Sequence[float] | None
) -> Row:
    """U and P on lines in T, at T = 0.85 beside canonical values, and at the published T for information.

    `published`: T, U and P of a run at constant energy; `canonical`: U; `lammps`: U and P with their standard errors,
    where they are known.
    """
    means = np.array([[x.mean() for x in point] for point in points])
    # Within one part T and U move against each other, as their sum is fixed: lines are laid in the energy, which has no scatter.
    total = means[:, 1] + 1.5 * means[:, 0] * (ATOMS - 1) / ATOMS
    rows = np.stack([np.ones(len(points)), total - total.mean()], 1)
    lines = np.linalg.lstsq(rows, means, rcond=None)[0]
    found: dict[str, tuple[float, float]] = {}
    facts: dict[str, str | int | float] = {"T": float(means[:, 0].mean())}
    for k, quantity in enumerate("UP", 1):
        slope = lines[1, k] / lines[1, 0]
        at = means[:, k] - slope * (means[:, 0] - CANONICAL_T)
        found[quantity] = float(at.mean()), float(at.std(ddof=1) / np.sqrt(len(points)))
        facts |= {quantity: found[quantity][0], f"error of {quantity}": f"{found[quantity][1]:.1e}"}
        beside = found[quantity][0] + slope * (published[0] - CANONICAL_T) - published[k]
        facts[f"{quantity} less that of nve"] = f"{beside:+.4f}"
    (u, u_error), (p, p_error) = found["U"], found["P"]
    checks = [
        Check("U off", abs(u - canonical), U_ALLOWED + SIGMAS * u_error),
        Check("U error", u_error, U_ALLOWED),
        Check("P error", p_error, P_ALLOWED),
    ]
    if lammps is not None:
        checks += [
            Check("U, LAMMPS", abs(u - lammps[0]) / float(np.hypot(u_error, lammps[1])), SIGMAS),
            Check("P, LAMMPS", abs(p - lammps[2]) / float(np.hypot(p_error, lammps[3])), SIGMAS),
        ]
    return Row(name, checks, facts)


def canonical_energy(density: float, rows: Sequence[Sequence[float]]) -> float:
    """The published canonical U of a density, or that of a parabola through the three densities there are."""
    table = np.array(rows)
    return float(np.polyval(np.polyfit(table[:, 0], table[:, 1], 2), density))


def _canonical(name: str, points: list[Point], energy: float, published_error: float) -> Row:
    """U against the published mean, in standard errors of both."""
    series = np.concatenate([point.energy for point in points])
    estimate = md.block_average(series)
    error = float(np.hypot(float(estimate.error), published_error))
    facts: dict[str, str | int | float] = {
        "T": float(np.mean([point.temperature.mean() for point in points])),
        "U": float(estimate.mean),
        "error of U": f"{float(estimate.error):.1e}",
    }
    checks = [
        Check("U, standard errors", abs(float(estimate.mean) - energy) / error, SIGMAS),
        Check("U error", float(estimate.error), U_ALLOWED),
    ]
    return Row(name, checks, facts)

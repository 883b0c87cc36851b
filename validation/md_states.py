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
from .report import Check, Report, Row, report_on

ATOMS, CUTOFF, DT = 500, 3.0, 0.005
WARM_STEPS, PART_STEPS, EVERY = 8000, 20_000, 10
PARTS = {"nve": 10, "canonical": 14}
U_ALLOWED, P_ALLOWED = 0.001, 0.006  # as published
HALF_DIGIT = 0.0005  # of the published temperatures
SIGMAS = 3.0
BATH = 0.5  # relaxation time

DENSITIES = (0.776, 0.78, 0.82, 0.84, 0.86)
CANONICAL = (0.776, 0.82, 0.86)
CASES = {f"nve, density {x:g}": ("nve", x) for x in DENSITIES} | {
    f"T = 0.85, density {x:g}": ("canonical", x) for x in CANONICAL
}
PROBLEMS = tuple(CASES)

_NVE, _CANONICAL = (PARTS[kind] * PART_STEPS for kind in ("nve", "canonical"))
NOTES = (
    f"{ATOMS} particles, cutoff {CUTOFF:g} with tail, steps of {DT}; U per particle. NIST Standard Reference Simulation Website.",
    f"nve: velocity Verlet, {_NVE} steps in {PARTS['nve']} parts with energies a little apart, whose T, U and P are laid on",
    "  a line in T, which gives U and P at the published T.",
    f"  Allowed: {U_ALLOWED} of U and {P_ALLOWED} of P as published, {SIGMAS:g} of our standard errors, and half a digit of T,",
    f"  {HALF_DIGIT}, times the slope; and our standard errors must be as small as those published.",
    f"T = 0.85: VelocityRescaling, {_CANONICAL} steps. Allowed: {SIGMAS:g} standard errors, the published one and ours",
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
    names = PROBLEMS if names is None else names
    if unknown := [name for name in names if name not in PROBLEMS]:
        raise LookupError(f"there is no problem {unknown[0]!r}; the problems are {'; '.join(PROBLEMS)}")
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
        return _at_constant_energy(name, run_parts(density, row[0], parts, steps, None), *(row[k] for k in (0, 2, 3)))
    row = next(row for row in published["canonical_T0.85"]["rows"] if row[0] == density)
    return _canonical(name, run_parts(density, 0.85, parts, steps, md.VelocityRescaling(0.85, BATH)), *row[1:])


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


def _at_constant_energy(name: str, points: list[Point], temperature: float, energy: float, pressure: float) -> Row:
    """U and P on a line in T through the means of the parts, at the published temperature."""
    means = np.array([[x.mean() for x in point] for point in points])
    away = means[:, 0] - temperature
    rows = np.stack([np.ones_like(away), away], 1)
    facts: dict[str, str | int | float] = {"T": float(means[:, 0].mean())}
    checks = []
    for k, (quantity, published, allowed) in enumerate((("U", energy, U_ALLOWED), ("P", pressure, P_ALLOWED)), 1):
        line, *_ = np.linalg.lstsq(rows, means[:, k], rcond=None)
        left = means[:, k] - rows @ line
        covariance = np.linalg.inv(rows.T @ rows) * (left @ left) / max(len(points) - 2, 1)
        error, by_digit = float(np.sqrt(covariance[0, 0])), HALF_DIGIT * abs(float(line[1]))
        found = float(line[0])
        facts |= {quantity: found, f"error of {quantity}": f"{error:.1e}"}
        checks.append(Check(f"{quantity} off", abs(found - published), allowed + by_digit + SIGMAS * error))
        checks.append(Check(f"{quantity} error", error, allowed))
    return Row(name, checks, facts)


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

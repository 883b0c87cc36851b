"""Thermostats and barostats against the ensembles they stand for, on a small fluid of many replicas.

`worldline validate md-ensembles` prints what `validate` returns. The package physical-validation judges the samples where
it is installed; the same questions are answered here with SciPy too.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import cache, partial
from importlib import util
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import optimize, stats

from ..physics import md
from ..sim import ensemble, simulate
from .report import Check, Report, Row, chosen, report_on

PACKAGE = "physical-validation"
SIGMAS = 3.0
BAR = 6.022140857e-2  # kJ/mol in a bar nm³, as the package has it: pressures are handed over so that P V comes out right
ATOMS, DENSITY, CUTOFF, ONSET = 32, 0.6, 1.5, 1.2  # half of the edge of any box that comes up is more than the cutoff
DT, WARM, APART = 0.004, 10.0, 2.5  # times of Lennard-Jones; after APART a sample has forgotten the one before
REPLICAS, SAMPLES = 384, 6
COLD, HOT = 1.2, 1.45
LOW, HIGH = 0.9, 1.25  # pressures

NOTES = (
    f"{ATOMS} Lennard-Jones particles of density {DENSITY}, steps of {DT}; {REPLICAS} replicas with {SAMPLES} samples each,",
    f"  {APART:g} apart after {WARM:g} of warming; temperatures {COLD} and {HOT}, pressures {LOW} and {HIGH}.",
    "All columns count standard errors.",
    "K mean, K width: temperatures that follow from mean and spread of the kinetic energy, against that of the bath.",
    "K shape: Kolmogorov and Smirnov's test against the gamma distribution, its p-value as so many standard deviations.",
    "pair: by how much ln p_2(x) / p_1(x) of two state points has another slope in x than its exact one: in U, beta_1 - beta_2; at",
    "  constant pressure in U + P V, and between two pressures in V, (P_1 - P_2) / kT.",
    f"by {PACKAGE}: the same, as that package has them, the worst of a row. Allowed: {SIGMAS:g} of each; one of 370 numbers",
    "  is beyond by chance.",
)


class Bath(NamedTuple):
    """A stepper for a temperature and a pressure, how many motions it heats, and whether the box changes."""

    stepper: Callable[[Any, Any], Any]
    motions: int
    breathes: bool = False


BATHS = {
    "Langevin": Bath(lambda T, P: md.Langevin(T, 1.0), 3 * ATOMS),
    "NoseHoover": Bath(lambda T, P: md.NoseHoover(T, 0.3), 3 * ATOMS - 3),
    "VelocityRescaling": Bath(lambda T, P: md.VelocityRescaling(T, 0.3), 3 * ATOMS - 3),
    "CellRescaling": Bath(
        lambda T, P: md.CellRescaling(T, P, relaxation=0.3, cell_relaxation=0.5, compressibility=0.2), 3 * ATOMS - 3, True
    ),
}
POINTS = {"cold": (COLD, LOW), "hot": (HOT, LOW), "dense": (COLD, HIGH)}
KINETIC = {
    f"{name}, kinetic energy, {point}": (name, point)
    for name in BATHS
    for point in (("cold", "dense") if name == "CellRescaling" else ("cold", "hot"))
}
PAIRS = {f"{name}, {COLD} and {HOT}": (name, "hot") for name in BATHS}
PAIRS[f"CellRescaling, pressures {LOW} and {HIGH}"] = ("CellRescaling", "dense")
PROBLEMS = (*KINETIC, *PAIRS)


class Samples(NamedTuple):
    """What was drawn, one value a sample."""

    kinetic: Float[np.ndarray, " n"]
    potential: Float[np.ndarray, " n"]
    volume: Float[np.ndarray, " n"]
    temperature: float
    pressure: float


def validate(names: Sequence[str] | None = None, *, progress: Callable[[Row], None] | None = None) -> Report:
    """Sample the ensembles (all of them by default) and return the report.

    `progress` is called with each row as it is done. **Raises** `ValueError` in float32, `LookupError` for a name that
    there is not.
    """
    names = chosen(names, PROBLEMS)
    drawn = cache(sampler())
    cases: dict[str, Callable[[], Row]] = {}
    for name in names:
        if name in KINETIC:
            cases[name] = partial(check_kinetic, name, KINETIC[name][0], partial(drawn, *KINETIC[name]))
        else:
            bath, other = PAIRS[name]
            cases[name] = partial(check_pair, name, bath, partial(drawn, bath, "cold"), partial(drawn, bath, other))
    return report_on("Molecules: ensembles of thermostats and barostats", cases, NOTES, progress)


def sampler(replicas: int = REPLICAS) -> Callable[[str, str], Samples]:
    """A function of the names of a bath and a point; points of one bath share their program."""
    programs = {name: _program(bath) for name, bath in BATHS.items()}

    def draw(bath: str, point: str) -> Samples:
        keys = jax.random.split(jax.random.key(list(BATHS).index(bath) * len(POINTS) + list(POINTS).index(point)), replicas)
        temperature, pressure = POINTS[point]
        values, failed = programs[bath](keys, jnp.asarray(temperature), jnp.asarray(pressure))
        if np.any(failed):
            raise ValueError(f"{np.sum(failed)} of {replicas} runs failed")
        kinetic, potential, volume = (np.asarray(x).ravel() for x in values)
        return Samples(kinetic, potential, volume, temperature, pressure)

    return draw


def _program(bath: Bath) -> Callable[..., Any]:
    position, box = md.lattice("fcc", density=DENSITY, cells=2)
    interaction = md.LennardJones(1.0, 1.0, CUTOFF, shape="switch", onset=ONSET)
    system = md.System(interaction, {"A": ATOMS})
    times = WARM + APART * np.arange(SAMPLES)

    def measured(system: md.System, state: md.State) -> tuple[Array, Array, Array]:
        return md.kinetic_energy(system, state), md.potential_energy(system, state), state.box.volume()

    def one(key: Array, temperature: Array, pressure: Array) -> tuple[Any, Array]:
        velocity = md.thermal_velocities(system.masses, temperature, key)
        start = system.state(position, velocity, box)
        solver = bath.stepper(temperature, pressure)
        run = simulate(
            system, start, t0=0.0, ts=times, dt=DT, solver=solver, key=key, record=measured, throw=False
        )
        return run.states, run.status.failed

    return ensemble(one, in_axes=(0, None, None))


def check_kinetic(name: str, bath: str, draw: Callable[[], Samples]) -> Row:
    """The kinetic energy of all motions against the gamma distribution."""
    drawn, motions = draw(), BATHS[bath].motions
    temperature, kinetic, count = drawn.temperature, drawn.kinetic, len(drawn.kinetic)
    mean, width = 0.5 * motions * temperature, np.sqrt(0.5 * motions) * temperature
    law = stats.gamma(0.5 * motions, scale=temperature)
    # The variance of a variance, of a gamma distribution with excess kurtosis 12 / motions.
    of_width = 0.5 * width * np.sqrt((2 + 12 / motions) / count)
    checks = [
        Check("K mean", float(abs(kinetic.mean() - mean) / (width / np.sqrt(count))), SIGMAS),
        Check("K width", float(abs(kinetic.std(ddof=1) - width) / of_width), SIGMAS),
        Check("K shape", as_sigmas(stats.kstest(kinetic, law.cdf).pvalue), SIGMAS),
    ]
    return _judged(name, checks, count, lambda judge: judge.kinetic_energy.distribution(
        _as_data(judge, drawn, bath), verbosity=0, bs_repetitions=200, bootstrap_seed=1, data_is_uncorrelated=True
    ))  # fmt: skip


def check_pair(name: str, bath: str, first: Callable[[], Samples], second: Callable[[], Samples]) -> Row:
    """The ratio of the distributions of two state points against its exact slope."""
    one, two = first(), second()
    if one.temperature != two.temperature:
        pressure = one.pressure if BATHS[bath].breathes else 0.0
        samples = [x.potential + pressure * x.volume for x in (one, two)]
        exact = 1 / one.temperature - 1 / two.temperature
    else:
        samples, exact = [one.volume, two.volume], (one.pressure - two.pressure) / one.temperature
    slope, error = slope_of_ratio(*samples)
    checks = [Check("pair", abs(slope - exact) / error, SIGMAS)]
    return _judged(name, checks, len(samples[0]), lambda judge: judge.ensemble.check(
        _as_data(judge, one, bath), _as_data(judge, two, bath), verbosity=0, data_is_uncorrelated=True
    ))  # fmt: skip


def slope_of_ratio(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> tuple[float, float]:
    """The slope of ln p_2(x) / p_1(x) in x and its standard error, by maximum likelihood (logistic regression)."""
    x = np.concatenate([first, second])
    centre, scale = x.mean(), x.std()
    x = (x - centre) / scale
    label = np.repeat([0.0, 1.0], [len(first), len(second)])
    rows = np.stack([np.ones_like(x), x])
    loss = lambda w: float(np.sum(np.logaddexp(0.0, w @ rows) - label * (w @ rows)))
    slope = lambda w: rows @ (1 / (1 + np.exp(-w @ rows)) - label)
    found = optimize.minimize(loss, np.zeros(2), jac=slope, method="BFGS", options={"gtol": 1e-6 * len(x)}).x
    p = 1 / (1 + np.exp(-found @ rows))
    covariance = np.linalg.inv((rows * p * (1 - p)) @ rows.T)
    return float(found[1] / scale), float(np.sqrt(covariance[1, 1]) / scale)


def as_sigmas(p: float) -> float:
    """How many standard deviations from the mean a normal variable has to be to be as unlikely."""
    return float(stats.norm.isf(0.5 * p))


def _judged(name: str, checks: list[Check], samples: int, judge: Callable[[Any], Any]) -> Row:
    """The row with what the package says, where it is installed."""
    facts: dict[str, str | int | float] = {"samples": samples}
    if util.find_spec("physical_validation") is None:
        return Row(name, checks, facts | {PACKAGE: "not installed"})
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # it prints what it returns
        import physical_validation

        found = np.atleast_1d(judge(physical_validation))
    worst = float(np.max(np.abs(found))) if np.isfinite(found).all() else float("nan")
    facts[PACKAGE] = physical_validation.__version__
    return Row(name, [*checks, Check(f"by {PACKAGE}", worst, SIGMAS)], facts)


def _as_data(judge: Any, drawn: Samples, bath: str) -> Any:
    """Samples as the package wants them, in units in which Boltzmann's constant is one."""
    data, breathes = judge.data, BATHS[bath].breathes
    units = data.UnitData(
        kb=1.0, energy_conversion=1.0, length_conversion=1.0, volume_conversion=1.0, temperature_conversion=1.0,
        pressure_conversion=1 / BAR, time_conversion=1.0,
    )  # fmt: skip
    system = data.SystemData(
        natoms=ATOMS, nconstraints=0, ndof_reduction_tra=3 * ATOMS - BATHS[bath].motions, ndof_reduction_rot=0
    )
    held = {"pressure": drawn.pressure} if breathes else {"volume": ATOMS / DENSITY}
    bathed = data.EnsembleData("NPT" if breathes else "NVT", natoms=ATOMS, temperature=drawn.temperature, **held)
    seen = data.ObservableData(
        kinetic_energy=drawn.kinetic, potential_energy=drawn.potential, total_energy=drawn.kinetic + drawn.potential,
        volume=drawn.volume,
    )  # fmt: skip
    return data.SimulationData(units=units, dt=DT, system=system, ensemble=bathed, observables=seen)

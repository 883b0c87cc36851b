"""The molecular engine against the laws of motion at constant energy: order, drift, reversal in time, momentum.

`worldline validate md-laws` prints what `validate` returns. Needs no other program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy import stats

from ..physics import md
from ..sim import ensemble, simulate
from .md_ensembles import as_sigmas
from .report import Check, Report, Row, chosen, report_on

ATOMS, DENSITY, TEMPERATURE, CUTOFF, ONSET = 32, 0.8442, 0.72, 1.6, 1.2
ORDER, SHORT = 2, 0.1  # of velocity Verlet, and by how much a measured order may fall short
SPAN, STEPS = 0.4, (100, 200, 400)  # a time, and steps that it is cut into
DRIFT_DT, DRIFT_SAMPLES, DRIFT_APART = 0.002, 1000, 1000  # 10^6 steps
DRIFT_LANES = 8  # independent runs, which vector registers hold side by side
SIGMAS, DRIFT_LARGEST = 3.0, 1e-7
REVERSED_STEPS, REVERSED = 500, 1e-9
MOMENTUM = 1e-12  # of the sum of the sizes of all momenta, after 10^6 steps of rounding

ORDER_NAME, DRIFT_NAME, LISTS_NAME, REVERSAL_NAME = (
    "order of positions and energy", "drift over 10^6 steps", "order with lists of neighbors", "reversal in time"
)  # fmt: skip
PROBLEMS = (ORDER_NAME, LISTS_NAME, REVERSAL_NAME, DRIFT_NAME)

NOTES = (
    f"Lennard-Jones liquid of density {DENSITY} and temperature {TEMPERATURE}, float64; {ATOMS} particles in native code,",
    "  500 with lists.",
    f"short of order: by how much less than {ORDER} the power of the step is with which errors fall: of positions at t = {SPAN:g},",
    "  when the step is halved twice, and of the root mean square of the energy along the way.",
    f"drift: slope of the energy over {DRIFT_SAMPLES * DRIFT_APART} steps of {DRIFT_DT}, the mean of {DRIFT_LANES} runs:",
    f"  how unlikely by their scatter, in standard deviations (allowed {SIGMAS:g}), and per particle and time (allowed",
    f"  {DRIFT_LARGEST:.0e}).",
    "momentum: its largest change, relative to the sum of all sizes.",
    f"reversal: velocities are turned round after {REVERSED_STEPS} steps, and as many steps lead back to where they began.",
)


def validate(names: Sequence[str] | None = None, *, progress: Callable[[Row], None] | None = None) -> Report:
    """Check the laws (all of them by default) and return the report.

    `progress` is called with each row as it is done. **Raises** `ValueError` in float32, `LookupError` for a name that
    there is not.
    """
    names = chosen(names, PROBLEMS)
    known: dict[str, Callable[[], Row]] = {
        ORDER_NAME: partial(check_order, ORDER_NAME, 2),
        LISTS_NAME: partial(check_order, LISTS_NAME, 5),
        REVERSAL_NAME: check_reversal,
        DRIFT_NAME: check_drift,
    }
    return report_on("Molecules: laws of motion at constant energy", {name: known[name] for name in names}, NOTES, progress)


def liquid(cells: int, cutoff: float = CUTOFF, onset: float = ONSET) -> tuple[md.System, Callable[[Any], md.State]]:
    """A liquid, and a function of a key that gives it places beside those of a crystal and velocities."""
    position, box = md.lattice("fcc", density=DENSITY, cells=cells)
    interaction = md.LennardJones(1.0, 1.0, cutoff, shape="switch", onset=onset)
    system = md.System(interaction, {"A": len(position)})

    def start(key: Any) -> md.State:
        moved = position + 0.05 * jax.random.normal(key, position.shape, position.dtype)
        return system.state(moved, md.thermal_velocities(system.masses, TEMPERATURE, key), box)

    return system, start


def check_order(name: str, cells: int) -> Row:
    """Errors of positions and of the energy as steps are halved."""
    system, start = liquid(cells) if cells == 2 else liquid(cells, 2.5, 2.0)
    state = simulate(system, start(jax.random.key(0)), t1=2.0, dt=0.004).final
    ends, spreads = [], []
    for count in STEPS:
        run = simulate(system, state, dt=SPAN / count, steps=count, record=_energy)
        ends.append(np.asarray(run.final.position))
        spreads.append(float(np.sqrt(np.mean((np.asarray(run.states) - float(_energy(system, state))) ** 2))))
    of_positions = np.log2(np.abs(ends[0] - ends[1]).max() / np.abs(ends[1] - ends[2]).max())
    of_energy = np.log2(spreads[1] / spreads[2])
    orders = {"positions": float(of_positions), "energy": float(of_energy)}
    checks = [Check(f"short of order, {key}", max(ORDER - order, 0.0), SHORT) for key, order in orders.items()]
    return Row(name, checks, {key: round(order, 3) for key, order in orders.items()})


def check_reversal() -> Row:
    """Steps there and back."""
    system, start = liquid(5, 2.5, 2.0)
    state = start(jax.random.key(1))
    go = lambda state: simulate(system, state, dt=DRIFT_DT, t1=DRIFT_DT * REVERSED_STEPS).final
    there = go(state)
    back = go(system.state(there.position, -there.velocity, there.box))
    away = float(jnp.abs(back.position - state.position).max())
    apart = float(jnp.abs(back.velocity + state.velocity).max())
    went = float(jnp.abs(there.position - state.position).max())
    return Row(REVERSAL_NAME, [Check("reversal", max(away, apart), REVERSED)], {"went": went})


def check_drift(samples: int = DRIFT_SAMPLES, apart: int = DRIFT_APART) -> Row:
    """Energy and momentum over a long run, in native code."""
    system, start = liquid(2)
    system = system.sized(start(jax.random.key(2)))
    times = np.arange(samples + 1) * (apart * DRIFT_DT)

    def kept(system: md.System, state: md.State) -> tuple[Array, Array, Array]:
        momentum = jnp.sum(state.velocity, 0)
        return _energy(system, state), momentum, jnp.sum(jnp.abs(state.velocity))

    def one(key: Array) -> tuple[Any, Array]:
        warm = simulate(system, start(key), dt=0.004, t1=4.0, throw=False).final
        run = simulate(system, warm, t0=0.0, ts=times, dt=DRIFT_DT, record=kept, throw=False)
        return run.states, run.status.failed

    (energy, momentum, size), failed = ensemble(one)(jax.random.split(jax.random.key(2), DRIFT_LANES))
    if np.any(failed):
        raise ValueError(f"{np.sum(failed)} of {DRIFT_LANES} runs failed")
    slopes = np.polyfit(times, np.asarray(energy).T, 1)[0] / ATOMS
    by_chance = stats.ttest_1samp(slopes, 0.0).pvalue
    checks = [
        Check("drift, deviations", as_sigmas(by_chance), SIGMAS),
        Check("drift", float(abs(slopes.mean())), DRIFT_LARGEST),
        Check("momentum", float(jnp.abs(momentum - momentum[:, :1]).max() / jnp.max(size)), MOMENTUM),
    ]
    return Row(DRIFT_NAME, checks, {"spread": f"{float(np.asarray(energy).std(1).mean() / ATOMS):.1e}"})


def _energy(system: md.System, state: md.State) -> Array:
    return md.total_energy(system, state)

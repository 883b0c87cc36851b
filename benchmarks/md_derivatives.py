"""What derivatives through runs of a liquid are worth, and what they cost: the figures of docs/md_runs.md.

    python benchmarks/md_derivatives.py     # prints tables, writes benchmarks/md_derivatives.json, some minutes

The fluid is 32 Lennard-Jones particles (density 0.8, cutoff 2.2, force-shifted) in float64, at temperature 1.

- `growth`: the derivative by sigma of the potential energy of a particle at the end of a run, over the length of the run:
  the median of its size over 32 runs from equilibrium.
- `average`: how the mean potential energy of a particle changes with sigma, by two long ensembles at 0.99 and 1.01, and by
  the fluctuation formula from the ensemble at 1; each with its standard error over the runs.
- `memory`: what XLA plans for the reverse pass through a run of 256 particles, with `t1=` and with `steps=`.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import worldline as wl

DT, RUNS = 0.005, 32
LENGTHS = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
STEPS = (100, 400, 1600)
LONG = 40.0
BATH = wl.md.Langevin(temperature=1.0, friction=1.0)
SIGMA = "lennard_jones.sigma"


def fluid(cells):
    """System and state of 4 cells^3 particles at a lattice."""
    position, box = wl.md.lattice("fcc", density=0.8, cells=cells)
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 2.2, shape="force_shift"), {"A": len(position)})
    state = system.state(position, wl.md.thermal_velocities(system.masses, 1.0, key=0), box)
    return system.sized(state, 1.5), state


def equilibrium(system, state):
    """One state a run."""
    def warm(key):
        return wl.simulate(system, state, dt=DT, t1=10.0, solver=BATH, key=key).final

    return wl.ensemble(warm)(jax.random.split(jax.random.key(1), RUNS))


def growth(system, starts):
    """The median size of derivatives, by the kind of motion and the length of the run."""
    keys = jax.random.split(jax.random.key(2), RUNS)
    table = {}
    for name, solver in (("constant energy", "auto"), ("Langevin", BATH)):
        for length in LENGTHS:
            def end(sigma, start, key, solver=solver, length=length):
                changed = system.replace({SIGMA: sigma})
                run = wl.simulate(changed, start, dt=DT, t0=0.0, t1=length, solver=solver, key=key, gradient="forward")
                return wl.md.potential_energy(changed, run.final) / len(start.position)

            def slope(start, key, end=end):
                return jax.jvp(lambda sigma: end(sigma, start, key), (1.0,), (1.0,))[1]

            sizes = np.abs(jax.jit(jax.vmap(slope))(starts, keys))
            table[f"{name}, {length}"] = float(np.median(sizes))
            print(f"{name}, length {length}: {np.median(sizes):.3g}", flush=True)
    return table


def average(system, starts):
    """The slope of the mean energy of a particle, by differences and by fluctuations."""
    keys = jax.random.split(jax.random.key(3), RUNS)
    times = 0.05 * np.arange(1, int(LONG / 0.05) + 1)

    def measure(system, state):
        energy = lambda sigma: wl.md.potential_energy(system.replace({SIGMA: sigma}), state) / len(state.position)
        return wl.value_and_grad(energy)(system.parameters[SIGMA])

    def series(sigma):
        run = lambda start, key: wl.simulate(
            system.replace({SIGMA: sigma}), start, dt=DT, t0=0.0, ts=times, solver=BATH, key=key, record=measure
        ).states
        return jax.tree.map(np.asarray, wl.ensemble(run)(starts, keys))

    cold = len(times) // 8
    (low, _), (energy, slope), (high, _) = (jax.tree.map(lambda x: x[:, cold:], series(s)) for s in (0.99, 1.0, 1.01))
    count = starts.position.shape[1]
    together = np.mean((energy - energy.mean()) * (slope - slope.mean()), 1)
    by = {
        "differences": (high.mean(1) - low.mean(1)) / 0.02,
        "fluctuations": slope.mean(1) - count * together / BATH.temperature,
    }
    found = {name: [float(np.mean(x)), float(np.std(x, ddof=1) / np.sqrt(RUNS))] for name, x in by.items()}
    for name, (mean, error) in found.items():
        print(f"slope of the average by {name}: {mean:.2f} +- {error:.2f}", flush=True)
    return found


def memory():
    """Megabytes of the reverse pass, by the way of asking and the number of steps."""
    system, state = fluid(4)
    table = {}
    for way in ("t1", "steps"):
        for steps in STEPS:
            times = {"t1": steps * DT} if way == "t1" else {"steps": steps}

            def end(system, times=times):
                run = wl.simulate(system, state, dt=DT, gradient="reverse", **times)
                return jnp.sum(run.final.position**2)

            plan = wl.jit(wl.grad(end)).lower(system).compile().memory_analysis()
            table[f"{way}, {steps}"] = plan.temp_size_in_bytes / 1e6
            print(f"reverse pass, {way}, {steps} steps: {table[f'{way}, {steps}']:.3g} MB", flush=True)
    return table


def main():
    wl.use_float64()
    system, state = fluid(2)
    starts = equilibrium(system, state)
    found = {"growth": growth(system, starts), "average": average(system, starts), "memory": memory()}
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

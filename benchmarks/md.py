"""Lennard-Jones molecular dynamics beside jax-md, OpenMM and LAMMPS: steps a second, forces, memory, first calls.

    python benchmarks/md.py                    # prints tables, writes benchmarks/md.json
    python benchmarks/md.py --peers PYTHON     # the other programs too, by a Python that has them (md_peers.py)

A liquid at density 0.8442 and temperature 1.44 from an fcc crystal, cutoff 2.5, time step 0.005, float32, all rebuilds of
lists included; the other programs have a skin of 0.3, worldline its own default of 0.4. Each case runs in a fresh process;
leave the machine alone meanwhile.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

DENSITY, TEMPERATURE, CUTOFF, DT = 0.8442, 1.44, 2.5, 0.005
REPLICAS, SMALL_CUTOFF, REPEATS = 1024, 1.6, 5
PEERS = Path(__file__).parent / "md_peers.py"
LIQUIDS = {"32 000 atoms": (20, 100), "4 000 atoms": (10, 500)}  # cells and steps


def measured(run, *arguments):
    """First call and the median of later ones."""
    import jax

    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        jax.block_until_ready(run(*arguments))
        times.append(time.perf_counter() - start)
    return {"first_s": times[0], "s": float(np.median(times[1:]))}


def liquid(cells, native=True):
    """The system and a crystal with thermal velocities, and a way to run it."""
    import worldline as wl

    position, box = wl.md.lattice("fcc", density=DENSITY, cells=cells)
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, CUTOFF), {"A": len(position)}, native=native)
    velocity = wl.md.thermal_velocities(system.masses, TEMPERATURE, 0)
    return system, system.state(position, velocity, box)


def run_liquid(cells, steps, native=True):
    """Steps of a melt, from where the crystal has melted."""
    import worldline as wl

    system, state = liquid(cells, native)
    start = time.perf_counter()
    state = wl.simulate(system, state, t1=DT * steps, dt=DT).final
    state.position.block_until_ready()
    first = time.perf_counter() - start
    system = system.sized(state)
    once = lambda s: wl.simulate(system, s, t1=DT * steps, dt=DT).final.position
    out = measured(once, state) | {"first_s": first, "steps": steps}
    end = wl.simulate(system, state, t1=DT * steps, dt=DT).final
    total = lambda s: float(system.potential_energy(s) + 0.5 * np.sum(np.asarray(s.velocity, float) ** 2))
    return out | {"energy_change": (total(end) - total(state)) / len(state.position), "memory_MB": peak()}


def replicas(cells, steps):
    """Many small systems as lanes."""
    import jax

    import worldline as wl

    position, box = wl.md.lattice("fcc", density=DENSITY, cells=cells)
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, SMALL_CUTOFF, shape="switch", onset=1.2), {"A": len(position)})

    def one(key):
        velocity = wl.md.thermal_velocities(system.masses, TEMPERATURE, key)
        run = wl.simulate(system, system.state(position, velocity, box), t1=DT * steps, dt=DT)
        return run.final.position, run.status

    many = wl.ensemble(one)
    keys = jax.random.split(jax.random.key(0), REPLICAS)
    return measured(many, keys) | {"steps": steps, "failed": int(np.sum(np.asarray(many(keys)[1].failed)))}


def forces(cells, steps):
    """Forces, and forces with derivatives of the energy by sigma and epsilon, on lists as they are."""
    import jax

    import worldline as wl

    system, state = liquid(cells)
    position = state.position + 0.05 * np.random.default_rng(0).normal(size=state.position.shape).astype(np.float32)
    state = system.state(position, None, state.box)
    system = system.sized(state)
    lists = jax.jit(lambda state: system.lists(state))(state)

    def energy(position, epsilon, sigma):
        moved = system.replace({"lennard_jones.epsilon": epsilon, "lennard_jones.sigma": sigma})
        return moved.potential_energy(wl.md.State(position, state.velocity, state.box, state.extended, state.step, lists))

    arguments = (state.position, np.float32(1.0), np.float32(1.0))
    alone = measured(jax.jit(jax.grad(energy)), *arguments)
    return alone | {"steps": 1, "with_parameters_s": measured(jax.jit(jax.grad(energy, (0, 1, 2))), *arguments)["s"]}


def peak():
    """Most memory this process had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


OURS = {
    "liquid": run_liquid,
    "xla": lambda cells, steps: run_liquid(cells, steps, native=False),
    "replicas": replicas,
    "forces": forces,
}


def in_process(*command):
    """What a case measures in a process of its own; None where the program is not installed."""
    out = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if out.returncode:
        print(out.stderr.strip().splitlines()[-1], file=sys.stderr)
        return None
    return json.loads(out.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", metavar="PYTHON", help="measure the other programs by this Python")
    parser.add_argument("--case", nargs=3, help="one measurement: which, cells, steps")
    args = parser.parse_args()
    if args.case:
        which, cells, steps = args.case
        print(json.dumps(OURS[which](int(cells), int(steps))))
        return
    ours = lambda which, cells, steps: in_process(sys.executable, __file__, "--case", which, cells, steps)
    peer = lambda who, which, cells, steps: (
        in_process(args.peers, PEERS, who, which, "--cells", cells, "--steps", steps) if args.peers else None
    )
    record = {}
    print("steps a second, float32\n| | worldline | on XLA | jax-md | OpenMM | LAMMPS | first call, jax-md's |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, (cells, steps) in LIQUIDS.items():
        cases = {"worldline": ours("liquid", cells, steps), "xla": ours("xla", cells, steps // 5)}
        cases["jax-md"] = peer("jax-md", "liquid", cells, steps // 2)
        cases |= {who: peer(who, "liquid", cells, 2 * steps) for who in ("openmm", "lammps")}
        record[name] = cases
        print_row(name, cases)
    cases = {"worldline": ours("replicas", 2, 500), "xla": None, "jax-md": peer("jax-md", "replicas", 2, 100)}
    record["1024 replicas of 32 atoms"] = cases
    print_row("1024 replicas of 32 atoms", cases)
    record["256 000 atoms"] = {"worldline": ours("liquid", 40, 20)}
    print_row("256 000 atoms", record["256 000 atoms"])
    record["forces of 32 000 atoms"] = {"worldline": ours("forces", 20, 1), "jax-md": peer("jax-md", "forces", 20, 1)}
    for who, case in record["forces of 32 000 atoms"].items():
        if case:
            ratio = case["with_parameters_s"] / case["s"]
            print(f"{who}: forces {1e3 * case['s']:.1f} ms, with derivatives by sigma and epsilon {ratio:.2f} times that")
    memory = [record[name]["worldline"]["memory_MB"] for name in ("4 000 atoms", "32 000 atoms", "256 000 atoms")]
    print(f"most memory at 4 000, 32 000 and 256 000 atoms: {', '.join(f'{m:.0f} MB' for m in memory)}")
    (Path(__file__).parent / "md.json").write_text(json.dumps(record, indent=1) + "\n")


def print_row(name, cases):
    """One line of the table."""
    rate = lambda who: f"{cases[who]['steps'] / cases[who]['s']:.1f}" if cases.get(who) else "-"
    first = " / ".join(f"{cases[who]['first_s']:.1f} s" for who in ("worldline", "jax-md") if cases.get(who))
    rates = " | ".join(rate(who) for who in ("worldline", "xla", "jax-md", "openmm", "lammps"))
    print(f"| {name} | {rates} | {first} |", flush=True)


if __name__ == "__main__":
    main()

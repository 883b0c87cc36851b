"""The shape of a dumbbell that packs with the least energy, by gradient through the runs in which dumbbells pack.

    python examples/packing_shape.py

A dumbbell is two soft spheres of diameter 1 at the ends of a bond of length l. Dumbbells begin at random places in a box of which
they fill a given share, move down the forces between them with much friction and a little noise, and end with an energy, which
says how much they still overlap (it is not the density at which hard ones would jam). Places, box and bonds all depend on l,
and the derivative of the last energy goes through all steps of the run.

How many dumbbells sort themselves into one of many packings is sensitive, and derivatives of single runs have long tails. Each
round takes new beginnings and cuts the tails off, so that it steps down the slope of an average. A scan over l, which uses no
derivatives, shows where the descent should have gone, and what the slope should have been.
"""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import worldline as wl

wl.use_float64()

DUMBBELLS, FILLED = 16, 1.0  # soft spheres may fill more than hard ones
STEP, STEPS, FRICTION = 0.1, 80, 1.0
BEGIN, ROUNDS, STARTS, SCANNED = (0.95, 0.1), 12, 64, 192
RATE, LONGEST, CLIP = 2.0, 0.1, 4.0

pairs = np.arange(2 * DUMBBELLS).reshape(-1, 2)
apart = wl.md.Exclusions.of_pairs(2 * DUMBBELLS, pairs)
interaction = wl.md.SoftSphere(1.0, 1.0, cutoff=1.0, exclusions=apart) + wl.md.Bonds(pairs, stiffness=5.0, length=1.0)
cooling = wl.Sampled([0.0, STEP * STEPS / 2, STEP * STEPS], [0.02, 0.0, 0.0])


def beginning(system, length, key):
    """Dumbbells at random in a box that is as large for their volume as FILLED says."""
    volume = jnp.pi / 6 * (1 + 1.5 * length - 0.5 * length**3)
    edge = jnp.cbrt(DUMBBELLS * volume / FILLED)
    places, turns = jax.random.split(key)
    middle = edge * jax.random.uniform(places, (DUMBBELLS, 1, 3))
    direction = jax.random.normal(turns, (DUMBBELLS, 1, 3))
    direction = direction / jnp.linalg.norm(direction, axis=2, keepdims=True)
    position = middle + length * direction * jnp.array([-0.5, 0.5])[None, :, None]
    return system.state(position.reshape(-1, 3), None, wl.md.Box.cubic(edge))


system = wl.md.System(interaction, {"A": 2 * DUMBBELLS})
system = system.sized(beginning(system, 0.5, jax.random.key(0)))


def packed(length, key):
    """The energy of a dumbbell at the end of a run."""
    shaped = system.replace({"bonds.length": length})
    run = wl.simulate(
        shaped, beginning(shaped, length, key), dt=STEP, steps=STEPS, solver=wl.md.Brownian(cooling, FRICTION), key=key
    )
    return wl.md.potential_energy(shaped, run.final) / DUMBBELLS


slopes = wl.ensemble(wl.value_and_grad(packed))


def descend(length, seed):
    """Lengths, and slopes with their errors, round by round."""
    print(f"descent from {length}, through {STARTS} runs a round\nround    length     slope")
    path = []
    for k in range(ROUNDS):
        keys = jax.random.split(jax.random.key(1000 * seed + k), STARTS)
        slope = np.asarray(slopes(np.full(STARTS, length), keys)[1])
        tail = CLIP * np.median(np.abs(slope))
        slope = np.clip(slope, -tail, tail)
        path.append((length, slope.mean(), slope.std() / np.sqrt(STARTS)))
        print(f"{k:5d} {length:9.3f} {slope.mean():9.3f} ± {path[-1][2]:.3f}", flush=True)
        length = length - np.clip(RATE * slope.mean(), -LONGEST, LONGEST)
    return np.array(path)


paths = [descend(length, seed) for seed, length in enumerate(BEGIN)]
ends = [path[-5:, 0].mean() for path in paths]  # steps go on around the minimum, as slopes are those of samples

# The scan: each length from the same beginnings, so that differences between lengths are known better than energies.
lengths = np.linspace(0.05, 1.0, 20)
keys = jax.random.split(jax.random.key(100), SCANNED)
many = wl.ensemble(packed)
print(f"scan: {len(lengths)} lengths, {SCANNED} runs of each", flush=True)
energies = np.asarray(many(np.repeat(lengths, SCANNED), jnp.tile(keys, len(lengths)))).reshape(len(lengths), SCANNED)
mean, error = energies.mean(1), energies.std(1) / np.sqrt(SCANNED)
near = (lengths > 0.2) & (lengths < 0.65)
draws = np.random.default_rng(0).integers(SCANNED, size=(200, SCANNED))
minima = [-line[1] / (2 * line[0]) for line in (np.polyfit(lengths[near], energies[near][:, d].mean(1), 2) for d in draws)]
for begin, end in zip(BEGIN, ends):
    print(f"descent from {begin:.2f}: ends at l = {end:.3f}")
print(f"scan: least energy at l = {np.mean(minima):.3f} ± {np.std(minima):.3f}, by a parabola from 0.2 to 0.65")


def draw(path):
    """Energy and slope over the length, with the ways of both descents."""
    figure = Figure(figsize=(10, 4.2), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.fill_between(lengths, mean - error, mean + error, color="#bbbbbb")
    left.axvline(np.mean(minima), color="#dddddd", zorder=0)
    left.plot(lengths, mean, color="#777777", label=f"scan, {SCANNED} runs a point")
    right.plot(0.5 * (lengths[1:] + lengths[:-1]), np.diff(mean) / np.diff(lengths), color="#777777", label="slope of the scan")
    for way, colour in zip(paths, ("#D55E00", "#0072B2")):
        left.plot(way[:, 0], np.interp(way[:, 0], lengths, mean), "o-", color=colour, ms=4, lw=1, label=f"descent from {way[0, 0]}")
        right.errorbar(*way.T, fmt="o", color=colour, ms=4, lw=1, label=f"through {STARTS} runs, from {way[0, 0]}")
    left.set(xlabel="length of the bond, in diameters", ylabel="energy of a dumbbell")
    right.set(xlabel="length of the bond, in diameters", ylabel="its derivative", ylim=(-0.5, 0.2))
    right.axvline(np.mean(minima), color="#dddddd", zorder=0)
    right.axhline(0, color="#dddddd", zorder=0)
    for axes in (left, right):
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


draw(path="packing_shape.png")

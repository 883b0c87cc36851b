"""Many-body energies by loops in NumPy over particles, their images and pairs of neighbors, and the cases they are tested in."""

import itertools

import jax
import numpy as np

import worldline as wl

rng = np.random.default_rng(5)
SKEWED = np.array([[5.2, 0.0, 0.0], [2.1, 5.0, 0.0], [-1.7, 1.3, 4.9]])
NARROW = np.array([[3.1, 0.2, 0.0], [0.9, 2.9, 0.1], [-0.4, 0.8, 3.3]])  # less than the cutoffs below


def spread_out(count, edges, least):
    """Random places in a cell, no two images nearer than `least`."""
    found = []
    while len(found) < count:
        x = rng.random(3) @ edges
        if all(np.linalg.norm(d) > least for _, d, _ in pairs_within(np.array([*found, x]), edges, least)):
            found.append(x)
    return np.array(found)


def pairs_within(x, edges, cutoff):
    """(i, d, j) for all images of all neighbors; `edges` None is free space."""
    shifts = np.zeros((1, 3))
    if edges is not None:
        # No image is nearer than its number of cells times the least height, less the extent of the particles.
        heights = 1 / np.linalg.norm(np.linalg.inv(edges), axis=0)
        inside = x @ np.linalg.inv(edges)
        many = [range(-k, k + 1) for k in np.ceil(cutoff / heights + np.ptp(inside, axis=0)).astype(int)]
        shifts = np.array(list(itertools.product(*many))) @ edges
    d = x[None, :, None] + shifts - x[:, None, None]
    squares = np.sum(d**2, -1)
    for i, j, k in zip(*np.nonzero((squares > 0) & (squares < cutoff**2))):
        yield i, d[i, j, k], j


def neighbors(x, edges, cutoff):
    """For each particle its neighbors, a list of (d, j)."""
    found = [[] for _ in x]
    for i, d, j in pairs_within(x, edges, cutoff):
        found[i].append((d, j))
    return found


CASES = {
    "free": (spread_out(7, 4.5 * np.eye(3), 1.6), None),
    "periodic": (spread_out(6, 5.5 * np.eye(3), 1.6), 5.5 * np.eye(3)),
    "triclinic": (spread_out(6, SKEWED, 1.5), SKEWED),
    "narrow": (spread_out(2, NARROW, 1.4), NARROW),
}


def box_of(edges):
    """The box with these edges."""
    return wl.md.Box.free() if edges is None else wl.md.Box.triclinic(edges)


def system_and_state(term, x, edges, species, units="metal"):
    """A system of these particles, with room for its lists, and its state."""
    system = wl.md.System(term, species, units=units)
    state = system.state(x, None, box_of(edges))
    return system.sized(state), state


def forces_of(term, x, edges, species, units="metal"):
    """Energy, forces and virial by the library."""
    system, state = system_and_state(term, x, edges, species, units)
    out = jax.jit(lambda state: system.forces(state))(state)
    return float(out.energy), np.asarray(out.force), np.asarray(out.virial)


def slope(fn, step=1e-3):
    """df/dt at 0 by differences of sixth order."""
    return sum(w * (fn(k * step) - fn(-k * step)) for k, w in ((1, 0.75), (2, -0.15), (3, 1 / 60))) / step


def differences(energy, x, edges, step=1e-3):
    """Energy, forces and virial of `energy(x, edges)` by differences along some random directions and all strains.

    Returns the energy, directions [m, n, 3], forces along these, and the virial [3, 3].
    """
    directions = np.random.default_rng(1).normal(size=(3, *x.shape))
    along = [-slope(lambda t, v=v: energy(x + t * v, edges), step) for v in directions]
    virial = np.zeros((3, 3))
    for a, b in itertools.product(range(3), range(3)):
        unit = np.outer(np.eye(3)[a], np.eye(3)[b])
        strained = lambda t, u=unit: energy(x @ (np.eye(3) + t * u), None if edges is None else edges @ (np.eye(3) + t * u))
        virial[a, b] = -slope(strained, step)
    return energy(x, edges), directions, np.array(along), virial


def agrees(term, energy, case, species, tolerance, step=1e-3):
    """The library agrees with loops in energy, forces and virial."""
    x, edges = CASES[case]
    found, force, virial = forces_of(term, x, edges, species)
    expected, directions, along, strain = differences(energy, x, edges, step)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    scale = max(1.0, np.abs(along).max())
    np.testing.assert_allclose(np.sum(force * directions, (1, 2)), along, rtol=0, atol=tolerance * scale)
    np.testing.assert_allclose(virial, strain, rtol=0, atol=tolerance * max(1.0, np.abs(strain).max()))


def stillinger_weber(x, edges, kinds, p):
    """Energy by loops over pairs and triplets; `p` has tables [s, s] and, for strength and cosine, [s, s, s]."""
    total = 0.0
    cutoff = (p["a"] * p["sigma"]).max()

    def fade(i, j, r, times):
        end = p["a"][i, j] * p["sigma"][i, j]
        return np.exp(times * p["sigma"][i, j] / (r - end)) if r < end else 0.0

    for i, near in enumerate(neighbors(x, edges, cutoff)):
        a = kinds[i]
        bonds = [(d, np.linalg.norm(d), kinds[j]) for d, j in near]
        for _, r, b in bonds:
            s = p["sigma"][a, b] / r
            powers = p["B"][a, b] * s ** p["p"][a, b] - s ** p["q"][a, b]
            total += 0.5 * p["epsilon"][a, b] * p["A"][a, b] * powers * fade(a, b, r, 1.0)
        for (d, r, b), (e, q, c) in itertools.combinations(bonds, 2):
            energy = p["strength"][a, b, c] * np.sqrt(p["epsilon"][a, b] * p["epsilon"][a, c])
            angle = d @ e / (r * q) - p["cosine"][a, b, c]
            total += energy * angle**2 * fade(a, b, r, p["gamma"][a, b]) * fade(a, c, q, p["gamma"][a, c])
    return total


def cubic(values, step, x, beyond=False):
    """A table read as LAMMPS does: slopes entry by entry, then the polynomial of Hermite between two entries."""
    y, n = values, len(values)

    def at(m):
        if m == 0 or m == n - 1:
            return y[1] - y[0] if m == 0 else y[-1] - y[-2]
        if m == 1 or m == n - 2:
            return 0.5 * (y[m + 1] - y[m - 1])
        return ((y[m - 2] - y[m + 2]) + 8 * (y[m + 1] - y[m - 1])) / 12

    m = min(int(x / step), n - 2)
    p = min(x / step - m, 1.0)
    shapes = ((1 + 2 * p) * (1 - p) ** 2, p * (1 - p) ** 2, p**2 * (3 - 2 * p), p**2 * (p - 1))
    value = sum(s * w for s, w in zip(shapes, (y[m], at(m), y[m + 1], at(m + 1))))
    return value + (at(n - 1) * (x / step - (n - 1)) if beyond and x / step > n - 1 else 0.0)


def embedded_atom(x, edges, kinds, tables, drho, dr, cutoff):
    """Energy by loops; `tables` are embedding, density and pair."""
    embedding, density, pair = tables
    total = 0.0
    for i, near in enumerate(neighbors(x, edges, cutoff)):
        here = 0.0
        for d, j in near:
            r = np.linalg.norm(d)
            here += cubic(density[kinds[j]], dr, r)
            total += 0.5 * cubic(pair[kinds[i], kinds[j]], dr, r) / r
        total += cubic(embedding[kinds[i]], drho, here, beyond=True)
    return total


def learned_features(x, edges, kinds, i, *, species, radial, rank, cutoff):
    """What a learned potential sees of particle i: double sums over its neighbors of powers of cosines."""
    near = neighbors(x, edges, cutoff)[i]
    distances = np.array([np.linalg.norm(d) for d, _ in near])
    units = np.array([d for d, _ in near]).reshape(-1, 3) / distances[:, None]
    scaled = distances / cutoff
    functions = np.polynomial.chebyshev.chebvander(2 * scaled - 1, radial - 1) * ((1 - scaled**2) ** 3)[:, None]
    of = np.array([kinds[j] for _, j in near])
    channels = [np.where(of == b, functions[:, n], 0.0) for b, n in itertools.product(range(species), range(radial))]
    seen = [float(k == kinds[i]) for k in range(species)] if species > 1 else []
    seen += [c.sum() for c in channels]
    for power in range(1, rank + 1):
        cosines = (units @ units.T) ** power
        seen += [a @ cosines @ b for a, b in itertools.combinations_with_replacement(channels, 2)]
    return np.array(seen)


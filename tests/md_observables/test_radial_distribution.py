"""The radial distribution function: exact counts, the ideal gas, derivatives, lists of its own."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

SKEWED = np.array([[3.0, 0.0, 0.0], [1.3, 2.6, 0.0], [-0.9, 0.8, 2.2]])


def particles(count, vectors, periodic=True, reach=1.0, seed=0, dtype=np.float64):
    """Independent particles of two species with an interaction that reaches so far, some outside the home cell."""
    random = np.random.default_rng(seed)
    position = random.uniform(-0.5, 1.5, (count, 3)) @ vectors
    species = ["A" if k % 3 else "B" for k in range(count)]
    system = wl.md.System(wl.md.SoftSphere(1.0, 1.0, cutoff=reach), species)
    return system, system.state(position.astype(dtype), None, wl.md.Box.triclinic(vectors.astype(dtype), periodic))


def distances(state, cutoff):
    """r [n, n, images] between particles and all images, NumPy."""
    x, vectors = np.asarray(state.position, np.float64), np.asarray(state.box.vectors, np.float64)
    heights = 1 / np.linalg.norm(np.linalg.inv(vectors), axis=0)
    inside = x @ np.linalg.inv(vectors)
    x = np.where(state.box.periodic, inside - np.floor(inside), inside) @ vectors
    reach = [int(cutoff // h) + 1 if p else 0 for h, p in zip(heights, state.box.periodic)]
    shifts = np.array(list(itertools.product(*(range(-k, k + 1) for k in reach)))) @ vectors
    r = np.linalg.norm(x[None, :, None] - x[:, None, None] + shifts, axis=-1)
    return np.where(r == 0, np.inf, r)


@pytest.mark.parametrize(
    ("count", "periodic", "cutoff"),
    [
        *itertools.product([1, 7], [True, (True, True, False), (False, True, False), False], [0.9, 4.1]),
        (160, True, 2.3),
        (160, (False, True, False), 2.3),
    ],
)
def test_counts_are_those_of_a_loop_over_all_pairs_and_images(count, periodic, cutoff):
    system, state = particles(count, SKEWED, periodic)
    g = wl.md.RadialDistribution(cutoff, 40)
    expected = np.histogram(distances(state, cutoff), np.linspace(0, cutoff, 41))[0]
    np.testing.assert_array_equal(g.counts(system, state), expected)


@pytest.mark.slow
def test_partial_counts():
    system, state = particles(60, SKEWED)
    r = distances(state, 2.0)
    kind = np.asarray(system.kind)
    for pair in ("AA", "AB"):
        a, b = (kind == system.species.index(name) for name in pair)
        g = wl.md.RadialDistribution(2.0, 25, kinds=tuple(pair))
        expected = np.histogram(r[a][:, b], np.linspace(0, 2.0, 26))[0]
        np.testing.assert_array_equal(g.counts(system, state), expected)
        shells = 4 * np.pi / 3 * np.diff(np.linspace(0, 2.0, 26) ** 3)
        others = b.sum() - (pair[0] == pair[1])
        ideal = a.sum() * others * shells / abs(np.linalg.det(SKEWED))
        np.testing.assert_allclose(g(system, state), expected / ideal, rtol=1e-12)


@pytest.mark.parametrize("smooth", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_ideal_gas_has_no_structure(smooth):
    vectors = 2.0 * SKEWED
    system, _ = particles(300, vectors)
    g = wl.md.RadialDistribution(1.8, 12, smooth=smooth)  # shorter than half of all edges
    draws = []
    box = wl.md.Box.triclinic(vectors)
    for seed in range(40):
        position = np.random.default_rng(seed).uniform(0, 1, (300, 3)) @ vectors
        state = system.state(position, None, box)
        g = g if draws else wl.md.RadialDistribution(1.8, 12, smooth=smooth).sized(system, state)
        draws.append(np.asarray(g(system, state)))
    mean, error = np.mean(draws, 0), np.std(draws, 0, ddof=1) / np.sqrt(len(draws))
    assert np.isfinite(mean).all()
    assert np.max(np.abs(mean - 1) / error) < 4.0
    assert np.mean(((mean - 1) / error)[2:] ** 2) < 2.5


def test_the_volume_is_that_of_the_moment():
    system, state = particles(50, SKEWED)
    g = wl.md.RadialDistribution(0.9, 10)
    larger = eqx.tree_at(
        lambda s: (s.position, s.box.vectors), state, (1.1 * state.position, 1.1 * state.box.vectors)
    )
    wider = wl.md.RadialDistribution(0.99, 10)
    np.testing.assert_allclose(wider(system, larger), g(system, state), rtol=1e-12)


def test_a_box_without_volume_is_refused():
    system, state = particles(20, SKEWED, (True, False, True))
    g = wl.md.RadialDistribution(0.9, 10)
    with pytest.raises(ValueError, match="volume="):
        g(system, state)
    np.testing.assert_allclose(g(system, state, volume=2.0), 2 * g(system, state, volume=1.0), rtol=1e-14)


def test_shares_of_pairs_are_those_of_a_loop():
    system, state = particles(40, SKEWED)
    g = wl.md.RadialDistribution(2.1, 20, smooth=True)
    r = distances(state, 2.1)[..., None]
    expected = np.maximum(1 - np.abs(r - g.r) / (2.1 / 21), 0).sum((0, 1, 2))
    np.testing.assert_allclose(g.counts(system, state), expected, rtol=1e-11)


@pytest.mark.slow
def test_derivatives_three_ways():
    system, state = particles(24, SKEWED)
    g = wl.md.RadialDistribution(2.1, 9, smooth=True).sized(system, state)
    random = np.random.default_rng(5)
    weights, way = random.normal(size=9), random.normal(size=state.position.shape)

    def value(amount):
        stretch = jnp.eye(3).at[0, 1].add(0.3 * amount).at[2, 2].add(0.2 * amount)
        place = (state.position + amount * way) @ stretch
        moved = eqx.tree_at(lambda s: (s.position, s.box.vectors), state, (place, state.box.vectors @ stretch))
        return jnp.sum(weights * g(system, moved))

    forward, reverse = jax.jvp(value, (0.0,), (1.0,))[1], wl.grad(value)(0.0)
    np.testing.assert_allclose(forward, reverse, rtol=1e-10)
    for h in (1e-6, 1e-7):  # shares are straight between bins: steps short enough to cross none
        np.testing.assert_allclose((value(h) - value(-h)) / (2 * h), reverse, rtol=1e-6)


def test_bins_have_no_derivative():
    system, state = particles(12, SKEWED)
    system, g = system.sized(state), wl.md.RadialDistribution(0.9, 9)
    slopes = wl.grad(lambda x: jnp.sum(g.counts(system, eqx.tree_at(lambda s: s.position, state, x))))(state.position)
    np.testing.assert_array_equal(slopes, 0.0)


def dense():
    """A liquid of 108 atoms, and its g(r) to half of an edge and beyond the interaction's reach."""
    position, box = wl.md.lattice("fcc", density=0.8, cells=3)
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 1.5, shape="force_shift"), {"Ar": len(position)})
    velocity = wl.md.thermal_velocities(system.masses, 1.0, jax.random.key(1))
    return system, system.state(position, velocity, box)


@pytest.mark.parametrize("cutoff", [pytest.param(1.4, marks=pytest.mark.slow), 2.4])
def test_recorded_while_running(cutoff):
    system, state = dense()
    g = wl.md.RadialDistribution(cutoff, 30).sized(system, state)
    times = np.linspace(0, 0.4, 9)
    measured = wl.simulate(system, state, dt=0.004, ts=times, record=g).states
    states = wl.simulate(system, state, dt=0.004, ts=times).states
    for k in (0, 5, 8):
        np.testing.assert_allclose(measured[k], g(system, jax.tree.map(lambda x: x[k], states)), rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_under_vmap_and_in_float32():
    system, state = particles(150, SKEWED, reach=1.0)
    single, of_single = particles(150, SKEWED, reach=1.0, dtype=np.float32)
    g = wl.md.RadialDistribution(1.9, 12, smooth=True).sized(system, state)
    two = jax.vmap(lambda f: eqx.tree_at(lambda s: s.position, state, f * state.position))(jnp.asarray([1.0, 0.98]))
    got = jax.vmap(lambda s: g(system, s))(two)
    for k in range(2):
        np.testing.assert_allclose(got[k], g(system, jax.tree.map(lambda x: x[k], two)), rtol=1e-12)
    rough = wl.jit(g)(single, of_single)
    assert rough.dtype == np.float32
    np.testing.assert_allclose(rough, g(system, state), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_lists_that_are_too_short_give_nan():
    system, state = particles(200, 2 * SKEWED)
    g = wl.md.RadialDistribution(1.9, 12).sized(system, state)
    crowded = eqx.tree_at(lambda s: s.position, state, 0.2 * state.position)
    assert np.isnan(g(system, crowded)).all()
    assert np.isfinite(g.sized(system, crowded)(system, crowded)).all()


def test_unknown_room_is_refused_while_compiling():
    system, state = particles(20, SKEWED)
    with pytest.raises(TypeError, match=r"g = g.sized\(system, state\)"):
        wl.jit(wl.md.RadialDistribution(1.9, 12))(system, state)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [((-1.0, 10), "cutoff=-1"), ((2.0, 0), "bins=0"), ((2.0, 1.5), "bins=1.5")],
)
def test_arguments_that_make_no_sense(arguments, fault):
    with pytest.raises(ValueError, match=fault):
        wl.md.RadialDistribution(*arguments)


def test_unknown_species_are_named():
    with pytest.raises(ValueError, match="two species"):
        wl.md.RadialDistribution(1.0, 10, kinds="AB")
    with pytest.raises(ValueError, match=r"kinds names 'C'.*A"):
        wl.md.RadialDistribution(1.0, 10, kinds=("A", "C"))(*particles(9, SKEWED))

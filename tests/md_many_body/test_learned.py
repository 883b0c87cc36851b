"""Learned potentials: what they see against double sums, what they must not see, derivatives and training."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from many_body_loops import CASES, differences, forces_of, learned_features, slope, system_and_state

import worldline as wl

BY_DIFFERENCES = 3e-8
CUTOFF = 3.6


def network(species=1, radial=3, rank=2):
    return wl.md.Learned.network(
        CUTOFF, key=jax.random.key(1), species=species, radial=radial, rank=rank, width=8, depth=1
    )


@pytest.mark.parametrize(("species", "rank", "case"), [(1, 3, "periodic"), (2, 2, "narrow"), (1, 0, "free")])
def test_features_are_double_sums_over_neighbors(species, rank, case):
    x, edges = CASES[case]
    kinds = [k % species for k in range(len(x))]
    term = network(species, 3, rank)
    system, state = system_and_state(term, x, edges, ["AB"[k] for k in kinds])
    found = jax.jit(lambda state: term.features(system.surroundings(state)))(state)
    assert found.shape == (len(x), wl.md.Learned.size(species, 3, rank))
    options = dict(species=species, radial=3, rank=rank, cutoff=CUTOFF)
    expected = [learned_features(x, edges, kinds, i, **options) for i in range(len(x))]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_forces_and_virial_by_differences(layout):
    x, edges = CASES["triclinic"]
    term, species = network(2), ["A", "B"] * 3
    system, state = system_and_state(term, x, edges, species)

    @jax.jit
    def of(x, vectors):
        box = wl.md.Box.triclinic(vectors)
        return system.potential_energy(eqx.tree_at(lambda s: (s.position, s.box), state, (x, box)))

    _, directions, along, virial = differences(lambda x, edges: float(of(x, edges)), x, edges)
    _, force, found = forces_of(term, x, edges, species)
    np.testing.assert_allclose(np.sum(force * directions, (1, 2)), along, rtol=0, atol=BY_DIFFERENCES)
    np.testing.assert_allclose(found, virial, rtol=0, atol=BY_DIFFERENCES * 10)


def test_turning_moving_and_exchanging_change_nothing():
    x, _ = CASES["free"]
    term = network()
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    order = np.random.default_rng(1).permutation(len(x))
    system, state = system_and_state(term, x, None, ["A"] * 7)
    forces = jax.jit(lambda x: system.forces(eqx.tree_at(lambda s: s.position, state, x)))
    before, after = forces(x), forces((x @ turn + np.array([3.0, -1.0, 2.0]))[order])
    np.testing.assert_allclose(after.energy, before.energy, rtol=1e-13)
    np.testing.assert_allclose(after.force, (np.asarray(before.force) @ turn)[order], rtol=0, atol=1e-12)


@pytest.mark.slow
def test_neighbors_come_and_go_smoothly():
    """Across the cutoff neither the energy nor its first two derivatives jump."""
    system, state = system_and_state(network(), np.array([[0.0, 0, 0], [3.5, 0, 0], [0, 2.0, 0]]), None, ["A"] * 3)

    def energy(r):
        return system.potential_energy(eqx.tree_at(lambda s: s.position, state, state.position.at[1, 0].set(r)))

    orders = jax.jit(jax.vmap(lambda r: jnp.stack([energy(r), jax.grad(energy)(r), jax.grad(jax.grad(energy))(r)])))
    inside, at, outside = orders(jnp.array([CUTOFF - 1e-6, CUTOFF, CUTOFF + 1e-6]))
    np.testing.assert_allclose(inside, outside, rtol=0, atol=3e-5)
    np.testing.assert_allclose(at, outside, rtol=0, atol=1e-15)


@pytest.mark.slow
def test_gradients_by_weights(layout):
    x, edges = CASES["periodic"]
    system, state = system_and_state(network(), x, edges, ["A"] * 6)
    rng = np.random.default_rng(7)
    target = jnp.asarray(rng.normal(size=x.shape))
    weights, rest = eqx.partition(system, eqx.is_inexact_array)
    change = jax.tree.map(lambda w: jnp.asarray(rng.normal(size=w.shape)), weights)
    loss = lambda w: jnp.sum((eqx.combine(w, rest).forces(state).force - target) ** 2)
    gradient = jax.jit(jax.grad(loss))(weights)
    dot = sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(change)))
    value = jax.jit(loss)
    moved = lambda t: float(value(jax.tree.map(lambda w, c: w + t * c, weights, change)))
    np.testing.assert_allclose(dot, slope(moved, 1e-4), rtol=1e-7)
    np.testing.assert_allclose(jax.jit(lambda w: jax.jvp(loss, (w,), (change,))[1])(weights), dot, rtol=1e-10)
    # Masses and charges have no part in forces; shifts, scales and weights do.
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient.interaction.terms["learned"].module.layers[0]))


@pytest.mark.slow
def test_standardized_features_have_unit_spread():
    x, edges = CASES["periodic"]
    term = network()
    system, state = system_and_state(term, x, edges, ["A"] * 6)
    seen = term.features(system.surroundings(state))
    fitted = term.standardized(seen, offset=-4.0)
    scaled = (seen - fitted.shift) * fitted.scale
    np.testing.assert_allclose(jnp.mean(scaled, 0), 0, atol=1e-9)
    np.testing.assert_allclose(jnp.std(scaled, 0), 1, rtol=1e-9)
    before = wl.md.Learned(lambda features: 0.0 * features[0], CUTOFF, radial=3, offset=fitted.offset)
    np.testing.assert_allclose(system_and_state(before, x, edges, ["A"] * 6)[0].potential_energy(state), -24.0, rtol=1e-12)


def test_what_does_not_fit_is_named():
    wrong = eqx.nn.MLP(4, "scalar", 8, 1, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"the module fails on 48 features.*Learned.size"):
        wl.md.Learned(wrong, CUTOFF)
    vector = eqx.nn.MLP(48, 2, 8, 1, key=jax.random.key(0))
    with pytest.raises(ValueError, match="must return one number"):
        wl.md.Learned(vector, CUTOFF)
    with pytest.raises(ValueError, match="rank=4: moments are taken up to a rank from 0 to 3"):
        wl.md.Learned.size(1, 6, 4)
    with pytest.raises(ValueError, match=r"made for 1 species, and the system has A, B: pass species=2"):
        wl.md.System(network(), ["A", "B"])
    with pytest.raises(ValueError, match="cutoff=-1: it must be finite and more than 0"):
        wl.md.Learned.network(-1.0, key=jax.random.key(0))

"""Minima of energy, and their derivatives by the implicit function theorem."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

METHODS = ["fire", "lbfgs"]


def smooth(count, **more):
    return wl.md.System(wl.md.LennardJones(1.0, 1.0, 2.0, shape="switch", onset=1.5), {"A": count}, **more)


def pulled_well():
    """One particle in a well and a uniform field: x = F / k, U = -F² / (2 k)."""
    system = wl.md.System(wl.md.HarmonicTrap([2.0, 3.0, 4.0]) + wl.md.UniformForce([1.0, 0.5, -2.0]), {"A": 1})
    return system, system.state([[0.3, 0.1, 0.2]])


@pytest.mark.parametrize("method", METHODS)
def test_a_pulled_well_in_closed_form(method):
    system, state = pulled_well()
    found = wl.minimise(system, state, method, tolerance=1e-11)
    np.testing.assert_allclose(found.state.position[0], [0.5, 0.5 / 3, -0.5], atol=1e-10)
    np.testing.assert_allclose(found.energy, -(1 / 4 + 0.25 / 6 + 4 / 8), rtol=1e-12)
    assert float(found.largest_force) <= 1e-11 and found.status.ok


@pytest.mark.slow
def test_derivatives_of_all_orders_of_a_pulled_well():
    """x = F / k: dx/dk = -F / k², d²x/dk² = 2 F / k³; U'' by k is -F² / k³."""
    system, state = pulled_well()
    system = system.sized(state)

    def of(k):
        stiffness = jnp.asarray([2.0, 3.0, 4.0]).at[0].set(k)
        found = wl.minimise(system.replace({"harmonic_trap.stiffness": stiffness}), state, "lbfgs", tolerance=1e-12)
        return jnp.stack([found.state.position[0, 0], found.energy])

    for mode in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(mode(of)(2.0), [-0.25, 0.5 / 4], rtol=1e-9)
    np.testing.assert_allclose(jax.jacfwd(jax.jacfwd(of))(2.0), [0.25, -1 / 8], rtol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_overlapping_particles_leave_each_other(method):
    count, edge = 40, 3.8
    position = np.random.default_rng(0).uniform(size=(count, 3)) * edge
    position[1] = position[0] + 1e-3
    system = smooth(count)
    state = system.state(position, None, wl.md.Box.cubic(edge))
    found = wl.minimise(system, state, method, tolerance=1e-7)
    assert float(jnp.max(jnp.linalg.norm(system.forces(found.state).force, axis=1))) <= 1e-7
    np.testing.assert_allclose(found.energy, system.potential_energy(found.state), rtol=1e-13)
    assert float(found.energy) < -3 * count and float(system.potential_energy(state)) > 1e6


@pytest.mark.parametrize("method", METHODS)
def test_many_particles_with_lists_that_grow(method):
    """A thin gas falls together, so that lists for the beginning are too small for the end."""
    count = 200
    grid = np.stack(np.meshgrid(*[np.arange(6)] * 3, indexing="ij"), -1).reshape(-1, 3)[:count]
    position = 1.45 * grid + np.random.default_rng(1).normal(size=(count, 3)) * 0.05
    system = smooth(count)
    found = wl.minimise(system, system.state(position), method, tolerance=1e-4)
    fresh = system.forces(found.state)
    assert float(jnp.max(jnp.linalg.norm(fresh.force, axis=1))) <= 1e-4 * (1 + 1e-6)
    np.testing.assert_allclose(found.energy, fresh.energy, rtol=1e-12)


@pytest.fixture(scope="module")
def glass():
    """Twelve particles at rest in a box, which is at its best for a pressure."""
    system = smooth(12)
    position = np.random.default_rng(3).uniform(size=(12, 3)) * 2.4
    state = system.state(position, None, wl.md.Box.cubic(2.5))
    found = wl.minimise(system, state, "lbfgs", cell=True, pressure=0.5, tolerance=1e-9)
    return system.sized(found.state), found.state


@pytest.mark.slow
def test_the_box_carries_the_pressure(glass):
    system, state = glass
    forces = system.forces(state)
    stress = np.asarray(forces.virial / state.box.volume())
    np.testing.assert_allclose(stress, 0.5 * np.eye(3), atol=1e-8)
    assert float(jnp.max(jnp.abs(forces.force))) < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("cell", [False, True])
def test_derivatives_of_a_glass_three_ways(glass, cell):
    """Places (up to those of the whole), energy and volume by sigma and the pressure."""
    system, state = glass
    weights = np.random.default_rng(0).normal(size=(12, 3))
    weights -= weights.mean(0)

    def of(p):
        found = wl.minimise(
            system.replace({"lennard_jones.sigma": p[0]}), state, "lbfgs", cell=cell, pressure=p[1], tolerance=1e-11,
            throw=False,
        )  # fmt: skip
        return jnp.stack([jnp.sum(weights * found.state.position), found.energy, found.state.box.volume()])

    p = jnp.asarray([1.0, 0.5])
    forward, reverse = jax.jit(jax.jacfwd(of))(p), jax.jit(jax.jacrev(of))(p)
    np.testing.assert_allclose(reverse, forward, rtol=1e-7, atol=1e-7)
    # The envelope: dH/dP = V.
    np.testing.assert_allclose(forward[1, 1], state.box.volume() if cell else 0.0, rtol=1e-8, atol=1e-12)
    central = [(of(p + e) - of(p - e)) / 2e-4 for e in 1e-4 * jnp.eye(2)]
    np.testing.assert_allclose(np.stack(central, 1), forward, rtol=2e-3, atol=1e-3)


@pytest.mark.slow
def test_a_pair_in_free_space_turns_and_moves_freely():
    """r = 2^(1/6) sigma: null modes of translation and of turns leave the derivative of the distance."""
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 4.0), {"A": 2})
    state = system.state([[0.0, 0.0, 0.0], [0.7, 0.6, 0.8]])
    system = system.sized(state)

    def distance(sigma):
        found = wl.minimise(system.replace({"lennard_jones.sigma": sigma}), state, "lbfgs", tolerance=1e-11)
        return jnp.linalg.norm(found.state.position[1] - found.state.position[0])

    np.testing.assert_allclose(distance(1.1), 2 ** (1 / 6) * 1.1, rtol=1e-10)
    np.testing.assert_allclose(jax.grad(distance)(1.1), 2 ** (1 / 6), rtol=1e-9)
    sigmas = jnp.asarray([0.9, 1.0, 1.2])
    np.testing.assert_allclose(jax.vmap(distance)(sigmas), 2 ** (1 / 6) * sigmas, rtol=1e-10)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(distance)))(sigmas), 2 ** (1 / 6), rtol=1e-9)


def test_searches_that_fail_say_why():
    system, state = pulled_well()
    with pytest.raises(wl.SimulationError, match="step limit.* Raise max_steps") as raised:
        wl.minimise(system, state, tolerance=1e-12, max_steps=5)
    assert int(raised.value.trajectory.steps) == 5
    pair = smooth(2)
    with pytest.raises(wl.SimulationError, match="non-finite.* same place"):
        wl.minimise(pair, pair.state(np.zeros((2, 3))))
    for arguments, words in (
        (dict(method="newton"), "method='newton': write one of 'fire', 'lbfgs'"),
        (dict(tolerance=-1.0), "tolerance=-1.0: one positive number"),
        (dict(max_steps=0), "max_steps=0"),
        (dict(cell=True), "must repeat along all three edges"),
    ):
        with pytest.raises(ValueError, match=words):
            wl.minimise(system, state, **arguments)


def test_float32_is_enough_for_its_own_tolerance():
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 4.0), {"A": 2})
    found = wl.minimise(system, system.state(np.asarray([[0, 0, 0], [0.7, 0.6, 0.8]], np.float32)))
    assert found.state.position.dtype == found.energy.dtype == jnp.float32
    np.testing.assert_allclose(found.energy, -1.0, rtol=1e-6)

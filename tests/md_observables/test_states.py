"""Energies, temperature, pressure and stress of states against closed forms, NumPy sums and finite differences."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import worldline as wl

CUTOFF = 2.5
EPSILON, SIGMA = 0.9, 1.05


class Trap(wl.md.Term):
    """U = 1/2 k sum of x²: particles held around the origin of free space."""

    stiffness: Array

    def energy(self, near):
        return 0.5 * self.stiffness * jnp.sum(near.position**2)


def fluid(dtype=np.float64, native=True):
    """Some 60 particles in a skewed box, with two masses, away from equilibrium."""
    random = np.random.default_rng(3)
    x, box = wl.md.lattice("fcc", density=0.8, cells=(2, 2, 4))
    vectors = np.asarray(box.vectors) @ np.array([[1, 0, 0], [0.2, 1, 0], [-0.1, 0.3, 1]])
    x = np.asarray(box.fractional(x)) @ vectors + random.normal(0, 0.06, x.shape)
    half = len(x) // 2
    interaction = wl.md.LennardJones(EPSILON, SIGMA, CUTOFF, shape="force_shift")
    system = wl.md.System(interaction, {"A": half, "B": len(x) - half}, mass={"A": 1.0, "B": 2.5}, native=native)
    velocity = random.normal(0, 1.0, x.shape) + [0.3, 0.0, -0.2]
    state = system.state(x.astype(dtype), velocity.astype(dtype), wl.md.Box.triclinic(vectors))
    return system.sized(state), state


def pairs(state):
    """Displacements [m, 3] from i to all images of j within the cutoff, each pair from both sides, in NumPy."""
    x, vectors = np.asarray(state.position, np.float64), np.asarray(state.box.vectors, np.float64)
    shifts = np.array(list(itertools.product(range(-3, 4), repeat=3))) @ vectors
    d = (x[None, :, None] - x[:, None, None] + shifts).reshape(-1, 3)
    r = np.linalg.norm(d, axis=1)
    return d[(r > 0) & (r < CUTOFF)]


def slope(r):
    """du/dr of the Lennard-Jones potential whose force is shifted to end at zero."""
    force = lambda r: 24 * EPSILON * ((SIGMA / r) ** 6 - 2 * (SIGMA / r) ** 12) / r
    return force(r) - force(CUTOFF)


def test_energies_add_up():
    system, state = fluid()
    mass = np.asarray(system.masses)[:, None]
    kinetic = 0.5 * np.sum(mass * np.asarray(state.velocity) ** 2)
    np.testing.assert_allclose(wl.md.kinetic_energy(system, state), kinetic, rtol=1e-13)
    parts = wl.md.energy_parts(system, state)
    assert list(parts) == ["kinetic", "lennard_jones"]
    np.testing.assert_allclose(sum(parts.values()), wl.md.total_energy(system, state), rtol=1e-13)
    np.testing.assert_allclose(wl.md.potential_energy(system, state), parts["lennard_jones"], rtol=1e-13)


def test_temperature_is_of_motions_relative_to_the_center_of_mass():
    system, state = fluid()
    mass, v = np.asarray(system.masses)[:, None], np.asarray(state.velocity)
    relative = v - (mass * v).sum(0) / mass.sum()
    np.testing.assert_allclose(
        wl.md.temperature(system, state), np.sum(mass * relative**2) / (3 * len(v) - 3), rtol=1e-13
    )
    all_motions = np.sum(mass * v**2) / (3 * len(v))
    np.testing.assert_allclose(wl.md.temperature(system, state, 3 * len(v)), all_motions, rtol=1e-13)


def test_temperature_is_in_kelvin():
    system = wl.md.System(Trap(jnp.asarray(1.0)), {"Ar": 500}, mass=39.948, units="metal")
    velocity = wl.md.thermal_velocities(system.masses, 94.4 * system.units.boltzmann, jax.random.key(0), exact=True)
    state = system.state(np.zeros((500, 3)), velocity)
    np.testing.assert_allclose(wl.md.temperature(system, state), 94.4, rtol=1e-12)


@pytest.mark.parametrize("degrees", [None, 0, -3])
def test_a_single_particle_needs_degrees_of_freedom(degrees):
    system = wl.md.System(Trap(jnp.asarray(1.0)), {"A": 1})
    with pytest.raises(ValueError, match="degrees_of_freedom"):
        wl.md.temperature(system, system.state(np.zeros((1, 3))), degrees)


def test_stress_is_that_of_a_sum_over_pairs():
    system, state = fluid()
    d = pairs(state)
    r = np.linalg.norm(d, axis=1)
    virial = -0.5 * np.einsum("pa,pb,p->ab", d, d, slope(r) / r)
    v = np.asarray(state.velocity)
    kinetic = np.einsum("n,na,nb->ab", np.asarray(system.masses), v, v)
    volume = float(state.box.volume())
    found = np.asarray(wl.md.stress(system, state))
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(found, -(virial + kinetic) / volume, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(wl.md.stress(system, state, kinetic=False), -virial / volume, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(wl.md.pressure(system, state), np.trace(virial + kinetic) / (3 * volume), rtol=1e-11)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 2)])
def test_stress_is_the_slope_of_the_energy_by_strain(a, b):
    system, state = fluid()

    def energy(amount):
        strain = jnp.eye(3).at[a, b].add(0.5 * amount).at[b, a].add(0.5 * amount)
        moved = eqx.tree_at(
            lambda s: (s.position, s.box.vectors), state, (state.position @ strain, state.box.vectors @ strain)
        )
        return float(system.potential_energy(moved))

    found = float(wl.md.stress(system, state, kinetic=False)[a, b]) * float(state.box.volume())
    for h in (1e-4, 1e-5):
        np.testing.assert_allclose((energy(h) - energy(-h)) / (2 * h), found, rtol=0, atol=1e-6 * abs(found) + 1e-6)


def test_pressure_of_particles_in_a_trap_averages_to_nothing():
    """2 <K> = - <sum of r f>, the virial theorem, but for what steps of a finite size do to it.

    Velocity Verlet keeps v² + w² (1 - (w h)² / 4) x², so that over a whole period of its own, in which
    sin(w h / 2) = w h / 2 of the step, <v²> = w² (1 - (w h)² / 4) <x²>.
    """
    random = np.random.default_rng(0)
    stiffness, steps = 4.0, 400
    frequency = np.sqrt(stiffness)
    h = 2 * np.sin(np.pi / steps) / frequency
    system = wl.md.System(Trap(jnp.asarray(stiffness)), {"A": 20}, mass=1.0)
    state = system.state(random.normal(0, 1, (20, 3)), random.normal(0, 1, (20, 3)))
    measure = lambda system, state: (wl.md.pressure(system, state, volume=1.0), wl.md.potential_energy(system, state))
    pressure, energy = wl.simulate(system.sized(state), state, dt=h, steps=steps, record=measure).states
    assert np.max(np.abs(pressure)) > 1.0
    expected = -((frequency * h) ** 2) / 4 * np.mean(energy[:-1]) * 2 / 3
    np.testing.assert_allclose(np.mean(pressure[:-1]), expected, rtol=1e-8)


@pytest.mark.parametrize("function", [wl.md.pressure, wl.md.stress])
def test_a_box_without_volume_is_refused(function):
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 2.0), {"A": 2})
    box = wl.md.Box.cubic(6.0, periodic=(True, True, False))
    state = system.state([[0, 0, 0], [1.1, 0, 0]], None, box)
    with pytest.raises(ValueError, match=r"along a and b only.*volume="):
        function(system, state)
    np.testing.assert_allclose(
        function(system, state, volume=100.0), function(system, state, volume=50.0) / 2, rtol=1e-14
    )


@pytest.mark.parametrize("name", ["epsilon", pytest.param("sigma", marks=pytest.mark.slow)])
def test_derivative_of_pressure_by_parameters(name):
    system, state = fluid()
    name = f"lennard_jones.{name}"
    value = float(system.parameters[name])
    pressure = wl.jit(lambda p: wl.md.pressure(system.replace({name: p}), state))
    reverse, forward = wl.grad(pressure)(value), jax.jvp(pressure, (value,), (1.0,))[1]
    np.testing.assert_allclose(forward, reverse, rtol=1e-11)
    for h in (1e-4, 1e-5):
        np.testing.assert_allclose((pressure(value + h) - pressure(value - h)) / (2 * h), reverse, rtol=1e-5)


def everything(system, state):
    return {
        "temperature": wl.md.temperature(system, state),
        "pressure": wl.md.pressure(system, state),
        "stress": wl.md.stress(system, state),
        "total": wl.md.total_energy(system, state),
        "parts": wl.md.energy_parts(system, state),
    }


def test_a_record_holds_what_states_have():
    system, state = fluid()
    times = np.linspace(0, 0.02, 5)
    measured = wl.simulate(system, state, dt=0.001, ts=times, record=everything).states
    states = wl.simulate(system, state, dt=0.001, ts=times).states
    for k in range(len(times)):
        expected = everything(system, jax.tree.map(lambda x: x[k], states))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a[k], b, rtol=1e-9, atol=1e-9), measured, expected)


@pytest.mark.slow
def test_states_are_measured_under_vmap():
    system, state = fluid()
    many = jax.vmap(lambda factor: eqx.tree_at(lambda s: s.position, state, factor * state.position))
    factors = jnp.asarray([1.0, 0.99])
    got = jax.vmap(lambda s: everything(system, s))(many(factors))
    for k in range(2):
        one = everything(system, jax.tree.map(lambda x: x[k], many(factors)))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a[k], b, rtol=1e-10, atol=1e-12), got, one)


def test_float32_stays_float32():
    exact = everything(*fluid())
    single = jax.jit(everything)(*fluid(np.float32))
    assert all(x.dtype == np.float32 for x in jax.tree.leaves(single))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4), single, exact)


def test_pressure_without_motions_is_that_of_the_virial():
    system, state = fluid()
    still = system.state(state.position, None, state.box)
    np.testing.assert_allclose(
        wl.md.pressure(system, state, kinetic=False), wl.md.pressure(system, still), rtol=1e-12
    )

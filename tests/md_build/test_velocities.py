"""Thermal velocities: their distribution in units of the standard error, drift, and exact temperatures."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import worldline as wl

MASS = np.array([1.0, 2.0, 16.0, 1.0, 40.0])
ENERGY = 0.7
KEYS = jax.random.split(jax.random.key(0), 20_000)


def twice_kinetic(velocity):
    return (MASS[:, None] * np.asarray(velocity) ** 2).sum((-1, -2))


@cache
def many(**options):
    return np.asarray(jax.jit(jax.vmap(lambda key: wl.md.thermal_velocities(MASS, ENERGY, key, **options)))(KEYS))


@pytest.mark.parametrize(("drift", "freedoms"), [(False, 12), (True, 15)])
def test_kinetic_energies_are_chi_squared(drift, freedoms):
    energies = twice_kinetic(many(drift=drift)) / ENERGY
    assert stats.kstest(energies, "chi2", args=(freedoms,)).pvalue > 1e-3
    error = (2 * freedoms / len(KEYS)) ** 0.5
    assert abs(energies.mean() - freedoms) < 4 * error


def test_components_are_normal_with_their_variance():
    velocity = many(drift=True)
    for k, mass in enumerate(MASS):
        for axis in range(3):
            assert stats.kstest(velocity[:, k, axis] * (mass / ENERGY) ** 0.5, "norm").pvalue > 1e-4


def test_at_rest_as_a_whole():
    momentum = (MASS[:, None] * many()).sum(1)
    assert abs(momentum).max() < 1e-13
    assert abs((MASS[:, None] * many(drift=True)).sum(1)).max() > 1


@pytest.mark.parametrize(("drift", "freedoms"), [(False, 12), (True, 15)])
def test_exact_temperatures(drift, freedoms):
    velocity = many(drift=drift, exact=True)
    np.testing.assert_allclose(twice_kinetic(velocity), freedoms * ENERGY, rtol=1e-13)
    if not drift:
        assert abs((MASS[:, None] * velocity).sum(1)).max() < 1e-13


def test_at_zero_temperature_all_rest():
    for exact in (False, True):
        assert (wl.md.thermal_velocities(MASS, 0.0, KEYS[0], exact=exact) == 0).all()


def test_derivatives_by_temperature_and_mass():
    draw = lambda mass, energy: wl.md.thermal_velocities(mass, energy, KEYS[1])
    velocity = draw(MASS, ENERGY)
    # v is proportional to the square root of kT.
    slope = jax.jit(jax.jacfwd(draw, 1))(MASS, ENERGY)
    np.testing.assert_allclose(slope, velocity / (2 * ENERGY), rtol=1e-13)
    by_mass = jax.jit(jax.jacrev(draw))(jnp.asarray(MASS), ENERGY)
    np.testing.assert_allclose(by_mass, jax.jit(jax.jacfwd(draw))(jnp.asarray(MASS), ENERGY), rtol=1e-12, atol=1e-14)
    quick = jax.jit(draw)
    for step in (1e-3, 1e-4):
        for k in range(len(MASS)):
            change = np.eye(len(MASS))[k] * step
            numeric = (quick(MASS + change, ENERGY) - quick(MASS - change, ENERGY)) / (2 * step)
            np.testing.assert_allclose(by_mass[..., k], numeric, atol=5 * step**2)


def test_precision_follows_the_masses():
    velocity = wl.md.thermal_velocities(jnp.ones(4, jnp.float32), jnp.float32(1.0), KEYS[0])
    assert velocity.dtype == jnp.float32


def test_argon_at_room_temperature():
    units = wl.md.units("metal")
    mass = np.full(1000, 39.95 * units.mass)
    velocity = wl.md.thermal_velocities(mass, 300 * units.boltzmann, KEYS[2], exact=True)
    # Root of 3 kT / m: 4.327 angstrom a ps, from the gas constant.
    expected = (3 * 8.31446261815324 * 300 / 39.95e-3) ** 0.5 * 1e-2 * (999 / 1000) ** 0.5
    assert float(jnp.sqrt((velocity**2).sum(1).mean())) == pytest.approx(expected, rel=1e-8)


def test_what_is_refused():
    for arguments, message in [
        (dict(mass=[1.0, 0.0], thermal_energy=1.0), "mass of particle 1 is 0"),
        (dict(mass=[np.nan], thermal_energy=1.0), "mass of particle 0 is nan"),
        (dict(mass=[1.0], thermal_energy=-1.0), "thermal_energy is -1"),
        (dict(mass=1.0, thermal_energy=1.0), "one mass a particle"),
        (dict(mass=[1.0], thermal_energy=[1.0]), "and one energy"),
        (dict(mass=[1.0], thermal_energy=1.0, exact=True), "one particle"),
    ]:
        with pytest.raises(ValueError, match=message):
            wl.md.thermal_velocities(arguments.pop("mass"), key=KEYS[0], **arguments)

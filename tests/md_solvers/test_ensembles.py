"""Thermostats and barostats against the distributions that they are made to draw from, in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from statistics_of_samples import assert_mean

import worldline as wl

T, MASS, STIFFNESS = 0.7, 2.0, 3.0


def wells(count, units="lj"):
    """Particles in harmonic wells of their own: as many independent oscillators."""
    system = wl.md.System(wl.md.HarmonicTrap(STIFFNESS), {"A": count}, mass=MASS, units=units)
    return system, system.state(np.zeros((count, 3)))


@pytest.mark.parametrize("count", [1, 8, 513, 3000])
def test_sums_of_squares_are_distributed_as_chi_square(count):
    keys = jax.random.split(jax.random.key(count), 4000)
    drawn = jax.jit(jax.vmap(lambda key: wl.solvers.chi_square(key, count, jnp.float64)))(keys)
    assert stats.kstest(np.asarray(drawn), stats.chi2(count).cdf).pvalue > 1e-3


def test_langevin_draws_positions_exactly_from_a_well_with_large_steps():
    """BAOAB in a harmonic well: <x²> = kT / k whatever the step, <v²> = (kT / m) (1 - (h w / 2)²)."""
    system, state = wells(1500)
    h = 1.2 / np.sqrt(STIFFNESS / MASS)
    run = wl.simulate(system, state, dt=h, t1=60 * h, solver=wl.md.Langevin(T, 1.0), key=1)
    assert_mean(run.final.position.ravel() ** 2, T / STIFFNESS)
    assert_mean(run.final.velocity.ravel() ** 2, T / MASS * (1 - 1.2**2 / 4))


def test_langevin_velocities_forget_at_the_rate_of_the_friction(ideal_gas):
    """Free particles: <v(t) v(0)> / v(0)² = exp(-g t) in steps of any size, each particle with its own friction."""
    system = ideal_gas(2000)
    friction = jnp.where(jnp.arange(2000) < 1000, 0.5, 2.0)
    state = system.state(np.zeros((2000, 3)), np.ones((2000, 3)))
    run = wl.simulate(system, state, dt=0.3, t1=0.9, solver=wl.md.Langevin(T, friction), key=2)
    for rows, g in ((slice(None, 1000), 0.5), (slice(1000, None), 2.0)):
        assert_mean(run.final.velocity[rows].ravel(), np.exp(-0.9 * g))
        assert_mean((run.final.velocity[rows].ravel() - np.exp(-0.9 * g)) ** 2, T * (1 - np.exp(-1.8 * g)))


def test_brownian_draws_positions_exactly_from_a_well_and_diffuses_as_free_particles_do(ideal_gas):
    system, state = wells(1500)
    friction, h = 4.0, 0.8 * MASS * 4.0 / STIFFNESS
    run = wl.simulate(system, state, dt=h, t1=60 * h, solver=wl.md.Brownian(T, friction), key=3)
    assert_mean(run.final.position.ravel() ** 2, T / STIFFNESS)
    # Noise is shared by neighboring steps, so that of n steps a half is missing: <x²> = 2 D h (n - 1/2).
    gas = ideal_gas(1500)
    run = wl.simulate(gas, gas.state(np.zeros((1500, 3))), dt=0.1, t1=2.0, solver=wl.md.Brownian(T, friction), key=4)
    assert_mean(run.final.position.ravel() ** 2, 2 * T / friction * (2.0 - 0.05))


@pytest.mark.parametrize("drift", [False, True])
def test_rescaling_draws_the_kinetic_energy_of_all_free_motions(ideal_gas, drift):
    """After many relaxation times: mean g kT / 2 and variance g (kT)² / 2, and the whole distribution."""
    system = ideal_gas(5)
    state = system.state(np.zeros((5, 3)), np.random.default_rng(0).normal(size=(5, 3)))
    start = state.velocity.mean(0)
    solver = wl.md.VelocityRescaling(T, 0.2, drift=drift)
    run = lambda key: wl.simulate(system, state, t1=4.0, dt=1.0, solver=solver, key=key).final.velocity
    velocity = np.asarray(wl.ensemble(run)(jax.random.split(jax.random.key(5), 4000)))
    drawn = 0.5 * np.sum((velocity - (0.0 if drift else start)) ** 2, (1, 2))
    g = 15 if drift else 12
    assert_mean(drawn, g * T / 2)
    assert_mean((drawn - g * T / 2) ** 2, g * T**2 / 2)
    assert stats.kstest(drawn, stats.gamma(g / 2, scale=T).cdf).pvalue > 1e-3
    if not drift:
        np.testing.assert_allclose(velocity.mean(1), np.broadcast_to(start, (4000, 3)), atol=1e-13)


def test_rescaling_approaches_the_mean_exponentially(ideal_gas):
    """<K(t)> = K_0 + (K(0) - K_0) exp(-t / tau), in one step of any size, over many keys."""
    system = ideal_gas(5)
    state = system.state(np.zeros((5, 3)), 3 * np.random.default_rng(0).normal(size=(5, 3)))
    state = system.state(state.position, state.velocity - state.velocity.mean(0))
    solver = wl.md.VelocityRescaling(T, 1.5)
    final = wl.ensemble(lambda key: wl.simulate(system, state, dt=1.0, t1=2.0, solver=solver, key=key).final.velocity)
    drawn = 0.5 * np.sum(np.asarray(final(jax.random.split(jax.random.key(6), 3000))) ** 2, (1, 2))
    begin = 0.5 * float(jnp.sum(state.velocity**2))
    assert_mean(drawn, 6 * T + (begin - 6 * T) * np.exp(-2.0 / 1.5))


@pytest.mark.parametrize("shape", ["isotropic", "edges", "free"])
@pytest.mark.parametrize("drift", [False, True])
def test_cell_rescaling_draws_volumes_of_an_ideal_gas(ideal_gas, shape, drift):
    """V^n exp(-P V / kT): mean (n + 1) kT / P and variance (n + 1) (kT / P)². Steps are small, as the order is one."""
    count, pressure = 6, 0.4
    system = ideal_gas(count)
    edge = ((count + 1) * T / pressure) ** (1 / 3)
    state = system.state(np.zeros((count, 3)), np.random.default_rng(0).normal(size=(count, 3)), wl.md.Box.cubic(edge))
    solver = wl.md.CellRescaling(
        T, pressure, relaxation=0.1, cell_relaxation=0.5, compressibility=1 / pressure, shape=shape, drift=drift
    )
    volume = lambda key: wl.simulate(system, state, dt=0.004, t1=4.0, solver=solver, key=key).final.box.volume()
    drawn = np.asarray(wl.ensemble(volume)(jax.random.split(jax.random.key(7), 1500)))
    expected = (count + 1) * T / pressure
    assert_mean(drawn, expected)
    assert_mean((drawn - expected) ** 2, expected * T / pressure)


def test_metal_units_have_boltzmanns_constant_in_noise():
    system, state = wells(1000, "metal")
    solver = wl.md.Langevin(300.0, 5.0)
    run = wl.simulate(system, state, dt=0.005, t1=2.0, solver=solver, key=8)
    assert_mean(run.final.position.ravel() ** 2, 300.0 * wl.md.units("metal").boltzmann / STIFFNESS)


def liquid(count=4):
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 2.0, shape="switch", onset=1.5), {"A": count**3})
    grid = np.stack(np.meshgrid(*[np.arange(count)] * 3, indexing="ij"), -1).reshape(-1, 3)
    velocity = np.random.default_rng(0).normal(size=(count**3, 3))
    return system, system.state(1.15 * grid, velocity - velocity.mean(0), wl.md.Box.cubic(1.15 * count))


def blocked(values, blocks=20):
    """Means of blocks, which are long enough to be independent."""
    return np.asarray(values)[: len(values) // blocks * blocks].reshape(blocks, -1).mean(1)


SOLVERS = {
    "langevin": wl.md.Langevin(1.2, 1.0),
    "nose_hoover": wl.md.NoseHoover(1.2, 0.3),
    "velocity_rescaling": wl.md.VelocityRescaling(1.2, 0.3),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SOLVERS)
def test_a_liquid_has_the_temperature_of_its_bath_in_velocities_and_in_forces(name):
    """2 K / g and the configurational temperature <|dU/dx|²> / <trace of Hessian>, by blocks."""
    system, state = liquid()
    system = system.sized(state)
    energy = lambda x, state: system.potential_energy(
        system.state(x, None, state.box)
    )

    def measured(system, state):
        slope = jax.grad(energy)(state.position, state)
        probe = jax.random.rademacher(jax.random.fold_in(jax.random.key(0), state.step), state.position.shape, jnp.float64)
        bent = jax.jvp(lambda x: jax.grad(energy)(x, state), (state.position,), (probe,))[1]
        drifting = state.velocity - state.velocity.mean(0)
        return jnp.sum(drifting**2) / (3 * len(slope) - 3), jnp.sum(slope**2), jnp.sum(probe * bent)

    warm = wl.simulate(system, state, dt=0.004, t1=10.0, solver=SOLVERS[name], key=1).final
    run = wl.simulate(
        system, warm, ts=np.arange(0.1, 120.0, 0.1), t0=0.0, dt=0.004, solver=SOLVERS[name], key=1, record=measured
    )
    kinetic, squares, bends = (np.asarray(x) for x in run.states)
    assert_mean(blocked(kinetic), 1.2)
    assert_mean(blocked(squares - 1.2 * bends), 0.0)


@pytest.mark.slow
def test_a_liquid_at_constant_pressure_has_that_pressure():
    """The mean of (2 K + tr W) / (3 V) + kT / V - P vanishes, by an integral in parts over V."""
    system, state = liquid()
    solver = wl.md.CellRescaling(1.2, 0.8, relaxation=0.2, cell_relaxation=0.5, compressibility=0.2)

    def lacking(system, state):
        inside = jnp.sum(state.velocity**2) + jnp.trace(system.forces(state).virial)
        return inside / (3 * state.box.volume()) + 1.2 / state.box.volume() - 0.8

    warm = wl.simulate(system, state, dt=0.004, t1=10.0, solver=solver, key=1).final
    run = wl.simulate(
        system, warm, ts=np.arange(0.1, 120.0, 0.1), t0=0.0, dt=0.004, solver=solver, key=1, record=lacking
    )
    assert_mean(blocked(run.states), 0.0)

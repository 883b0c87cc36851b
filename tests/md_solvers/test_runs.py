"""Steppers of particles as solvers of runs: order, reversal, what they conserve, continuation, derivatives, bad input."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

SOLVERS = {
    "langevin": wl.md.Langevin(0.9, 1.3),
    "brownian": wl.md.Brownian(0.9, 20.0),
    "nose_hoover": wl.md.NoseHoover(0.9, 0.4),
    "velocity_rescaling": wl.md.VelocityRescaling(0.9, 0.4),
    "cell_rescaling": wl.md.CellRescaling(0.9, 0.3, relaxation=0.4, cell_relaxation=1.0, compressibility=0.5),
}
TEMPERED = [name for name in SOLVERS if name != "cell_rescaling"]


def flattened(state):
    return jnp.concatenate([state.position.ravel(), state.velocity.ravel(), state.box.vectors.ravel(), state.extended])


def test_velocity_verlet_is_of_second_order_in_a_well():
    """x(t) = cos w t: halved steps have a quarter of the error."""
    system = wl.md.System(wl.md.HarmonicTrap(2.0), {"A": 1}, mass=0.5)
    state = system.state([[1.0, 0.0, 0.0]])
    at = lambda dt: float(wl.simulate(system, state, t1=2.0, dt=dt).final.position[0, 0])
    errors = [abs(at(dt) - np.cos(4.0)) for dt in (0.02, 0.01, 0.005)]
    np.testing.assert_allclose([errors[0] / errors[1], errors[1] / errors[2]], 4.0, rtol=0.02)


def test_energy_has_an_error_of_second_order_and_no_drift(few):
    system, state = few
    total = lambda system, state: system.potential_energy(state) + 0.5 * jnp.sum(state.velocity**2)
    run = lambda dt, t1: np.asarray(
        wl.simulate(system, state, ts=np.linspace(0, t1, 401), dt=dt, record=total).states
    )
    coarse, fine = (run(dt, 4.0).std() for dt in (0.005, 0.0025))
    assert 3.4 < coarse / fine < 4.6
    long = run(0.004, 80.0)  # 2e4 steps
    times = np.linspace(0, 80.0, 401)
    assert abs(np.polyfit(times, long, 1)[0] * 80.0) < 0.5 * np.ptp(long)
    assert np.ptp(long) < 0.02 * abs(long.mean())


def reversed_state(state):
    m = state.extended.shape[0] // 2
    flipped = state.extended.at[m:].multiply(-1)
    return eqx.tree_at(lambda s: (s.velocity, s.extended), state, (-state.velocity, flipped))


@pytest.mark.parametrize("solver", ["velocity_verlet", SOLVERS["nose_hoover"]])
def test_reversed_velocities_lead_back(few, solver):
    system, state = few
    there = wl.simulate(system, state, t1=0.5, dt=0.005, solver=solver).final
    back = wl.simulate(system, reversed_state(there), t1=0.5, dt=0.005, solver=solver).final
    np.testing.assert_allclose(back.position, state.position, atol=1e-11)
    np.testing.assert_allclose(-back.velocity, state.velocity, atol=1e-11)
    np.testing.assert_allclose(back.extended, 0.0, atol=1e-11)


@pytest.mark.parametrize("chain", [1, 2, 4])
def test_nose_hoover_conserves_its_energy_to_second_order(few, chain):
    system, state = few
    solver = wl.md.NoseHoover(0.9, 0.3, chain)

    def spread(dt):
        run = wl.simulate(system, state, ts=np.linspace(0, 4.0, 401), dt=dt, solver=solver, record=solver.conserved)
        return np.asarray(run.states).std()

    assert 3.4 < spread(0.005) / spread(0.0025) < 4.6
    assert wl.simulate(system, state, dt=0.004, t1=0.1, solver=solver).final.extended.shape == (2 * chain,)


@pytest.mark.parametrize("name", SOLVERS)
def test_two_runs_that_follow_each_other_are_one(few, name):
    system, state = few
    run = lambda state, t1: wl.simulate(system, state, t1=t1, dt=0.005, solver=SOLVERS[name], key=3).final
    whole, halves = run(state, 0.2), run(run(state, 0.1), 0.1)
    assert int(whole.step) == int(halves.step) == 40
    np.testing.assert_allclose(flattened(halves), flattened(whole), rtol=1e-11, atol=1e-11)


def test_keys_differ_and_repeat(few):
    system, state = few
    run = lambda key: wl.simulate(system, state, t1=0.05, dt=0.005, solver=SOLVERS["langevin"], key=key).final.position
    np.testing.assert_array_equal(run(3), run(jax.random.key(3)))
    assert np.abs(run(3) - run(4)).max() > 1e-3


@pytest.mark.parametrize("name", TEMPERED)
def test_an_ensemble_over_temperatures_is_its_runs(few, name):
    system, state = few

    def run(temperature):
        solver = eqx.tree_at(lambda s: s.temperature, SOLVERS[name], temperature)
        return wl.simulate(system, state, t1=0.1, dt=0.005, solver=solver, key=3)

    temperatures = jnp.asarray([0.3, 0.9, 1.7])
    many = wl.ensemble(run)(temperatures)
    assert np.all(np.asarray(many.stats.lanes) > 0)
    for i, temperature in enumerate(temperatures):
        np.testing.assert_allclose(many.final.position[i], run(temperature).final.position, atol=1e-11)


@pytest.mark.parametrize(
    "name",
    ["nose_hoover"] + [pytest.param(name, marks=pytest.mark.slow) for name in ("langevin", "velocity_rescaling", "cell_rescaling")],
)
def test_derivatives_of_a_run_by_temperature_and_sigma_three_ways(few, name):
    system, state = few

    def end(p):
        solver = eqx.tree_at(lambda s: s.temperature, SOLVERS[name], p[0])
        run = wl.simulate(system.replace({"lennard_jones.sigma": p[1]}), state, steps=20, dt=0.005, solver=solver, key=3)
        return jnp.sum(jnp.sin(run.final.position)) + jnp.sum(run.final.velocity**2) + run.final.box.volume()

    p = jnp.asarray([0.9, 1.0])
    forward, reverse = jax.jacfwd(end)(p), jax.grad(end)(p)
    np.testing.assert_allclose(reverse, forward, rtol=1e-9)
    compiled = jax.jit(end)
    for size in (1e-3, 1e-4, 1e-5):
        steps = size * jnp.eye(2)
        central = [(compiled(p + e) - compiled(p - e)) / (2 * size) for e in steps]
        np.testing.assert_allclose(central, forward, rtol=0.03 * (size / 1e-3) ** 2 + 1e-6)


@pytest.mark.parametrize("name", SOLVERS)
def test_float32_stays_float32(name):
    system = wl.md.System(wl.md.HarmonicTrap(jnp.float32(1.0)), {"A": 4})
    position = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    state = system.state(position, position, wl.md.Box.cubic(np.float32(5.0)))
    final = wl.simulate(system, state, t1=0.05, dt=0.005, solver=SOLVERS[name], key=0).final
    assert {str(x.dtype) for x in (final.position, final.velocity, final.box.vectors, final.extended)} == {"float32"}
    assert np.isfinite(final.position).all()


def test_a_temperature_may_change_in_time(ideal_gas):
    system = ideal_gas(2000)
    ramp = wl.Sampled([0.0, 5.0, 20.0], [1.0, 3.0, 3.0])
    state = system.state(np.zeros((2000, 3)))
    run = wl.simulate(system, state, t1=12.0, dt=0.25, solver=wl.md.Langevin(ramp, 1.0), key=0)
    assert abs(float(jnp.mean(run.final.velocity**2)) - 3.0) < 4 * 3.0 * np.sqrt(2 / 6000)


def test_nose_hoover_stays_of_second_order_where_the_temperature_changes(few):
    system, state = few
    solver = wl.md.NoseHoover(wl.Sampled([0.0, 0.1, 0.2], [1.0, 3.0, 5.0]), 0.1)
    end = lambda steps: wl.simulate(system, state, dt=0.2 / steps, t1=0.2, solver=solver).final.position
    best = end(1280)
    errors = [float(jnp.abs(end(steps) - best).max()) for steps in (40, 80, 160)]
    np.testing.assert_allclose([errors[0] / errors[1], errors[1] / errors[2]], 4.0, rtol=0.1)


@pytest.mark.parametrize("name", ["velocity_rescaling", "cell_rescaling"])
def test_particles_at_rest_are_moved_by_their_forces_first(name):
    crystal, box = wl.md.lattice("fcc", density=0.9, cells=2)
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 1.6, shape="force_shift"), {"A": len(crystal)})
    shaken = crystal + 0.05 * np.random.default_rng(0).normal(size=crystal.shape)
    state = system.state(shaken, None, box)
    hot = wl.simulate(system, state, dt=0.004, t1=2.0, solver=SOLVERS[name], key=1).final
    assert 0.3 < float(wl.md.temperature(system, hot)) < 2.0


def test_parameters_that_make_no_sense_are_refused():
    for make, words in (
        (lambda: wl.md.Langevin(-1.0, 1.0), r"temperature=-1.0: it must be zero or positive"),
        (lambda: wl.md.Langevin(1.0, 0.0), r"friction=0.0: it must be a positive number"),
        (lambda: wl.md.Brownian(1.0, np.nan), r"friction=nan"),
        (lambda: wl.md.NoseHoover(1.0, -0.1), r"relaxation=-0.1"),
        (lambda: wl.md.NoseHoover(1.0, 0.1, chain=0), r"at least one variable"),
        (lambda: wl.md.VelocityRescaling([1.0, 2.0], 0.1), r"temperature has shape \(2,\): give one number"),
        (lambda: wl.md.CellRescaling(1.0, np.inf, relaxation=1, cell_relaxation=1, compressibility=1), r"pressure=inf"),
        (
            lambda: wl.md.CellRescaling(1, 1, relaxation=1, cell_relaxation=1, compressibility=1, shape="cubic"),
            r"shape='cubic': write one of",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            make()


def test_runs_that_make_no_sense_are_refused(few, ideal_gas):
    system, state = few
    for name in ("langevin", "brownian", "velocity_rescaling", "cell_rescaling"):
        with pytest.raises(ValueError, match=f"{name} draws random numbers: pass key=0"):
            wl.simulate(system, state, t1=0.1, dt=0.01, solver=SOLVERS[name])
    one = ideal_gas(1)
    with pytest.raises(ValueError, match="pass drift=True"):
        wl.simulate(one, one.state([[0, 0, 0]]), t1=0.1, dt=0.01, solver=SOLVERS["nose_hoover"])
    gas = ideal_gas(3)
    with pytest.raises(ValueError, match="must repeat along all three edges"):
        wl.simulate(gas, gas.state(np.zeros((3, 3))), t1=0.1, dt=0.01, solver=SOLVERS["cell_rescaling"], key=0)
    chained = wl.simulate(system, state, t1=0.01, dt=0.005, solver=SOLVERS["nose_hoover"]).final
    with pytest.raises(ValueError, match="brings 6 of another solver"):
        wl.simulate(system, chained, t1=0.01, dt=0.005, solver=wl.md.NoseHoover(1.0, 0.1, chain=2))
    field = wl.ode.System(lambda t, y, p: -y, {})
    with pytest.raises(ValueError, match="build the system with wl.md.System"):
        wl.simulate(field, 1.0, t1=1.0, dt=0.1, solver=SOLVERS["langevin"], key=0)


@pytest.mark.parametrize("name", ["langevin", "nose_hoover"])
def test_a_step_too_large_ends_in_a_status_that_says_where(name):
    """In a well steps beyond 2 / w grow without end; a thermostat of one variable cannot hold them."""
    system = wl.md.System(wl.md.HarmonicTrap(1e4), {"A": 3})
    state = system.state(1e-3 * np.random.default_rng(0).normal(size=(3, 3)))
    run = wl.simulate(system, state, steps=3000, dt=0.03, solver=SOLVERS[name], key=0, throw=False)
    bad = int(run.status.step)
    assert "non-finite" in run.status.message() and bad > 0
    assert np.isfinite(run.states.position[: bad + 1]).all() and np.isnan(run.states.position[bad + 1 :]).all()


def test_a_box_that_collapses_ends_in_a_status(few):
    system, state = few
    solver = wl.md.CellRescaling(1.0, 1e6, relaxation=0.1, cell_relaxation=0.1, compressibility=1.0)
    with pytest.raises(wl.SimulationError, match="step"):
        wl.simulate(system, state, t1=1.0, dt=0.005, solver=solver, key=0)

"""Steps: their order, conservation, known solutions, going on, controls."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_models

import worldline as wl

r = wl.rigid


def turning(model):
    """A state of the top in which all rates matter."""
    q = jnp.array([0.1, -0.2, 0.3, 0.7, 0.1, -0.5, 0.4])
    return model.state(q.at[3:].divide(jnp.linalg.norm(q[3:])), jnp.array([0.4, -0.3, 0.2, 1.5, 4.0, -2.5]))


def swinging(model):
    return model.state([0.8, -1.1], [0.3, 2.0])


CASES = {
    "double pendulum": (small_models.double_pendulum, swinging),
    "turning body": (lambda: small_models.top((0.0, 0.5, -9.81)), turning),
}


def ends(model, state, solver, counts, t1=0.4):
    """q and v at t1 after each number of steps; all runs by one program."""
    run = jax.jit(lambda dt: wl.simulate(model, state, t1=t1, dt=dt, solver=solver).final)
    return [jnp.concatenate([end.q, end.v]) for end in (run(t1 / n) for n in counts)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("implicitfast", 1), ("rk4", 4)])
def test_the_error_falls_with_the_order_of_the_stepper(case, solver, order):
    make, begin = CASES[case]
    model = make()
    state = begin(model)
    exact = ends(model, state, "rk4", [2000])[0]
    coarse, fine = (float(jnp.abs(y - exact).max()) for y in ends(model, state, solver, [160, 320]))
    assert np.log2(coarse / fine) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("solver", ["euler", "rk4"])
def test_quaternions_stay_of_length_one(solver):
    model = small_models.top()
    run = wl.simulate(model, turning(model), dt=0.01, steps=300, solver=solver)
    np.testing.assert_allclose(jnp.linalg.norm(run.states.q[:, 3:], axis=1), 1.0, rtol=1e-14)


def test_adaptive_steps_turn_bodies_too():
    model = small_models.top((0.0, 0.5, -9.81))
    state = turning(model)
    adaptive = wl.simulate(model, state, t1=0.4, solver="dopri8", rtol=1e-11, atol=1e-11).final
    fixed = wl.simulate(model, state, t1=0.4, dt=1e-4, solver="rk4").final
    np.testing.assert_allclose(jnp.abs(r.difference(model, adaptive.q, fixed.q)), 0, atol=1e-9)
    np.testing.assert_allclose(adaptive.v, fixed.v, atol=1e-9)


def test_damping_is_taken_at_the_end_of_an_euler_step():
    """(m + h d) dv/dt = -d v: v_n = v_0 / (1 + h d / m)^n, also where explicit steps would explode."""
    mass, damping, dt = 2.0, 500.0, 0.01
    body = r.body("mass", mass=mass, inertia=(0.1,) * 3, joints=[r.slide("rail", (1, 0, 0), damping=damping)])
    model = r.build([body])
    powers = np.arange(6)
    for solver in ("euler", "implicitfast"):
        run = wl.simulate(model, model.state(v=[1.5]), dt=dt, steps=5, solver=solver)
        np.testing.assert_allclose(run.states.v[:, 0], 1.5 / (1 + dt * damping / mass) ** powers, rtol=1e-13)


def test_damping_is_explicit_where_the_file_says_so():
    rail = r.slide("rail", (1, 0, 0), damping=3.0)
    body = r.body("mass", mass=2.0, inertia=(0.1,) * 3, joints=[rail])
    model = r.build([body], settings=r.Settings(implicit_damping=False))
    run = wl.simulate(model, model.state(v=[1.5]), dt=0.01, steps=5)
    np.testing.assert_allclose(run.states.v[:, 0], 1.5 * (1 - 0.01 * 3 / 2) ** np.arange(6), rtol=1e-13)


def test_servos_damp_at_the_end_of_an_implicit_step():
    body = r.body("mass", mass=2.0, inertia=(0.1,) * 3, joints=[r.slide("rail", (1, 0, 0))])
    model = r.build([body], actuators=[r.velocity_servo("hold", "rail", damping=300.0)])
    run = wl.simulate(model, model.state(v=[1.5]), dt=0.01, steps=5, solver="implicitfast")
    np.testing.assert_allclose(run.states.v[:, 0], 1.5 / (1 + 0.01 * 300 / 2) ** np.arange(6), rtol=1e-13)


@pytest.mark.parametrize("solver", ["euler", "rk4", "implicitfast"])
def test_a_run_that_goes_on_finds_the_same_bits(solver):
    model = small_models.block()
    state, dt = model.state([0.0, 0.05], [2.0, 0.0]), 1 / 256  # sums of such steps are exact
    push = wl.Sampled(np.linspace(0, 0.25, 5), np.array([[0.0], [3.0], [-2.0], [5.0], [0.0]]))
    long = wl.simulate(model, state, dt=dt, steps=60, controls=push, solver=solver)
    first = wl.simulate(model, state, dt=dt, steps=35, controls=push, solver=solver)
    second = wl.simulate(model, first.final, t0=first.ts[-1], dt=dt, steps=25, controls=push, solver=solver)
    assert float(long.final.q[1]) < 0.005 < float(long.states.q[20, 1])  # it has come down
    for a, b in zip(jax.tree.leaves(long.final), jax.tree.leaves(second.final), strict=True):
        assert np.array_equal(a, b)


def test_steps_without_dt_are_the_models_own():
    model = small_models.pendulum()
    run = wl.simulate(model, model.state([0.3]), steps=4)
    np.testing.assert_allclose(run.ts, model.timestep * np.arange(5), rtol=1e-14)
    assert run.stats.solver == "euler"


def test_policies_and_samples_are_controls_held_over_a_step():
    """m dv/dt = u with u at the beginning of each step: v and q are sums."""
    body = r.body("mass", mass=2.0, inertia=(0.1,) * 3, joints=[r.slide("rail", (1, 0, 0))])
    model = r.build([body], actuators=[r.motor("push", "rail", gear=3.0)])
    dt, steps = 0.01, 10
    state = model.state([0.2], [0.1])
    run = wl.simulate(model, state, dt=dt, steps=steps, controls=lambda t, s: -4 * s.q - s.v + jnp.cos(t))
    q, v = 0.2, 0.1
    for k in range(steps):
        v += dt * 3.0 * (-4 * q - v + np.cos(k * dt)) / 2.0
        q += dt * v
    assert float(run.final.q[0]) == pytest.approx(q, rel=1e-13)
    samples = np.random.default_rng(0).normal(size=(steps + 1, 1))
    ts = dt * np.arange(steps + 1)
    for kind, used in (("hold", samples[:-1]), ("linear", samples[:-1])):  # steps begin at samples
        run = wl.simulate(model, state, dt=dt, steps=steps, controls=wl.Sampled(ts, samples, kind))
        assert float(run.final.v[0]) == pytest.approx(0.1 + dt * 1.5 * used.sum(), rel=1e-12)


def test_activations_advance_with_the_steps():
    """An integrator sums its control, a filter follows it: da/dt = u, da/dt = (u - a) / τ by Euler's rule."""
    body = r.body("mass", mass=2.0, inertia=(0.1,) * 3, joints=[r.slide("rail", (1, 0, 0))])
    model = r.build(
        [body],
        actuators=[
            r.motor("sum", "rail", dynamics="integrator"),
            r.motor("lag", "rail", dynamics="filter", time_constant=0.05),
            r.motor("exact lag", "rail", dynamics="exact filter", time_constant=0.05),
        ],
    )
    run = wl.simulate(model, model.state(), dt=0.01, steps=20, controls=lambda t: jnp.ones(3))
    n = np.arange(21)
    np.testing.assert_allclose(run.states.activation[:, 0], 0.01 * n, atol=1e-14)
    np.testing.assert_allclose(run.states.activation[:, 1], 1 - 0.8**n, atol=1e-14)
    np.testing.assert_allclose(run.states.activation[:, 2], 1 - np.exp(-0.2 * n), atol=1e-14)

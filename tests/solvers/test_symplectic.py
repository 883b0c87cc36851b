"""Symplectic solvers: their orders, bounded energy over long runs, derivatives, failures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import decay, planet

import worldline as wl

CIRCLE = ([1.0, 0.0], [0.0, 1.0])
ELLIPSE = (jnp.array([0.5, 0.0]), jnp.array([0.0, 3.0**0.5]))  # eccentricity 0.5


def start(state):
    return tuple(jnp.asarray(x) for x in state)


def energy(states):
    q, p = states
    return 0.5 * np.sum(np.square(p), axis=-1) - 1.0 / np.linalg.norm(q, axis=-1)


@pytest.mark.parametrize(("solver", "order"), [("symplectic_euler", 1), ("leapfrog", 2), ("yoshida4", 4)])
def test_order(solver, order):
    errors = []
    for steps in (100, 200, 400):
        run = wl.simulate(planet(), start(CIRCLE), t1=2.0, dt=2.0 / steps, solver=solver)
        errors.append(np.linalg.norm(run.final[0] - np.array([np.cos(2.0), np.sin(2.0)])))
    assert np.log2(errors[1] / errors[2]) == pytest.approx(order, abs=0.1), errors


@pytest.mark.parametrize("solver", ["symplectic_euler", "leapfrog", "yoshida4"])
def test_energy_stays_bounded_over_many_periods(solver):
    # 20000 steps are 160 periods: the error of the last tenth is no larger than that of the first.
    run = wl.simulate(planet(), ELLIPSE, ts=np.arange(20001) * 0.05, dt=0.05, solver=solver)
    error = np.abs(energy(run.states) + 0.5)
    assert (
        error[-2000:].max()
        < 1.5 * error[:2000].max()
        < {"symplectic_euler": 0.5, "leapfrog": 0.05, "yoshida4": 0.01}[solver]
    )
    assert run.stats["steps"] == 20000


def test_every_solver_works_on_a_separable_system():
    run = wl.simulate(planet(), start(CIRCLE), t1=2.0)
    np.testing.assert_allclose(run.final[0], [np.cos(2.0), np.sin(2.0)], atol=1e-5)


def test_gradient_both_ways():
    def end(mu, gradient):
        run = wl.simulate(
            planet().replace(mu=mu),
            ELLIPSE,
            ts=[0.0, 1.0, 2.5],
            dt=0.01,
            solver="yoshida4",
            gradient=gradient,
        )
        return run.final[0][0]

    forward, reverse = (jax.jit(jax.grad(end), static_argnums=1)(1.0, g) for g in ("forward", "reverse"))
    assert forward == pytest.approx(float(reverse), rel=1e-11)  # the same arithmetic in another order
    exact = wl.ode.zoo.problem("kepler").gradient
    expected = exact(2.5, jnp.concatenate(ELLIPSE), wl.ode.System(lambda t, y, p: y, {"mu": 1.0}))["mu"][0]
    expected = float(expected)
    assert forward == pytest.approx(expected, rel=1e-5)  # what is left is the error of the steps, about dt^4


def test_derivative_by_the_times():
    q_end = lambda t1: wl.simulate(planet(), start(CIRCLE), t1=t1, dt=0.01, solver="yoshida4").final[0][0]
    assert jax.grad(q_end)(2.0) == pytest.approx(-np.sin(2.0), rel=1e-6)


def test_pieces_are_the_whole_bit_for_bit():
    whole = wl.simulate(planet(), ELLIPSE, dt=0.01, steps=200, solver="leapfrog")
    half = wl.simulate(planet(), ELLIPSE, dt=0.01, steps=100, solver="leapfrog")
    rest = wl.simulate(planet(), half.final, dt=0.01, steps=100, solver="leapfrog", t0=half.ts[-1])
    np.testing.assert_array_equal(rest.final[0], whole.final[0])
    np.testing.assert_array_equal(rest.final[1], whole.final[1])


def test_failures():
    limited = wl.simulate(
        planet(), ELLIPSE, ts=[0.0, 0.5, 1.0, 2.0], dt=0.01, solver="leapfrog", max_steps=70, throw=False
    )
    assert limited.status.code == wl.core.Code.STEP_LIMIT
    assert limited.stats["steps"] == limited.status.step == 70
    assert limited.status.t == pytest.approx(0.7)
    assert np.isfinite(limited.states[0][1]).all() and np.isnan(limited.states[0][2:]).all()
    rest = (jnp.zeros(2), jnp.zeros(2))  # no force is defined at the centre
    singular = wl.simulate(planet(), rest, ts=[0.0, 0.1], dt=0.01, solver="leapfrog", throw=False)
    assert singular.status.code == wl.core.Code.NON_FINITE and singular.status.step == 0
    assert singular.status.t == 0.0


@pytest.mark.parametrize("ts", [[0.0, 10.0], [0.0, 0.4, 0.4004, 10.0, 20.0]])
def test_a_failure_within_an_interval_has_its_own_time(ts):
    runaway = wl.ode.Separable(lambda t, p, c: p, lambda t, q, c: q**3)  # q = sqrt(2) / (sqrt(2) - t) for p = q^2 / sqrt(2)
    run = wl.simulate(runaway, (2.0**0.5, 2.0**0.5), ts=ts, dt=0.01, solver="leapfrog", throw=False)
    assert run.status.code == wl.core.Code.NON_FINITE
    assert run.status.step == run.stats["steps"] - 1
    assert 1.0 <= run.status.t < 1.1  # the pole is at 1
    short_steps = 1 if len(ts) > 2 else 0  # the one from 0.4 to 0.4004
    begins = 0.01 * (int(run.status.step) - short_steps) + 0.0004 * short_steps
    assert run.status.t == pytest.approx(begins, abs=1e-3)
    limited = wl.simulate(runaway, (0.1, 0.0), ts=ts, dt=0.01, solver="leapfrog", max_steps=37, throw=False)
    assert limited.status.code == wl.core.Code.STEP_LIMIT
    assert limited.status.step == 37 and limited.status.t == pytest.approx(0.37)


def test_what_it_needs():
    with pytest.raises(ValueError, match=r"leapfrog needs positions and momenta.*wl\.ode\.Separable"):
        wl.simulate(decay(), 1.0, t1=1.0, dt=0.1, solver="leapfrog")
    with pytest.raises(ValueError, match="leapfrog takes fixed steps: pass dt="):
        wl.simulate(planet(), ELLIPSE, t1=1.0, solver="leapfrog")
    with pytest.raises(ValueError, match=r"pair \(positions, momenta\), not an array of shape \(4,\)"):
        wl.simulate(planet(), jnp.ones(4), t1=1.0)

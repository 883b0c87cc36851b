"""Diffrax's solvers by name: implicit, split and stochastic methods with our tolerances, status and
derivatives."""

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import (
    ball,
    decay,
    explosion,
    integrator,
    nonautonomous,
    nonautonomous_solution,
    ornstein_uhlenbeck,
)

import worldline as wl

# Errors of steps at rtol 1e-6 add up to some tens of it over the run.
RUN_ERROR = 1e-4
SIGMAS = 4.0  # one false alarm in 16000


@pytest.mark.parametrize("solver", [dfx.Dopri5(), dfx.Dopri8(), "bosh3", "kvaerno5", dfx.Kvaerno3()])
def test_adaptive_solvers_against_the_closed_form(solver):
    ts = np.linspace(0.0, 3.0, 5)
    run = wl.simulate(nonautonomous(), [1.0, 1.0], ts=ts, solver=solver)
    np.testing.assert_allclose(run.states, nonautonomous_solution(ts), rtol=RUN_ERROR)
    assert run.status.ok and run.stats["steps"] > 3
    expected = solver if isinstance(solver, str) else type(solver).__name__.lower()
    assert run.stats["solver"] == expected


def test_a_solver_without_error_estimate_needs_a_step():
    run = wl.simulate(decay(), 1.0, t1=1.0, dt=1e-3, solver="euler")
    assert run.final == pytest.approx((1 - 0.7e-3) ** 1000, rel=1e-10)
    with pytest.raises(ValueError, match="euler has no error estimate.*pass dt=step"):
        wl.simulate(decay(), 1.0, t1=1.0, solver="euler")


def test_an_implicit_solver_takes_fixed_steps():
    run = wl.simulate(decay().replace(rate=1e3), 1.0, t1=1.0, dt=0.1, solver="impliciteuler")
    # y / (1 + rate dt) in each step, whatever the size of rate dt
    assert run.final == pytest.approx(101.0**-10, abs=1e-8) and run.stats["steps"] == 10


def test_fixed_steps_end_at_jumps_of_the_controls():
    held = wl.Sampled([0.0, 1.0, 2.0, 3.5], [1.0, -2.0, 5.0, 0.5], kind="hold")
    run = wl.simulate(integrator(), 0.0, t1=3.5, dt=0.3, solver=dfx.Dopri5(), controls=held)
    assert run.final == pytest.approx(1.0 - 2.0 + 7.5, abs=1e-12)  # x' = u(t) is exact up to rounding


def _slow(t, y, p):
    return jnp.cos(t) * jnp.ones_like(y)


def _fast(t, y, p):
    return -p["stiffness"] * (y - jnp.sin(t))


def test_a_split_system_with_an_imex_solver():
    system = wl.ode.System(_slow, {"stiffness": 1e4}, implicit=_fast)  # y = sin t
    run = wl.simulate(system, [0.0], t1=2.0, solver="kencarp4")
    np.testing.assert_allclose(run.final, np.sin(2.0), rtol=RUN_ERROR)
    assert run.stats["steps"] < 2000  # an explicit method needs 6000
    # Every other solver takes the sum of both parts.
    np.testing.assert_allclose(wl.simulate(system, [0.0], t1=2.0).final, np.sin(2.0), rtol=RUN_ERROR)
    with pytest.raises(ValueError, match="kencarp4 treats one part.*implicit=stiff_part"):
        wl.simulate(decay(), 1.0, t1=1.0, solver="kencarp4")


@pytest.mark.parametrize(
    "solver",
    ["euler", pytest.param("heun", marks=pytest.mark.slow), pytest.param("shark", marks=pytest.mark.slow)],
)
def test_ornstein_uhlenbeck_has_its_mean_and_variance(solver):
    paths, theta, sigma, y0, t1 = 2000, 1.0, 0.5, 1.0, 1.0

    def path(key):
        run = wl.simulate(ornstein_uhlenbeck(), y0, ts=[0.0, 0.37, t1], dt=0.02, solver=solver, key=key)
        return run.states[1:]

    y = np.asarray(wl.ensemble(path)(jax.random.split(jax.random.key(1), paths)))
    for t, values in zip((0.37, t1), y.T):
        variance = sigma**2 * (1 - np.exp(-2 * theta * t)) / (2 * theta)
        # Euler's bias at this step is 1% of the mean and of the variance, well below what is resolved.
        assert abs(values.mean() - y0 * np.exp(-theta * t)) < SIGMAS * np.sqrt(variance / paths) + 0.01 * y0
        assert abs(values.var() / variance - 1) < SIGMAS * np.sqrt(2 / paths) + 0.02


def test_one_key_is_one_path():
    def run(key, dt=0.01):
        return float(wl.simulate(ornstein_uhlenbeck(), 1.0, t1=1.0, dt=dt, solver="heun", key=key).final)

    assert run(3) == run(3) == run(jax.random.key(3)) != run(4)
    assert run(3) == pytest.approx(run(3, 0.0025), abs=0.02)  # a finer step follows the same path


def test_noise_needs_a_key_a_step_and_a_solver_that_knows_it():
    with pytest.raises(ValueError, match="noise needs a key and a step: pass key="):
        wl.simulate(ornstein_uhlenbeck(), 1.0, t1=1.0, dt=0.1, solver="euler")
    with pytest.raises(ValueError, match="noise needs a key and a step: pass dt="):
        wl.simulate(ornstein_uhlenbeck(), 1.0, t1=1.0, key=0, solver="euler")
    with pytest.raises(ValueError, match="shark is a stochastic solver, but the system has no noise"):
        wl.simulate(decay(), 1.0, t1=1.0, dt=0.1, key=0, solver="shark")


@pytest.mark.slow
def test_derivative_of_an_event():
    def time(g):
        run = wl.simulate(ball().replace(g=g), [10.0, 0.0], t1=5.0, solver=dfx.Dopri5(), gradient="reverse")
        return run.event.t

    assert jax.jit(jax.grad(time))(9.81) == pytest.approx(-0.5 * np.sqrt(20) * 9.81**-1.5, rel=1e-5)


def test_events_end_runs():
    run = wl.simulate(ball(), [10.0, 0.0], ts=[0.0, 1.0, 2.0], solver=dfx.Dopri5())
    assert run.event.t == pytest.approx(np.sqrt(20 / 9.81), rel=1e-7)
    assert run.event.index == 0 and run.status.ok
    assert np.isfinite(run.states[1]).all() and np.isnan(run.states[2]).all()
    np.testing.assert_allclose(run.final, [0.0, -np.sqrt(20 * 9.81)], atol=1e-6)


def in_float32(system):
    return jax.tree.map(lambda x: x.astype(jnp.float32) if hasattr(x, "dtype") else x, system)


@pytest.mark.slow
def test_events_in_float32_while_float64_is_on():
    start, falling = jnp.array([10.0, 0.0], jnp.float32), in_float32(ball())

    def end(g):
        return wl.simulate(falling.replace(g=g), start, ts=[0.0, 1.0, 2.0], solver=dfx.Dopri5(), throw=False)

    run = end(9.81)
    assert run.status.ok and run.final.dtype == run.event.t.dtype == jnp.float32
    assert run.event.t == pytest.approx(np.sqrt(20 / 9.81), rel=1e-6)
    slope = jax.grad(lambda g: end(g).event.t)(jnp.float32(9.81))
    assert slope == pytest.approx(-0.5 * np.sqrt(20) * 9.81**-1.5, rel=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_events_whose_values_are_large(dtype):
    """Rounding alone is 0.06 in the height, or 1e-10: an event is where the sign changes, not where little is left."""
    height, system = 1e6, ball() if dtype == jnp.float64 else in_float32(ball())
    run = wl.simulate(system, jnp.array([height, 0.0], dtype), t1=1000.0, solver=dfx.Dopri5(), throw=False)
    assert run.status.ok and run.event.happened
    assert run.event.t == pytest.approx(np.sqrt(2 * height / 9.81), rel=1e-5)  # the run's rtol in float32 is 1e-4


def test_events_of_lanes_of_which_only_some_have_one():
    run = wl.vmap(lambda h: wl.simulate(ball(), jnp.stack([h, 0.0 * h]), t1=1.0, solver=dfx.Dopri5()))(jnp.array([2.0, 20.0]))
    np.testing.assert_array_equal(run.event.happened, [True, False])
    np.testing.assert_allclose(run.final[:, 0], [0.0, 20.0 - 0.5 * 9.81], atol=1e-6)
    assert run.event.t[0] == pytest.approx(np.sqrt(4 / 9.81), rel=1e-9)


def test_failures_are_statuses():
    limited = wl.simulate(decay(), 1.0, ts=[0.0, 1e-3, 1e4], solver=dfx.Dopri5(), max_steps=9, throw=False)
    assert limited.status.code == wl.core.Code.STEP_LIMIT and np.isnan(limited.final)
    assert np.isfinite(limited.states[1]) and np.isnan(limited.states[2])


@pytest.mark.slow
def test_a_run_ends_at_its_first_bad_step():
    # y = 1 / (1 - t): fixed steps overshoot the pole at 1 by one or two before they overflow.
    fixed = wl.simulate(explosion(), 1.0, ts=[0.0, 0.5, 1.5, 9.0], dt=0.1, solver=dfx.Dopri5(), throw=False)
    assert fixed.status.code == wl.core.Code.NON_FINITE
    assert 1.0 <= fixed.status.t < 1.25 and fixed.status.step == round(float(fixed.status.t) / 0.1)
    assert fixed.stats["steps"] == fixed.status.step + 1
    np.testing.assert_array_equal(np.isnan(fixed.states), [False, False, True, True])
    assert np.isnan(fixed.final)
    for solver in (dfx.Dopri5(), "kvaerno5"):
        adaptive = wl.simulate(explosion(), 1.0, ts=[0.0, 0.5, 2.0], solver=solver, throw=False)
        assert adaptive.status.code == wl.core.Code.STEP_TOO_SMALL
        assert adaptive.status.t == pytest.approx(1.0, abs=1e-4)
        assert adaptive.status.step == adaptive.stats["steps"] - 1 < 5000  # not the limit of a million
        np.testing.assert_array_equal(np.isnan(adaptive.states), [False, False, True])


def _undefined(t, y, p):
    return jnp.sqrt(0.5 - t) - y


@pytest.mark.parametrize("solver", [dfx.Dopri5(), "dopri5"], ids=["diffrax", "own"])
def test_a_field_that_ends_and_one_that_never_begins(solver):
    for options in ({}, {"dt": 0.05}):
        run = wl.simulate(wl.ode.System(_undefined), 1.0, ts=[0.0, 0.4, 1.0], solver=solver, throw=False, **options)
        assert run.status.code == wl.core.Code.NON_FINITE
        assert run.status.t == pytest.approx(0.5, abs=0.05 if options else 1e-3)
        np.testing.assert_array_equal(np.isnan(run.states), [False, False, True])
        late = wl.simulate(wl.ode.System(_undefined), 1.0, ts=[0.6, 1.0], solver=solver, throw=False, **options)
        assert late.status.code == wl.core.Code.NON_FINITE and late.status.t == 0.6
        np.testing.assert_array_equal(late.states, [1.0, np.nan])
    assert late.status.step == 0


@pytest.mark.parametrize("solver", ["impliciteuler", "kvaerno5"])
def test_fixed_implicit_steps_solve_nonlinear_equations(solver):
    run = wl.simulate(explosion(), 1.0, ts=[0.0, 0.1, 0.5], dt=0.1, solver=solver)
    if solver == "impliciteuler":  # y1 = y0 + dt y1^2
        assert run.states[1] == pytest.approx((1 - np.sqrt(1 - 0.4)) / 0.2, rel=1e-7)
    else:
        assert run.final == pytest.approx(2.0, rel=1e-4)


def test_names_that_are_none():
    with pytest.raises(ValueError, match="no solver is named 'kvaerno6'; did you mean 'kvaerno"):
        wl.simulate(decay(), 1.0, t1=1.0, solver="kvaerno6")
    with pytest.raises(TypeError, match="solver has type float"):
        wl.simulate(decay(), 1.0, t1=1.0, solver=5.0)
    assert {"auto", "tsit5", "rodas5p", "leapfrog", "kvaerno5"} <= set(wl.solvers.names())


@pytest.mark.parametrize("solver", ["kencarp4", pytest.param("kencarp5", marks=pytest.mark.slow)])
def test_stages_that_converge_are_not_refused(solver):
    # y' = y - 10 y, the second part implicit: refused stages once held the steps at 1e-7.
    split = wl.ode.System(lambda t, y, p: y, implicit=lambda t, y, p: -10.0 * y)
    run = wl.simulate(split, 1.0, t1=1.0, solver=solver)
    assert run.stats.steps < 100 and run.stats.rejected <= 5
    assert run.final == pytest.approx(np.exp(-9.0), abs=1e-5)


@pytest.mark.slow
def test_stages_whose_rounding_exceeds_the_tolerance_of_small_states():
    # A state of 1e9 is known to 1e-7, and the absolute tolerance is 1e-9.
    split = wl.ode.System(lambda t, y, p: 0.0 * y, implicit=lambda t, y, p: -3.0 * y)
    for options in ({"solver": "kencarp4"}, {"solver": "kencarp4", "dt": 0.01}, {"solver": "kvaerno5", "dt": 0.01}):
        run = wl.simulate(split, 1e9, t1=1.0, throw=False, **options)
        assert run.status.ok and run.stats.steps <= 100
        assert run.final == pytest.approx(1e9 * np.exp(-3.0), rel=1e-4)

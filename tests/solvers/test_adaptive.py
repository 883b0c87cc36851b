"""The adaptive solvers: accuracy follows the tolerance, failures are statuses, outputs do not disturb the
steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import decay, explosion, nonautonomous, nonautonomous_solution, ornstein_uhlenbeck

import worldline as wl

# The tolerance bounds the error of each step; over a short smooth run errors add up to some tens of it.
FROM_STEP_TO_RUN = 50.0


@pytest.mark.parametrize("solver", ["auto", "tsit5", "rodas5p"])
def test_error_follows_the_tolerance(solver):
    ts = np.linspace(0.0, 5.0, 12)
    exact = nonautonomous_solution(ts)
    steps = []
    for tolerance in (1e-3, 1e-6, 1e-9):
        run = wl.simulate(nonautonomous(), [1.0, 1.0], ts=ts, rtol=tolerance, atol=tolerance, solver=solver)
        assert np.abs(run.states - exact).max() < FROM_STEP_TO_RUN * tolerance
        steps.append(int(run.stats["steps"]))
    assert steps[0] < steps[1] < steps[2]


def test_outputs_do_not_disturb_the_steps():
    few = wl.simulate(nonautonomous(), [1.0, 1.0], ts=[0.0, 5.0], solver="tsit5")
    many = wl.simulate(nonautonomous(), [1.0, 1.0], ts=np.linspace(0.0, 5.0, 301), solver="tsit5")
    assert few.stats["steps"] == many.stats["steps"] < 100
    np.testing.assert_allclose(few.final, many.final, rtol=1e-14)  # the same steps, other programs


def test_the_first_output_is_the_state_and_the_last_the_final():
    run = wl.simulate(nonautonomous(), [1.0, 1.0], ts=np.linspace(0.0, 5.0, 12), solver="tsit5")
    np.testing.assert_array_equal(run.states[0], [1.0, 1.0])
    np.testing.assert_array_equal(run.states[-1], run.final)


def test_a_run_may_begin_before_its_first_output():
    run = wl.simulate(decay(), 2.0, t0=0.0, ts=[1.0, 3.0], solver="tsit5")
    np.testing.assert_allclose(run.states, 2.0 * np.exp(-0.7 * run.ts), rtol=1e-5)


def test_infinity_in_finite_time_is_found():
    run = wl.simulate(explosion(), 1.0, ts=[0.0, 0.5, 0.9, 2.0], throw=False)
    assert run.status.failed and 0.99 < run.status.t < 1.01
    assert int(run.status.code) in (wl.core.Code.STEP_TOO_SMALL, wl.core.Code.NON_FINITE)
    np.testing.assert_allclose(run.states[:3], [1.0, 2.0, 10.0], rtol=1e-4)
    assert np.isnan(run.states[3]) and np.isnan(run.final)


def test_a_field_that_is_not_finite_at_the_start():
    system = wl.ode.System(lambda t, y, p: jnp.sqrt(y - p["floor"]), {"floor": 2.0})
    run = wl.simulate(system, 1.0, t1=1.0, solver="tsit5", throw=False)
    assert run.status.code == wl.core.Code.NON_FINITE
    assert run.status.t == 0.0 and run.status.step == 0


def test_fixed_steps_that_leave_the_domain_say_where():
    run = wl.simulate(explosion(), 1.0, dt=0.25, steps=40, throw=False, solver="tsit5")
    assert run.status.code == wl.core.Code.NON_FINITE
    finite = np.isfinite(run.states)
    assert finite[0] and not finite[-1] and np.all(np.diff(finite.astype(int)) <= 0)
    assert int(run.status.step) == finite.sum() - 1  # the step from the last good row is the bad one


def test_step_limit():
    run = wl.simulate(decay(), 1.0, ts=[0.0, 1e-3, 1e4], max_steps=7, solver="tsit5", throw=False)
    assert run.status.code == wl.core.Code.STEP_LIMIT
    assert run.stats["steps"] == 7 == run.status.step
    assert 0.0 < run.status.t < 1e4
    assert np.isfinite(run.states[1]) and np.isnan(run.states[2])


def test_a_step_limit_that_is_just_enough():
    def run(**options):
        return wl.simulate(decay(), 1.0, t1=4.0, solver="tsit5", throw=False, **options)

    needed = int(run().stats["steps"])
    assert run(max_steps=needed).status.ok
    assert run(max_steps=needed - 1).status.failed


def test_float32_keeps_its_type():
    run = wl.simulate(decay(), np.float32(1.0), t1=2.0)
    assert run.final.dtype == run.ts.dtype == np.float32
    assert abs(run.final - np.exp(-1.4)) < 1e-3  # default rtol 1e-4


def test_noise_is_not_ignored():
    with pytest.raises(ValueError, match="has noise, which 'auto'.*solver='euler'.*key=0"):
        wl.simulate(ornstein_uhlenbeck(), 1.0, t1=1.0)


def test_status_under_jit_and_vmap_is_data():
    def run(y0):
        return wl.simulate(explosion(), y0, t1=0.5, solver="tsit5")

    many = jax.jit(jax.vmap(run))(jnp.array([0.1, 1.0, 3.0]))
    np.testing.assert_array_equal(many.status.ok, [True, True, False])
    np.testing.assert_allclose(many.final[:2], [0.1 / 0.95, 2.0], rtol=1e-5)
    assert np.isnan(many.final[2])


def _oscillate(t, y, p):
    return wl.stack(y[1], -(p["rate"] ** 2) * y[0])


@pytest.mark.parametrize("solver", ["tsit5", "rodas5p"])
def test_a_large_start_time_costs_no_accuracy(solver):
    # At 1e9 the times of two steps differ by a few roundings of the time: counted in rounded times, the phase is lost.
    ts = 1e9 + np.linspace(0.0, 1.0, 5)
    system = wl.ode.System(_oscillate, {"rate": 1e3})
    run = wl.simulate(system, [1.0, 0.0], ts=ts, rtol=1e-9, atol=1e-9, solver=solver)
    np.testing.assert_allclose(run.states[:, 0], np.cos(1e3 * (ts - 1e9)), atol=1e-7)  # 1000 radians of 1e-9 a step


def test_many_small_steps_in_float32_keep_the_time():
    system = wl.ode.System(_oscillate, {"rate": jnp.float32(1.0)})
    start = jnp.array([1.0, 0.0], jnp.float32)
    run = wl.simulate(system, start, t1=1000.0, dt=0.01, solver="tsit5")
    assert run.final[0] == pytest.approx(np.cos(1000.0), abs=1e-3)  # rounding of 100 000 steps, 6e-8 each


@pytest.mark.parametrize("size", [1e-100, 1e-34, 1e30])
def test_without_absolute_tolerance_the_size_of_the_state_does_not_matter(size):
    run = wl.simulate(decay(), [size], t1=20.0, rtol=1e-8, atol=0.0)
    assert run.final[0] / size == pytest.approx(np.exp(-14.0), rel=1e-6)


def test_without_absolute_tolerance_a_state_of_zero_stays():
    for solver in ("tsit5", "rodas5p"):
        assert wl.simulate(decay(), [0.0], t1=20.0, atol=0.0, solver=solver).final[0] == 0.0

"""Controls: sampled signals, held or linear, and functions of time, policies."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import decay, integrator

import worldline as wl

TS, VALUES = np.array([0.0, 1.0, 2.0, 3.5]), np.array([1.0, -2.0, 5.0, 0.5])
ROUNDING = 1e-13  # x' = u(t) is integrated exactly between samples


def end(controls, t0=0.5, t1=2.5, gradient="auto", solver="tsit5"):
    return wl.simulate(
        integrator(), 0.0, t0=t0, t1=t1, controls=controls, gradient=gradient, solver=solver
    ).final


def held(ts=TS, values=VALUES):
    return wl.Sampled(ts, values, kind="hold")


@pytest.mark.parametrize("solver", ["tsit5", pytest.param("rodas5p", marks=pytest.mark.slow), "kvaerno5"])
def test_a_held_signal_is_integrated_exactly(solver):
    tolerance = 1e-5 if solver == "kvaerno5" else ROUNDING  # its stages are solved to the run's rtol, 1e-6
    assert end(held(), solver=solver) == pytest.approx(0.5 * 1.0 - 2.0 + 0.5 * 5.0, abs=tolerance)


def test_steps_end_at_the_samples():
    run = wl.simulate(integrator(), 0.0, ts=[0.0, 3.5], controls=held(), solver="tsit5")
    assert run.final == pytest.approx(1.0 - 2.0 + 7.5, abs=ROUNDING)
    assert (
        run.stats["rejected"] == 0 and run.stats["steps"] < 30
    )  # a jump inside a step would be refused many times


def test_a_linear_signal_is_integrated_exactly():
    run = wl.simulate(integrator(), 0.0, ts=TS, controls=wl.Sampled(TS, VALUES), solver="tsit5")
    trapezia = np.cumsum(0.5 * (VALUES[1:] + VALUES[:-1]) * np.diff(TS))
    np.testing.assert_allclose(run.states[1:], trapezia, atol=1e-9)


def test_fixed_steps_end_at_the_samples_too():
    run = wl.simulate(integrator(), 0.0, t1=3.5, dt=0.3, controls=held(), solver="tsit5")
    assert run.final == pytest.approx(1.0 - 2.0 + 7.5, abs=ROUNDING)


@pytest.mark.parametrize("gradient", ["forward", pytest.param("reverse", marks=pytest.mark.slow)])
def test_derivatives_by_values_and_times_of_samples_and_by_the_ends(gradient):
    slopes = jax.jit(jax.grad(lambda ts, v, t0, t1: end(held(ts, v), t0, t1, gradient), (0, 1, 2, 3)))
    by_times, by_values, *by_ends = slopes(jnp.asarray(TS), jnp.asarray(VALUES), 0.5, 2.5)
    np.testing.assert_allclose(by_values, [0.5, 1.0, 0.5, 0.0], atol=ROUNDING)
    np.testing.assert_allclose(
        by_times, [0.0, VALUES[0] - VALUES[1], VALUES[1] - VALUES[2], 0.0], atol=ROUNDING
    )
    np.testing.assert_allclose(by_ends, [-VALUES[0], VALUES[2]], atol=ROUNDING)


def test_derivative_by_values_of_a_linear_signal():
    by_values = jax.jit(jax.grad(lambda v: end(wl.Sampled(TS, v), 0.0, 3.5)))(jnp.asarray(VALUES))
    np.testing.assert_allclose(by_values, [0.5, 1.0, 1.25, 0.75], atol=1e-9)


def test_functions_of_time_and_structures_of_controls():
    run = wl.simulate(integrator(), 0.0, t1=2.0, controls=jnp.cos, rtol=1e-9, solver="tsit5")
    assert run.final == pytest.approx(np.sin(2.0), abs=1e-8)
    signal = wl.Sampled(TS, {"a": VALUES, "b": np.stack([VALUES, 2 * VALUES], axis=1)})
    at = signal(jnp.asarray(1.5))
    assert at["a"] == pytest.approx(1.5)
    np.testing.assert_allclose(at["b"], [1.5, 3.0])


def test_a_held_signal_takes_its_new_value_at_the_sample():
    values = [float(held()(jnp.asarray(t))) for t in (0.0, 0.999, 1.0, 3.4, 3.5)]
    np.testing.assert_allclose(values, [1.0, 1.0, -2.0, 5.0, 0.5])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wl.Sampled([0.0, 1.0, 1.0], [1.0, 2.0, 3.0]), "must increase"),
        (lambda: wl.Sampled([0.0, 1.0], [1.0, np.nan]), "sample 1 of the signal is not finite"),
        (lambda: wl.Sampled([0.0, 1.0], [1.0, 2.0, 3.0]), r"shape \(3,\) for 2 sample times"),
        (lambda: wl.Sampled([0.0], [1.0]), "at least two times"),
        (lambda: wl.Sampled([0.0, 1.0], [1.0, 2.0], kind="cubic"), "kind='cubic'.*'linear' or 'hold'"),
    ],
)
def test_samples_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_controls_that_do_not_fit_the_run():
    with pytest.raises(ValueError, match=r"known from t = 0 to 3.5.*from 0 to 9"):
        end(held(), 0.0, 9.0)
    with pytest.raises(ValueError, match="takes a control u, but none was given"):
        wl.simulate(integrator(), 0.0, t1=1.0)
    with pytest.raises(ValueError, match="takes no control"):
        wl.simulate(decay(), 1.0, t1=1.0, controls=jnp.cos)
    with pytest.raises(TypeError, match=r"controls has type list.*wl\.Sampled"):
        wl.simulate(integrator(), 0.0, t1=1.0, controls=[1.0, 2.0])


class Brake(eqx.Module):
    strength: jax.Array

    def __call__(self, t, y):
        return -self.strength * y * jnp.cos(t)


@pytest.mark.parametrize("solver", ["auto", "rodas5p", "kvaerno5"])
def test_a_policy_sees_the_state(solver):
    driven = wl.ode.System(lambda t, y, p, u: u)

    def end(strength):
        return wl.simulate(driven, 1.0, t1=2.0, controls=Brake(strength), solver=solver, rtol=1e-9, atol=1e-12).final

    value, slope = jax.value_and_grad(end)(jnp.asarray(0.8))
    exact = np.exp(-0.8 * np.sin(2.0))
    assert value == pytest.approx(exact, rel=1e-7)
    assert slope == pytest.approx(-np.sin(2.0) * exact, rel=1e-6)


def test_a_function_of_time_may_have_defaults():
    def ramp(t, gain=2.0):
        return gain * t

    run = wl.simulate(wl.ode.System(lambda t, y, p, u: u), 0.0, t1=3.0, controls=ramp)
    assert run.final == pytest.approx(9.0)


@pytest.mark.parametrize("solver", ["tsit5", "bosh3"])
def test_an_array_has_a_row_for_each_step(solver):
    rows = np.random.default_rng(0).normal(size=50)
    run = wl.simulate(integrator(), 0.0, t0=0.3, dt=0.1, steps=50, controls=rows, solver=solver)
    np.testing.assert_allclose(run.states[1:], 0.1 * np.cumsum(rows), atol=1e-12)
    slope = jax.grad(lambda rows: wl.simulate(integrator(), 0.0, dt=0.1, steps=50, controls=rows).final)(jnp.asarray(rows))
    np.testing.assert_allclose(slope, 0.1)
    with pytest.raises(ValueError, match=r"controls has shape \(50,\) for 49 steps"):
        wl.simulate(integrator(), 0.0, dt=0.1, steps=49, controls=rows)
    with pytest.raises(ValueError, match=r"controls\[7\] = nan is not finite"):
        wl.simulate(integrator(), 0.0, dt=0.1, steps=50, controls=np.where(np.arange(50) == 7, np.nan, rows))


def test_samples_may_be_nested_lists():
    samples = wl.Sampled([0.0, 1.0, 2.0], [[0.0, 1.0], [1.0, 3.0], [1.0, 4.0]])
    np.testing.assert_allclose(samples.at(jnp.asarray(0.5), None), [0.5, 2.0])


def test_a_traced_number_of_steps_is_refused():
    with pytest.raises(TypeError, match="steps is traced"):
        jax.jit(lambda n: wl.simulate(decay(), 1.0, dt=0.1, steps=n).final)(5)

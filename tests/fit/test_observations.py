"""What counts as measurements: every mistake is named, and residuals are what they say."""

import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl


def decay(t, y, p):
    return -p["rate"] * y


TS = np.array([0.0, 1.0, 2.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(ts=[0, 2, 1], values=[1, 2, 3]), r"ts must increase, but ts\[1\] = 2 is followed by ts\[2\] = 1"),
        (dict(ts=[0, 1, np.nan], values=[1, 2, 3]), "NaN or infinite times"),
        (dict(ts=[], values=[]), "list of times"),
        (dict(ts=TS, values=[1, 2]), r"shape \(2,\) for 3 times"),
        (dict(ts=TS, values=np.ones((2, 3))), "transpose them"),
        (dict(ts=TS, values=[np.nan] * 3), "all values are missing"),
        (dict(ts=TS, values=[1, np.inf, 1]), "mark missing values by NaN"),
        (dict(ts=TS, values=["a", "b", "c"]), "not all numbers"),
        (dict(ts=TS, values=[1, 0, 1], noise=wl.LogNormal()), "not all positive"),
        (dict(ts=TS, values=[1, 2, 3], noise=wl.Normal(sigma=0.0)), "sigma must be"),
        (dict(ts=TS, values=[1, 2, 3], noise=wl.Normal(sigma=[1.0, 2.0])), "does not fit values of shape"),
        (dict(ts=TS, values=[1, 2, 3], weights=-1.0), "weights must be"),
    ],
)
def test_a_mistake_in_the_data_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        wl.Observations(**arguments)


def test_noise_must_be_a_noise():
    with pytest.raises(TypeError, match=r"wl.Normal\(sigma\)"):
        wl.Observations(TS, [1, 2, 3], noise=0.1)


@pytest.mark.parametrize(
    ("values", "observe", "message"),
    [
        (np.ones((3, 3)), None, "the data have 3 numbers at each time, but the observed part of the state has 2"),
        (np.ones(3), None, "the data have one number at each time"),
        ({"a": np.ones(3)}, None, "a dict with keys a"),
        (np.ones(3), 5, "observe=5: the state has no such component"),
        (np.ones(3), "hare", "observe='hare': the state has no such component"),
    ],
)
def test_data_that_are_not_the_observed_state_are_named(values, observe, message):
    system = wl.ode.System(decay, {"rate": 1.0})
    with pytest.raises(ValueError, match=message):
        wl.fit(system, wl.Observations(TS, values, observe=observe), [1.0, 2.0], free=["rate"])


def residuals_of(observations, states):
    comparison = observations.comparison(observations.ts)
    return np.asarray(comparison.residuals(jnp.asarray(observations.ts), states, None))


def test_normal_residuals_are_differences_over_sigma():
    states = jnp.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    values = np.array([[1.5, 10.0], [np.nan, 22.0], [4.0, 39.0]])
    data = wl.Observations(TS, values, wl.Normal(sigma=[0.5, 2.0]))
    np.testing.assert_allclose(residuals_of(data, states), [-1.0, 0.0, 0.0, -1.0, 0.0, 0.5])


def test_log_normal_residuals_are_differences_of_logarithms():
    states = jnp.array([1.0, 2.0, 4.0])
    data = wl.Observations(TS, [2.0, 2.0, np.nan], wl.LogNormal(), weights=4.0)
    np.testing.assert_allclose(residuals_of(data, states), [-2 * np.log(2.0), 0.0, 0.0], atol=1e-15)


def test_a_model_that_is_not_positive_fails_the_trial_under_log_normal_noise():
    data = wl.Observations(TS, [1.0, 1.0, 1.0], wl.LogNormal())
    assert np.isnan(residuals_of(data, jnp.array([1.0, -1.0, 1.0]))[1])


@pytest.mark.parametrize(
    ("observe", "expected"),
    [
        (1, [10.0, 20.0, 40.0]),
        ([1, 0], [[10.0, 1.0], [20.0, 2.0], [40.0, 4.0]]),
        (lambda y: y[0] * y[1], [10.0, 40.0, 160.0]),
        (lambda t, y, system: y[0] + t, [1.0, 3.0, 6.0]),
    ],
)
def test_any_part_or_function_of_the_state_can_be_observed(observe, expected):
    states = jnp.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    data = wl.Observations(TS, expected, observe=observe)
    np.testing.assert_allclose(residuals_of(data, states), 0.0, atol=1e-14)

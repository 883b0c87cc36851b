"""What counts as measurements: every mistake is named, and residuals are what they say."""

import functools

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
        (dict(ts=[0, 1, 0, 1], values=np.ones(4)), r"sort the rows .*wl.Observations of a list"),
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
        (dict(ts=TS, values=[1, 2, 3], weights=0.0), "no measured value has a weight above zero"),
        (dict(ts=TS, values=[1, 2, np.nan], weights=[0, 0, 1]), "no measured value has a weight above zero"),
        (dict(ts=TS, values=[1, 2, 3], noise=wl.Normal({"q": 0.1})), "but the values are one array"),
        (
            dict(ts=TS, values={"q": [1, 2, 3]}, noise=wl.Normal({"v": 0.1})),
            "sigma is a dict with keys v, but .* keys q",
        ),
        (dict(ts=TS, values=[1, 2, 3], observe=[]), "names no component"),
    ],
)
def test_a_mistake_in_the_data_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        wl.Observations(**arguments)


def test_noise_must_be_a_noise():
    with pytest.raises(TypeError, match=r"wl.Normal\(sigma\)"):
        wl.Observations(TS, [1, 2, 3], noise=0.1)


@pytest.mark.parametrize(
    ("observe", "message"),
    [
        (0.5, "observe=0.5: write a component's number or name"),
        ([[0, 1]], "write a component's number or name"),
        (lambda t, y: y, r"takes \(t, y\); write it as observe\(state\) or as observe\(t, state, system\)"),
        (lambda y, *, scale: y, r"takes \(y, \*, scale\)"),
    ],
)
def test_what_cannot_be_observed_is_named(observe, message):
    with pytest.raises(TypeError, match=message):
        wl.Observations(TS, [1, 2, 3], observe=observe)


@pytest.mark.parametrize(
    ("values", "observe", "message"),
    [
        (np.ones((3, 3)), None, "the data have 3 numbers at each time, but the observed part of the state has 2"),
        (np.ones(3), None, "the data have one number at each time, but the observed part of the state has 2 numbers"),
        ({"a": np.ones(3)}, None, "a dict with keys a"),
        (np.ones(3), 5, "observe=5: the state has no such component"),
        (np.ones(3), "hare", "observe='hare': the state has no such component"),
        (np.ones(3), "hare[0]", r"observe='hare': the state has no such component"),
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
        (np.int64(1), [10.0, 20.0, 40.0]),
        ([1, 0], [[10.0, 1.0], [20.0, 2.0], [40.0, 4.0]]),
        (np.array([1, 0]), [[10.0, 1.0], [20.0, 2.0], [40.0, 4.0]]),
        (jnp.array([0, 1]), [[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]]),
        (range(2), [[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]]),
        (np.array([False, True]), [[10.0], [20.0], [40.0]]),
        (lambda y: y[0] * y[1], [10.0, 40.0, 160.0]),
        (lambda y, s=2.0: s * y[0], [2.0, 4.0, 8.0]),
        (lambda t, y, system: y[0] + t, [1.0, 3.0, 6.0]),
        (lambda t, y, system=None: y[0] + t, [1.0, 3.0, 6.0]),
        (lambda *given: given[1][0] + given[0], [1.0, 3.0, 6.0]),
        (jnp.sum, [11.0, 22.0, 44.0]),
        (functools.partial(jnp.take, indices=0), [1.0, 2.0, 4.0]),
    ],
)
def test_any_part_or_function_of_the_state_can_be_observed(observe, expected):
    states = jnp.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    data = wl.Observations(TS, expected, observe=observe)
    np.testing.assert_allclose(residuals_of(data, states), 0.0, atol=1e-14)


@pytest.mark.parametrize("rows", [(3,), (3, 1)])
@pytest.mark.parametrize("state", [1.0, [1.0]])
def test_one_number_at_each_time_may_stand_in_a_column(rows, state):
    data = wl.Observations(TS, np.exp(-0.7 * TS).reshape(rows))
    result = wl.fit(wl.ode.System(decay, {"rate": 1.0}), data, state, free="rate", starts=1)
    assert result.values["rate"] == pytest.approx(0.7, rel=1e-5)


def test_a_time_may_be_measured_several_times():
    """Least squares on repeated measurements is that on their means."""
    system, rng = wl.ode.System(decay, {"rate": 1.0}), np.random.default_rng(0)
    values = np.exp(-0.7 * np.linspace(0, 2, 9))[:, None] + 0.02 * rng.standard_normal((9, 3))
    ts = np.linspace(0, 2, 9)
    free = {"rate": wl.Positive(), "y0": wl.Positive()}
    repeated = wl.fit(system, wl.Observations(np.repeat(ts, 3), values.ravel(), wl.Normal(0.02)), 1.0, free=free, rtol=1e-9)
    mean = wl.fit(system, wl.Observations(ts, values.mean(1), wl.Normal(0.02 / np.sqrt(3))), 1.0, free=free, rtol=1e-9)
    assert repeated.values == pytest.approx(mean.values, rel=1e-6)
    assert repeated.standard_errors == pytest.approx(mean.standard_errors, rel=1e-5)
    assert len(repeated.residuals) == 27


def test_observations_and_experiments_show_what_they_hold():
    one = wl.Observations(TS, [1.0, np.nan, 3.0], wl.Normal(0.1), observe=0)
    assert repr(one) == "Observations(3 times from 0 to 2, values [3], 1 of 3 missing, Normal(sigma=0.1), observe=0)"
    two = wl.Observations(TS, {"q": np.ones(3), "v": np.ones(3)}, weights=2.0, observe=jnp.sum)
    assert repr(two) == "Observations(3 times from 0 to 2, values a dict with keys q, v, Normal(), observe='sum', weights)"
    assert repr(wl.Experiment(one, [1.0, 2.0], wl.Sampled([0.0, 2.0], [0.0, 1.0]))) == (
        f"Experiment({one!r}, state=[1.0, 2.0], controls=Sampled from 0 to 2, t0=0)"
    )
    assert repr(wl.Experiment([one, two], np.zeros(9), t0=-1.0)) == (
        f"Experiment([{one!r}, {two!r}], state=array[9], t0=-1)"
    )


def test_a_sigma_for_each_array_of_the_values():
    states = {"q": jnp.array([1.0, 2.0, 4.0])}
    one = wl.Observations(TS, {"q": [1.5, 2.0, 4.0]}, wl.Normal({"q": 0.1}))
    np.testing.assert_allclose(residuals_of(one, states), [-5.0, 0.0, 0.0], atol=1e-13)
    states |= {"v": jnp.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])}
    values = {"q": [1.5, 2.0, 4.0], "v": np.zeros((3, 2))}
    two = wl.Observations(TS, values, wl.Normal({"q": 0.1, "v": [0.5, 0.25]}))
    np.testing.assert_allclose(residuals_of(two, states), [-5.0, 0, 0, 2.0, 4.0, 0, 0, 0, 0], atol=1e-13)


def test_values_without_weight_are_missing():
    data = wl.Observations(TS, [1.0, 2.0, 9.0], weights=[1.0, 4.0, 0.0])
    assert data.count == 2
    assert np.isnan(data.residual_times()[2])
    result = wl.fit(wl.ode.System(decay, {"rate": 1.0}), data, 1.0, free="rate")
    assert len(result.residuals) == 2


RUN = np.exp(-0.7 * TS)


def test_each_of_several_observations_has_its_own_known_sigma():
    """Two estimates of one constant are averaged with weights 1 / sigma^2."""
    parts = [wl.Observations(TS, 2.0 + 0 * TS, wl.Normal(0.1)), wl.Observations(TS, 3.0 + 0 * TS, wl.Normal(0.2))]
    result = wl.fit(wl.ode.System(decay, {"rate": 0.0}), parts, 1.0, free="y0")
    assert result.sigma_known
    assert result.values["y0"] == pytest.approx((2.0 / 0.01 + 3.0 / 0.04) / (1 / 0.01 + 1 / 0.04))
    assert result.standard_errors["y0"] == pytest.approx((3 / 0.01 + 3 / 0.04) ** -0.5)


@pytest.mark.parametrize(
    ("noises", "message"),
    [
        (
            (wl.Normal(0.1), wl.Normal()),
            r"known for some observations but not for observations\[1\].*give sigma for all",
        ),
        ((wl.LogNormal(), wl.Normal(0.1)), r"not for observations\[0\]"),
        ((wl.LogNormal(), wl.Normal()), "cannot share one estimated sigma"),
    ],
)
def test_noise_whose_weights_are_not_known_is_refused(noises, message):
    parts = [wl.Observations(TS, RUN, noise) for noise in noises]
    with pytest.raises(ValueError, match=message):
        wl.fit(wl.ode.System(decay, {"rate": 1.0}), parts, 1.0, free="rate")


def test_the_run_whose_noise_is_not_known_is_named():
    runs = [wl.Experiment(wl.Observations(TS, RUN, noise), 1.0) for noise in (wl.Normal(0.1), wl.Normal())]
    with pytest.raises(ValueError, match=r"not for experiments\[1\].observations\[0\]"):
        wl.fit(wl.ode.System(decay, {"rate": 1.0}), runs, free="rate")

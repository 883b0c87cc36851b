"""Means with blocked errors, on series whose memory is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import lfilter

import worldline as wl


def autoregressive(memory, length, runs, seed=0):
    """x_t = memory x_{t-1} + noise, of variance 1, [length, runs]: g = (1 + memory) / (1 - memory)."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(length, runs)) * np.sqrt(1 - memory**2)
    noise[0] /= np.sqrt(1 - memory**2)
    return lfilter([1.0], [1.0, -memory], noise, axis=0)


def exact_error(memory, length):
    """The standard deviation of the mean of such a series."""
    lag = np.arange(1, length)
    return np.sqrt((1 + 2 * np.sum((1 - lag / length) * memory**lag)) / length)


@pytest.mark.parametrize(("memory", "length"), [(0.0, 4096), (0.8, 8192), (0.95, 40000)])
def test_errors_of_series_with_known_memory(memory, length):
    runs = 200
    series = autoregressive(memory, length, runs)
    found = jax.jit(wl.md.block_average)(series)
    exact = exact_error(memory, length)
    np.testing.assert_allclose(found.mean, series.mean(0), rtol=0, atol=1e-12)
    assert np.asarray(found.enough).all()
    # On average over many series within 5%, each one with the scatter that its number of blocks allows.
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(found.error))), exact, rtol=0.05)
    assert np.std(found.error) < 0.2 * exact
    # The means are as far from zero as their errors say.
    pull = np.asarray(found.mean / found.error)
    assert abs(np.sqrt(np.mean(pull**2)) - 1) < 4 / np.sqrt(2 * runs)


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_statistical_inefficiency(memory):
    series = autoregressive(memory, 20000, 100, seed=1)
    exact = (1 + memory) / (1 - memory)
    found = np.asarray(wl.md.statistical_inefficiency(series))
    np.testing.assert_allclose(found.mean(), exact, rtol=0.03)
    assert found.std() < 0.2 * exact


def test_a_series_that_is_too_short_says_so():
    """Errors are too small by more than a fifth where most series say so, and by less where few do."""
    for independent, said, pull in ((15, (0.0, 0.2), (1.25, 2.0)), (80, (0.8, 1.0), (1.0, 1.25))):
        found = wl.md.block_average(autoregressive(0.9, 19 * independent, 600))
        assert said[0] <= np.mean(found.enough) <= said[1]
        assert pull[0] < np.sqrt(np.mean((found.mean / found.error) ** 2)) < pull[1]
    assert "too short" in str(wl.md.block_average(autoregressive(0.99, 2000, 1)[:, 0]))
    assert "too short" not in str(wl.md.block_average(autoregressive(0.0, 2000, 1)[:, 0]))


def test_measurements_in_a_dict_are_averaged_each():
    series = {"P": autoregressive(0.5, 500, 1)[:, 0], "parts": {"kinetic": np.arange(10.0)}}
    found = wl.md.block_average(series)
    assert float(found["P"].error) == float(wl.md.block_average(series["P"]).error)
    assert float(found["parts"]["kinetic"].mean) == 4.5
    assert repr(found["P"]) == f"Estimate({found['P']})"
    for other in (wl.md.statistical_inefficiency, wl.md.block_average):
        with pytest.raises(TypeError, match="jax.tree.map"):
            other(object())


def test_a_series_that_never_changes_has_no_error():
    found = wl.md.block_average(np.full((1000, 2), 3.0))
    np.testing.assert_array_equal(found.mean, 3.0)
    np.testing.assert_array_equal(found.error, 0.0)
    np.testing.assert_array_equal(wl.md.statistical_inefficiency(np.full(100, 3.0)), 1.0)


def test_estimates_are_written_with_two_digits_of_their_error():
    estimate = wl.md.Estimate(jnp.asarray(0.721934), jnp.asarray(0.00128), jnp.asarray(True))
    assert str(estimate) == "0.7219 ± 0.0013"


def test_entries_are_each_on_their_own():
    series = np.stack([autoregressive(m, 3000, 1)[:, 0] for m in (0.0, 0.9)], 1)
    both = wl.md.block_average(series)
    for k in range(2):
        one = wl.md.block_average(series[:, k])
        np.testing.assert_allclose(both.error[k], one.error, rtol=1e-12)
        np.testing.assert_allclose(jax.vmap(wl.md.block_average, in_axes=1)(series).error[k], one.error, rtol=1e-12)


@pytest.mark.parametrize("function", [wl.md.block_average, wl.md.statistical_inefficiency])
@pytest.mark.parametrize("series", [3.0, [1.0]])
def test_too_few_values(function, series):
    with pytest.raises(ValueError, match="at least two values"):
        function(series)


@pytest.mark.parametrize("length", [2, 3, 64, 1000])
def test_running_averages_are_those_of_the_series(length):
    series = autoregressive(0.7, length, 3)
    running = wl.md.RunningAverage(3, steps=4096)
    running = jax.jit(lambda r, s: r.extend(s[:1]).extend(s[1:]))(running, series)
    found, expected = running.result(), wl.md.block_average(series)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found.error, expected.error, rtol=1e-10)
    np.testing.assert_array_equal(found.enough, expected.enough)


def test_running_averages_of_few_values_are_unknown():
    empty = wl.md.RunningAverage()
    assert np.isnan(empty.result().mean)
    one = empty.add(2.0).result()
    assert one.mean == 2.0 and np.isnan(one.error) and not one.enough
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        empty.add([1.0, 2.0])


def test_the_memory_of_a_running_average_does_not_grow():
    assert sum(x.size for x in jax.tree.leaves(wl.md.RunningAverage(5))) < 3 * 33 * 5 + 2

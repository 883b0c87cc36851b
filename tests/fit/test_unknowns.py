"""Names, bounds and starts of unknowns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

BOUNDS = {
    "free": (wl.Free(), [-3.0, 0.0, 5.0]),
    "positive": (wl.Positive(), [1e-6, 1.0, 1e6]),
    "lower": (wl.Bounded(lower=2.0), [2.001, 3.0, 100.0]),
    "upper": (wl.Bounded(upper=2.0), [-100.0, 1.0, 1.999]),
    "interval": (wl.Bounded(-1.0, 3.0), [-0.99, 1.0, 2.99]),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_numbers_invert_and_stay_inside(name):
    bound, values = BOUNDS[name]
    for value in map(np.asarray, values):
        np.testing.assert_allclose(bound.value(jnp.asarray(bound.number(value))), value, rtol=1e-12)
        assert np.all(bound.size(value) >= 0)
    lower, upper = bound.interval
    ends = bound.value(jnp.clip(jnp.array([-30.0, 30.0]), lower, upper))
    assert np.all(ends >= (-np.inf if getattr(bound, "lower", None) is None else bound.lower))
    assert np.all(ends <= (np.inf if getattr(bound, "upper", None) is None else bound.upper))
    assert np.all(np.isfinite(jax.vmap(jax.grad(bound.value))(jnp.array([-30.0, 0.0, 30.0]))))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wl.Bounded(), "needs a bound"),
        (lambda: wl.Bounded(2, 1), "lower bound must be below"),
        (lambda: wl.Bounded(lower=-np.inf), "leave out a bound"),
    ],
)
def test_bounds_that_make_no_sense_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def field(t, y, p):
    return -p["rate"] * y * p["shape"][0]


DATA = wl.Observations([0.0, 1.0, 2.0, 3.0], np.exp(-np.arange(4.0)) + 0.01)


@pytest.mark.parametrize(
    ("free", "error", "message"),
    [
        ({"rat": wl.Free()}, wl.UnknownParameter, "no parameter is named 'rat': did you mean 'rate'"),
        ({"shape[7]": wl.Free()}, wl.UnknownParameter, r"'shape' has shape \(2,\)"),
        ({"rate": wl.Bounded(2, 3)}, ValueError, r"bounds of 'rate' \(2 to 3\) exclude its start 1"),
        ({"rate": wl.Positive(start=-1.0)}, ValueError, "bounds of 'rate' exclude its start -1"),
        ({"rate": wl.Free(start=np.nan)}, ValueError, "start of 'rate' is not finite"),
        ({"rate": 3.0}, TypeError, r"write wl.Positive\(\)"),
        ({"shape": wl.Free(), "shape[0]": wl.Free()}, ValueError, "give one of them"),
        ({}, ValueError, "free is empty"),
    ],
)
def test_a_mistake_in_free_is_named(free, error, message):
    system = wl.ode.System(field, {"rate": 1.0, "shape": np.array([1.0, 2.0])})
    with pytest.raises(error, match=message):
        wl.fit(system, DATA, 1.0, free=free)

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
def test_numbers_invert(name):
    bound, values = BOUNDS[name]
    for value in map(np.asarray, values):
        np.testing.assert_allclose(bound.value(jnp.asarray(bound.number(value))), value, rtol=1e-12)
        assert np.all(bound.size(value) >= 0)
        assert bound.interval[0] <= bound.number(value) <= bound.interval[1]
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
        ({"count": wl.Free()}, wl.UnknownParameter, r"'count' is an array of integers.*np.asarray\(..., float\)"),
        ({"count[0]": wl.Free()}, wl.UnknownParameter, "'count' is an array of integers"),
        ({"y0[I]": wl.Free()}, wl.UnknownParameter, r"did you mean 'y0\[1\]', 'y0\[0\]'"),
        ({"rate": wl.Bounded(2, 3)}, ValueError, r"bounds of 'rate' \(2 to 3\) exclude its start 1"),
        ({"rate": wl.Positive(start=-1.0)}, ValueError, "bounds of 'rate' exclude its start -1"),
        ({"rate": wl.Free(start=np.nan)}, ValueError, "start of 'rate' is not finite"),
        ({"rate": 3.0}, TypeError, r"write wl.Positive\(\)"),
        ({"shape": wl.Free(), "shape[0]": wl.Free()}, ValueError, "give one of them"),
        ({}, ValueError, "free is empty"),
    ],
)
def test_a_mistake_in_free_is_named(free, error, message):
    system = wl.ode.System(field, {"rate": 1.0, "shape": np.array([1.0, 2.0]), "count": np.array([3])})
    with pytest.raises(error, match=message):
        wl.fit(system, DATA, [1.0, 1.0], free=free)


def test_the_name_of_a_part_of_the_state_alone_is_led_to_it():
    system = wl.ode.System(lambda t, y, p: {"S": -p["rate"] * y["S"], "I": y["I"]}, {"rate": 1.0})
    with pytest.raises(wl.UnknownParameter, match=r"no parameter is named 'I': did you mean 'y0.I'"):
        wl.fit(system, wl.Observations([0.0, 1.0], [1.0, 2.0], observe="S"), {"S": 1.0, "I": 0.1}, free="I")


LINE = wl.Observations([0.0, 1.0, 2.0, 3.0], [[0.0, 0.0], [0.5, -1.0], [1.0, -2.0], [1.5, -3.0]])


def line(t, y, p):
    return wl.stack(p["up"], p["down"])


@pytest.mark.parametrize("double", [True, False], ids=["float64", "float32"])
@pytest.mark.parametrize(
    ("free", "ends"),
    [
        ({"up": wl.Bounded(upper=0.3), "down": wl.Free()}, {"up": 0.3, "down": -1.0}),
        ({"up": wl.Bounded(0.6, 0.9, start=0.7), "down": wl.Bounded(lower=-0.9)}, {"up": 0.6, "down": -0.9}),
        ({"up": wl.Bounded(0.1, 0.9), "down": wl.Bounded(-3, 3)}, {"up": 0.5, "down": -1.0}),
        ({"up": wl.Positive(start=3.0), "down": wl.Free()}, {"up": 0.5, "down": -1.0}),
    ],
)
def test_bounds_are_reached_and_held_by_a_fit(free, ends, double):
    with jax.enable_x64(double):
        result = wl.fit(wl.ode.System(line, {"up": 0.2, "down": -0.2}), LINE, [0.0, 0.0], free=free)
    on_bound = {name for name, end in ends.items() if end in free[name].interval}
    assert result.success
    assert result.values == pytest.approx(ends, rel=1e-6 if double else 1e-4)
    for name in on_bound:  # to the last bit of the precision
        assert result.values[name] == (ends[name] if double else np.float32(ends[name]))
    assert {note.split()[0] for note in result.notes if "ended on its bound" in note} == on_bound


def test_a_positive_unknown_stays_positive_where_the_data_ask_for_less():
    result = wl.fit(wl.ode.System(line, {"up": 1.0, "down": 1.0}), LINE, [0.0, 0.0], free={"down": wl.Positive()})
    assert 0.0 < result.values["down"] < 1e-3

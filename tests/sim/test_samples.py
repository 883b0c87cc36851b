"""Samples of parameters: within their ranges, spread as they should be, and fit for `wl.ensemble`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import predator_prey

import worldline as wl

RANGES = {"birth": (0.4, 0.7), "death": (0.01, 1.0, "log"), "capture": wl.Bounded(-1.0, 2.0)}
MAKERS = [wl.samples.latin_hypercube, wl.samples.sobol]


def shares(draws):
    """How far along its range each value lies, [n, 3], on the scale of the range."""
    return np.column_stack(
        [(draws["birth"] - 0.4) / 0.3, np.log10(draws["death"]) / 2.0 + 1.0, (draws["capture"] + 1.0) / 3.0]
    )


def test_a_grid_has_every_combination_and_both_ends():
    draws = wl.samples.grid(RANGES, {"birth": 4, "death": 3, "capture": 2})
    assert list(draws) == list(RANGES) and all(x.shape == (24,) and x.dtype == np.float64 for x in draws.values())
    np.testing.assert_allclose(draws["birth"].reshape(4, 6)[:, 0], [0.4, 0.5, 0.6, 0.7])
    np.testing.assert_allclose(draws["death"].reshape(4, 3, 2)[0, :, 0], [0.01, 0.1, 1.0])
    np.testing.assert_array_equal(draws["capture"][:2], [-1.0, 2.0])
    assert len(set(zip(*draws.values(), strict=True))) == 24
    assert len(wl.samples.grid(RANGES, 3)["birth"]) == 27


def test_a_latin_hypercube_has_one_value_in_each_part():
    cells = np.sort(np.floor(100 * shares(wl.samples.latin_hypercube(RANGES, 100))).astype(int), axis=0)
    np.testing.assert_array_equal(cells, np.arange(100)[:, None].repeat(3, axis=1))


def test_a_sobol_sequence_has_as_many_points_in_each_box():
    boxes = np.floor(8 * shares(wl.samples.sobol(RANGES, 512))[:, :2]).astype(int)
    _, counts = np.unique(boxes, axis=0, return_counts=True)
    assert counts.tolist() == [8] * 64


@pytest.mark.parametrize("make", MAKERS)
def test_a_key_gives_the_same_points_again(make):
    first = make(RANGES, 16, 3)
    assert all(np.array_equal(first[name], x) for name, x in make(RANGES, 16, jax.random.key(3)).items())
    other = make(RANGES, 16, 4)
    assert not np.array_equal(first["birth"], other["birth"])
    assert ((shares(first) > -1e-12) & (shares(first) < 1 + 1e-12)).all()


def test_they_feed_an_ensemble():
    system = predator_prey()
    draws = wl.samples.sobol({"birth": (1.0, 2.0), "death": (2.0, 4.0)}, 32)
    run = lambda p: wl.simulate(system.replace(p), [1.0, 1.0], ts=[0.0, 1.0])
    many = wl.ensemble(run)(draws)
    single = run({name: x[7] for name, x in draws.items()})
    np.testing.assert_allclose(many.states[7], single.states, rtol=1e-12)


@pytest.mark.parametrize(
    ("ranges", "error", "message"),
    [
        ({}, ValueError, "ranges is empty: name what to vary"),
        ([("birth", (0, 1))], TypeError, "give names with ranges"),
        ({"birth": (0.7, 0.4)}, ValueError, r"'birth' is \(0.7, 0.4\): its lower end .*: write \(0.4, 0.7\)"),
        ({"birth": (0.7, 0.7)}, ValueError, "leave the name out to keep one value"),
        ({"birth": (0.0, 0.7, "log")}, ValueError, "on a logarithmic scale both ends must be greater than zero"),
        ({"birth": (0.1, float("inf"))}, ValueError, "both ends must be finite"),
        ({"birth": wl.Bounded(lower=0.0)}, ValueError, "both ends must be finite"),
        ({"birth": wl.Positive()}, TypeError, "Positive.* has no ends: write"),
        ({"birth": 0.5}, TypeError, r"'birth' is 0.5: write \(lower, upper\)"),
        ({"birth": (0.1, 0.2, "logarithmic")}, TypeError, r"write \(lower, upper\) or \(lower, upper, 'log'\)"),
        ({"birth": ("a", "b")}, TypeError, "whose ends must be single numbers"),
        ({"birth": (np.zeros(3), np.ones(3))}, TypeError, "whose ends must be single numbers"),
    ],
)
def test_ranges_that_make_no_sense(ranges, error, message):
    for make in (wl.samples.grid, *MAKERS):
        with pytest.raises(error, match=message):
            make(ranges, 4)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: wl.samples.grid(RANGES, 1), ValueError, "the count of 'birth' is 1: at least 2 are needed"),
        (
            lambda: wl.samples.grid(RANGES, {"birth": 3}),
            ValueError,
            "counts has birth, but ranges has birth, death, capt",
        ),
        (
            lambda: wl.samples.sobol(RANGES, 1000),
            ValueError,
            "n=1000, but .* powers of two .*write n=1024, or .*hypercube",
        ),
        (lambda: wl.samples.sobol(RANGES, 2**31), ValueError, "up to 2.30: write n=1073741824"),
        (lambda: wl.samples.sobol(RANGES, 0), ValueError, "n is 0: at least 1 is needed"),
        (lambda: wl.samples.latin_hypercube(RANGES, 2.5), TypeError, "n is 2.5: a whole number is needed"),
        (lambda: wl.samples.latin_hypercube(RANGES, 4, "seed"), TypeError, "key must be an integer seed"),
        (lambda: wl.samples.from_fit({"a": 1}, 4), TypeError, "result has type dict; pass what wl.fit returned"),
    ],
)
def test_counts_and_keys_that_make_no_sense(make, error, message):
    with pytest.raises(error, match=message):
        make()


def falling(t, y, p):
    return -p["rate"] * y * y / (p["half"] + y)


TIMES = np.linspace(0.0, 4.0, 30)


def measured(noise=0.05):
    """Uptake with two constants that the data hardly tell apart, so that their errors are strongly correlated."""
    system = wl.ode.System(falling, {"rate": 1.0, "half": 0.6})
    truth = wl.simulate(system, [2.0], ts=TIMES).states
    return system, wl.Observations(TIMES, truth + noise * np.random.default_rng(2).normal(size=truth.shape))


@pytest.fixture(scope="module")
def result():
    system, data = measured()
    return wl.fit(system, data, free={"rate": wl.Positive(), "half": wl.Positive(), "y0": wl.Free()}, starts=1)


def test_draws_around_a_fit_have_its_covariance(result):
    n = 40_000
    draws = wl.samples.from_fit(result, n)
    assert tuple(draws) == result.names == ("rate", "half", "y0[0]")
    u = np.column_stack([np.log(draws["rate"]), np.log(draws["half"]), draws["y0[0]"]])
    center = [np.log(result.values["rate"]), np.log(result.values["half"]), result.values["y0[0]"]]
    covariance = result.unconstrained_covariance
    spread = np.sqrt(np.diag(covariance))
    # Five standard errors of the mean and of a covariance.
    np.testing.assert_array_less(np.abs(u.mean(axis=0) - center) / spread, 5 / np.sqrt(n))
    np.testing.assert_array_less(np.abs(np.cov(u.T) - covariance) / np.outer(spread, spread), 5 * np.sqrt(2 / n))
    assert abs(result.correlations[0, 1]) > 0.9
    assert all(np.array_equal(draws[name], x[:n]) for name, x in wl.samples.from_fit(result, n, key=0).items())


def test_a_fit_places_each_draw(result):
    draws = wl.samples.from_fit(result, 50)

    def run(draw):
        system, state = result.replace(draw)
        return wl.simulate(system, state, ts=TIMES)

    many = wl.ensemble(run, summary=wl.Summary())(draws)
    assert many.failed == 0
    np.testing.assert_allclose(many.mean.states[0, 0], draws["y0[0]"].mean(), rtol=1e-12)
    system, state = result.replace({"half": 0.5})
    assert system.parameters["half"] == 0.5 and system.parameters["rate"] == result.values["rate"]
    np.testing.assert_array_equal(state, result.state)
    with pytest.raises(wl.UnknownParameter, match="hlaf"):
        result.replace({"hlaf": 0.5})
    with pytest.raises(IndexError, match="experiment=1: this fit has 1"):
        result.replace({}, experiment=1)


def test_the_initial_states_of_several_experiments():
    system, data = measured()
    both = [wl.Experiment(data, [2.1]), wl.Experiment(data, [1.9])]
    result = wl.fit(system, both, free=["rate", "y0"], starts=1)
    draw = {name: x[0] for name, x in wl.samples.from_fit(result, 1).items()}
    for i in range(2):
        fitted, state = result.replace(draw, experiment=i)
        assert fitted.parameters["rate"] == draw["rate"] and state[0] == draw[f"experiments[{i}].y0[0]"]


def test_draws_stay_within_bounds():
    """Half of a normal distribution about the bound has its mean sqrt(2 / pi) standard deviations inside."""
    system, data = measured()
    best = wl.fit(system, data, [2.0], free=["rate"], starts=1).values["rate"]
    result = wl.fit(system, data, [2.0], free={"rate": wl.Bounded(0.0, float(best), start=best - 0.1)}, starts=1)
    rates = wl.samples.from_fit(result, 20_000)["rate"]
    assert rates.max() <= best and len(rates) == 20_000
    spread = result.standard_errors["rate"]
    assert (best - rates.mean()) / spread == pytest.approx(np.sqrt(2 / np.pi), abs=0.03)


def test_fits_that_say_nothing_about_errors(result):
    system, data = measured()
    split = wl.ode.System(lambda t, y, p: -p["a"] * p["b"] * y, {"a": 1.0, "b": 0.7})
    lost = wl.fit(split, data, [2.0], free=["a", "b"], starts=1)
    with pytest.raises(ValueError, match="the fit gives no errors of a, b: fix unknowns"):
        wl.samples.from_fit(lost, 10)
    with pytest.raises(ValueError, match="n is 0: at least 1"):
        wl.samples.from_fit(result, 0)
    short = wl.fit(
        system, data, [2.0], free={"rate": wl.Free(start=3.0), "half": wl.Free(start=2.0)}, starts=1, max_iterations=1
    )
    assert not short.success
    with pytest.raises(ValueError, match="the fit did not converge"):
        wl.samples.from_fit(short, 10)


def test_gradients_through_a_replaced_fit(result):
    slope = jax.grad(lambda half: jnp.sum(wl.simulate(*result.replace({"half": half}), ts=TIMES).final))(0.6)
    assert slope > 0


def test_a_grid_that_no_memory_holds_is_refused():
    with pytest.raises(ValueError, match=r"these counts make 1e\+16 points"):
        wl.samples.grid(dict.fromkeys("abcdefgh", (0.0, 1.0)), 100)

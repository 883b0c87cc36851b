"""Fits find what is known, say how well, and end in words when they cannot."""

import json

import numpy as np
import pytest

import worldline as wl

HARE = np.fromstring(
    "30.0 47.2 70.2 77.4 36.3 20.6 18.1 21.4 22.0 25.4 27.1 40.3 57.0 76.6 52.3 19.5 11.2 7.6 14.6 16.2 24.7", sep=" "
)
LYNX = np.fromstring("4.0 6.1 9.8 35.2 59.4 41.7 19.0 13.0 8.3 9.1 7.4 8.0 12.3 19.5 45.7 51.1 29.7 15.8 9.7 10.1 8.6", sep=" ")
PELTS = wl.Observations(np.arange(1900.0, 1921.0), np.stack([HARE, LYNX], 1), wl.LogNormal())
RATES = ("birth", "capture", "death", "growth")
ALL_POSITIVE = {name: wl.Positive() for name in (*RATES, "y0")}
TS = np.linspace(0.0, 4.0, 21)


def predator_prey(t, y, p):
    hare, lynx = y
    return wl.stack(p["birth"] * hare - p["capture"] * hare * lynx, -p["death"] * lynx + p["growth"] * hare * lynx)


def decay(t, y, p):
    return -p["rate"] * y


@pytest.mark.parametrize("start", [(0.5, 0.03, 0.8, 0.02), (1.0, 0.1, 1.0, 0.1), (0.2, 0.01, 0.2, 0.01)])
def test_hare_and_lynx_reach_the_best_fit_by_default(start):
    result = wl.fit(wl.ode.System(predator_prey, dict(zip(RATES, start, strict=True))), PELTS, free=ALL_POSITIVE)
    assert result.success
    assert result.sum_of_squares == pytest.approx(2.01866, abs=2e-5)  # the digits known
    expected = [0.5402, 0.02717, 0.7964, 0.02369, 34.60, 5.845]
    np.testing.assert_allclose(list(result.values.values()), expected, rtol=3e-4)
    errors = list(result.relative_standard_errors.values())
    np.testing.assert_allclose(errors, [0.110, 0.142, 0.105, 0.139, 0.085, 0.082], atol=6e-4)


def test_a_linear_problem_has_the_textbook_errors():
    """log y = log y0 - rate t with known sigma is linear regression, whose covariance is known in closed form."""
    rng = np.random.default_rng(3)
    logs = np.log(2.0) - 0.7 * TS + 0.05 * rng.standard_normal(TS.size)
    data = wl.Observations(TS, np.exp(logs), wl.LogNormal(sigma=0.05))
    system = wl.ode.System(decay, {"rate": 0.3})
    result = wl.fit(system, data, 1.0, free={"rate": wl.Positive(), "y0": wl.Positive()}, rtol=1e-10, atol=1e-12)
    design = np.stack([-TS, np.ones_like(TS)], 1)
    solution, squares, *_ = np.linalg.lstsq(design, logs)
    covariance = 0.05**2 * np.linalg.inv(design.T @ design)
    np.testing.assert_allclose(list(result.values.values()), [solution[0], np.exp(solution[1])], rtol=1e-7)
    np.testing.assert_allclose(result.standard_errors["rate"], np.sqrt(covariance[0, 0]), rtol=1e-5)
    np.testing.assert_allclose(result.relative_standard_errors["y0"], np.sqrt(covariance[1, 1]), rtol=1e-5)
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    np.testing.assert_allclose(result.correlations[0, 1], correlation, atol=1e-5)
    assert result.chi_square == pytest.approx(squares[0] / 0.05**2, rel=1e-6)
    assert result.aic == pytest.approx(result.chi_square + 4.0)


def test_missing_values_and_several_observations_of_one_run():
    truth = wl.ode.System(decay, {"rate": 0.7})
    y = np.asarray(wl.simulate(truth, [2.0, 3.0], ts=TS).states)
    first = y[:, 0].copy()
    first[[2, 5]] = np.nan
    data = [wl.Observations(TS, first, observe=0), wl.Observations(TS[::5] + 0.0, y[::5, 1], observe=1)]
    result = wl.fit(truth.replace(rate=0.2), data, [2.0, 1.0], free={"rate": wl.Positive(), "y0[1]": wl.Positive()})
    assert result.values == pytest.approx({"rate": 0.7, "y0[1]": 3.0}, rel=1e-4)
    assert len(result.residuals) == 19 + 5


def test_several_experiments_share_parameters_and_have_their_own_states():
    truth = wl.ode.System(decay, {"rate": 0.7})
    runs = [wl.Experiment(wl.Observations(TS, wl.simulate(truth, y0, ts=TS).states), state=1.0) for y0 in (2.0, 5.0)]
    result = wl.fit(truth.replace(rate=0.2), runs, free={"rate": wl.Positive(), "y0": wl.Positive()})
    expected = {"rate": 0.7, "experiments[0].y0": 2.0, "experiments[1].y0": 5.0}
    assert result.values == pytest.approx(expected, rel=1e-4)


def test_structured_states_and_parameters_are_fitted_by_name():
    def field(t, y, p):
        return {"q": y["v"], "v": -p["spring"]["stiffness"] * y["q"] - p["damping"][0] * y["v"]}

    truth = wl.ode.System(field, {"spring": {"stiffness": 4.0}, "damping": np.array([0.3])})
    ts = np.linspace(0, 5, 40)
    run = wl.simulate(truth, {"q": 1.0, "v": 0.0}, ts=ts)
    data = wl.Observations(ts, run.states["q"], observe="q")
    start = truth.replace({"spring.stiffness": 3.0, "damping[0]": 0.1})
    free = {"spring.stiffness": wl.Positive(), "damping[0]": wl.Bounded(0, 1), "y0.v": wl.Free(start=0.2)}
    result = wl.fit(start, data, {"q": 1.0, "v": 0.0}, free=free)
    assert result.values == pytest.approx({"spring.stiffness": 4.0, "damping[0]": 0.3, "y0.v": 0.0}, rel=1e-3, abs=1e-4)


def test_a_direction_the_data_do_not_determine_is_reported():
    def field(t, y, p):
        return -p["a"] * p["b"] * y

    data = wl.Observations(TS, np.exp(-0.7 * TS))
    result = wl.fit(wl.ode.System(field, {"a": 1.0, "b": 0.5}), data, 1.0, free=["a", "b"])
    assert result.values["a"] * result.values["b"] == pytest.approx(0.7, rel=1e-5)
    assert np.isnan(list(result.standard_errors.values())).all()
    assert any("do not determine a, b" in note for note in result.notes)
    assert "not determined" in str(result)


def test_a_start_that_cannot_be_simulated_is_named_or_left():
    def explosive(t, y, p):
        return p["k"] * y**2

    data = wl.Observations(TS, 1.0 / (1.0 - 0.1 * TS))
    system = wl.ode.System(explosive, {"k": 5.0})
    try:
        result = wl.fit(system, data, 1.0, free={"k": wl.Positive()})
    except wl.SimulationError as error:
        assert "start of the fit failed" in str(error)
        assert "start=" in str(error)
    else:
        assert result.values["k"] == pytest.approx(0.1, rel=1e-4)


def test_trials_that_fail_are_rejected_not_fatal():
    def explosive(t, y, p):
        return p["k"] * y**2

    data = wl.Observations(TS, 1.0 / (1.0 - 0.2 * TS))  # k = 0.25 already blows up at the end of the data
    result = wl.fit(wl.ode.System(explosive, {"k": 0.01}), data, 1.0, free={"k": wl.Positive()})
    assert result.values["k"] == pytest.approx(0.2, rel=1e-5)


def test_the_report_says_everything_and_json_is_json():
    system = wl.ode.System(predator_prey, dict(zip(RATES, (0.5, 0.03, 0.8, 0.02), strict=True)))
    result = wl.fit(system, PELTS, free=ALL_POSITIVE)
    text = str(result)
    for words in (
        "parameter",
        "standard error",
        "start",
        "bounds",
        "birth",
        "0.540159",
        "> 0",
        "2.01866",
        "AIC",
        "converged",
    ):
        assert words in text
    record = json.loads(result.to_json())
    assert record["values"]["death"] == pytest.approx(0.7964, rel=1e-3)
    assert record["success"] is True


def test_a_second_fit_of_the_same_structure_compiles_nothing():
    import jax

    system = wl.ode.System(predator_prey, dict(zip(RATES, (0.5, 0.03, 0.8, 0.02), strict=True)))
    wl.fit(system, PELTS, free=ALL_POSITIVE)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name) if "backend_compile" in name else None
    )
    wl.fit(system.replace(birth=0.6), PELTS, free=ALL_POSITIVE)
    assert not compiled


def test_more_unknowns_than_values_is_refused():
    with pytest.raises(ValueError, match="1 measured values cannot determine 3 unknowns"):
        wl.fit(wl.ode.System(decay, {"rate": np.ones(3)}), wl.Observations([0.0, 1.0], [1.0, np.nan]), 1.0, free="rate")


def test_an_unknown_initial_state_is_asked_for():
    data = wl.Observations(TS, np.ones(TS.size), observe=0)
    with pytest.raises(ValueError, match="initial state is not known"):
        wl.fit(wl.ode.System(decay, {"rate": 1.0}), data, free="rate")


def test_thirty_unknowns():
    def field(t, y, p):
        return -p["rates"] * y

    rates = np.linspace(0.1, 1.0, 30)
    truth = wl.ode.System(field, {"rates": rates})
    ts = np.linspace(0, 3, 31)
    data = wl.Observations(ts, wl.simulate(truth, np.ones(30), ts=ts).states)
    result = wl.fit(truth.replace(rates=rates * 1.3), data, np.ones(30), free={"rates": wl.Positive()})
    np.testing.assert_allclose(result.system.parameters["rates"], rates, rtol=1e-4)


def test_a_stiff_model_is_fitted_by_default():
    """Robertson's reaction until t = 1e5: an explicit solver alone would take a hundred million steps."""

    def robertson(t, y, p):
        a, b, c = y
        slow, fast, back = p["slow"] * a, p["fast"] * b * b, p["back"] * b * c
        return wl.stack(back - slow, slow - back - fast, fast)

    truth = wl.ode.System(robertson, {"slow": 0.04, "fast": 3e7, "back": 1e4})
    ts = np.concatenate([[0.0], np.geomspace(0.1, 1e5, 30)])
    run = wl.simulate(truth, [1.0, 0.0, 0.0], ts=ts, rtol=1e-8, atol=1e-12)
    data = wl.Observations(ts, run.states[:, 0], observe=0)
    result = wl.fit(truth.replace(slow=0.06), data, [1.0, 0.0, 0.0], free={"slow": wl.Positive()}, atol=1e-12)
    assert result.values["slow"] == pytest.approx(0.04, rel=1e-4)

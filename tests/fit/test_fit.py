"""Fits find what is known, say how well, and end in words when they cannot."""

import json

import jax
import jax.numpy as jnp
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


def explosive(t, y, p):
    """From 1 the solution is 1 / (1 - k t), infinite at t = 1 / k."""
    return p["k"] * y**2


def test_a_start_that_cannot_be_simulated_is_left_for_one_that_can():
    data = wl.Observations(TS, 1.0 / (1.0 - 0.1 * TS))
    result = wl.fit(wl.ode.System(explosive, {"k": 5.0}), data, 1.0, free={"k": wl.Positive()})
    assert result.success
    assert result.values["k"] == pytest.approx(0.1, rel=1e-6)
    assert any("start given could not be simulated" in note for note in result.notes)


def test_a_start_that_cannot_be_simulated_nor_left_is_named():
    """All starts within reach of k = 1000 are infinite before the second time."""
    data = wl.Observations(TS, 1.0 / (1.0 - 0.1 * TS))
    with pytest.raises(wl.SimulationError, match=r"start of the fit failed: step too small at t = 0.001.*start="):
        wl.fit(wl.ode.System(explosive, {"k": 1000.0}), data, 1.0, free={"k": wl.Positive()})


def test_trials_that_fail_are_rejected_not_fatal():
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


def test_a_second_fit_of_the_same_structure_compiles_nothing(compiled):
    def field(t, y, p):  # a function of its own, whose first fit must compile
        return predator_prey(t, y, p)

    system = wl.ode.System(field, dict(zip(RATES, (0.5, 0.03, 0.8, 0.02), strict=True)))
    compiled()
    wl.fit(system, PELTS, free=ALL_POSITIVE)
    assert compiled() > 0
    wl.fit(system.replace(birth=0.6), PELTS, free=ALL_POSITIVE)
    assert compiled() == 0


def test_more_unknowns_than_values_is_refused():
    with pytest.raises(ValueError, match="1 measured value cannot determine 3 unknowns"):
        wl.fit(wl.ode.System(decay, {"rate": np.ones(3)}), wl.Observations([0.0, 1.0], [1.0, np.nan]), 1.0, free="rate")


@pytest.mark.parametrize("count", [1, 2])
def test_as_many_values_as_unknowns_determine_them_but_not_the_noise(count):
    ts = np.arange(1.0, 1.0 + count)
    truth = wl.ode.System(decay, {"rate": np.full(count, 0.5)})
    values = np.asarray(wl.simulate(truth, np.ones(count), ts=ts, t0=0.0).states)
    data = wl.Observations(ts, np.diag(values), observe=lambda t, y, system: y[jnp.argmin(jnp.abs(t - ts))])
    result = wl.fit(truth.replace(rate=np.full(count, 0.3)), data, np.ones(count), t0=0.0, free={"rate": wl.Positive()})
    np.testing.assert_allclose(list(result.values.values()), 0.5, rtol=1e-5)
    assert any("no degrees of freedom to estimate the size of the noise" in note for note in result.notes)
    assert not any("do not determine" in note for note in result.notes)
    assert "not known" in str(result)
    assert "nan" not in str(result)


def test_a_first_row_that_is_the_initial_state_is_no_measured_value():
    values = 3.0 * np.exp(-0.5 * TS) * (1 + 0.02 * np.random.default_rng(0).normal(size=TS.size))
    system, free = wl.ode.System(decay, {"rate": 0.3}), {"rate": wl.Positive()}
    implied = wl.fit(system, wl.Observations(TS, values), free=free)
    given = wl.fit(system, wl.Observations(TS[1:], values[1:]), values[0], t0=TS[0], free=free)
    assert implied.degrees_of_freedom == given.degrees_of_freedom == TS.size - 2
    assert implied.standard_errors["rate"] == pytest.approx(given.standard_errors["rate"], rel=1e-6)
    both = wl.fit(system, wl.Observations(TS, np.stack([values, 2 * values], 1)), free=free | {"y0[1]": wl.Positive()})
    assert len(both.residuals) == 2 * TS.size - 1
    with pytest.raises(ValueError, match=r"0 measured values \(and 1 that serves as the initial state\) cannot determine 1 "):
        wl.fit(system, wl.Observations(TS[:1], values[:1]), free=free)
    assert len(wl.fit(system, wl.Observations(TS, values), free=free | {"y0": wl.Positive()}).residuals) == TS.size


def test_observations_before_the_initial_state_are_refused():
    system, data = wl.ode.System(decay, {"rate": 0.3}), wl.Observations(TS, np.exp(-TS))
    with pytest.raises(ValueError, match="t0=1, .* lies after the first observation at t = 0: start earlier"):
        wl.fit(system, data, 1.0, t0=1.0, free="rate")
    with pytest.raises(ValueError, match=r"experiments\[1\]: t0=1"):
        wl.fit(system, [wl.Experiment(data, 1.0), wl.Experiment(data, 1.0, t0=1.0)], free="rate")


@pytest.mark.parametrize("span", [(1.0, 5.0), (0.0, 3.9)])
def test_controls_that_do_not_cover_the_observations_are_refused(span):
    system = wl.ode.System(lambda t, y, p, u: -p["rate"] * y + u, {"rate": 0.3})
    data, controls = wl.Observations(TS, np.exp(-TS)), wl.Sampled(list(span), [0.0, 1.0])
    message = f"controls are known from t = {span[0]:g} to {span[1]:g}, but the run goes from 0 to the last observation at 4"
    with pytest.raises(ValueError, match=message):
        wl.fit(system, data, 1.0, controls=controls, free="rate")
    several = [wl.Experiment(data, 1.0, lambda t: 0.0 * t), wl.Experiment(data, 1.0, controls)]
    with pytest.raises(ValueError, match=r"experiments\[1\]: " + message):
        wl.fit(system, several, free="rate")


def hits_the_ground(t, y, p):
    return y[0]


@pytest.mark.parametrize("noise", [wl.Normal(), wl.LogNormal()])
def test_an_event_that_ends_the_run_before_the_data_do_is_named(noise):
    def fall(t, y, p):
        return wl.stack(y[1], -p["g"])

    system = wl.ode.System(fall, {"g": 9.81}, event=hits_the_ground)
    data = wl.Observations(TS, np.exp(-TS), noise, observe=0)
    message = r"ended by event 0 \(hits_the_ground\) at t = 0.451524, before the last observation at t = 4: start from"
    with pytest.raises(ValueError, match=message):
        wl.fit(system, data, [1.0, 0.0], free={"g": wl.Positive()})


def test_a_system_with_noise_is_refused():
    system = wl.ode.System(decay, {"rate": 0.3}, noise=lambda t, y, p: 0.1)
    with pytest.raises(ValueError, match="system has noise: .* no single trajectory can be fitted"):
        wl.fit(system, wl.Observations(TS, np.exp(-TS)), 1.0, free="rate")


CERTIFIED = {"b1": 2.1380940889e02, "b2": 5.4723748542e-01}  # NIST StRD, BoxBOD


@pytest.mark.parametrize(
    ("options", "digits"), [({}, 5.5), ({"rtol": 1e-10}, 8), ({"rtol": 1e-10, "tolerance": 1e-5}, 5.5)]
)
def test_the_tolerances_say_how_near_to_the_minimum_a_fit_ends(options, digits):
    system = wl.ode.System(lambda t, y, p: p["b2"] * (p["b1"] - y), {"b1": 100.0, "b2": 0.75})
    data = wl.Observations([1.0, 2.0, 3.0, 5.0, 7.0, 10.0], [109.0, 149.0, 149.0, 191.0, 213.0, 224.0])
    result = wl.fit(system, data, 0.0, t0=0.0, free=["b1", "b2"], **options)
    assert result.success
    assert result.values == pytest.approx(CERTIFIED, rel=10.0**-digits)
    assert result.standard_errors == pytest.approx({"b1": 1.2354515176e01, "b2": 1.0455993237e-01}, rel=1e-5)


@pytest.mark.parametrize(
    ("tolerance", "double", "message"),
    [
        (0.0, True, "tolerance=0.0: it is the distance from the minimum"),
        (1e-15, True, "at least 1e-12 is needed"),
        (1e-8, False, r"tolerance=1e-08 is finer than rounding in float32 .* wl.use_float64\(\)"),
    ],
)
def test_a_tolerance_that_makes_no_sense_is_refused(tolerance, double, message):
    with jax.enable_x64(double), pytest.raises(ValueError, match=message):
        data = wl.Observations(TS, np.exp(-TS))
        wl.fit(wl.ode.System(decay, {"rate": 0.3}), data, 1.0, free="rate", tolerance=tolerance)


def test_an_unknown_initial_state_is_asked_for():
    data = wl.Observations(TS, np.ones(TS.size), observe=0)
    with pytest.raises(ValueError, match="initial state is not known"):
        wl.fit(wl.ode.System(decay, {"rate": 1.0}), data, free="rate")


@pytest.mark.parametrize("ts", [np.linspace(0, 3, 31), np.array([1.5])], ids=["many values", "as many values"])
def test_thirty_unknowns(ts):
    """More than a gradient takes forward sensitivities for; a Jacobian has no fewer rows than columns and always does."""

    def field(t, y, p):
        return -p["rates"] * y

    rates = np.linspace(0.1, 1.0, 30)
    truth = wl.ode.System(field, {"rates": rates})
    data = wl.Observations(ts, np.exp(-np.outer(ts, rates)))
    result = wl.fit(truth.replace(rates=rates * 1.3), data, np.ones(30), t0=0.0, free={"rates": wl.Positive()})
    assert result.success
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


def test_a_function_is_not_a_system():
    with pytest.raises(TypeError, match=r"system is 'decay', .*pass wl.ode.System\(function, parameters\)"):
        wl.fit(decay, wl.Observations(TS, np.ones(TS.size)), 1.0, free="rate")
    with pytest.raises(TypeError, match="system has type dict"):
        wl.fit({"rate": 1.0}, wl.Observations(TS, np.ones(TS.size)), 1.0, free="rate")


@pytest.mark.parametrize("name", ["starts", "max_iterations", "max_steps"])
def test_a_count_below_one_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}=0: at least one is needed"):
        wl.fit(wl.ode.System(decay, {"rate": 1.0}), wl.Observations(TS, np.ones(TS.size)), free="rate", **{name: 0})


@pytest.mark.parametrize("level", [0.0, 3.0])
def test_a_poor_fit_is_called_poor(level):
    """A line through zero on data that jump, about it or far above; all searches agree on the least poor slope."""
    values = level + np.cos(np.arange(TS.size) * np.pi) + 0.35 * TS
    left = values @ values - (TS @ values) ** 2 / (TS @ TS)
    share = 1.0 - left / np.sum((values - values.mean()) ** 2)
    assert share < 0 if level else 0.05 < share < 0.25
    system = wl.ode.System(lambda t, y, p: p["slope"], {"slope": 0.0})
    result = wl.fit(system, wl.Observations(TS, values), 0.0, free="slope")
    assert result.sum_of_squares == pytest.approx(left)
    expected = "nothing of the variation of the data (their mean fits better)" if level else f"only {100 * share:.0f} %"
    assert any(f"explains {expected}" in note for note in result.notes)

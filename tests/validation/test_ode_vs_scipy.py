"""The validation of the ODE engine: it passes, and it fails where something is wrong."""

import dataclasses

import jax
import pytest

import worldline as wl
from worldline.validation import check_ode, validate_ode

zoo = wl.ode.zoo


def failed(problem):
    """The columns in which a problem fails."""
    return [check.quantity for check in check_ode(problem).checks if not check.passed]


def test_a_problem_with_everything_known_is_checked_in_every_way():
    seen = []
    report = validate_ode(["harmonic_oscillator"], progress=seen.append)
    assert report.passed and seen == list(report.rows)
    quantities = [check.quantity for check in report.rows[0].checks]
    assert quantities == ["state", "SciPy itself", "sensitivity", "closed form", "its gradient", "invariants"]
    facts = report.rows[0].facts
    assert list(facts) == ["solver", "our steps", "our s", "SciPy steps", "SciPy calls", "SciPy s"]
    assert 100 < facts["our steps"] < 10_000
    # DOP853 takes twelve evaluations a step, two more where a step is dense, and some for steps it refuses.
    assert 11 * facts["SciPy steps"] < facts["SciPy calls"] < 20 * facts["SciPy steps"]
    assert all(str(value) in str(report) for value in (facts["our steps"], facts["SciPy steps"], facts["SciPy calls"]))


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.names())
def test_the_zoo_agrees_with_scipy(name):
    row = check_ode(zoo.problem(name))
    assert row.passed, row.verdict


def decay_with(**wrong):
    return dataclasses.replace(zoo.problem("exponential_decay"), **wrong)


def test_wrong_answers_are_noticed_where_they_are():
    decay = zoo.problem("exponential_decay")
    # Each answer is off by about the square root of what is allowed: far too much, and small to the eye.
    off = 1.0 + 1e-5
    assert failed(decay_with(solution=lambda t, y, s: decay.solution(t * off, y, s))) == ["closed form"]
    assert failed(decay_with(gradient=lambda t, y, s: {"rate": decay.gradient(t, y, s)["rate"] * off})) == ["its gradient"]
    published = {"t": 5.0, "state": [0.006738 * off], "source": "nowhere"}
    assert failed(decay_with(reference=published)) == ["published"]
    assert failed(decay_with(invariants={"amount": lambda t, y, s: y[0] + 1.0})) == ["invariants"]


def test_a_run_that_fails_is_a_failed_row():
    explosion = dataclasses.replace(
        zoo.problem("exponential_decay"),
        name="explosion",
        system=lambda: wl.ode.System(lambda t, y, p: p["rate"] * y**2, {"rate": 1.0}),
        solution=None,
        gradient=None,
    )
    row = check_ode(explosion)
    assert not row.passed and "the run ended with" in row.verdict


def test_float32_and_unknown_names_are_refused():
    with jax.enable_x64(False), pytest.raises(ValueError, match="use_float64"):
        validate_ode(["logistic"])
    with pytest.raises(LookupError, match="did you mean 'logistic'"):
        validate_ode(["logistics"])

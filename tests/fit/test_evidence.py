"""Minima that only follow a trend are not believed, and what noise explains is."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl
from worldline.sim.fit.evidence import Evidence

TS = np.linspace(0.0, 60.0, 400)
SIGMA = 0.05
TRENDS = {
    "line": lambda t, x, a: 10 * a,
    "parabola": lambda t, x, a: 10 * a * t,
    "growth": lambda t, x, a: 0.2 * a * x * (1 - x / 300),
    "slow wave": lambda t, x, a: 20 * jnp.cos(0.1 * a * t),
}


def evidence(values, noise=None, unknowns=2, **options):
    experiment = wl.Experiment(wl.Observations(TS[: len(values)], values, noise, **options))
    count = np.size(values)
    return Evidence([experiment], np.ones(count, bool), unknowns, noise is not None)


@pytest.mark.parametrize(("trend", "noise"), [("line", wl.Normal(SIGMA)), *((trend, wl.Normal()) for trend in TRENDS)])
def test_a_wave_on_a_trend_is_found(trend, noise):
    """From w = 1 the plain descent follows the trend and misses the wave, w = 2, which is a thousandth of the data."""
    system = wl.ode.System(
        lambda t, y, p: wl.stack(TRENDS[trend](t, y[0], p["a"]), y[2], -(p["w"] ** 2) * y[1]), {"a": 1.0, "w": 2.0}
    )
    states = np.asarray(wl.simulate(system, [1.0, 1.0, 0.0], ts=TS, rtol=1e-9).states)
    values = states[:, 0] + states[:, 1] + np.random.default_rng(2).normal(0.0, SIGMA, TS.size)
    data = wl.Observations(TS, values, noise, observe=lambda y: y[0] + y[1])
    free = {"w": wl.Positive(), "a": wl.Free()}
    result = wl.fit(system.replace(a=0.7, w=1.0), data, [1.0, 1.0, 0.0], free=free)
    assert result.values == pytest.approx({"w": 2.0, "a": 1.0}, rel=1e-3)
    assert not any("chi-square" in note or "pattern" in note for note in result.notes)


@pytest.mark.parametrize(
    ("noise", "words"),
    [(wl.Normal(SIGMA), "chi-square is .* per degree of freedom"), (wl.Normal(), "beside the trend .* explains little")],
)
def test_a_fit_that_misses_the_wave_is_doubted(noise, words):
    """A model without the wave: however many searches agree, notes say that much is left."""
    values = 10 * TS + np.cos(2 * TS) + np.random.default_rng(2).normal(0.0, SIGMA, TS.size)
    line = wl.ode.System(lambda t, y, p: p["a"], {"a": 5.0})
    result = wl.fit(line, wl.Observations(TS, values, noise), 0.0, free={"a": wl.Free()})
    notes = " ".join(result.notes)
    assert result.values["a"] == pytest.approx(10.0, rel=1e-3)
    assert "12 of 12 searches" in result.message
    assert "12 searches found nothing better" in notes
    assert "residuals follow a pattern" in notes
    assert re.search(words, notes)


def test_noise_of_the_known_size_needs_no_second_witness():
    rng = np.random.default_rng(0)
    e = evidence(rng.normal(size=400), wl.Normal(1.0))
    assert e.witnesses(rng.normal(size=400)) == 1
    assert e.witnesses(3.0 * rng.normal(size=400)) == np.inf
    assert e.far(2.5 * 398)
    assert not e.far(1.5 * 398)
    few = evidence(np.arange(4.0), wl.Normal(1.0), unknowns=2)
    assert not few.far(2 * 5.0)  # which 2 degrees of freedom exceed once in 150 fits


def test_weights_are_no_sigmas():
    e = evidence(np.arange(40.0), wl.Normal(1.0), weights=100.0)
    assert not e.far(1e6)


def test_a_trend_counts_for_noise_only():
    rng = np.random.default_rng(1)
    e = evidence(10 * TS + np.cos(2 * TS))
    assert e.witnesses(0.05 * rng.normal(size=400)) == 1
    assert e.witnesses(np.cos(2 * TS)) == np.inf
    assert e.witnesses(0.3 * np.cos(2 * TS)) == 2
    assert e.witnesses(0.1 * np.cos(2 * TS)) == 1


def test_each_column_is_looked_at_in_order_of_time():
    """Columns side by side, and times in any order, make no pattern and hide none."""
    waves = np.stack([np.cos(TS), -np.cos(TS)], 1)
    e = evidence(np.zeros((400, 2)))
    assert abs(e.correlation(waves.ravel())) > 15
    assert abs(e.correlation(np.random.default_rng(3).normal(size=800))) < 4


def test_errors_of_the_solver_are_no_pattern():
    e = evidence(np.cos(TS))
    assert not e.patterned(1e-5 * np.cos(2 * TS))
    assert e.patterned(1e-2 * np.cos(2 * TS))


def test_data_that_do_not_vary_have_the_spread_of_their_size():
    e = evidence(np.full(400, 7.3))
    assert e.spread == e.motion == pytest.approx(7.3)
    assert evidence(np.zeros(400)).spread == 1.0

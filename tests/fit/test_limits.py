"""How long a fit may take: step limits of its runs, and the bar that shows where it is."""

import importlib
import inspect
import sys

import numpy as np
import pytest

import worldline as wl

TS = np.linspace(0.0, 2.0, 21)
FREQUENCY = 650 * np.pi  # over 20 000 steps within TS


def oscillator(t, y, p):
    return wl.stack(y[1], -p["stiffness"] * y[0])


SYSTEM = wl.ode.System(oscillator, {"stiffness": FREQUENCY**2 * 1.00001})
DATA = wl.Observations(TS, np.cos(FREQUENCY * TS) + 0.01 * np.random.default_rng(5).standard_normal(21), observe=0)
FREE = {"stiffness": wl.Positive()}


@pytest.mark.parametrize("solver", ["auto", pytest.param("bosh3", marks=pytest.mark.slow), "tsit5"])
def test_what_simulate_runs_by_default_can_be_fitted_by_default(solver):
    """The number of steps has nothing to do with the number of times, of which there are 21."""
    assert wl.simulate(SYSTEM, [1.0, 0.0], ts=TS, solver=solver).stats.steps > 20_000
    result = wl.fit(SYSTEM, DATA, [1.0, 0.0], free=FREE, solver=solver, starts=1)
    assert result.success
    assert result.values["stiffness"] == pytest.approx(FREQUENCY**2, rel=1e-5)
    assert result.options["max_steps"] == inspect.signature(wl.simulate).parameters["max_steps"].default


def test_a_start_beyond_the_step_limit_says_so():
    with pytest.raises(wl.SimulationError, match=r"step limit at t = .*Raise max_steps=10, .*start from values"):
        wl.fit(SYSTEM, DATA, [1.0, 0.0], free=FREE, max_steps=10, starts=1)


@pytest.fixture
def go(capsys):
    """A small fit, compiled or not; returns what it wrote to standard error. Compiling takes long enough for a bar."""

    def decay(t, y, p):
        return -p["rate"] * y

    def go(progress, fresh=True):
        field = (lambda t, y, p: decay(t, y, p)) if fresh else decay
        data = wl.Observations(TS, np.exp(-0.7 * TS))
        wl.fit(wl.ode.System(field, {"rate": 0.2}), data, 1.0, free="rate", progress=progress)
        return capsys.readouterr().err

    return go


def test_the_bar_shows_the_sum_of_squares_when_asked(go):
    shown = go(True)
    assert "evaluations" in shown
    assert "sum of squares" in shown
    assert go(False, fresh=False) == ""
    assert go(None, fresh=False) == ""  # no terminal here


def test_on_a_terminal_the_bar_shows_after_a_while(go, monkeypatch):
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: True, raising=False)
    go(False, fresh=False)  # compile
    assert go(None, fresh=False) == ""  # ended before
    monkeypatch.setattr(importlib.import_module("worldline.sim.fit.progress"), "SECONDS_BEFORE", 0.0)
    assert "sum of squares" in go(None)
    assert go(False) == ""

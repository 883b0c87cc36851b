"""Long runs go in parts: to the last bit what one part gives, with a bar between them."""

import numpy as np
import pytest
from small_systems import ball, explosion, predator_prey

import worldline as wl

TS = np.linspace(0.0, 12.0, 40)


@pytest.fixture
def short_parts(monkeypatch):
    monkeypatch.setattr("worldline.sim.progress.STEPS_IN_FIRST_PART", 9)
    monkeypatch.setattr("worldline.sim.progress.STEPS_IN_LATER_PARTS", 17)


def same(a, b):
    np.testing.assert_array_equal(a.states, b.states)
    np.testing.assert_array_equal(a.final, b.final)
    assert (a.stats.steps, a.stats.rejected, a.status.code) == (
        b.stats.steps,
        b.stats.rejected,
        b.status.code,
    )


@pytest.mark.parametrize("solver", ["auto", "rodas5p"])
def test_parts_give_the_bits_of_the_whole(short_parts, monkeypatch, solver):
    parts = wl.simulate(predator_prey(), [1.0, 1.0], ts=TS, solver=solver)
    monkeypatch.undo()
    whole = wl.simulate(predator_prey(), [1.0, 1.0], ts=TS, solver=solver)
    assert whole.stats.steps > 40
    same(parts, whole)


@pytest.mark.slow
def test_events_and_failures_end_the_parts(short_parts):
    landed = wl.simulate(ball(), [10.0, 0.0], ts=np.linspace(0.0, 5.0, 9), dt=0.01)
    assert landed.event.t == pytest.approx(np.sqrt(20 / 9.81), rel=1e-9) and landed.stats.steps == 143
    failed = wl.simulate(explosion(), 1.0, t1=2.0, throw=False)
    assert failed.status.failed and failed.status.t == pytest.approx(1.0, abs=1e-3)
    limited = wl.simulate(predator_prey(), [1.0, 1.0], ts=TS, max_steps=30, throw=False)
    assert limited.status.code == wl.core.Code.STEP_LIMIT and limited.stats.steps == 30
    assert np.isfinite(limited.states[0]).all() and np.isnan(limited.states[-1]).all()


def test_the_bar_shows_when_asked(short_parts, capsys):
    wl.simulate(predator_prey(), [1.0, 1.0], ts=TS, progress=True)
    assert "%|" in capsys.readouterr().err
    wl.simulate(predator_prey(), [1.0, 1.0], ts=TS, progress=False)
    wl.simulate(predator_prey(), [1.0, 1.0], ts=TS)  # no terminal here
    assert capsys.readouterr().err == ""


def test_the_bar_of_an_ensemble_counts_runs(capsys):
    wl.ensemble(lambda x: x + 1.0, tile=2, progress=True)(np.arange(5.0))
    assert "runs" in capsys.readouterr().err

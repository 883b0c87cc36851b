"""How the validation judges points of an equation of state; and a short run."""

import numpy as np
import pytest

from worldline.validation import md_states, validate_md_states


def parts(energy, count=10, noise=1e-4):
    """Means along a line through U = energy, P = 0.9 at T = 0.85."""
    random = np.random.default_rng(0)
    means = []
    for away in np.linspace(-0.01, 0.01, count):
        u, p = energy + 0.9 * away + noise * random.normal(), 0.9 + 5 * away + noise * random.normal()
        means.append(md_states.Point(*(np.full(4, x) for x in (0.85 + away, u, p))))
    return means


def test_a_line_through_the_point_passes_and_one_beside_it_does_not():
    assert md_states._at_constant_energy("good", parts(-5.9), 0.85, -5.9, 0.9).passed
    assert not md_states._at_constant_energy("bad", parts(-5.897), 0.85, -5.9, 0.9).passed
    assert not md_states._at_constant_energy("vague", parts(-5.9, noise=0.01), 0.85, -5.9, 0.9).passed


def test_canonical_means_are_judged_by_their_errors():
    random = np.random.default_rng(1)
    points = [md_states.Point(np.full(4096, 0.85), -5.8 + 0.03 * random.normal(size=4096), np.zeros(4096))]
    assert md_states._canonical("good", points, -5.8, 3e-4).passed
    assert not md_states._canonical("bad", points, -5.804, 3e-4).passed


@pytest.mark.slow
def test_a_short_run_is_near_the_point_and_too_vague(shared):
    row = md_states.check_point("short", "nve", 0.84, parts=4, steps=1000)
    assert row.facts["U"] == pytest.approx(-5.909, abs=0.05) and row.facts["P"] == pytest.approx(0.91, abs=0.4)
    assert not row.passed


def test_rows_without_numbers_are_skipped(monkeypatch, tmp_path):
    monkeypatch.setattr("worldline.validation.md_published.SHARED", tmp_path)
    assert validate_md_states(["nve, density 0.84"]).rows[0].skipped


def test_names_that_there_are_not_are_refused():
    with pytest.raises(LookupError, match="no problem 'dog'; the problems are nve, density 0.776;"):
        validate_md_states(["dog"])

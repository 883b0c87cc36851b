"""How the validation judges points of an equation of state; and a short run."""

import numpy as np
import pytest

from worldline.validation import md_states, validate_md_states


def parts(energy, pressure=0.9, count=10, noise=1e-4):
    """Means along a line through U = energy at T = 0.85, with the scatter of runs of fixed total energy."""
    random = np.random.default_rng(0)
    means = []
    for away in np.linspace(-0.01, 0.01, count):
        u, p, scatter = energy + 0.9 * away, pressure + 5 * away, noise * random.normal()
        t = 0.85 + away - scatter / (1.5 * (md_states.ATOMS - 1) / md_states.ATOMS)
        means.append(md_states.Point(*(np.full(4, x) for x in (t, u + scatter, p + scatter))))
    return means


def judged(points):
    return md_states._at_constant_energy("point", points, (0.851, -5.9, 0.9), -5.9, (-5.9, 3e-4, 0.9, 2e-3))


def test_a_line_through_the_point_passes_and_one_beside_it_does_not():
    row = judged(parts(-5.9))
    assert row.passed, row.verdict
    assert row.facts["U less that of nve"] == "+0.0009" and row.facts["P less that of nve"] == "+0.0050"
    assert not judged(parts(-5.897)).passed
    assert not judged(parts(-5.9, 0.92)).passed
    assert not judged(parts(-5.9, noise=0.01)).passed


def test_lines_are_not_bent_by_the_scatter_of_temperatures():
    """Regression in T would be, for U falls where T rises within a part."""
    row = judged([point for _ in range(3) for point in parts(-5.9, noise=5e-4)])
    assert abs(row.facts["U"] + 5.9) < 5e-4


def test_canonical_means_are_judged_by_their_errors():
    random = np.random.default_rng(1)
    points = [md_states.Point(np.full(4096, 0.85), -5.8 + 0.03 * random.normal(size=4096), np.zeros(4096))]
    assert md_states._canonical("good", points, -5.8, 3e-4).passed
    assert not md_states._canonical("bad", points, -5.804, 3e-4).passed


@pytest.mark.slow
def test_a_short_run_is_near_the_point_and_too_vague(shared):
    row = md_states.check_point("short", "nve", 0.84, parts=4, steps=1000)
    assert row.facts["U"] == pytest.approx(-5.915, abs=0.05) and row.facts["P"] == pytest.approx(0.88, abs=0.4)
    assert not row.passed


def test_rows_without_numbers_are_skipped(monkeypatch, tmp_path):
    monkeypatch.setattr("worldline.validation.md_published.SHARED", tmp_path)
    assert validate_md_states(["nve, density 0.84"]).rows[0].skipped


def test_names_that_there_are_not_are_refused():
    with pytest.raises(LookupError, match="no problem 'dog'; the problems are nve, density 0.776;"):
        validate_md_states(["dog"])

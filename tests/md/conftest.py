"""Both ways of visiting neighbors: all pairs, and rows also for few particles."""

import pytest

from worldline.physics.md.neighborhood import capacity


@pytest.fixture
def rows(monkeypatch):
    """Few particles have rows too."""
    monkeypatch.setattr(capacity, "MOST_PARTICLES_IN_PAIRS", 0)


@pytest.fixture(params=["pairs", "rows", pytest.param("rows on XLA", marks=pytest.mark.slow)])
def layout(request, monkeypatch):
    """The keywords of a system for each layout of its lists."""
    if request.param != "pairs":
        monkeypatch.setattr(capacity, "MOST_PARTICLES_IN_PAIRS", 0)
    return {"native": request.param != "rows on XLA"}

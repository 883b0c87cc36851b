"""Both ways of going through neighbors."""

import pytest

ROWS = "worldline.physics.md.neighborhood.capacity.MOST_PARTICLES_IN_PAIRS"


@pytest.fixture(params=["pairs", pytest.param("rows", marks=pytest.mark.slow)])
def layout(request, monkeypatch):
    """All pairs of few particles, or rows of neighbors, which many particles have."""
    if request.param == "rows":
        monkeypatch.setattr(ROWS, 0)
    return request.param


@pytest.fixture
def in_rows(monkeypatch):
    """Rows of neighbors whatever the number of particles."""
    monkeypatch.setattr(ROWS, 0)

"""All ways of visiting neighbors."""

import pytest


@pytest.fixture(params=["pairs", "rows", pytest.param("rows on XLA", marks=pytest.mark.slow)])
def layout(request):
    """The keywords of a system for each layout of its lists."""
    if request.param != "pairs":
        request.getfixturevalue("in_rows")
    return {"native": request.param != "rows on XLA"}

"""Fixtures of the fit tests."""

import jax
import pytest


@pytest.fixture
def compiled():
    """A function that tells how many programs were compiled since it was asked last."""
    found = []

    def note(name, *_, **__):
        if name.endswith("backend_compile_duration"):
            found.append(name)

    def count():
        number = len(found)
        found.clear()
        return number

    jax.monitoring.register_event_duration_secs_listener(note)
    yield count
    jax.monitoring.unregister_event_duration_listener(note)

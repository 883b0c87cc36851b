"""The two ways in which a command ends badly."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WrongInput(Exception):
    """The command line, a model file or the data make no sense: exit code 2. The text says what, where, what
    to do.
    """


class Failed(Exception):
    """The input was fine, but the run, fit or validation failed: exit code 1."""


def near(name: str, known: Iterable[str]) -> str:
    """ "did you mean 'prey'? " for a name close to known ones, else nothing."""
    found = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, found))}? " if found else ""

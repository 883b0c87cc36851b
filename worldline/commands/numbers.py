"""Numbers and `name=value` pairs on the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .failure import WrongInput


def number(text: str, what: str) -> float:
    """A finite number. **Raises** `WrongInput` naming what it was for."""
    value = read_number(text)
    if value is None or not math.isfinite(value):
        raise WrongInput(f"{what}: {text!r} is not a finite number")
    return value


def read_number(text: str) -> float | None:
    """The number a text stands for, or None. Python's 1_000 is no number here."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def pairs(texts: Sequence[str] | None, option: str) -> dict[str, float]:
    """`["birth=0.5"]` as `{"birth": 0.5}`. **Raises** `WrongInput` for what is no pair, or a name given
    twice.
    """
    found: dict[str, float] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise WrongInput(f"{option} {text}: write {option} NAME=VALUE, such as {option} mass=1.5")
        if name in found:
            raise WrongInput(f"{option} {text}: {name!r} is given twice")
        found[name] = number(value.strip(), f"{option} {name}=")
    return found

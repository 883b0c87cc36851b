"""Bounds on unknowns: `Free`, `Positive`, `Bounded`. The search moves a number u, of which the unknown is a function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


@dataclass(frozen=True)
class Free:
    """An unknown without bounds. `start` (everywhere): the value to start from, by default that of the system."""

    start: Any = None

    def value(self, u: Array) -> Array:
        """The unknown, of the number u that the search moves."""
        return u

    def number(self, value: np.ndarray) -> np.ndarray:
        """The inverse of `value`."""
        return value

    def slope(self, value: np.ndarray) -> np.ndarray:
        """The derivative of the unknown by u, where it has this value."""
        return np.ones_like(value)

    @property
    def interval(self) -> tuple[float, float]:
        """The least and the greatest u."""
        return -np.inf, np.inf

    def size(self, start: np.ndarray) -> np.ndarray:
        """How far off the start may well be, in u; 0 where the start does not tell."""
        return np.abs(start)

    def check(self, name: str, start: np.ndarray) -> np.ndarray:
        """The start. **Raises** `ValueError` where the bounds exclude it."""
        if not np.isfinite(start).all():
            raise ValueError(f"the start of {name!r} is not finite: {start}. Give it a finite start.")
        return start

    def describe(self) -> str:
        """The bounds, for tables."""
        return ""


@dataclass(frozen=True)
class Positive(Free):
    """An unknown greater than zero: value = exp(u). Errors and steps are relative ones."""

    def value(self, u: Array) -> Array:
        """exp(u)."""
        return jnp.exp(u)

    def number(self, value: np.ndarray) -> np.ndarray:
        """The logarithm."""
        return np.log(value)

    def slope(self, value: np.ndarray) -> np.ndarray:
        """The derivative of exp(u) is the value itself."""
        return value

    def size(self, start: np.ndarray) -> np.ndarray:
        """1 for every start: it may be off by a factor of e."""
        return np.ones_like(start)

    def check(self, name: str, start: np.ndarray) -> np.ndarray:
        """The start. **Raises** `ValueError` where it is not greater than zero."""
        super().check(name, start)
        if (start <= 0).any():
            raise ValueError(
                f"the bounds of {name!r} exclude its start {_short(start)}: it must be greater than zero. Start "
                f"elsewhere (wl.Positive(start=...)), or allow zero (wl.Bounded(lower=0))."
            )
        return start

    def describe(self) -> str:
        """The bound, for tables."""
        return "> 0"


@dataclass(frozen=True)
class Bounded(Free):
    """An unknown between bounds, either of which may be missing, and may be reached: the search then stays there."""

    lower: float | None = None
    upper: float | None = None
    start: Any = None

    def __init__(self, lower: float | None = None, upper: float | None = None, start: Any = None):
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)
        object.__setattr__(self, "start", start)
        if lower is None and upper is None:
            raise ValueError("Bounded needs a bound: Bounded(lower=0), Bounded(0, 1); or use wl.Free().")
        for bound in (lower, upper):
            if bound is not None and not np.isfinite(bound):
                raise ValueError(f"Bounded({lower}, {upper}): leave out a bound instead of giving an infinite one.")
        if lower is not None and upper is not None and not lower < upper:
            raise ValueError(f"Bounded({lower}, {upper}): the lower bound must be below the upper one.")

    @property
    def interval(self) -> tuple[float, float]:
        """The bounds, infinite where one is missing; u is the unknown itself."""
        return (-np.inf if self.lower is None else self.lower, np.inf if self.upper is None else self.upper)

    def size(self, start: np.ndarray) -> np.ndarray:
        """A quarter of the interval, or how far the start is from the only bound."""
        lower, upper = self.interval
        if np.isfinite(upper - lower):
            return np.full_like(start, (upper - lower) / 4)
        return start - lower if np.isfinite(lower) else upper - start

    def check(self, name: str, start: np.ndarray) -> np.ndarray:
        """The start. **Raises** `ValueError` where it lies outside the bounds."""
        super().check(name, start)
        lower, upper = self.interval
        if (start < lower).any() or (start > upper).any():
            raise ValueError(
                f"the bounds of {name!r} ({self.describe()}) exclude its start {_short(start)}: start inside them "
                "(wl.Bounded(..., start=...)) or widen them."
            )
        return start

    def describe(self) -> str:
        """The bounds, for tables."""
        if self.lower is not None and self.upper is not None:
            return f"{self.lower:g} to {self.upper:g}"
        return f">= {self.lower:g}" if self.lower is not None else f"<= {self.upper:g}"


def _short(value: np.ndarray) -> str:
    return f"{float(value):g}" if np.ndim(value) == 0 else np.array2string(value, precision=4)

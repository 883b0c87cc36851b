"""Systems whose arrays may prove too small, such as lists of neighbors: made for a state, and grown where it needs more.

Such a system has `sized(state, spare)` and `grown(state, before)`; every other system is taken as it is.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import PyTree

MOST_GROWTHS = 30  # of one run or search


def with_room(system: Any, state: PyTree, spare: float | None = None) -> Any:
    """The system with arrays that hold what a state needs, or `spare` times as much."""
    return system.sized(state, spare) if hasattr(system, "sized") else system


def with_more_room(system: Any, state: PyTree, before: int) -> Any | None:
    """The system with larger arrays than it has, for a state that had too little room; None where that is no help.

    `before` says how often it has grown already.
    """
    return system.grown(state, before) if hasattr(system, "grown") and before < MOST_GROWTHS else None

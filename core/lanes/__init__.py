"""Lanes: a `vmap` that compiles the program of one lane to native vector code."""

from .explain import explain
from .ptx import ptx
from .transform import lanes

lanes.explain = explain  # type: ignore[attr-defined]
lanes.ptx = ptx  # type: ignore[attr-defined]

__all__ = ["lanes"]

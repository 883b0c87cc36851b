"""Lanes: a `vmap` that compiles the program of one lane to native vector code."""

from .transform import lanes

__all__ = ["lanes"]

"""Molecular dynamics: particles in a box, their interactions, and what is measured of them."""

from .box import Box
from .state import State

__all__ = ["Box", "State"]

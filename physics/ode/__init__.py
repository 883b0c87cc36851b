"""Ordinary and stochastic differential equations: systems from plain functions, and a zoo of named problems."""

from . import zoo
from .system import Event, Separable, System

__all__ = ["Event", "Separable", "System", "zoo"]

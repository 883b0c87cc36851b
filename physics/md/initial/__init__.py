"""Where a run may begin: lattices, random packings, and velocities of a temperature."""

from .lattices import lattice
from .packings import random_packing
from .velocities import thermal_velocities

__all__ = ["lattice", "random_packing", "thermal_velocities"]

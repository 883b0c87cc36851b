"""Molecular dynamics: particles in a box, their interactions, and what is measured of them."""

from .box import Box
from .lennard_jones import LennardJones
from .pairs import PairPotential
from .state import State
from .surroundings import Surroundings
from .system import System
from .terms import Sum, Term
from .units import Units, units

__all__ = ["Box", "LennardJones", "PairPotential", "State", "Sum", "Surroundings", "System", "Term", "Units", "units"]

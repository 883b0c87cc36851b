"""Molecular dynamics: particles in a box, their interactions, and what is measured of them."""

from .ase import from_ase, to_ase
from .box import Box
from .initial import lattice, random_packing, thermal_velocities
from .lennard_jones import LennardJones
from .pairs import PairPotential
from .setfl import Setfl, read_setfl, write_setfl
from .state import State
from .structure import Structure
from .surroundings import Surroundings
from .system import System
from .terms import Sum, Term
from .units import Units, units
from .xyz import read_xyz, read_xyz_frames, write_xyz

__all__ = [
    "Box",
    "LennardJones",
    "PairPotential",
    "Setfl",
    "State",
    "Structure",
    "Sum",
    "Surroundings",
    "System",
    "Term",
    "Units",
    "from_ase",
    "lattice",
    "random_packing",
    "read_setfl",
    "read_xyz",
    "read_xyz_frames",
    "thermal_velocities",
    "to_ase",
    "units",
    "write_setfl",
    "write_xyz",
]

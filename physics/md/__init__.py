"""Molecular dynamics: particles in a box, their interactions, and what is measured of them."""

from typing import Any

from ...core.names import unknown_name
from ...solvers.cell_rescaling import CellRescaling
from ...solvers.langevin import Brownian, Langevin
from ...solvers.nose_hoover import NoseHoover
from ...solvers.velocity_rescaling import VelocityRescaling
from .angles import Angles, CosineAngles, CosineSquaredAngles, Dihedrals
from .ase import from_ase, to_ase
from .bonded import Bonded, Bonds, FeneBonds, MorseBonds
from .box import Box
from .embedded_atom import EmbeddedAtom
from .ewald import Coulomb
from .exclusions import Exclusions
from .fields import ElectricField, External, Field, HarmonicTrap, UniformForce, Wall93
from .initial import lattice, random_packing, thermal_velocities
from .learned import Learned
from .lennard_jones import LennardJones
from .many_body import ManyBody
from .observables import (
    Correlation,
    Estimate,
    RadialDistribution,
    RunningAverage,
    RunningCorrelation,
    autocorrelation,
    block_average,
    diffusion_from_displacement,
    diffusion_from_velocity,
    energy_parts,
    kinetic_energy,
    mean_squared_displacement,
    potential_energy,
    pressure,
    shear_components,
    statistical_inefficiency,
    stress,
    temperature,
    total_energy,
    velocity_autocorrelation,
    viscosity_from_stress,
)
from .pair_function import Pair
from .pair_potentials import Buckingham, Morse, SoftSphere, Yukawa
from .pairs import PairPotential
from .restraints import DistanceRestraints, PositionRestraints
from .setfl import Setfl, read_setfl, write_setfl
from .state import State
from .stillinger_weber import StillingerWeber
from .structure import Structure
from .surroundings import Surroundings
from .system import System
from .terms import Sum, Term
from .units import Units, units
from .xyz import read_xyz, read_xyz_frames, write_xyz

__all__ = [
    "Angles",
    "Bonded",
    "Bonds",
    "Box",
    "Brownian",
    "Buckingham",
    "CellRescaling",
    "Correlation",
    "CosineAngles",
    "CosineSquaredAngles",
    "Coulomb",
    "Dihedrals",
    "DistanceRestraints",
    "ElectricField",
    "EmbeddedAtom",
    "Estimate",
    "Exclusions",
    "External",
    "FeneBonds",
    "Field",
    "HarmonicTrap",
    "Langevin",
    "Learned",
    "LennardJones",
    "ManyBody",
    "Morse",
    "MorseBonds",
    "NoseHoover",
    "Pair",
    "PairPotential",
    "PositionRestraints",
    "RadialDistribution",
    "RunningAverage",
    "RunningCorrelation",
    "Setfl",
    "SoftSphere",
    "State",
    "StillingerWeber",
    "Structure",
    "Sum",
    "Surroundings",
    "System",
    "Term",
    "UniformForce",
    "Units",
    "VelocityRescaling",
    "Wall93",
    "Yukawa",
    "autocorrelation",
    "block_average",
    "diffusion_from_displacement",
    "diffusion_from_velocity",
    "energy_parts",
    "from_ase",
    "kinetic_energy",
    "lattice",
    "mean_squared_displacement",
    "potential_energy",
    "pressure",
    "random_packing",
    "read_setfl",
    "read_xyz",
    "read_xyz_frames",
    "shear_components",
    "statistical_inefficiency",
    "stress",
    "temperature",
    "thermal_velocities",
    "to_ase",
    "total_energy",
    "units",
    "velocity_autocorrelation",
    "viscosity_from_stress",
    "write_setfl",
    "write_xyz",
]

# What is the same for all engines is looked for here, too.
_ELSEWHERE = ("simulate", "minimise", "ensemble", "fit", "grad", "vmap", "jit", "hessian", "Sampled", "use_float64")


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"wl.md has no name {name!r}.")
    raise unknown_name("wl.md", name, {n: f"wl.{n}" for n in _ELSEWHERE} | {n: f"wl.md.{n}" for n in __all__})

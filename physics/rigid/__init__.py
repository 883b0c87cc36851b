"""Rigid bodies: models of robots from MJCF and URDF files, their kinematics and their smooth dynamics."""

from .dynamics import bias_forces, forward_dynamics, inverse_dynamics, mass_matrix
from .energy import center_of_mass, energy, kinetic_energy, momentum, potential_energy
from .features import UnsupportedFeature
from .kinematics import Poses, difference, integrate_position, kinematics, point_jacobian
from .mjcf import load
from .model import Body, Fluid, Joint, Model, Tree
from .passive import passive_forces

__all__ = [
    "Body",
    "Fluid",
    "Joint",
    "Model",
    "Poses",
    "Tree",
    "UnsupportedFeature",
    "bias_forces",
    "center_of_mass",
    "difference",
    "energy",
    "forward_dynamics",
    "integrate_position",
    "inverse_dynamics",
    "kinematics",
    "kinetic_energy",
    "load",
    "mass_matrix",
    "momentum",
    "passive_forces",
    "point_jacobian",
    "potential_energy",
]

"""Rigid bodies: models of robots from MJCF and URDF files, their kinematics and their smooth dynamics."""

from .actuation import Actuation, actuation, next_activation
from .dynamics import bias_forces, forward_dynamics, inverse_dynamics, mass_matrix
from .elements import Actuator, Body, Coupling, DryFriction, Fluid, Geom, Joint, Limit, Pair, Tendon
from .energy import center_of_mass, energy, kinetic_energy, momentum, potential_energy
from .features import UnsupportedFeature
from .kinematics import Poses, difference, integrate_position, kinematics, point_jacobian
from .mjcf import load
from .model import Candidate, Model, Settings, Tree, Weights
from .passive import passive_forces
from .tendons import tendon_jacobian, tendon_lengths

__all__ = [
    "Actuation",
    "Actuator",
    "Body",
    "Candidate",
    "Coupling",
    "DryFriction",
    "Fluid",
    "Geom",
    "Joint",
    "Limit",
    "Model",
    "Pair",
    "Poses",
    "Settings",
    "Tendon",
    "Tree",
    "UnsupportedFeature",
    "Weights",
    "actuation",
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
    "next_activation",
    "passive_forces",
    "point_jacobian",
    "potential_energy",
    "tendon_jacobian",
    "tendon_lengths",
]

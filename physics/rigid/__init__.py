"""Rigid bodies: models of robots from MJCF and URDF files, their kinematics and their smooth dynamics."""

from .actuation import Actuation, actuation, next_activation
from .build import build
from .constraints import Rows, contact_response, response
from .contacts import ContactParameters, contact_parameters, geom_pose, pyramid, relative_jacobian
from .dynamics import bias_forces, forward_dynamics, inverse_dynamics
from .elements import Actuator, Body, Coupling, DryFriction, Fluid, Geom, Joint, Limit, Pair, Tendon
from .energy import center_of_mass, energy, kinetic_energy, momentum, potential_energy
from .factor import MassFactor, factor_mass, solve_mass
from .features import UnsupportedFeature
from .kinematics import Placement, Poses, difference, integrate_position, kinematics, place, point_jacobian
from .mass import mass_matrix, mass_rows
from .mjcf import load
from .model import Candidate, Model, Settings, Tree, Weights
from .parts import (
    ball,
    body,
    dry_friction,
    free,
    geom,
    hinge,
    limit,
    motor,
    position_servo,
    slide,
    velocity_servo,
)
from .passive import passive_forces
from .rows import coupling_rows, friction_rows, limit_rows
from .state import State
from .tendons import tendon_jacobian, tendon_lengths
from .weights import reference_weights

__all__ = [
    "Actuation",
    "Actuator",
    "Body",
    "Candidate",
    "ContactParameters",
    "Coupling",
    "DryFriction",
    "Fluid",
    "Geom",
    "Joint",
    "Limit",
    "MassFactor",
    "Model",
    "Pair",
    "Placement",
    "Poses",
    "Rows",
    "Settings",
    "State",
    "Tendon",
    "Tree",
    "UnsupportedFeature",
    "Weights",
    "actuation",
    "ball",
    "bias_forces",
    "body",
    "build",
    "center_of_mass",
    "contact_parameters",
    "contact_response",
    "coupling_rows",
    "difference",
    "dry_friction",
    "energy",
    "factor_mass",
    "forward_dynamics",
    "free",
    "friction_rows",
    "geom",
    "geom_pose",
    "hinge",
    "integrate_position",
    "inverse_dynamics",
    "kinematics",
    "kinetic_energy",
    "limit",
    "limit_rows",
    "load",
    "mass_matrix",
    "mass_rows",
    "momentum",
    "motor",
    "next_activation",
    "passive_forces",
    "place",
    "point_jacobian",
    "position_servo",
    "potential_energy",
    "pyramid",
    "reference_weights",
    "relative_jacobian",
    "response",
    "slide",
    "solve_mass",
    "tendon_jacobian",
    "tendon_lengths",
    "velocity_servo",
]

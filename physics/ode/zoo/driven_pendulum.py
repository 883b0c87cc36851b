"""A motor-driven pendulum with viscous and Coulomb friction; the torque is the control."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ....core.arrays import stack
from ..system import System
from .definition import Problem, Time


def pendulum(t, y, p, torque):
    """inertia a = torque - mass_length g sin(q) - viscous v - coulomb arctan(sharpness v) - offset.

    The arctangent rounds the corner of Coulomb friction, so that the field can be differentiated.
    """
    angle, velocity = y
    friction = p["viscous"] * velocity + p["coulomb"] * jnp.arctan(p["sharpness"] * velocity)
    weight = p["mass_length"] * p["gravity"] * jnp.sin(angle)
    return stack(velocity, (torque - weight - friction - p["offset"]) / p["inertia"])


def drive(t: Time) -> Float[Array, ""]:
    """A torque of 0.7 N m at 3 rad/s, a little below resonance."""
    return 0.7 * jnp.sin(3.0 * t)


problem = Problem(
    name="driven_pendulum",
    summary="A real pendulum as it was identified, driven by a sinusoidal torque.",
    source="Torque-limited simple pendulum, DFKI Underactuated Lab: identification of the measured device",
    system=lambda: System(
        pendulum,
        {
            "inertia": 0.06259,  # kg m^2, about the pivot
            "mass_length": 0.1022,  # kg m, mass times distance of its centre from the pivot
            "gravity": 9.81,  # m/s^2
            "viscous": 0.04707,  # N m s
            "coulomb": 0.1839,  # N m
            "sharpness": 100.0,  # s/rad
            "offset": -0.07586,  # N m
        },
    ),
    state=[0.0, 0.0],  # rad from hanging, rad/s
    span=(0.0, 5.0),
    names=("angle", "velocity"),
    controls=drive,
)

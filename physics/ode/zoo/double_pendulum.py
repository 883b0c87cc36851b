"""Two rigid links swinging in a plane without friction."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ....core.arrays import stack
from ..system import System
from .definition import Problem, Time


def _inertia(angle2, p):
    """Return the entries m11, m12, m22 of the mass matrix."""
    reach = p["length1"] * p["mass2"] * p["center2"] * jnp.cos(angle2)
    m11 = p["inertia1"] + p["inertia2"] + p["mass2"] * p["length1"] ** 2 + 2.0 * reach
    return m11, p["inertia2"] + reach, p["inertia2"]


def links(t, y, p):
    """M(q) q'' = -C(q, q') - G(q); q1 from hanging, q2 relative to link 1, inertias about the joints."""
    angle1, angle2, velocity1, velocity2 = y
    gravity = p["gravity"]
    m11, m12, m22 = _inertia(angle2, p)
    centrifugal = p["length1"] * p["mass2"] * p["center2"] * jnp.sin(angle2)
    weight2 = gravity * p["mass2"] * p["center2"] * jnp.sin(angle1 + angle2)
    weight1 = gravity * (p["mass1"] * p["center1"] + p["mass2"] * p["length1"]) * jnp.sin(angle1) + weight2
    torque1 = centrifugal * (2.0 * velocity1 + velocity2) * velocity2 - weight1
    torque2 = -centrifugal * velocity1**2 - weight2
    determinant = m11 * m22 - m12**2
    return stack(
        velocity1,
        velocity2,
        (m22 * torque1 - m12 * torque2) / determinant,
        (m11 * torque2 - m12 * torque1) / determinant,
    )


def energy(t: Time, y: Float[Array, "4"], system: System) -> Float[Array, ""]:
    """q' . M(q) q' / 2 + potential energy of both centres of mass."""
    p = system.parameters
    angle1, angle2, velocity1, velocity2 = y
    m11, m12, m22 = _inertia(angle2, p)
    kinetic = 0.5 * (m11 * velocity1**2 + 2.0 * m12 * velocity1 * velocity2 + m22 * velocity2**2)
    height1 = -p["center1"] * jnp.cos(angle1)
    height2 = -p["length1"] * jnp.cos(angle1) - p["center2"] * jnp.cos(angle1 + angle2)
    return kinetic + p["gravity"] * (p["mass1"] * height1 + p["mass2"] * height2)


# Chaotic: 3 seconds are short enough for an early error to stay small and be compared.
problem = Problem(
    name="double_pendulum",
    summary="A double pendulum of rigid links, released from the horizontal.",
    source="Spong, Hutchinson, Vidyasagar, Robot Modeling and Control, section 7.4 (planar elbow); constants "
    "as identified for the double pendulum of the DFKI Underactuated Lab, without its friction",
    system=lambda: System(
        links,
        {
            "mass1": 0.608,  # kg
            "mass2": 0.630,
            "length1": 0.3,  # m, from joint 1 to joint 2
            "center1": 0.275,  # m, from joint to centre of mass
            "center2": 0.166,
            "inertia1": 0.05472,  # kg m^2, about the joint
            "inertia2": 0.02522,
            "gravity": 9.81,  # m/s^2
        },
    ),
    state=[1.5707963267948966, 0.0, 0.0, 0.0],  # rad, rad/s
    span=(0.0, 3.0),
    names=("angle1", "angle2", "velocity1", "velocity2"),
    invariants={"energy": energy},
)

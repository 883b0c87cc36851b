"""The parts of a model: bodies, joints, shapes, tendons, actuators, couplings. Their float fields are its parameters.

What has no meaning for an element, and what its file does not switch on, is None: no parameter, and nothing computed.
"""

from __future__ import annotations

import equinox as eqx
from jaxtyping import Array, Float


class Body(eqx.Module):
    """A rigid body: where its frame sits in its parent's, and how its mass is spread.

    The frame of a body with a free joint is placed by q; `position` and `orientation` are then where it starts, and
    where a spring of that joint pulls it to. Quaternions need not have length one: their direction counts.
    """

    position: Float[Array, "3"]  # of the frame, in the parent's frame, before the joints move it; m
    orientation: Float[Array, "4"]  # of the frame, in the parent's frame; quaternion (w, x, y, z)
    mass: Float[Array, ""]  # kg
    center: Float[Array, "3"]  # centre of mass, in the body's frame; m
    inertia: Float[Array, "3"]  # principal moments about the centre of mass; kg m²
    inertia_orientation: Float[Array, "4"]  # of the principal axes, in the body's frame; quaternion


class Limit(eqx.Module):
    """A range that a soft constraint keeps a joint or a tendon in; see `constraints` for solref and solimp."""

    range: Float[Array, "2"]  # lowest and highest value; of a ball joint the second entry is the largest angle; rad, m
    margin: Float[Array, ""]  # how far inside the range the constraint begins to act; rad, m
    solref: Float[Array, "2"]
    solimp: Float[Array, "5"]


class DryFriction(eqx.Module):
    """Coulomb friction in a joint or a tendon: a soft constraint that holds it still with a force up to `loss`."""

    loss: Float[Array, ""]  # N m or N, for each degree of freedom
    solref: Float[Array, "2"]
    solimp: Float[Array, "5"]


class Joint(eqx.Module):
    """A joint by which a body moves against its parent, or against where the body's earlier joints took it.

    Forces and torques: spring -stiffness (displacement), damper -damping velocity.
    """

    axis: Float[Array, "3"] | None  # hinge, slide: direction in the body's frame; its length does not count
    anchor: Float[Array, "3"] | None  # hinge, ball: a point of the axis, in the body's frame; m
    reference: Float[Array, ""] | None  # hinge, slide: the entry of q in the pose in which the file shows it; rad, m
    stiffness: Float[Array, ""] | None  # N m/rad or N/m
    spring_reference: Float[Array, ""] | None  # hinge, slide: the entry of q at which the spring rests; rad, m
    damping: Float[Array, ""]  # N m s/rad or N s/m
    armature: Float[Array, ""]  # inertia of the drive, added to the diagonal of the mass matrix; kg m² or kg
    drive_range: Float[Array, "2"] | None  # hinge, slide: bounds of the sum of what actuators give; N m or N
    limit: Limit | None
    dry_friction: DryFriction | None
    kind: str = eqx.field(static=True)  # "free", "ball", "slide" or "hinge"


class Fluid(eqx.Module):
    """The medium that all bodies move through."""

    density: Float[Array, ""]  # kg/m³
    viscosity: Float[Array, ""]  # Pa s
    wind: Float[Array, "3"]  # its velocity, in world axes; m/s


class Geom(eqx.Module):
    """A shape fixed to a body, or to the world, that can touch others."""

    offset: Float[Array, "3"]  # of the shape's frame, in the body's; m
    rotation: Float[Array, "4"]  # of the shape's frame, in the body's; quaternion (w, x, y, z)
    size: Float[Array, "3"]  # sphere: radius; capsule, cylinder: radius, half length; box, ellipsoid: half sizes; m
    friction: Float[Array, "3"]  # sliding; torsional, m; rolling, m
    solref: Float[Array, "2"]
    solimp: Float[Array, "5"]
    solmix: Float[Array, ""]  # weight of this shape's solref and solimp against those of the other
    margin: Float[Array, ""]  # forces begin at this distance; those of both shapes are added; m
    gap: Float[Array, ""]  # width of the zone beyond the margin in which contacts are known but without force; m
    kind: str = eqx.field(static=True)  # "plane", "sphere", "capsule", "ellipsoid", "cylinder" or "box"
    body: str | None = eqx.field(static=True)  # None: the world
    condim: int = eqx.field(static=True)  # directions in which contacts push: 1, 3, 4 or 6
    priority: int = eqx.field(static=True)  # the shape of higher priority decides friction, solref, solimp, condim
    contype: int = eqx.field(static=True)
    conaffinity: int = eqx.field(static=True)


class Pair(eqx.Module):
    """What holds for the contact of two shapes in place of what their own parameters give."""

    friction: Float[Array, "5"]  # sliding along both tangents; torsional, m; rolling about both tangents, m
    solref: Float[Array, "2"]
    solimp: Float[Array, "5"]
    margin: Float[Array, ""]  # m
    gap: Float[Array, ""]  # m
    geoms: tuple[str, str] = eqx.field(static=True)
    condim: int = eqx.field(static=True)


class Tendon(eqx.Module):
    """A fixed tendon: its length is a weighted sum of positions of slides and hinges.

    Its spring pulls towards the nearest end of `spring_range`; the force -stiffness (length - end) - damping rate acts
    on each joint with the joint's coefficient.
    """

    coefficients: Float[Array, "joint"]
    stiffness: Float[Array, ""]  # N/m
    spring_range: Float[Array, "2"]  # lengths between which the spring is slack; m
    damping: Float[Array, ""]  # N s/m
    armature: Float[Array, ""] | None  # inertia against the rate of its length; kg
    limit: Limit | None
    dry_friction: DryFriction | None
    joints: tuple[str, ...] = eqx.field(static=True)


class Actuator(eqx.Module):
    """A drive: force = gain x + bias, x the activation where it has one and the control where not.

    Gain and bias are numbers, or (constant, factor of the length, factor of its rate). The force times the gear acts on
    the joint or the tendon, whose position times the gear is the actuator's length.
    """

    # Slide, hinge, tendon: a factor. Ball: an axis of rotation. Free: an axis of translation and one of rotation.
    gear: Float[Array, "..."]
    gain: Float[Array, "..."]  # () or (3,)
    bias: Float[Array, "3"] | None
    time_constant: Float[Array, ""] | None  # of filters; s
    control_range: Float[Array, "2"] | None
    activation_range: Float[Array, "2"] | None
    force_range: Float[Array, "2"] | None  # N or N m, before the gear
    target: str = eqx.field(static=True)  # name of the joint or tendon
    transmission: str = eqx.field(static=True)  # "joint", "joint in parent" or "tendon"
    dynamics: str = eqx.field(static=True)  # "none", "integrator", "filter" or "exact filter"
    early: bool = eqx.field(static=True)  # the force takes the activation at the end of the step
    circular: bool = eqx.field(static=True)  # the control is an angle: the nearest of those a turn apart counts


class Coupling(eqx.Module):
    """A soft constraint that makes the position of one slide or hinge a polynomial of that of another.

    y - y0 = Σ a_k (x - x0)^k with the joints' references y0 and x0; without a second joint y - y0 = a_0.
    """

    coefficients: Float[Array, "5"]
    solref: Float[Array, "2"]
    solimp: Float[Array, "5"]
    joint: str = eqx.field(static=True)
    other: str | None = eqx.field(static=True)

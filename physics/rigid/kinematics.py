"""Where everything is and how it moves: poses, velocities, Jacobians, and configurations as a curved space.

The inner functions keep lists with one small array for each body or degree of freedom. Spatial vectors are in world
axes about the origin of the topmost moving body of their tree, so that nothing is transformed from body to body, and
single precision does not suffer far from the world's origin.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .model import SIZES, Model
from .spatial import (
    Matrix,
    Quaternion,
    Spatial,
    Vector,
    about,
    conjugate,
    cross,
    exponential,
    logarithm,
    motion_cross,
    multiply,
    rotation,
    unit,
)


class Poses(eqx.Module):
    """Where each body is, in the order of `model.tree.bodies`."""

    position: Float[Array, "body 3"]  # of the body's frame, in world axes; m
    orientation: Float[Array, "body 4"]  # unit quaternion (w, x, y, z)
    center: Float[Array, "body 3"]  # of mass, in world axes; m


class Placement(NamedTuple):
    """What kinematics at q gives to the rest: for each body its pose, for each degree of freedom its motion."""

    position: list[Vector]
    orientation: list[Quaternion]
    rotation: list[Matrix]
    center: list[Vector]  # of mass
    principal: list[Matrix]  # turns the principal axes of inertia into world axes
    origin: list[Vector]  # the point about which the spatial vectors of this body's tree are written
    axes: list[Spatial]  # for each entry of v, the velocity that a unit of it gives


def checked(model: Model, **arrays: ArrayLike) -> list[Array]:
    """The arguments as arrays. **Raises** `ValueError` where the length is not that of q (`q...`) or of v (others)."""
    found = []
    for name, value in arrays.items():
        array = jnp.asarray(value)
        kind, size = ("nq", model.nq) if name.startswith("q") else ("nv", model.nv)
        if array.shape != (size,):
            raise ValueError(
                f"{name} has shape {array.shape}, but this model needs {name} of shape ({size},), its {kind}; for many "
                "states at once write wl.ensemble or wl.lanes around a function of one."
            )
        found.append(array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(model.gravity.dtype))
    return found


def place(model: Model, q: Float[Array, "nq"]) -> Placement:
    """Body after body down the tree (Featherstone 2008, section 4.1): parent's pose, own offset, own joints."""
    tree = model.tree
    placed = Placement([], [], [], [], [], [], [])
    for index, name in enumerate(tree.bodies):
        body, parent = model.bodies[name], tree.parents[index]
        position, orientation = body.position, unit(body.orientation)
        if parent >= 0:
            position = placed.position[parent] + placed.rotation[parent] @ position
            orientation = multiply(placed.orientation[parent], orientation)
        motions: list[tuple[Vector | None, Vector]] = []  # a turn: anchor and axis; a shift: None and direction
        for j in tree.joints_of[index]:
            position, orientation, own = _moved(model, j, q[tree.positions[j]], position, orientation)
            motions += own
        turn = rotation(orientation)
        origin = position if parent < 0 else placed.origin[parent]
        for anchor, axis in motions:
            if anchor is None:
                placed.axes.append(jnp.concatenate([jnp.zeros_like(axis), axis]))
            else:
                placed.axes.append(jnp.concatenate([axis, cross(anchor - origin, axis)]))
        placed.position.append(position)
        placed.orientation.append(orientation)
        placed.rotation.append(turn)
        placed.center.append(position + turn @ body.center)
        placed.principal.append(turn @ rotation(unit(body.inertia_orientation)))
        placed.origin.append(origin)
    return placed


def _moved(model: Model, index: int, q: Array, position: Vector, orientation: Quaternion) -> tuple:
    """The pose after joint `index`, and the motion of each of its degrees of freedom."""
    joint, dtype = model.joints[model.tree.joints[index]], position.dtype
    if joint.kind == "free":
        position, orientation = q[:3], unit(q[3:])
        turn = rotation(orientation)
        shifts = [(None, direction) for direction in jnp.eye(3, dtype=dtype)]
        return position, orientation, [*shifts, *((position, turn[:, k]) for k in range(3))]
    before = rotation(orientation)
    if joint.kind == "slide":
        assert joint.axis is not None and joint.reference is not None
        direction = before @ unit(joint.axis)
        return position + direction * (q[0] - joint.reference), orientation, [(None, direction)]
    assert joint.anchor is not None
    anchor = position + before @ joint.anchor
    if joint.kind == "ball":
        orientation = multiply(orientation, unit(q))
        turn = rotation(orientation)
        motions = [(anchor, turn[:, k]) for k in range(3)]
    else:
        assert joint.axis is not None and joint.reference is not None
        axis = unit(joint.axis)
        orientation = multiply(orientation, about(axis, q[0] - joint.reference))
        turn = rotation(orientation)
        motions = [(anchor, before @ axis)]
    return anchor - turn @ joint.anchor, orientation, motions


def move(model: Model, placed: Placement, v: Float[Array, "nv"]) -> tuple[list[Spatial], list[Spatial]]:
    """The velocity of each body, and for each degree of freedom the acceleration that its motion's turning gives.

    The latter is Ṡ v of the joint's motion S (Featherstone eq. 3.38 for joints that move with the body before them):
    a joint is carried by the velocity that its body has without it.
    """
    tree, zero = model.tree, jnp.zeros(6, model.gravity.dtype)
    velocities: list[Spatial] = []
    drifts: list[Spatial] = []
    for index, parent in enumerate(tree.parents):
        velocity = velocities[parent] if parent >= 0 else zero
        for j in tree.joints_of[index]:
            freedoms = list(range(tree.velocities[j].start, tree.velocities[j].stop))
            # The shifts of a free joint come before its turns, which they carry.
            for group in (freedoms[:3], freedoms[3:]) if tree.kinds[j] == "free" else (freedoms,):
                own = [placed.axes[i] * v[i] for i in group]
                drifts += [motion_cross(velocity, part) for part in own]
                velocity = sum(own, velocity)
        velocities.append(velocity)
    return velocities, drifts


def kinematics(model: Model, q: Float[Array, "nq"]) -> Poses:
    """The pose of each body at configuration q. **Raises** `ValueError` for q of another length than `model.nq`.

    A joint acts in the frame that the parent and the body's earlier joints leave it in (Featherstone 2008, section
    4.1; for several joints of a body, MuJoCo's rule).
    """
    (q,) = checked(model, q=q)
    placed = place(model, q)
    return Poses(jnp.stack(placed.position), jnp.stack(placed.orientation), jnp.stack(placed.center))


def point_jacobian(
    model: Model, q: Float[Array, "nq"], body: str, point: Float[Array, "3"] | None = None
) -> tuple[Float[Array, "3 nv"], Float[Array, "3 nv"]]:
    """(J, W): J v is the velocity of a point of `body`, W v the angular velocity of the body, both in world axes.

    `point` is a place in the world (m) that moves with the body for the moment; without it, the origin of the body's
    frame. **Raises** `ValueError` for q of another length than `model.nq`, `KeyError` for a name that no body has.
    """
    (q,) = checked(model, q=q)
    index, placed = model.body_index(body), place(model, q)
    arm = (placed.position[index] if point is None else jnp.asarray(point)) - placed.origin[index]
    linear, angular = [], []
    for axis, moves in zip(placed.axes, model.tree.moves[index]):
        linear.append(axis[3:] + cross(axis[:3], arm) if moves else jnp.zeros_like(arm))
        angular.append(axis[:3] if moves else jnp.zeros_like(arm))
    return jnp.stack(linear, 1), jnp.stack(angular, 1)


def integrate_position(
    model: Model, q: Float[Array, "nq"], v: Float[Array, "nv"], dt: Float[Array, ""] | float = 1.0
) -> Float[Array, "nq"]:
    """q moved along v for the time dt (s): q + dt v, and for quaternions q exp(dt v), of length one.

    **Raises** `ValueError` for q or v of another length than the model's.
    """
    q, v = checked(model, q=q, v=v)
    parts = []
    for kind, place_q, place_v in zip(model.tree.kinds, model.tree.positions, model.tree.velocities):
        own, rate = q[place_q], v[place_v]
        turns = SIZES[kind][0] != SIZES[kind][1]
        shifts = 3 if kind == "free" else 0 if turns else 1
        parts.append(own[:shifts] + dt * rate[:shifts])
        if turns:
            parts.append(unit(multiply(own[shifts:], exponential(dt * rate[shifts:]))))
    return jnp.concatenate(parts) if parts else q


def position_rate(model: Model, q: Float[Array, "nq"], v: Float[Array, "nv"]) -> Float[Array, "nq"]:
    """dq/dt at velocity v: v itself, for quaternions q (0, v) / 2, which keeps their length."""
    parts = []
    for kind, place_q, place_v in zip(model.tree.kinds, model.tree.positions, model.tree.velocities):
        own, rate = q[place_q], v[place_v]
        turns = SIZES[kind][0] != SIZES[kind][1]
        shifts = 3 if kind == "free" else 0 if turns else 1
        parts.append(rate[:shifts])
        if turns:
            parts.append(0.5 * multiply(own[shifts:], jnp.pad(rate[shifts:], (1, 0))))
    return jnp.concatenate(parts) if parts else q


def displacement_rate(model: Model, displacement: Float[Array, "nv"], v: Float[Array, "nv"]) -> Float[Array, "nv"]:
    """du/dt of the displacement u with q = `integrate_position(model, q0, u)` that moves with velocity v.

    It is v but for turns, whose axes turn on the way: with the angle s = |u|,

        v + u x v / 2 + c u x (u x v),      c = (1 - s / 2 cot(s / 2)) / s^2,

    the inverse derivative of the exponential (Munthe-Kaas, Applied Numerical Mathematics 29 (1999) 115, for velocities in
    the body). It has no value at whole turns, which no step should make.
    """
    parts = []
    for kind, place_v in zip(model.tree.kinds, model.tree.velocities):
        own, rate = displacement[place_v], v[place_v]
        turns = {"free": 3, "ball": 0}.get(kind, 1)
        parts.append(rate[:turns])
        if kind in ("free", "ball"):
            turned = cross(own[turns:], rate[turns:])
            parts.append(rate[turns:] + 0.5 * turned + _turning(own[turns:]) * cross(own[turns:], turned))
    return jnp.concatenate(parts) if parts else v


def _turning(u: Float[Array, "3"]) -> Float[Array, ""]:
    """The c of `displacement_rate`: 1/12 for small turns, where its formula is a difference of nearly equal numbers."""
    square = jnp.sum(u * u)
    small = square < 0.01
    half = 0.5 * jnp.sqrt(jnp.where(small, 1.0, square))
    large = (1 - half * jnp.cos(half) / jnp.sin(half)) / (4 * half * half)
    return jnp.where(small, 1 / 12 + square * (1 / 720 + square * (1 / 30240 + square / 1209600)), large)


def difference(model: Model, q0: Float[Array, "nq"], q1: Float[Array, "nq"]) -> Float[Array, "nv"]:
    """The v that takes q0 to q1 in a time of one: `integrate_position(model, q0, v)` is q1.

    Turns take the shorter way, at most pi. **Raises** `ValueError` for configurations of another length than `model.nq`.
    """
    q0, q1 = checked(model, q0=q0, q1=q1)
    parts = []
    for kind, place_q in zip(model.tree.kinds, model.tree.positions):
        start, end = q0[place_q], q1[place_q]
        shifts = {"free": 3, "ball": 0}.get(kind, 1)
        parts.append(end[:shifts] - start[:shifts])
        if kind in ("free", "ball"):
            parts.append(logarithm(multiply(conjugate(unit(start[shifts:])), unit(end[shifts:]))))
    return jnp.concatenate(parts) if parts else jnp.zeros(0, q0.dtype)

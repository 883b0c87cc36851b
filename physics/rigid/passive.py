"""Passive forces: springs and dampers in joints, and the drag of a fluid on bodies taken as boxes."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .elements import Body, Fluid
from .kinematics import Placement, checked, move, place
from .model import Model
from .spatial import Matrix, Spatial, Vector, conjugate, cross, logarithm, multiply, unit
from .tendons import tendon_forces

_LIGHTEST = 1e-15  # kg: lighter bodies have no box; MuJoCo's bound


def passive_forces(model: Model, q: Float[Array, "nq"], v: Float[Array, "nv"]) -> Float[Array, "nv"]:
    """The force of springs, dampers and the fluid on each degree of freedom; N or N m.

    Springs give -stiffness (displacement), for ball and free joints along the shortest turn, dampers -damping v. A
    fluid acts on each body as on the box that has its inertia: see `fluid_force`.

    **Raises** `ValueError` for q or v of another length than the model's. **Source**: the documentation of MuJoCo,
    "Computation", sections on passive forces and on the inertia model of fluid forces.
    """
    q, v = checked(model, q=q, v=v)
    placed = place(model, q)
    return passive_forces_at(model, q, v, placed, move(model, placed, v)[0])


def passive_forces_at(
    model: Model, q: Array, v: Array, placed: Placement, velocities: list[Spatial]
) -> Float[Array, "nv"]:
    """`passive_forces` where poses and velocities are known."""
    tree, parts = model.tree, []
    for index, name in enumerate(tree.joints):
        joint = model.joints[name]
        force = -joint.damping * v[tree.velocities[index]]
        if joint.stiffness is not None:
            force = force - joint.stiffness * displacement(model, index, q[tree.positions[index]])
        parts.append(force)
    total = jnp.concatenate(parts) if parts else v
    if tree.tendons:
        total = total + tendon_forces(model, q, v)
    return total if model.fluid is None else total + _drag(model, model.fluid, placed, velocities)


def displacement(model: Model, index: int, q: Array) -> Array:
    """How far the spring of joint `index` is from its rest, an entry for each degree of freedom; m or rad."""
    joint = model.joints[model.tree.joints[index]]
    if joint.kind == "ball":
        return logarithm(unit(q))
    if joint.kind == "free":
        body = model.bodies[model.tree.bodies[model.tree.joint_bodies[index]]]
        turn = logarithm(multiply(conjugate(unit(body.orientation)), unit(q[3:])))
        return jnp.concatenate([q[:3] - body.position, turn])
    assert joint.spring_reference is not None
    return q - joint.spring_reference


def _drag(model: Model, fluid: Fluid, placed: Placement, velocities: list[Spatial]) -> Float[Array, "nv"]:
    """The fluid's force on each degree of freedom: forces on the bodies, summed up the tree."""
    tree = model.tree
    forces: dict[int, Spatial] = {}  # for each body that can move, of the fluid on it and on all that hang from it
    for index in reversed(range(len(tree.bodies))):
        if not tree.moves[index].any():
            continue
        arm = placed.center[index] - placed.origin[index]
        own = fluid_force(fluid, model.bodies[tree.bodies[index]], placed.principal[index], arm, velocities[index])
        forces[index] = forces[index] + own if index in forces else own
        parent = tree.parents[index]
        if parent >= 0:
            forces[parent] = forces[parent] + forces[index] if parent in forces else forces[index]
    return jnp.stack([axis @ forces[body] for axis, body in zip(placed.axes, tree.freedom_bodies)])


def fluid_force(fluid: Fluid, body: Body, principal: Matrix, arm: Vector, velocity: Spatial) -> Spatial:
    """The force of the fluid on a body, as a spatial force about the point to which `velocity` refers.

    The body is taken as the box with sides b of its mass and principal moments. With u its velocity against the fluid
    and w its angular velocity, both along the sides, and d the mean of b, component by component:

        force  = -3 pi d viscosity u   - density/2  b_j b_k |u_i| u_i
        torque = -pi d³ viscosity w    - density/64 b_i (b_j⁴ + b_k⁴) |w_i| w_i
    """
    heavy = body.mass >= _LIGHTEST
    mass, (x, y, z) = jnp.where(heavy, body.mass, 1.0), body.inertia
    squares = 6 / mass * jnp.maximum(jnp.stack([y + z - x, z + x - y, x + y - z]), _LIGHTEST)
    (x, y, z), (xx, yy, zz) = jnp.sqrt(squares), squares
    turning = principal.T @ velocity[:3]
    along = principal.T @ (velocity[3:] + cross(velocity[:3], arm) - fluid.wind)
    mean = (x + y + z) / 3
    faces = jnp.stack([y * z, z * x, x * y])
    blades = jnp.stack([x * (yy**2 + zz**2), y * (zz**2 + xx**2), z * (xx**2 + yy**2)])
    force = -3 * jnp.pi * mean * fluid.viscosity * along - fluid.density / 2 * faces * jnp.abs(along) * along
    torque = -jnp.pi * mean**3 * fluid.viscosity * turning - fluid.density / 64 * blades * jnp.abs(turning) * turning
    force = principal @ jnp.where(heavy, force, 0.0)
    torque = principal @ jnp.where(heavy, torque, 0.0)
    return jnp.concatenate([torque + cross(arm, force), force])

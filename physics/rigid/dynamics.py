"""Forces and accelerations: bias forces, inverse and forward dynamics.

M(q) dv/dt + bias(q, v) = passive(q, v) + force
"""

import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float

from .kinematics import Placement, checked, move, place
from .mass import armatures, inertias, mass_matrix
from .model import Model
from .passive import passive_forces_at
from .spatial import Spatial, force_cross
from .tendons import tendon_inertia


def bias_forces(model: Model, q: Float[Array, "nq"], v: Float[Array, "nv"]) -> Float[Array, "nv"]:
    """The force on each degree of freedom that keeps dv/dt at zero: Coriolis, centrifugal, weight; N or N m.

    Recursive Newton-Euler (Featherstone 2008, table 5.1) without acceleration. **Raises** `ValueError` for q or v of
    another length than the model's.
    """
    q, v = checked(model, q=q, v=v)
    placed = place(model, q)
    return newton_euler(model, placed, *move(model, placed, v))


def inverse_dynamics(
    model: Model, q: Float[Array, "nq"], v: Float[Array, "nv"], acceleration: Float[Array, "nv"]
) -> Float[Array, "nv"]:
    """The force that must be applied for dv/dt to be `acceleration`: M dv/dt + bias - passive; N or N m.

    Recursive Newton-Euler (Featherstone 2008, table 5.1). **Raises** `ValueError` for q, v or acceleration of another
    length than the model's.
    """
    q, v, acceleration = checked(model, q=q, v=v, acceleration=acceleration)
    placed = place(model, q)
    velocities, drifts = move(model, placed, v)
    gained = [drift + axis * acceleration[i] for i, (drift, axis) in enumerate(zip(drifts, placed.axes))]
    force = newton_euler(model, placed, velocities, gained) + acceleration * jnp.stack(armatures(model))
    shared = tendon_inertia(model)
    if shared is not None:
        force = force + shared @ acceleration
    return force - passive_forces_at(model, q, v, placed, velocities)


def forward_dynamics(
    model: Model, q: Float[Array, "nq"], v: Float[Array, "nv"], force: Float[Array, "nv"] | None = None
) -> Float[Array, "nv"]:
    """dv/dt under `force` on each degree of freedom (N or N m; none if left out) and passive forces.

    The articulated body algorithm (Featherstone 2008, table 7.1), a joint of several degrees of freedom taken as that
    many joints of one with bodies without mass between: cost linear in the number of bodies, no matrix to factor. Only
    where armatures of tendons tie joints together, the mass matrix is made and factored.

    **Raises** `ValueError` for q, v or force of another length than the model's.
    """
    q, v = checked(model, q=q, v=v)
    placed = place(model, q)
    velocities, drifts = move(model, placed, v)
    force = jnp.zeros_like(v) if force is None else checked(model, force=force)[0]
    force = force + passive_forces_at(model, q, v, placed, velocities)
    if tendon_inertia(model) is not None:
        rest = force - newton_euler(model, placed, velocities, drifts)
        return cho_solve(cho_factor(mass_matrix(model, q), lower=True), rest)
    tree, armature = model.tree, armatures(model)
    articulated = inertias(model, placed)
    biases = [force_cross(u, inertia @ u) for u, inertia in zip(velocities, articulated)]
    solved: dict[int, tuple[Spatial, Array, Array]] = {}  # for each freedom its pull, its weight and what is left
    for index in reversed(range(len(tree.bodies))):
        inertia, bias = articulated[index], biases[index]
        for i in reversed(tree.freedoms_of[index]):
            axis = placed.axes[i]
            pull = inertia @ axis  # U, D and u of Featherstone eq. 7.43 to 7.45
            weight = axis @ pull + armature[i]
            left = force[i] - axis @ bias
            solved[i] = pull, weight, left
            inertia = inertia - jnp.outer(pull, pull / weight)
            bias = bias + inertia @ drifts[i] + pull * (left / weight)
        parent = tree.parents[index]
        if parent >= 0:
            articulated[parent] = articulated[parent] + inertia
            biases[parent] = biases[parent] + bias
    accelerations: list[Spatial] = []
    result = []
    for index, parent in enumerate(tree.parents):
        acceleration = accelerations[parent] if parent >= 0 else free_fall(model)
        for i in tree.freedoms_of[index]:
            pull, weight, left = solved[i]
            carried = acceleration + drifts[i]
            result.append((left - pull @ carried) / weight)
            acceleration = carried + placed.axes[i] * result[-1]
        accelerations.append(acceleration)
    return jnp.stack(result) if result else v


def free_fall(model: Model) -> Spatial:
    """The acceleration of the world that weighs on bodies as gravity does (Featherstone 2008, section 5.3)."""
    return jnp.concatenate([jnp.zeros(3, model.gravity.dtype), -model.gravity])


def newton_euler(
    model: Model, placed: Placement, velocities: list[Spatial], gained: list[Spatial]
) -> Float[Array, "nv"]:
    """The force on each degree of freedom under which the bodies have these velocities, each freedom adding the spatial
    acceleration `gained` to that of the body it moves."""
    tree = model.tree
    accelerations: list[Spatial] = []
    forces: list[Spatial] = []
    for index, (inertia, velocity) in enumerate(zip(inertias(model, placed), velocities)):
        parent = tree.parents[index]
        acceleration = accelerations[parent] if parent >= 0 else free_fall(model)
        acceleration = sum((gained[i] for i in tree.freedoms_of[index]), acceleration)
        accelerations.append(acceleration)
        forces.append(inertia @ acceleration + force_cross(velocity, inertia @ velocity))
    for index in reversed(range(len(forces))):
        parent = tree.parents[index]
        if parent >= 0:
            forces[parent] = forces[parent] + forces[index]
    loads = [axis @ forces[body] for axis, body in zip(placed.axes, tree.freedom_bodies)]
    return jnp.stack(loads) if loads else jnp.zeros(0, model.gravity.dtype)

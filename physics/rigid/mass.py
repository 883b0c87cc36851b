"""The mass matrix, of the inertias of bodies and the armatures of joints and tendons."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .kinematics import Placement, checked, place
from .model import Model
from .spatial import SpatialMatrix, spatial_inertia
from .tendons import tendon_inertia


def mass_matrix(model: Model, q: Float[Array, "nq"]) -> Float[Array, "nv nv"]:
    """M(q), symmetric and positive definite: kinetic energy is vᵀ M v / 2; kg, kg m, kg m².

    The composite rigid body algorithm (Featherstone 2008, table 6.2): M_ij = S_iᵀ I S_j, with I the inertia of all
    that i and j both carry; the armature of each joint on the diagonal.

    **Raises** `ValueError` for q of another length than `model.nq`.
    """
    (q,) = checked(model, q=q)
    return mass_matrix_at(model, place(model, q))


def mass_matrix_at(model: Model, placed: Placement) -> Float[Array, "nv nv"]:
    """`mass_matrix` where the pose is known."""
    zero = jnp.zeros((), model.gravity.dtype)
    entries = [[zero] * model.nv for _ in range(model.nv)]
    for i, (above, row) in enumerate(zip(model.tree.carriers, _tree_rows(model, placed))):
        for place_in_row, k in enumerate((*above, i)):
            entries[i][k] = entries[k][i] = row[place_in_row]
    if not entries:
        return jnp.zeros((0, 0), model.gravity.dtype)
    matrix = jnp.stack([jnp.stack(row) for row in entries])
    shared = tendon_inertia(model)
    return matrix if shared is None else matrix + shared


def mass_rows(model: Model, placed: Placement) -> list[Float[Array, "carriers+1"]]:
    """The mass matrix without its zeros, where the pose is known.

    An entry is zero unless one of its two degrees of freedom carries the other. Row k has the entries of those that carry
    k, from the root on, and of k itself: see `model.tree.carriers`. **Raises** `ValueError` where tendons have armature,
    since those tie together what carries not one another.
    """
    if tendon_inertia(model) is not None:
        raise ValueError("the mass matrix of a model whose tendons have armature has not the pattern of its tree.")
    return _tree_rows(model, placed)


def _tree_rows(model: Model, placed: Placement) -> list[Array]:
    composite = inertias(model, placed)
    for index in reversed(range(len(composite))):
        parent = model.tree.parents[index]
        if parent >= 0:
            composite[parent] = composite[parent] + composite[index]
    rows = []
    for i, (above, armature) in enumerate(zip(model.tree.carriers, armatures(model))):
        axes = [placed.axes[k] for k in (*above, i)]
        row = jnp.stack(axes) @ (composite[model.tree.freedom_bodies[i]] @ axes[-1])
        rows.append(row.at[-1].add(armature))
    return rows


def inertias(model: Model, placed: Placement) -> list[SpatialMatrix]:
    """The spatial inertia of each body alone, in world axes about the origin of its tree."""
    found = []
    for index, name in enumerate(model.tree.bodies):
        body, principal = model.bodies[name], placed.principal[index]
        about_center = (principal * body.inertia) @ principal.T
        found.append(spatial_inertia(body.mass, placed.center[index] - placed.origin[index], about_center))
    return found


def armatures(model: Model) -> list[Float[Array, ""]]:
    """The armature of each degree of freedom."""
    tree = model.tree
    return [
        model.joints[n].armature for n, own in zip(tree.joints, tree.velocities) for _ in range(own.stop - own.start)
    ]

"""Inverse masses in the reference pose, the scale of the softness of constraints."""

import jax.numpy as jnp
import numpy as np

from .kinematics import place
from .mass import mass_matrix
from .model import Model, Weights
from .spatial import cross
from .tendons import tendon_jacobian

_SMALLEST = 1e-15


def reference_weights(model: Model) -> Weights:
    """Means of the diagonal of J M⁻¹ Jᵀ at `model.rest()`, J the motion of each centre of mass, joint and tendon.

    Of a body one mean for translations and one for rotations; of a ball joint one mean, of a free joint one for shifts
    and one for turns. A lone body on slides along its axes counts as its mass, without armature, as in MuJoCo.
    """
    q = model.rest()
    placed = place(model, q)
    inverse = np.linalg.inv(np.asarray(mass_matrix(model, q), float))
    bodies = []
    for index in range(len(model.tree.bodies)):
        arm = placed.center[index] - placed.origin[index]
        columns = [
            jnp.concatenate([axis[3:] + cross(axis[:3], arm), axis[:3]]) if moves else jnp.zeros(6)
            for axis, moves in zip(placed.axes, model.tree.moves[index])
        ]
        jacobian = np.asarray(jnp.stack(columns, 1), float)
        diagonal = np.einsum("ij,jk,ik->i", jacobian, inverse, jacobian)
        bodies.append((float(diagonal[:3].mean()), float(diagonal[3:].mean())))
    freedoms = np.diag(inverse).copy()
    for kind, own in zip(model.tree.kinds, model.tree.velocities):
        for start in range(own.start, own.stop, 3) if kind in ("ball", "free") else ():
            freedoms[start : start + 3] = freedoms[start : start + 3].mean()
    for index in range(len(bodies)):
        if _carriage(model, index):
            alone = 1 / float(model.bodies[model.tree.bodies[index]].mass)
            bodies[index] = alone, 0.0
            freedoms[list(model.tree.freedoms_of[index])] = alone
    moments = np.asarray(tendon_jacobian(model), float)
    tendons = np.einsum("ij,jk,ik->i", moments, inverse, moments)
    return Weights(tuple(bodies), tuple(freedoms.tolist()), tuple(tendons.tolist()))


def _carriage(model: Model, index: int) -> bool:
    """Whether a body hangs from the world, carries none, and only slides along principal axes through its centre."""
    tree = model.tree
    joints = [model.joints[tree.joints[j]] for j in tree.joints_of[index]]
    if tree.parents[index] >= 0 or index in tree.parents or not joints or {j.kind for j in joints} != {"slide"}:
        return False
    body = model.bodies[tree.bodies[index]]
    off = [*np.asarray(body.center), *np.asarray(body.inertia_orientation)[1:]]
    along = [np.count_nonzero(np.asarray(joint.axis)) == 1 for joint in joints]
    return all(along) and not any(off)

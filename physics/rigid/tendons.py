"""Fixed tendons: lengths, their forces on joints, and the inertia they add."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .kinematics import checked
from .model import Model


def tendon_lengths(model: Model, q: Float[Array, "nq"]) -> Float[Array, "tendon"]:
    """Σ coefficient q of each tendon, in the order of `model.tree.tendons`; m.

    **Raises** `ValueError` for q of another length than `model.nq`.
    """
    (q,) = checked(model, q=q)
    tree = model.tree
    lengths = []
    for name in tree.tendons:
        tendon = model.tendons[name]
        entries = [tree.positions[tree.joints.index(joint)].start for joint in tendon.joints]
        lengths.append(tendon.coefficients @ jnp.stack([q[i] for i in entries]))
    return jnp.stack(lengths) if lengths else jnp.zeros(0, q.dtype)


def tendon_jacobian(model: Model) -> Float[Array, "tendon nv"]:
    """The rates of all tendon lengths for unit rates of the degrees of freedom; of fixed tendons it is constant."""
    tree = model.tree
    rows = []
    for name in tree.tendons:
        tendon = model.tendons[name]
        row = [jnp.zeros((), model.gravity.dtype)] * model.nv
        for k, joint in enumerate(tendon.joints):
            row[tree.velocities[tree.joints.index(joint)].start] = tendon.coefficients[k]
        rows.append(jnp.stack(row))
    return jnp.stack(rows) if rows else jnp.zeros((0, model.nv), model.gravity.dtype)


def tendon_stretch(model: Model, q: Float[Array, "nq"]) -> Float[Array, "tendon"]:
    """How far the length of each tendon is outside the range in which its spring is slack; m."""
    ranges = [model.tendons[name].spring_range for name in model.tree.tendons]
    lengths = tendon_lengths(model, q)
    return jnp.stack(
        [
            jnp.minimum(length - low, 0.0) + jnp.maximum(length - high, 0.0)
            for length, (low, high) in zip(lengths, ranges)
        ]
    )


def tendon_forces(model: Model, q: Float[Array, "nq"], v: Float[Array, "nv"]) -> Float[Array, "nv"]:
    """The force of springs and dampers of tendons on each degree of freedom; N or N m."""
    moments = tendon_jacobian(model)
    tendons = [model.tendons[name] for name in model.tree.tendons]
    stiffness, damping = jnp.stack([t.stiffness for t in tendons]), jnp.stack([t.damping for t in tendons])
    return -(stiffness * tendon_stretch(model, q) + damping * (moments @ v)) @ moments


def tendon_inertia(model: Model) -> Float[Array, "nv nv"] | None:
    """What the armatures of tendons add to the mass matrix; None where no tendon has one."""
    armatures = [model.tendons[name].armature for name in model.tree.tendons]
    if all(armature is None for armature in armatures):
        return None
    parts = [m * jnp.outer(row, row) for m, row in zip(armatures, tendon_jacobian(model)) if m is not None]
    return jnp.asarray(sum(parts))

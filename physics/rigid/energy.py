"""Sums over the whole model: energy, momentum, centre of mass."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .kinematics import checked, move, place
from .mass import armatures, inertias
from .model import Model
from .passive import displacement
from .spatial import cross
from .tendons import tendon_inertia, tendon_stretch


def kinetic_energy(model: Model, q: Float[Array, "nq"], v: Float[Array, "nv"]) -> Float[Array, ""]:
    """vᵀ M(q) v / 2, the armatures included; J. **Raises** `ValueError` for q or v of another length than the model's."""
    q, v = checked(model, q=q, v=v)
    placed = place(model, q)
    velocities, _ = move(model, placed, v)
    bodies = sum(u @ inertia @ u for u, inertia in zip(velocities, inertias(model, placed)))
    drives = sum(armature * v[i] ** 2 for i, armature in enumerate(armatures(model)))
    shared = tendon_inertia(model)
    tendons = 0.0 if shared is None else v @ shared @ v
    return 0.5 * jnp.asarray(bodies + drives + tendons)


def potential_energy(model: Model, q: Float[Array, "nq"]) -> Float[Array, ""]:
    """-Σ m gravity · c + Σ stiffness displacement² / 2, of weight and springs; J. Weight counts from the world's origin.

    **Raises** `ValueError` for q of another length than `model.nq`.
    """
    (q,) = checked(model, q=q)
    placed = place(model, q)
    total = jnp.zeros((), q.dtype)
    for name, center in zip(model.tree.bodies, placed.center):
        total = total - model.bodies[name].mass * (model.gravity @ center)
    for index, name in enumerate(model.tree.joints):
        stiffness = model.joints[name].stiffness
        if stiffness is not None:
            total = total + 0.5 * stiffness * jnp.sum(displacement(model, index, q[model.tree.positions[index]]) ** 2)
    for name, stretch in zip(model.tree.tendons, tendon_stretch(model, q) if model.tree.tendons else ()):
        total = total + 0.5 * model.tendons[name].stiffness * stretch**2
    return total


def energy(model: Model, q: Float[Array, "nq"], v: Float[Array, "nv"]) -> Float[Array, ""]:
    """Kinetic and potential energy; J. Its rate is the power of dampers, fluid and applied forces.

    **Raises** `ValueError` for q or v of another length than the model's.
    """
    return kinetic_energy(model, q, v) + potential_energy(model, q)


def center_of_mass(model: Model, q: Float[Array, "nq"]) -> Float[Array, "3"]:
    """Σ m c / Σ m over all bodies, in world axes; m. **Raises** `ValueError` for q of another length than `model.nq`."""
    (q,) = checked(model, q=q)
    masses = [model.bodies[name].mass for name in model.tree.bodies]
    centers = place(model, q).center
    return jnp.stack([m * c for m, c in zip(masses, centers)]).sum(0) / jnp.stack(masses).sum()


def momentum(model: Model, q: Float[Array, "nq"], v: Float[Array, "nv"]) -> tuple[Float[Array, "3"], Float[Array, "3"]]:
    """(linear, angular): Σ m ċ in kg m/s, and Σ (I ω + m (c - C) x ċ) about the centre of mass C in kg m²/s.

    Of the bodies: what turns inside a drive and shows as armature has none here. **Raises** `ValueError` for q or v of
    another length than the model's.
    """
    q, v = checked(model, q=q, v=v)
    placed = place(model, q)
    velocities, _ = move(model, placed, v)
    middle = center_of_mass(model, q)
    linear = angular = jnp.zeros(3, q.dtype)
    for inertia, velocity, origin in zip(inertias(model, placed), velocities, placed.origin):
        moment = inertia @ velocity
        linear = linear + moment[3:]
        angular = angular + moment[:3] + cross(origin - middle, moment[3:])
    return linear, angular

"""Bodies that fly alone, in a step with forces at its end: their Coriolis forces are among them, as in MuJoCo.

A free body turns by itself, and fast turns of a long body make explicit steps explode. It shares no entry of the mass
matrix with others, so that its six equations are solved apart, and need not be symmetric.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .dynamics import newton_euler
from .kinematics import move, place
from .model import Model, Tree


def flying_alone(tree: Tree) -> list[slice]:
    """The six degrees of freedom of each free body that carries no other joint."""
    roots = list(range(len(tree.bodies)))
    for body, parent in enumerate(tree.parents):
        if parent >= 0:
            roots[body] = roots[parent]
    carried = [roots[body] for body in tree.joint_bodies]
    return [
        own
        for kind, own, root in zip(tree.kinds, tree.velocities, carried, strict=True)
        if kind == "free" and carried.count(root) == 1
    ]


def flight(
    model: Model,
    q: Float[Array, "nq"],
    v: Float[Array, "nv"],
    mass: Float[Array, "nv nv"],
    slope: Float[Array, "nv nv"],
    force: Float[Array, "nv"],
    acceleration: Float[Array, "nv"],
    h: Float[Array, ""],
) -> Float[Array, "nv"]:
    """`acceleration`, for bodies that fly alone replaced by the a of

        (M + h (dbias/dv - dforce/dv)) a = force,

    with dforce/dv = `slope`, that of passive and actuator forces. Others keep what they have.
    """
    flying = flying_alone(model.tree)
    if not flying:
        return acceleration
    placed = place(model, q)
    turns = np.zeros((3, model.nv))
    for own in flying:
        turns[range(3), range(own.start + 3, own.stop)] = 1.0

    def bias(v: Array) -> Array:
        return newton_euler(model, placed, *move(model, placed, v))

    # Lone bodies do not feel each other, so all of them are turned at once.
    spins = jax.vmap(lambda turn: jax.jvp(bias, (v,), (turn,))[1])(jnp.asarray(turns, v.dtype))
    for own in flying:
        coriolis = jnp.concatenate([jnp.zeros((6, 3), v.dtype), spins[:, own].T], axis=1)
        matrix = mass[own, own] + h * (coriolis - slope[own, own])
        acceleration = acceleration.at[own].set(_solved(matrix, force[own]))
    return acceleration


def _solved(matrix: Float[Array, "n n"], right: Float[Array, "n"]) -> Float[Array, "n"]:
    """x of matrix x = right by elimination in order: near a mass matrix no other pivots are needed."""
    both = jnp.concatenate([matrix, right[:, None]], axis=1)
    for k in range(len(right)):
        row = both[k] / both[k, k]
        both = (both - both[:, k : k + 1] * row).at[k].set(row)
    return both[:, -1]

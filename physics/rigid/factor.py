"""The mass matrix in the pattern of the tree: its rows, its factors Lᵀ D L, and the solution of M x = b.

An entry of the mass matrix is zero unless one of its two degrees of freedom carries the other, and Lᵀ D L keeps that
pattern (Featherstone 2008, section 6.5). Row k is an array of the entries of those that carry k, from the root on, and of
k itself, so every array is as long as the tree is deep.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from .dynamics import armatures, inertias
from .kinematics import Placement
from .model import Model, Tree
from .tendons import tendon_inertia


class MassFactor(NamedTuple):
    """M = Lᵀ D L: of each degree of freedom the row of L left of its one, and its entry of D."""

    rows: list[Float[Array, "carriers"]]
    diagonal: list[Float[Array, ""]]


def carriers(tree: Tree) -> tuple[tuple[int, ...], ...]:
    """For each degree of freedom those that carry it, from the root on."""
    found: list[tuple[int, ...]] = []
    for i, body in enumerate(tree.freedom_bodies):
        own = tree.freedoms_of[body]
        before = own.index(i)
        if before:
            found.append((*found[own[before - 1]], own[before - 1]))
            continue
        above = next((a for a in tree.ancestry(tree.parents[body]) if tree.freedoms_of[a]), -1)
        found.append((*found[tree.freedoms_of[above][-1]], tree.freedoms_of[above][-1]) if above >= 0 else ())
    return tuple(found)


def mass_rows(model: Model, placed: Placement) -> list[Float[Array, "carriers+1"]]:
    """The rows of the mass matrix where the pose is known. **Raises** `ValueError` where tendons have armature, since
    those tie together what carries not one another."""
    if tendon_inertia(model) is not None:
        raise ValueError("the mass matrix of a model whose tendons have armature has not the pattern of its tree.")
    composite = inertias(model, placed)
    for index in reversed(range(len(composite))):
        parent = model.tree.parents[index]
        if parent >= 0:
            composite[parent] = composite[parent] + composite[index]
    rows = []
    for i, (above, armature) in enumerate(zip(carriers(model.tree), armatures(model))):
        axes = [placed.axes[k] for k in (*above, i)]
        row = jnp.stack(axes) @ (composite[model.tree.freedom_bodies[i]] @ axes[-1])
        rows.append(row.at[-1].add(armature))
    return rows


def factor_mass(tree: Tree, rows: list[Float[Array, "carriers+1"]]) -> MassFactor:
    """The factors of a matrix in the tree's pattern (Featherstone 2008, table 6.3)."""
    left, above = list(rows), carriers(tree)
    for k in reversed(range(len(rows))):
        row = left[k]
        scaled = row[:-1] / row[-1]
        for place, i in enumerate(above[k]):
            left[i] = left[i] - scaled[place] * row[: place + 1]
        left[k] = jnp.concatenate([scaled, row[-1:]])
    return MassFactor([row[:-1] for row in left], [row[-1] for row in left])


def solve_mass(tree: Tree, factor: MassFactor, force: Float[Array, "nv"]) -> Float[Array, "nv"]:
    """x of M x = force (Featherstone 2008, table 6.5)."""
    above = carriers(tree)
    x = list(force)
    for k in reversed(range(len(x))):
        for place, i in enumerate(above[k]):
            x[i] = x[i] - factor.rows[k][place] * x[k]
    x = [value / pivot for value, pivot in zip(x, factor.diagonal)]
    for k, row in enumerate(factor.rows):
        if above[k]:
            x[k] = x[k] - row @ jnp.stack([x[i] for i in above[k]])
    return jnp.stack(x) if x else force

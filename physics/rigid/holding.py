"""Everything that holds a model, in one state: couplings, dry friction, limits and contacts as one convex problem."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...solvers.contact import ContactProblem
from .constraints import Rows, response
from .kinematics import Placement
from .model import Model
from .rows import coupling_rows, friction_rows, limit_rows
from .touching import Group, contact_groups


def is_held(model: Model) -> bool:
    """Whether anything can hold the model: without, its acceleration is that of its forces."""
    tree = model.tree
    joints = any(j.limit is not None or j.dry_friction is not None for j in model.joints.values())
    tendons = any(t.limit is not None or t.dry_friction is not None for t in model.tendons.values())
    return bool(tree.contacts or tree.couplings or joints or tendons)


def constraint_problem(
    model: Model, placed: Placement, q: Array, v: Array, mass: Array, free: Array, dt: Float[Array, ""]
) -> ContactProblem:
    """The problem whose solution is the acceleration of the held model; `free` is that without constraints.

    All rows that the model can have, in a fixed order: couplings, dry friction, limits, contacts. Those that do not act in
    this state have stiffness zero.
    """
    infinite = jnp.inf
    groups = [_acting(model, coupling_rows(model, q), v, dt, -infinite, infinite)]
    dry = friction_rows(model)
    if dry.loss is not None:
        groups.append(_acting(model, dry, v, dt, -dry.loss, dry.loss))
    limits = limit_rows(model, q)
    jacobian, target, stiffness, lower, upper = _acting(model, limits, v, dt, 0.0, infinite)
    groups.append((jacobian, target, jnp.where(limits.position < limits.margin, stiffness, 0.0), lower, upper))
    groups += contact_groups(model, placed, v, dt)
    columns = [jnp.concatenate(column) for column in zip(*(group for group in groups if group[1].shape[0]), strict=True)]
    return ContactProblem(mass, free, *columns)


def _acting(model: Model, rows: Rows, v: Array, dt: Array, lower: Array | float, upper: Array | float) -> Group:
    target, stiffness = response(
        rows.position, rows.jacobian @ v, rows.inverse_weight, rows.solref, rows.solimp, rows.margin,
        dt=dt, safe=model.settings.safe_time_constants,
    )  # fmt: skip
    full = jnp.ones_like(target)
    return rows.jacobian, target, stiffness, lower * full, upper * full

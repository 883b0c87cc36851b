"""The rows of constraints that need no contact: couplings of joints, dry friction, limits of joints and tendons.

Each function gives all rows that the model can have, in a fixed order; whether a limit acts in a state is for the caller
to see: where its position is below its margin.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .constraints import Rows
from .elements import DryFriction, Limit
from .kinematics import checked
from .model import Model
from .spatial import logarithm, unit
from .tendons import tendon_jacobian, tendon_lengths


def coupling_rows(model: Model, q: Float[Array, "nq"]) -> Rows:
    """One row for each coupling: position y - y0 - Σ a_k (x - x0)^k. **Raises** `ValueError` for q of wrong length."""
    (q,) = checked(model, q=q)
    found = _Builder(model)
    for name in model.tree.couplings:
        coupling = model.couplings[name]
        entry, freedom, away = _single(model, q, coupling.joint)
        row, weight = _unit(model, freedom), model.weights.freedoms[freedom]
        value = jnp.zeros((), q.dtype)
        slope = jnp.zeros((), q.dtype)
        if coupling.other is None:
            value = coupling.coefficients[0]
        else:
            _, other, x = _single(model, q, coupling.other)
            for a in coupling.coefficients[::-1]:  # Horner's rule, for the polynomial and its slope
                slope = slope * x + value
                value = value * x + a
            row = row - slope * _unit(model, other)
            weight += model.weights.freedoms[other]
        found.add(row, away - value, weight, coupling.solref, coupling.solimp)
    return found.rows()


def friction_rows(model: Model) -> Rows:
    """A row for each degree of freedom, then each tendon, with dry friction; position zero, the force within `loss`."""
    found = _Builder(model)
    losses = []

    def add(row: Array, weight: float, friction: DryFriction) -> None:
        found.add(row, jnp.zeros((), row.dtype), weight, friction.solref, friction.solimp)
        losses.append(friction.loss)

    for j, name in enumerate(model.tree.joints):
        friction = model.joints[name].dry_friction
        if friction is not None:
            for i in range(model.tree.velocities[j].start, model.tree.velocities[j].stop):
                add(_unit(model, i), model.weights.freedoms[i], friction)
    moments = tendon_jacobian(model)
    for k, name in enumerate(model.tree.tendons):
        friction = model.tendons[name].dry_friction
        if friction is not None:
            add(moments[k], model.weights.tendons[k], friction)
    return found.rows()._replace(loss=jnp.stack(losses) if losses else jnp.zeros(0, model.gravity.dtype))


def limit_rows(model: Model, q: Float[Array, "nq"]) -> Rows:
    """Two rows for each limited slide, hinge and tendon (lower, upper end), one for each ball joint; position is the
    distance to the end, positive inside. **Raises** `ValueError` for q of wrong length."""
    (q,) = checked(model, q=q)
    found = _Builder(model)

    def both(value: Array, row: Array, weight: float, limit: Limit) -> None:
        found.add(row, value - limit.range[0], weight, limit.solref, limit.solimp, limit.margin)
        found.add(-row, limit.range[1] - value, weight, limit.solref, limit.solimp, limit.margin)

    for j, name in enumerate(model.tree.joints):
        limit, own = model.joints[name].limit, q[model.tree.positions[j]]
        if limit is None:
            continue
        start = model.tree.velocities[j].start
        weight = model.weights.freedoms[start]
        if model.tree.kinds[j] != "ball":
            both(own[0], _unit(model, start), weight, limit)
            continue
        turn = logarithm(unit(own))
        square = jnp.sum(turn * turn)
        turned = square > 0
        angle = jnp.where(turned, jnp.sqrt(jnp.where(turned, square, 1.0)), 0.0)
        axis = jnp.where(turned, turn / jnp.where(turned, angle, 1.0), jnp.asarray([1.0, 0.0, 0.0], q.dtype))
        row = jnp.zeros(model.nv, q.dtype).at[start : start + 3].set(-axis)
        found.add(row, jnp.max(limit.range) - angle, weight, limit.solref, limit.solimp, limit.margin)
    if model.tree.tendons:
        lengths, moments = tendon_lengths(model, q), tendon_jacobian(model)
        for k, name in enumerate(model.tree.tendons):
            limit = model.tendons[name].limit
            if limit is not None:
                both(lengths[k], moments[k], model.weights.tendons[k], limit)
    return found.rows()


class _Builder:
    """Collects rows one by one and stacks them."""

    def __init__(self, model: Model) -> None:
        self.nv, self.dtype = model.nv, model.gravity.dtype
        self.found: list[tuple[Array, ...]] = []

    def add(
        self, row: Array, position: Array, weight: float, solref: Array, solimp: Array, margin: Array | float = 0.0
    ) -> None:
        numbers = (jnp.asarray(margin, self.dtype), jnp.asarray(weight, self.dtype))
        self.found.append((row, position, *numbers, solref, solimp))

    def rows(self) -> Rows:
        if not self.found:
            none = jnp.zeros(0, self.dtype)
            return Rows(*(jnp.zeros((0, n), self.dtype) if n else none for n in (self.nv, 0, 0, 0, 2, 5)))
        return Rows(*(jnp.stack(column) for column in zip(*self.found)))


def _single(model: Model, q: Array, joint: str) -> tuple[int, int, Array]:
    """Of a slide or hinge: its entries in q and v, and how far it is from its reference."""
    j, reference = model.joint_index(joint), model.joints[joint].reference
    assert reference is not None
    entry = model.tree.positions[j].start
    return entry, model.tree.velocities[j].start, q[entry] - reference


def _unit(model: Model, freedom: int) -> Array:
    return jnp.asarray(np.eye(model.nv)[freedom], model.gravity.dtype)

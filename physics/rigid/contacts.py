"""Contacts: the parameters of two touching shapes, where shapes are, and the velocity of one body against another."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from .constraints import friction_floor
from .elements import Geom
from .kinematics import Placement
from .model import Candidate, Model
from .spatial import Matrix, Vector, cross, rotation, unit


class ContactParameters(NamedTuple):
    """What holds for the contact of one pair of shapes."""

    friction: Float[Array, "5"]  # sliding along both tangents; torsional, m; rolling about both tangents, m
    solref: Float[Array, "2"]
    solimp: Float[Array, "5"]
    margin: Float[Array, ""]  # forces begin at this distance; m
    gap: Float[Array, ""]  # m
    inverse_weight: Float[Array, ""]  # sum of both bodies' for translation; 1/kg


def contact_parameters(model: Model, contact: Candidate) -> ContactParameters:
    """The parameters of a contact, mixed from those of its shapes unless a `Pair` gives them.

    Friction is the larger one, solref and solimp are averages with the weights solmix, but of solref the smaller entries
    where one of the shapes gives it in the direct format; the shape of higher priority decides all three alone. Margins
    and gaps add up.

    **Source**: the documentation of MuJoCo, "Modeling", contact parameters.
    """
    first, second = model.geoms[contact.first], model.geoms[contact.second]
    weight = jnp.asarray(sum(_weights(model, geom)[0] for geom in (first, second)), model.gravity.dtype)
    if contact.pair is not None:
        pair = model.pairs[contact.pair]
        return ContactParameters(friction_floor(pair.friction), pair.solref, pair.solimp, pair.margin, pair.gap, weight)
    if first.priority != second.priority:
        chosen = max(first, second, key=lambda geom: geom.priority)
        friction, solref, solimp = chosen.friction, chosen.solref, chosen.solimp
    else:
        friction = jnp.maximum(first.friction, second.friction)
        share = _share(first.solmix, second.solmix)
        solimp = share * first.solimp + (1 - share) * second.solimp
        standard = (first.solref[0] > 0) & (second.solref[0] > 0)
        mean = share * first.solref + (1 - share) * second.solref
        solref = jnp.where(standard, mean, jnp.minimum(first.solref, second.solref))
    slide, spin, roll = friction_floor(friction)
    margin, gap = first.margin + second.margin, first.gap + second.gap
    return ContactParameters(jnp.stack([slide, slide, spin, roll, roll]), solref, solimp, margin, gap, weight)


def _share(one: Array, other: Array) -> Array:
    """one / (one + other); of two that are next to nothing one half, of one that is nothing 0, of its partner 1."""
    small = 1e-15
    some = (one >= small) & (other >= small)
    quotient = one / jnp.where(some, one + other, 1.0)
    lacking = jnp.where(one < small, jnp.where(other < small, 0.5, 0.0), 1.0)
    return jnp.where(some, quotient, lacking)


def _weights(model: Model, geom: Geom) -> tuple[float, float]:
    return (0.0, 0.0) if geom.body is None else model.weights.bodies[model.tree.bodies.index(geom.body)]


def geom_pose(model: Model, placed: Placement, name: str) -> tuple[Vector, Matrix]:
    """(position, rotation matrix) of a shape in world axes."""
    geom = model.geoms[name]
    turn = rotation(unit(geom.rotation))
    if geom.body is None:
        return geom.offset, turn
    body = model.tree.bodies.index(geom.body)
    return placed.position[body] + placed.rotation[body] @ geom.offset, placed.rotation[body] @ turn


def relative_jacobian(
    model: Model, placed: Placement, contact: Candidate, point: Vector, frame: Matrix
) -> Float[Array, "6 nv"]:
    """The velocity of the second shape's body against the first's at `point`, along the rows of `frame`, for each v.

    Rows 0 to 2 are translations, 3 to 5 rotations.
    """
    index = model.tree.bodies.index
    first, second = (model.geoms[name].body for name in (contact.first, contact.second))
    columns = []
    for i, axis in enumerate(placed.axes):
        moved = [body is not None and bool(model.tree.moves[index(body), i]) for body in (second, first)]
        if moved[0] == moved[1]:  # carried alike, or not at all
            columns.append(jnp.zeros(6, point.dtype))
            continue
        sign = 1.0 if moved[0] else -1.0
        arm = point - placed.origin[model.tree.freedom_bodies[i]]
        linear = axis[3:] + cross(axis[:3], arm)
        columns.append(sign * jnp.concatenate([frame @ linear, frame @ axis[:3]]))
    return jnp.stack(columns, 1)


def pyramid(jacobian: Float[Array, "6 nv"], friction: Float[Array, "5"], condim: int) -> Float[Array, "edge nv"]:
    """The rows of a contact: the normal alone (condim 1), or normal ± friction_k direction_k of a pyramid's edges."""
    if condim == 1:
        return jacobian[:1]
    sides = friction[: condim - 1, None] * jacobian[1:condim]
    edges = jnp.stack([jacobian[0] + sides, jacobian[0] - sides], 1)
    return edges.reshape(2 * (condim - 1), -1)

"""What all pairs of shapes share: unit vectors that are defined everywhere, frames of contacts, absent candidates."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

ABSENT = 1e9  # the distance, in m, of a candidate that is not there; it has no derivative
_TINY = 1e-30  # squared lengths below this have no direction; m²


class Contacts(NamedTuple):
    """Candidates for contact of two shapes, always the same number for a pair of kinds.

    `distance` [k]: negative where the shapes overlap, `ABSENT` for a candidate that is not there; m. `position` [k, 3]:
    midway between the two surfaces; m. `frame` [k, 3, 3]: rows are the normal, from the first shape to the second, and
    two tangents.
    """

    distance: Float[Array, "k"]
    position: Float[Array, "k 3"]
    frame: Float[Array, "k 3 3"]


def dot(x: Float[Array, "3"], y: Float[Array, "3"]) -> Float[Array, ""]:
    """The product of two vectors, of few operations."""
    return jnp.sum(x * y)


def cross(x: Float[Array, "3"], y: Float[Array, "3"]) -> Float[Array, "3"]:
    """The vector product, of few operations."""
    first, second = jnp.array([1, 2, 0]), jnp.array([2, 0, 1])
    return x[first] * y[second] - x[second] * y[first]


def length_and_direction(
    v: Float[Array, "3"], otherwise: Float[Array, "3"]
) -> tuple[Float[Array, ""], Float[Array, "3"]]:
    """|v| and v / |v|; 0 and `otherwise` where v is next to zero. Derivatives are finite there too."""
    squared = dot(v, v)
    some = squared > _TINY
    length = jnp.sqrt(jnp.where(some, squared, 1.0))
    return jnp.where(some, length, 0.0), jnp.where(some, v / length, otherwise)


def x_axis(like: Float[Array, "..."]) -> Float[Array, "3"]:
    """(1, 0, 0)."""
    return jnp.array([1.0, 0.0, 0.0], like.dtype)


def frame_of(normal: Float[Array, "3"], towards: Float[Array, "3"] | None = None) -> Float[Array, "3 3"]:
    """The normal and two tangents as rows; the first tangent as near as can be to `towards`.

    Without it the first tangent is that to the y axis, or to the z axis for normals within 60 degrees of y: the rule of
    the C library, so that the edges of friction pyramids are the same.
    """
    if towards is None:
        beside_y = jnp.abs(normal[1]) < 0.5
        towards = jnp.where(
            beside_y, jnp.array([0.0, 1.0, 0.0], normal.dtype), jnp.array([0.0, 0.0, 1.0], normal.dtype)
        )
        along = towards - dot(normal, towards) * normal
        first = along / jnp.sqrt(dot(along, along))  # at least half as long as 1
    else:
        x = x_axis(normal)
        spare = jnp.where(jnp.abs(normal[0]) < 0.9, x - normal[0] * normal, jnp.roll(x, 1) - normal[1] * normal)
        spare = spare / jnp.sqrt(dot(spare, spare))
        _, first = length_and_direction(towards - dot(normal, towards) * normal, spare)
    return jnp.stack([normal, first, cross(normal, first)])


def alike(
    normal: Float[Array, "3"], distance: Float[Array, "k"], position: Float[Array, "k 3"], towards: Array | None = None
) -> Contacts:
    """Candidates with one normal."""
    frame = frame_of(normal, towards)
    return Contacts(distance, position, jnp.broadcast_to(frame, (len(distance), 3, 3)))


def present(contacts: Contacts, where: Bool[Array, "k"]) -> Contacts:
    """The candidates, those absent where the condition does not hold."""
    return contacts._replace(distance=jnp.where(where, contacts.distance, ABSENT))

"""Contacts of a plane with other shapes. The plane's normal is its z axis; what is below it overlaps.

Every function takes position [3], rotation matrix [3, 3] and size [3] of both shapes and the distance up to which
contacts are wanted, in metres, and is written for one pair.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .frames import Contacts, alike, cross, dot, length_and_direction, present

_CORNERS = np.array([[-1.0, 1.0, 1.0], [-1.0, -1.0, 1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, -1.0]])


def plane_sphere(p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array) -> Contacts:
    """The lowest point of a sphere."""
    normal = r1[:, 2]
    return _balls(normal, p1, p2[None], size2[0])


def plane_capsule(p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array) -> Contacts:
    """The lowest points of both ends, with tangents along the capsule."""
    axis = r2[:, 2]
    ends = jnp.stack([p2 + size2[1] * axis, p2 - size2[1] * axis])
    return _balls(r1[:, 2], p1, ends, size2[0], axis)


def _balls(normal: Array, origin: Array, centres: Array, radius: Array, towards: Array | None = None) -> Contacts:
    distance = (centres - origin) @ normal - radius
    return alike(normal, distance, centres - (radius + 0.5 * distance)[:, None] * normal, towards)


def _points(normal: Array, origin: Array, points: Array) -> Contacts:
    distance = (points - origin) @ normal
    return alike(normal, distance, points - 0.5 * distance[:, None] * normal)


def plane_box(p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array) -> Contacts:
    """The lower one of each two opposite corners: the four that are not above the centre."""
    normal = r1[:, 2]
    arms = (jnp.asarray(_CORNERS, p2.dtype) * size2) @ r2.T
    arms = jnp.where((arms @ normal > 0)[:, None], -arms, arms)
    return _points(normal, p1, p2 + arms)


def plane_ellipsoid(p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array) -> Contacts:
    """The lowest point of an ellipsoid."""
    normal = r1[:, 2]
    _, support = length_and_direction((r2.T @ normal) * size2, r2.T @ normal)
    return _points(normal, p1, (p2 - r2 @ (support * size2))[None])


def plane_cylinder(p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array) -> Contacts:
    """The lowest points of both rims, and two more of the lower rim that make a triangle with its lowest point.

    All but the first only where the first is within the margin, as in the C library.
    """
    normal, radius = r1[:, 2], size2[0]
    down = jnp.where(dot(normal, r2[:, 2]) > 0, -1.0, 1.0) * r2[:, 2]
    # An upright cylinder has no lowest point of the rim; its own x axis points to one.
    _, out = length_and_direction(dot(normal, down) * down - normal, r2[:, 0])
    out, axis = radius * out, size2[1] * down
    beside = 0.5 * jnp.sqrt(3.0).astype(radius.dtype) * cross(out, down)
    arms = jnp.stack([axis + out, out - axis, axis - 0.5 * out + beside, axis - 0.5 * out - beside])
    found = _points(normal, p1, p2 + arms)
    return present(found, jnp.asarray([True, False, False, False]) | (found.distance[0] <= margin))


def bounding_radius(kind: str, size: Float[Array, "3"]) -> Float[Array, ""]:
    """The radius of a ball around a shape's centre that holds the shape; m."""
    if kind == "sphere":
        return size[0]
    if kind == "capsule":
        return size[0] + size[1]
    if kind == "cylinder":
        return jnp.sqrt(size[0] ** 2 + size[1] ** 2)
    return jnp.max(size) if kind == "ellipsoid" else jnp.sqrt(dot(size, size))

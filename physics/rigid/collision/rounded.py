"""Contacts of spheres and capsules with each other, and of a sphere with a cylinder. Arguments as in `planes`."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from .frames import Contacts, cross, dot, frame_of, length_and_direction, present, x_axis

_PARALLEL = 1e-8  # the C library's limit for the squared sine between two axes


def two_balls(
    p1: Array, radius1: Array, p2: Array, radius2: Array, otherwise: Float[Array, "3"]
) -> tuple[Float[Array, ""], Float[Array, "3"], Float[Array, "3"]]:
    """Distance, position and normal of the contact of two balls; the normal is `otherwise` where their centres meet."""
    apart, normal = length_and_direction(p2 - p1, otherwise)
    distance = apart - radius1 - radius2
    return distance, p1 + (radius1 + 0.5 * distance) * normal, normal


def _spare_normal(r1: Array, r2: Array) -> Float[Array, "3"]:
    """For centres that coincide: across both z axes."""
    _, normal = length_and_direction(cross(r1[:, 2], r2[:, 2]), x_axis(r1))
    return normal


def _one(distance: Array, position: Array, normal: Array) -> Contacts:
    return Contacts(distance[None], position[None], frame_of(normal)[None])


def sphere_sphere(p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array) -> Contacts:
    """Along the line through both centres."""
    return _one(*two_balls(p1, size1[0], p2, size2[0], _spare_normal(r1, r2)))


def sphere_capsule(p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array) -> Contacts:
    """The sphere and the ball about the nearest point of the capsule's axis."""
    axis = r2[:, 2]
    along = jnp.clip(dot(p1 - p2, axis), -size2[1], size2[1])
    return _one(*two_balls(p1, size1[0], p2 + along * axis, size2[0], _spare_normal(r1, r2)))


def capsule_capsule(p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array) -> Contacts:
    """The nearest points of both axes; where these are parallel, both ends of the stretch along which they are.

    Of axes one after the other this is one point twice, as in the C library.
    """
    a, b, apart = size1[1] * r1[:, 2], size2[1] * r2[:, 2], p1 - p2
    aa, ab, bb = dot(a, a), dot(a, b), dot(b, b)
    at, bt = -dot(a, apart), dot(b, apart)  # slopes of half the squared distance at both centres
    area = aa * bb - ab * ab
    parallel = area <= max(_PARALLEL, 4 * float(jnp.finfo(area.dtype).eps)) * aa * bb
    spare = _spare_normal(r1, r2)

    def on_first(y: Array) -> Array:
        return jnp.clip((at + ab * y) / jnp.where(aa > 0, aa, 1.0), -1.0, 1.0)

    def on_second(x: Array) -> Array:
        return jnp.clip((bt + ab * x) / jnp.where(bb > 0, bb, 1.0), -1.0, 1.0)

    general = jnp.clip((bb * at + ab * bt) / jnp.where(parallel, 1.0, area), -1.0, 1.0)
    y = on_second(general)
    one = jnp.ones_like(y)
    places = [jnp.where(parallel, on_first(one), on_first(y)), on_first(-one)]
    others = [jnp.where(parallel, on_second(places[0]), y), on_second(places[1])]
    found = [two_balls(p1 + x * a, size1[0], p2 + y * b, size2[0], spare) for x, y in zip(places, others)]
    contacts = Contacts(*(jnp.stack(x) for x in zip(*((d, p, frame_of(normal)) for d, p, normal in found))))
    return present(contacts, jnp.stack([jnp.ones_like(parallel), parallel]))


def sphere_cylinder(p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array) -> Contacts:
    """The sphere against the side, the nearer flat end, or the rim between them.

    A centre inside the cylinder is pushed out where it is nearest to the surface.
    """
    axis, apart = r2[:, 2], p1 - p2
    along = dot(apart, axis)
    across = apart - along * axis
    radial, outwards = length_and_direction(across, r2[:, 0])
    up = jnp.where(along < 0, -axis, axis)
    above, beside = jnp.abs(along) - size2[1], radial - size2[0]
    # To the side, to the end, and between: by where the centre is, or inside by what is nearer.
    flat = (radial < size2[0]) & ((above > 0) | (above > beside))
    edge = (radial >= size2[0]) & (above > 0)
    rim = p2 + size2[1] * up + size2[0] * outwards
    apart_from_rim, from_rim = length_and_direction(rim - p1, -outwards)
    height = jnp.where(flat, above, jnp.where(edge, apart_from_rim, beside))
    normal = jnp.where(flat, -up, jnp.where(edge, from_rim, -outwards))
    distance = height - size1[0]
    return _one(distance, p1 + (size1[0] + 0.5 * distance) * normal, normal)

"""Contacts of a box with a sphere. Arguments as in `planes`."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from .frames import Contacts, frame_of, length_and_direction


def ball_and_box(
    centre: Float[Array, "3"], radius: Float[Array, ""], box: Float[Array, "3"]
) -> tuple[Float[Array, ""], Float[Array, "3"], Float[Array, "3"]]:
    """Distance, position and normal, all in the frame of the box, of a ball against it.

    A centre inside the box is pushed out of the nearest face, of equal ones the first among -x, x, -y, y, -z, z.
    """
    nearest = jnp.clip(centre, -box, box)
    apart, towards = length_and_direction(nearest - centre, jnp.zeros_like(centre))
    heights = jnp.stack([centre + box, box - centre], 1).reshape(6)
    face = jnp.argmin(heights)
    normal = jnp.where(jnp.arange(6) == face, jnp.array([1.0, -1.0] * 3, centre.dtype), 0.0).reshape(3, 2).sum(1)
    inside = apart == 0
    height = jnp.where(inside, -jnp.min(heights), apart)
    normal = jnp.where(inside, normal, towards)
    distance = height - radius
    return distance, centre + (radius + 0.5 * distance) * normal, normal


def sphere_box(p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array) -> Contacts:
    """The sphere against the nearest point of the box."""
    distance, position, normal = ball_and_box(r2.T @ (p1 - p2), size1[0], size2)
    return Contacts(distance[None], (p2 + r2 @ position)[None], frame_of(r2 @ normal)[None])

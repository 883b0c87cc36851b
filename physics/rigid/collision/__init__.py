"""Where two shapes touch: candidates for contact of each pair of kinds, on plain arrays.

`PAIRS` is the table of what there is; `collide` asks it, once a ball around each shape says that they may be near. The
rest of the engine knows nothing else of geometry.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .box_box import box_box
from .boxes import sphere_box
from .capsule_box import capsule_box
from .convex import contact
from .frames import ABSENT, Contacts
from .patches import capsule_cylinder, cylinder_box, cylinder_cylinder
from .planes import bounding_radius, plane_box, plane_capsule, plane_cylinder, plane_ellipsoid, plane_sphere
from .rounded import capsule_capsule, sphere_capsule, sphere_cylinder, sphere_sphere


class Collider(NamedTuple):
    """The function of a pair of kinds and the number of candidates that it gives."""

    contacts: Callable[..., Contacts]
    candidates: int


# In the order of the C library's kinds: plane, sphere, capsule, ellipsoid, cylinder, box.
PAIRS: dict[tuple[str, str], Collider] = {
    ("plane", "sphere"): Collider(plane_sphere, 1),
    ("plane", "capsule"): Collider(plane_capsule, 2),
    ("plane", "ellipsoid"): Collider(plane_ellipsoid, 1),
    ("plane", "cylinder"): Collider(plane_cylinder, 4),
    ("plane", "box"): Collider(plane_box, 4),
    ("sphere", "sphere"): Collider(sphere_sphere, 1),
    ("sphere", "capsule"): Collider(sphere_capsule, 1),
    ("sphere", "cylinder"): Collider(sphere_cylinder, 1),
    ("sphere", "box"): Collider(sphere_box, 1),
    ("capsule", "capsule"): Collider(capsule_capsule, 2),
    ("capsule", "cylinder"): Collider(capsule_cylinder, 2),
    ("capsule", "box"): Collider(capsule_box, 2),
    ("cylinder", "cylinder"): Collider(cylinder_cylinder, 4),
    ("cylinder", "box"): Collider(cylinder_box, 4),
    ("box", "box"): Collider(box_box, 8),
} | {
    kinds: Collider(functools.partial(contact, kinds), 1)
    for kinds in (
        ("sphere", "ellipsoid"),
        ("capsule", "ellipsoid"),
        ("ellipsoid", "ellipsoid"),
        ("ellipsoid", "cylinder"),
        ("ellipsoid", "box"),
    )
}


@functools.partial(jax.jit, static_argnums=(0, 1))
def collide(
    first: str,
    second: str,
    p1: Float[Array, "3"],
    r1: Float[Array, "3 3"],
    size1: Float[Array, "3"],
    p2: Float[Array, "3"],
    r2: Float[Array, "3 3"],
    size2: Float[Array, "3"],
    margin: Float[Array, ""],
) -> Contacts:
    """The candidates for contact of a shape of the kind `first` with one of the kind `second`.

    `p1`, `p2`: positions; `r1`, `r2`: rotation matrices, whose columns are the shapes' axes in the world; `size1`,
    `size2`: as in MJCF (radius; radius and half length; half sizes), a plane's are not read; `margin`: the distance up
    to which contacts are wanted, m. Candidates farther away may be given as absent; the shapes' frames are then those of
    the world. Traced once for each pair of kinds. In lanes, shapes that are near in no lane of a group take little time.

    Raises `KeyError` for a pair that is not in `PAIRS`.
    """
    collider = PAIRS[first, second]
    shapes = (p1, r1, size1, p2, r2, size2, margin)
    if first == "plane":
        apart = (p2 - p1) @ r1[:, 2]
        reach = bounding_radius(second, size2)
        near = apart <= reach + margin
    else:
        reach = bounding_radius(first, size1) + bounding_radius(second, size2) + margin
        near = jnp.sum((p2 - p1) ** 2) <= reach**2
    k, dtype = collider.candidates, p1.dtype

    def nothing(*_: Array) -> Contacts:
        eye = jnp.broadcast_to(jnp.eye(3, dtype=dtype), (k, 3, 3))
        return Contacts(jnp.full(k, ABSENT, dtype), jnp.zeros((k, 3), dtype), eye)

    return lax.cond(near, collider.contacts, nothing, *shapes)


__all__ = ["ABSENT", "PAIRS", "Collider", "Contacts", "collide"]

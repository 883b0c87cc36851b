"""Contacts of two boxes: a face of one against what of the other is over it, or an edge against an edge.

The direction in which the boxes overlap least, of the 6 normals of faces and the 9 directions across two edges, is the
normal (Gottschalk, Lin and Manocha, OBBTree, SIGGRAPH 1996). For a face, the nearest corner, edge or face of the other
box is cut to the outline of the face; what is left has up to eight corners. Which directions count as equal, and what is
taken for an edge, are the rules of the C library, whose contacts these are.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .frames import ABSENT, Contacts, frame_of

_SMALL = 1e-15  # the C library's least number
_FAR = 1e6  # an overlap larger than any, m
_TIE = 1e-12  # an edge must be better than a face by this share,
_BETTER = 0.05  # or by this one where the directions are within this cosine of each other, for a face holds better
_ALIKE = 0.99
CONTACTS = 8


class _Direction(NamedTuple):
    """The direction of least overlap in world axes, from the first box to the second, and what it belongs to."""

    normal: Float[Array, "3"]
    overlap: Float[Array, ""]
    face: Bool[Array, ""]
    axis: Int[Array, ""]  # of the first or second box, or the first one's edge
    other: Int[Array, ""]  # 0 or 1: whose face; or the second one's edge
    apart: Bool[Array, ""]  # by more than the margin along some direction


def box_box(p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array) -> Contacts:
    """Up to eight contacts with one normal."""
    way = _direction(p1, r1, size1, p2, r2, size2, margin)
    swapped = way.other == 1
    pick = lambda x, y: jnp.where(swapped, y, x)
    outwards = jnp.where(swapped, -way.normal, way.normal)
    points, distances, there = _over_face(
        pick(p1, p2),
        pick(r1, r2),
        pick(size1, size2),
        outwards,
        way.axis,
        pick(p2, p1),
        pick(r2, r1),
        pick(size2, size1),
    )
    there = there & (distances <= margin)
    slot = jnp.cumsum(there) - 1
    chosen = (there & (slot == jnp.arange(CONTACTS)[:, None])).astype(p1.dtype)
    some = jnp.any(chosen > 0, axis=1)
    first = jnp.arange(CONTACTS) == 0
    edge = _edges(p1, r1, size1, p2, r2, size2, way)
    distance = jnp.where(way.face, chosen @ distances, -way.overlap)
    position = jnp.where(way.face, chosen @ points, edge)
    distance = jnp.where(jnp.where(way.face, some, first) & ~way.apart, distance, ABSENT)
    return Contacts(distance, position, jnp.broadcast_to(frame_of(way.normal), (CONTACTS, 3, 3)))


def _direction(p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array) -> _Direction:
    turn, apart = r1.T @ r2, r1.T @ (p2 - p1)
    own, its = apart, r2.T @ (p2 - p1)
    faces = jnp.stack([size1 + jnp.abs(turn) @ size2 - jnp.abs(own), size2 + jnp.abs(turn).T @ size1 - jnp.abs(its)], 1)
    faces = faces.reshape(6)  # of the first box, the second, the first, ...
    best = jnp.argmin(faces)
    axis, other = best // 2, best % 2
    across = jnp.cross(jnp.eye(3, dtype=turn.dtype)[:, None], turn.T[None])  # [i, j]: across edges i and j
    squared = jnp.sum(across**2, -1)
    skew = squared > _SMALL**2
    across = across / jnp.sqrt(jnp.where(skew, squared, 1.0))[..., None]
    centres = across @ apart
    # An edge itself adds nothing to the extent across it; leaving it out keeps its rounding out, too.
    i, j = jnp.eye(3, dtype=bool)[:, None], jnp.eye(3, dtype=bool)[None]
    extent = jnp.sum(jnp.where(i, 0.0, jnp.abs(across) * size1), -1)
    extent = extent + jnp.sum(jnp.where(j, 0.0, jnp.abs(across @ turn) * size2), -1)
    edges = jnp.where(skew, extent - jnp.abs(centres), _FAR).reshape(9)
    sign = lambda x: jnp.where(x < 0, -1.0, 1.0).astype(turn.dtype)
    of_face = jnp.where(other == 0, r1[:, axis] * sign(own[axis]), r2[:, axis] * sign(its[axis]))
    across, edge, least = across.reshape(9, 3), jnp.argmin(edges), faces[best]
    alike = jnp.abs(across[edge] @ (r1.T @ of_face)) > _ALIKE
    face = ~(edges[edge] < least - jnp.abs(least) * jnp.where(alike, _BETTER, _TIE))
    overlap = jnp.where(face, least, edges[edge])
    of_edge = r1 @ (across[edge] * sign(centres.reshape(9)[edge]))
    return _Direction(
        jnp.where(face, of_face, of_edge),
        overlap,
        face,
        jnp.where(face, axis, edge // 3),
        jnp.where(face, other, edge % 3),
        jnp.any(faces < -margin) | jnp.any(edges < -margin),
    )


def _over_face(
    p1: Array, r1: Array, size1: Array, outwards: Array, axis: Array, p2: Array, r2: Array, size2: Array
) -> tuple[Float[Array, "24 3"], Float[Array, "24"], Bool[Array, "24"]]:
    """Corners of what of the second box is over a face of the first: points between both, heights, and which there are."""
    sides = jnp.stack([(axis + 1) % 3, (axis + 2) % 3])
    frame = jnp.stack([r1[:, sides[0]], r1[:, sides[1]], outwards])
    half = size1[sides]
    turn = frame @ r2
    middle = frame @ (p2 - p1) - jnp.array([0.0, 0.0, 1.0], p1.dtype) * size1[axis]
    down = jnp.where(turn[2] < 0, 1.0, -1.0)
    lowest = middle + turn @ (down * size2)
    steepest = jnp.argmax(jnp.abs(turn[2]))  # the two others span the face that looks down most
    arms = -2 * turn * (down * size2)
    a, b = arms[:, (steepest + 1) % 3], arms[:, (steepest + 2) % 3]
    corners = jnp.stack([lowest, lowest + a, lowest + b, lowest + a + b])
    crossings, crossed = _crossings(corners[jnp.array([0, 0, 1, 2])], jnp.stack([a, b, b, a]), half)
    covered, below = _corners_below(lowest, a, b, half)
    over = jnp.all(jnp.abs(corners[:, :2]) < half, axis=1)
    points = jnp.concatenate([crossings, covered, corners])
    heights = points[:, 2]
    between = points * jnp.array([1.0, 1.0, 0.5], p1.dtype) + jnp.array([0.0, 0.0, 1.0], p1.dtype) * size1[axis]
    return p1 + between @ frame, heights, jnp.concatenate([crossed, below, over])


def _crossings(starts: Array, arms: Array, half: Array) -> tuple[Float[Array, "16 3"], Bool[Array, "16"]]:
    """Where four edges cross the four sides of a rectangle."""
    points, valid = [], []
    for q in range(2):
        steep = jnp.abs(arms[:, q]) > _SMALL
        for side in (-1.0, 1.0):
            share = (side * half[q] - starts[:, q]) / jnp.where(steep, arms[:, q], 1.0)
            point = starts + share[:, None] * arms
            inside = (share >= 0) & (share <= 1) & (jnp.abs(point[:, 1 - q]) <= half[1 - q])
            points.append(point)
            valid.append(steep & inside)
    return jnp.concatenate(points), jnp.concatenate(valid)


def _corners_below(lowest: Array, a: Array, b: Array, half: Array) -> tuple[Float[Array, "4 3"], Bool[Array, "4"]]:
    """The corners of a rectangle that are strictly within a parallelogram, at its height."""
    corners = jnp.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]], half.dtype) * half
    area = a[0] * b[1] - a[1] * b[0]
    some = jnp.abs(area) > 0
    x, y = (corners - lowest[:2]).T / jnp.where(some, area, 1.0)
    u, v = x * b[1] - y * b[0], y * a[0] - x * a[1]
    inside = some & (u > 0) & (v > 0) & (u < 1) & (v < 1)
    heights = lowest[2] + u * a[2] + v * b[2]
    return jnp.concatenate([corners, heights[:, None]], 1), inside


def _edges(
    p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, way: _Direction
) -> Float[Array, "3"]:
    """The point midway between the two edges where they are nearest."""
    ends = []
    for p, r, size, k, normal in ((p1, r1, size1, way.axis, way.normal), (p2, r2, size2, way.other, -way.normal)):
        towards = jnp.where(normal @ r > 0, 1.0, -1.0) * size
        ends.append((p + r @ jnp.where(jnp.arange(3) == k, 0.0, towards), r[:, k], size[k]))
    (a, u, long), (b, v, wide) = ends
    slant = u @ v
    sine = 1 - slant**2
    gap = b - a
    x = jnp.clip((u @ gap - slant * (v @ gap)) / jnp.where(sine > _SMALL, sine, 1.0), -long, long)
    y = jnp.clip(slant * x - v @ gap, -wide, wide)
    x = jnp.clip(u @ gap + slant * y, -long, long)
    return 0.5 * (a + x * u + b + y * v)

"""Contacts of flat ends and sides of cylinders, where one point would let them rock: two points of a line, four of a face.

Where the normal of the nearest points is that of a flat end of a cylinder or of a face of a box, to about eight degrees,
what of the other shape is flat to five degrees is laid over the face: the line of a capsule or of the side of a cylinder on
which the nearest point is, an edge of a box, or a face. What of it is over the face touches at its ends or corners, each
at its own distance, all along the normal of the face. The limits of angles and the 16 corners of a flat end are those of
the C library, and so are the contacts of lines.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from .convex import Nearest, nearest
from .frames import Contacts, cross, dot, frame_of, length_and_direction, present

_FACING = 0.99  # cosine of the angle of the normal of the nearest points and that of a face, at least,
_FLUSH = 0.996  # and of the normals of two faces
_FLAT = 0.0888  # sine of the angle of a line with a face, at most
_CORNERS = 16
_ANGLES = 2 * np.pi * np.arange(_CORNERS) / _CORNERS
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)
_SQUARE = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
_TWICE = 1e-6  # corners nearer than this to each other, as a share of the face, are one
_TINY = 1e-30


class Face(NamedTuple):
    """A flat convex face: its middle, its normal outwards, two axes in it, and its corners along these, in turn."""

    middle: Float[Array, "3"]
    normal: Float[Array, "3"]
    axes: Float[Array, "2 3"]
    corners: Float[Array, "n 2"]


class _Points(NamedTuple):
    """Points over a face: where, with their heights, and which there are."""

    points: Float[Array, "k 3"]
    heights: Float[Array, "k"]
    there: Bool[Array, "k"]


def flat_end(p: Array, r: Array, size: Array, towards: Array) -> Face:
    """The flat end of a cylinder that looks towards a direction."""
    out = jnp.where(dot(r[:, 2], towards) < 0, -r[:, 2], r[:, 2])
    corners = jnp.asarray(_CIRCLE, p.dtype) * size[0]
    return Face(p + size[1] * out, out, jnp.stack([r[:, 0], cross(out, r[:, 0])]), corners)


def box_face(p: Array, r: Array, size: Array, towards: Array) -> Face:
    """The face of a box that looks most towards a direction."""
    facing = towards @ r
    k = jnp.argmax(jnp.abs(facing))
    beside = jnp.stack([(k + 1) % 3, (k + 2) % 3])
    out = r[:, k] * jnp.where(facing[k] < 0, -1.0, 1.0)
    axes = jnp.stack([r[:, beside[0]], cross(out, r[:, beside[0]])])
    return Face(p + size[k] * out, out, axes, jnp.asarray(_SQUARE, p.dtype) * size[beside])


def capsule_cylinder(p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array) -> Contacts:
    """The nearest points, or both ends of the stretch of the capsule over a flat end. Arguments as in `planes`."""
    best = nearest(("capsule", "cylinder"), p1, r1, size1, p2, r2, size2)
    face = flat_end(p2, r2, size2, -best.normal)
    thick = 0.5 * margin  # the C library takes the line on a capsule that is thicker by this
    points = _line_over(face, p1 + (size1[0] + thick) * best.normal, size1[1] * r1[:, 2], thick)
    points = _where(points, _faces(face, -best.normal) & _is_flat(face, r1[:, 2]))
    return _contacts(best, [(points, -face.normal)], 2)


def cylinder_cylinder(
    p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array
) -> Contacts:
    """The nearest points, four of an end on an end, or two of a side on an end."""
    best = nearest(("cylinder", "cylinder"), p1, r1, size1, p2, r2, size2)
    first, second = flat_end(p1, r1, size1, best.normal), flat_end(p2, r2, size2, -best.normal)
    on_first, on_second = _faces(first, best.normal), _faces(second, -best.normal)
    four = _where(_face_over(second, first), on_second & (dot(first.normal, -second.normal) > _FLUSH))
    side = _where(_side_over(second, p1, r1, size1, best.normal), on_second & _is_flat(second, r1[:, 2]))
    other = _where(_side_over(first, p2, r2, size2, -best.normal), on_first & _is_flat(first, r2[:, 2]))
    return _contacts(best, [(four, -second.normal), (side, -second.normal), (other, first.normal)], 4)


def cylinder_box(p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array) -> Contacts:
    """The nearest points, four of an end on a face, or two of a side on a face or of an edge on an end."""
    best = nearest(("cylinder", "box"), p1, r1, size1, p2, r2, size2)
    end, face = flat_end(p1, r1, size1, best.normal), box_face(p2, r2, size2, -best.normal)
    on_end, on_face = _faces(end, best.normal), _faces(face, -best.normal)
    flush = dot(end.normal, -face.normal) > _FLUSH
    four = _where(_face_over(face, end), on_face & flush)
    side = _where(_side_over(face, p1, r1, size1, best.normal), on_face & _is_flat(face, r1[:, 2]))
    # The edge nearest to the end: along the flattest axis of the box, on the side towards the end along the others.
    slants = r2.T @ end.normal
    k = jnp.argmin(jnp.abs(slants))
    beyond = jnp.where(slants < 0, 1.0, -1.0) * size2
    lowest = p2 + r2 @ jnp.where(jnp.arange(3) == k, 0.0, beyond)
    edge = _line_over(end, lowest, r2[:, k] * size2[k])
    edge = _where(edge, on_end & ~flush & (jnp.abs(slants[k]) < _FLAT))
    return _contacts(best, [(four, -face.normal), (side, -face.normal), (edge, end.normal)], 4)


def _faces(face: Face, towards: Array) -> Bool[Array, ""]:
    return dot(face.normal, towards) > _FACING


def _is_flat(face: Face, axis: Array) -> Bool[Array, ""]:
    return jnp.abs(dot(face.normal, axis)) < _FLAT


def _where(points: _Points, condition: Array) -> _Points:
    return points._replace(there=points.there & condition)


def _contacts(best: Nearest, choices: list[tuple[_Points, Array]], count: int) -> Contacts:
    """The first of the choices that has points, with the normal from the first shape to the second, or else `best`."""
    distance = jnp.broadcast_to(best.distance, (count,))
    position = jnp.broadcast_to(best.position, (count, 3))
    there = jnp.arange(count) == 0
    normal, chosen = best.normal, jnp.zeros((), bool)
    for points, along in choices:
        missing = count - len(points.heights)
        heights = jnp.pad(points.heights, (0, missing))
        middles = jnp.pad(points.points, ((0, missing), (0, 0)))
        some = jnp.any(points.there) & ~chosen
        distance, position = jnp.where(some, heights, distance), jnp.where(some, middles, position)
        there = jnp.where(some, jnp.pad(points.there, (0, missing)), there)
        normal, chosen = jnp.where(some, along, normal), chosen | some
    frames = jnp.broadcast_to(frame_of(normal), (count, 3, 3))
    return present(Contacts(distance, position, frames), there)


def _over(face: Face, point: Array) -> tuple[Float[Array, "2"], Float[Array, ""]]:
    """Place along the axes of the face, and height."""
    apart = point - face.middle
    return face.axes @ apart, dot(face.normal, apart)


def _clip(corners: Float[Array, "n 2"], start: Array, way: Array) -> tuple[Array, Array]:
    """From which to which share of `way` a line is within a polygon; the first is larger if it is nowhere."""
    edges = jnp.roll(corners, -1, 0) - corners
    inside = edges[:, 0] * (start[1] - corners[:, 1]) - edges[:, 1] * (start[0] - corners[:, 0])
    gain = edges[:, 0] * way[1] - edges[:, 1] * way[0]
    moves = jnp.abs(gain) > _TINY
    at = -inside / jnp.where(moves, gain, 1.0)
    nowhere = jnp.any(~moves & (inside < 0))
    begin = jnp.max(jnp.where(moves & (gain > 0), at, 0.0), initial=0.0)
    end = jnp.min(jnp.where(moves & (gain < 0), at, 1.0), initial=1.0)
    return jnp.where(nowhere, 1.0, begin), jnp.where(nowhere, 0.0, end)


def _line_over(face: Face, middle: Array, half: Array, raised: Array | float = 0.0) -> _Points:
    """Both ends of the part of a line that is over a face, at heights larger by `raised`."""
    start, _ = _over(face, middle - half)
    begin, end = _clip(face.corners, start, 2 * (face.axes @ half))
    points = middle - half + 2 * jnp.stack([begin, end])[:, None] * half
    above = (points - face.middle) @ face.normal
    heights = above + raised
    middles = points + (0.5 * heights - above)[:, None] * face.normal
    return _Points(middles, heights, jnp.broadcast_to(begin < end, (2,)))


def _side_over(face: Face, p: Array, r: Array, size: Array, towards: Array) -> _Points:
    """The line of a cylinder's side that is farthest along a direction, over a face."""
    axis = r[:, 2]
    _, out = length_and_direction(towards - dot(towards, axis) * axis, r[:, 0])
    return _line_over(face, p + size[0] * out, size[1] * axis)


def _face_over(face: Face, other: Face) -> _Points:
    """Four corners of what of another face is over this one: those that are farthest along its diagonals.

    Which ones is found first, without derivatives; then these four are computed.
    """
    corners = other.middle + other.corners @ other.axes
    places = (corners - face.middle) @ face.axes.T
    ways = jnp.roll(places, -1, 0) - places
    rows, valid = _spread(*_outline(*(lax.stop_gradient(x) for x in (face.corners, places))))
    count = len(places)
    found = []
    for row in rows:
        begins, ends, own = row[:count], row[count : 2 * count], row[2 * count :]
        on_edge = begins + ends
        start, way = on_edge @ places, on_edge @ ways
        begin, end = _clip(face.corners, start, way)
        share = jnp.where(jnp.sum(begins) > 0, begin, end)
        found.append(jnp.where(jnp.sum(own) > 0, own @ face.corners, start + share * way))
    flat = jnp.stack(found)
    # Onto the plane of the other face, along this one's normal.
    level = face.middle + flat @ face.axes
    fall = jnp.minimum(dot(face.normal, other.normal), -0.5)  # both are nearly opposite wherever this counts
    heights = (other.middle - level) @ other.normal / fall
    return _Points(level + 0.5 * heights[:, None] * face.normal, heights, valid)


def _outline(corners: Float[Array, "n 2"], places: Float[Array, "m 2"]) -> tuple[Float[Array, "k 2"], Bool[Array, "k"]]:
    """Where each edge of one polygon, seen from behind, begins and ends within another, and that one's corners."""
    ways = jnp.roll(places, -1, 0) - places
    begin, end = jax.vmap(lambda place, way: _clip(corners, place, way))(places, ways)
    points = [places + begin[:, None] * ways, places + end[:, None] * ways, corners]
    apart = corners[:, None] - places
    within = jnp.all(ways[:, 0] * apart[..., 1] - ways[:, 1] * apart[..., 0] <= 0, 1)
    return jnp.concatenate(points), jnp.concatenate([begin <= end, begin <= end, within])


def _spread(flat: Array, there: Array) -> tuple[Float[Array, "4 k"], Bool[Array, "4"]]:
    """Which points are farthest along each diagonal, as rows of ones and zeros; of equal ones only the first counts."""
    rows, valid = [], []
    chosen: list[Array] = []
    size = jnp.max(jnp.where(there[:, None], jnp.abs(flat), 0.0))
    for diagonal in _SQUARE:
        reach = jnp.where(there, flat @ jnp.asarray(diagonal, flat.dtype), -jnp.inf)
        row = (jnp.arange(len(flat)) == jnp.argmax(reach)).astype(flat.dtype)
        place = row @ flat
        again = [jnp.sum(jnp.abs(place - other)) < _TWICE * size for other in chosen]
        rows.append(row)
        valid.append(jnp.any(there) & ~jnp.any(jnp.stack(again)) if again else jnp.any(there))
        chosen.append(place)
    return jnp.stack(rows), jnp.stack(valid)

"""Contacts of a capsule with a box: at the point of the capsule's axis nearest to the box, and at a second one.

The second point is as far along the axis as the axis stays over the face or the edge where the first one is: a capsule
that lies on a box touches it at two places. Which of the box's features is nearest decides where to go, by the rules of
the C library, whose contacts these are. Everything here is in the frame of the box; h is half the capsule's axis as a
vector, and a place on the axis is `centre + t h` with t from -1 to 1.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .boxes import ball_and_box
from .frames import Contacts, dot, frame_of, present

_SMALL = 1e-15  # the C library's least number
_NEVER = 1e6  # a place on the axis that it does not reach
# Each of the 12 edges: its direction, and its lower corner as signs.
_AXES = np.repeat(np.arange(3), 4)
_LOWER = np.array([[[k >> b & 1 for b in range(3)] for k in range(8) if not k >> j & 1] for j in range(3)]).reshape(
    12, 3
)


class _Nearest(NamedTuple):
    """Where the axis is nearest to the box: `t`; on an edge `along` it, from -1 to 1, or in one of its corners.

    `face`: an end of the axis over (or in) the box is nearest; `normal` is then the axis it is out along, -1 for inside.
    """

    t: Float[Array, ""]
    along: Float[Array, ""]
    edge: Int[Array, ""]
    corner: Bool[Array, "3"]  # on which side of the box, for each axis
    inner: Bool[Array, ""]  # between the corners of the edge
    face: Bool[Array, ""]
    normal: Int[Array, ""]


def capsule_box(p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array, margin: Array) -> Contacts:
    """The capsule at the point of its axis nearest to the box, and at another on the same side."""
    centre, axis = r2.T @ (p1 - p2), r2.T @ r1[:, 2]
    half = size1[1] * axis
    nearest = _nearest(centre, half, size2)
    further, some = _second(centre, half, axis, size2, nearest)
    found = [ball_and_box(centre + t * half, size1[0], size2) for t in (nearest.t, nearest.t + further)]
    contacts = Contacts(*(jnp.stack(x) for x in zip(*((d, p2 + r2 @ p, frame_of(r2 @ n)) for d, p, n in found))))
    return present(contacts, jnp.stack([jnp.ones_like(some), some]))


def _nearest(centre: Array, half: Array, box: Array) -> _Nearest:
    ends = jnp.stack([centre - half, centre + half])
    out = jnp.abs(ends) > box
    gaps = jnp.sum((jnp.clip(ends, -box, box) - ends) ** 2, 1)
    gaps = jnp.where(jnp.sum(out, 1) > 1, jnp.inf, gaps)
    end = jnp.where(gaps[1] < gaps[0], 1, 0)
    normal = jnp.where(jnp.any(out[end]), jnp.argmax(out[end]), -1)
    t, along, squared, clipped = _edges(centre, half, box)
    best, index = gaps[end], jnp.asarray(-1)
    for k in range(12):  # corners belong to three edges, which are as near but for rounding: the first one counts
        better = squared[k] < best - _SMALL
        best, index = jnp.where(better, squared[k], best), jnp.where(better, k, index)
    face, index = index < 0, jnp.maximum(index, 0)
    edge = jnp.asarray(_AXES)[index]
    upper = clipped[index] == 1
    corner = (jnp.asarray(_LOWER)[index] == 1) | (upper & (jnp.arange(3) == edge))
    t = jnp.where(face, jnp.where(end == 1, 1.0, -1.0), t[index])
    return _Nearest(t, along[index], edge, corner, clipped[index] == 0, face, normal)


def _edges(centre: Array, half: Array, box: Array) -> tuple[Array, Array, Array, Array]:
    """For each edge: the places on the axis and on the edge that are nearest, their squared distance, and whether the
    place on the edge was moved to one of its corners (-1 or 1, or 0)."""
    starts = jnp.where(jnp.arange(3) == jnp.asarray(_AXES)[:, None], 0.0, (2 * _LOWER - 1) * box)
    apart, long, slant = starts - centre, box[_AXES], half[_AXES]
    aa, ab, bb = long**2, -long * slant, dot(half, half)
    u, v = -long * apart[jnp.arange(12), _AXES], apart @ half
    area = aa * bb - ab**2
    parallel = jnp.abs(area) < _SMALL
    safe = jnp.where(parallel, 1.0, area)
    thin, short = jnp.where(aa > 0, aa, 1.0), jnp.where(bb > 0, bb, 1.0)
    free, t = (bb * u - ab * v) / safe, (aa * v - ab * u) / safe
    clipped = jnp.where(free > 1, 1, jnp.where(free < -1, -1, 0))
    along = jnp.clip(free, -1.0, 1.0)
    t = jnp.where(clipped == 0, t, (v - clipped * ab) / short)
    beyond = jnp.where(t > 1, 1, jnp.where(t < -1, -1, 0))
    t = jnp.clip(t, -1.0, 1.0)
    again = (u - beyond * ab) / thin
    clipped = jnp.where((beyond != 0) & (again > 1), 1, jnp.where((beyond != 0) & (again < -1), -1, clipped))
    along = jnp.where(beyond == 0, along, jnp.clip(again, -1.0, 1.0))
    gap = (
        apart
        - t[:, None] * half
        + jnp.where(jnp.arange(3) == jnp.asarray(_AXES)[:, None], (long * along)[:, None], 0.0)
    )
    return t, along, jnp.where(parallel, jnp.inf, jnp.sum(gap**2, 1)), clipped


def _second(centre: Array, half: Array, axis: Array, box: Array, nearest: _Nearest) -> tuple[Array, Array]:
    """How far the second point is along the axis, and whether there is one."""
    rising = half > 0
    opposed = rising ^ nearest.corner
    crossing = jnp.where(half == 0, _NEVER, box / jnp.where(half == 0, 1.0, jnp.abs(half)))  # in t, over half the box
    choices = [
        _beyond_face(centre, half, box, nearest),
        _beyond_edge(axis, rising, opposed, crossing, nearest),
        _beyond_corner(axis, opposed, crossing, nearest),
    ]
    pick = lambda k: jnp.where(nearest.face, choices[0][k], jnp.where(nearest.inner, choices[1][k], choices[2][k]))
    some = pick(1)
    return jnp.where(some, pick(0), 0.0), some


def _beyond_face(centre: Array, half: Array, box: Array, nearest: _Nearest) -> tuple[Array, Array]:
    """From an end over a face towards the other, until the axis leaves the face."""
    way = jnp.where(nearest.t < 0, 1.0, -1.0)
    end, speed = centre - way * half, jnp.where(half == 0, 1.0, half)
    exits = jnp.stack([(box - end) / speed, (-box - end) / speed]) * way
    sideways = (jnp.arange(3) != nearest.normal) & (half != 0)
    reach = jnp.min(jnp.where(sideways & (exits > 0), exits, 2.0))
    return way * jnp.minimum(reach, 2.0), nearest.normal >= 0


def _beyond_edge(axis: Array, rising: Array, opposed: Array, crossing: Array, nearest: _Nearest) -> tuple[Array, Array]:
    """From an edge over that one of its faces to which the axis is less inclined."""
    beside = jnp.stack([(nearest.edge + 1) % 3, (nearest.edge + 2) % 3])
    first = jnp.abs(axis[beside[0]]) > jnp.abs(axis[beside[1]])
    over = jnp.where(first, beside[0], beside[1])
    other = jnp.where(first, beside[1], beside[0])
    crosses = opposed[over] != opposed[other]
    ahead = opposed[over]
    way = jnp.where(ahead, 1.0, -1.0)
    to_corner = jnp.where(rising[nearest.edge] == ahead, 1 - nearest.along, 1 + nearest.along)
    reach = jnp.minimum(1 - way * nearest.t, 2 * crossing[over])
    return way * jnp.minimum(reach, crossing[nearest.edge] * to_corner), crosses


def _beyond_corner(axis: Array, opposed: Array, crossing: Array, nearest: _Nearest) -> tuple[Array, Array]:
    """From a corner along an edge, or over a face, unless the axis points at the corner."""
    count = jnp.sum(opposed)
    lone = opposed ^ (count == 2)  # the axis that is unlike the two others
    which = jnp.argmax(lone)
    way = jnp.where(count == 1, 1.0, -1.0)
    on_edge = axis[which] ** 2 > 0.5
    edge = jnp.minimum(1 - way * nearest.t, 2 * crossing[which])
    face = jnp.minimum(1 + way * nearest.t, 2 * jnp.min(jnp.where(lone, _NEVER, crossing)))
    return jnp.where(on_edge, way * edge, -way * face), (count == 1) | (count == 2)

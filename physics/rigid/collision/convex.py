"""Contacts of convex shapes of any kinds: the direction in which they overlap least, or are farthest apart.

With d from one centre to the other and h the support function of the sum of both shapes, the distance of the shapes is

    max over unit n of f(n) = n·d - h(n),        h(n) = sum of |segment_i·n| + sum of |rounds_jᵀ n| + ball

also where it is negative (Cameron and Culley, Determining the minimum translational distance between two convex polyhedra,
ICRA 1986). f has a kink wherever n is across a segment or along the normal of a disc, and the maximum likes kinks: they are
the edges and faces. So kinks are rounded off, |x| to sqrt(|x|² + e²), and e shrinks from step to step of Newton's method
with the multipliers of the kinks as unknowns besides n (Andersen, Christiansen, Conn and Overton, An efficient primal-dual
interior-point method for minimizing a sum of Euclidean norms, SIAM J. Sci. Comput. 22, 2000). At the end it is known in
which kinks n lies; one more Newton step along them, exact and with derivatives, makes n a function of both poses by the
implicit function theorem. The search itself is not differentiated.

Where shapes are apart there is one maximum. Where they overlap there can be several, and the search starts from some.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from ....core.loops import fori_loop
from .bodies import Sum, directions, sum_of, sum_of_two
from .frames import Contacts, cross, dot, frame_of

_STARTS = 8  # the most promising directions are followed
_ROUND = 0.003  # the first e, as a share of the size of the parts: larger ones merge maxima
_ROUNDS = {8: (18, 0.35), 4: (10, 0.5)}  # by bytes of a number: steps, and the factor of e in each
_IN_KINK = 1e3  # times the last e: nearer than this to a kink is in it
_INSIDE = 0.9999  # multipliers stay within this
_STEPS = (1.0, 0.7, 0.4, 0.15, 0.05, 0.01, 0.0)  # shares of Newton's step that are tried
_CURVED = 0.8  # of the least curvature: what overlap may take from it
_PARALLEL = {8: 1e-7, 4: 1e-3}  # two kinks are one at a smaller sine


class Nearest(NamedTuple):
    """Where two shapes are nearest, or overlap least."""

    distance: Float[Array, ""]
    normal: Float[Array, "3"]  # from the first to the second
    position: Float[Array, "3"]  # midway between both surfaces


class _Found(NamedTuple):
    """The end of a search: the direction, the multipliers of segments and rounds."""

    normal: Float[Array, "3"]
    along: Float[Array, "m"]
    within: Float[Array, "k 3"]


class _Kinks(NamedTuple):
    """Which kinks the direction lies in.

    `edges`, `faces`: of which segments and discs; `first`, `second`: vectors that it is perpendicular to, as far as there
    are some; `number`: how many.
    """

    edges: Bool[Array, "m"]
    faces: Bool[Array, "k"]
    first: Float[Array, "3"]
    second: Float[Array, "3"]
    number: Array


def nearest(kinds: tuple[str, str], p1: Array, r1: Array, size1: Array, p2: Array, r2: Array, size2: Array) -> Nearest:
    """The least distance of two shapes of these kinds, negative where they overlap, with normal and position."""
    one, other = sum_of(kinds[0], r1, size1), sum_of(kinds[1], r2, size2)
    body, d = sum_of_two(one, other), p2 - p1
    discs = tuple(kind == "cylinder" for kind in kinds if kind in ("cylinder", "ellipsoid"))
    found = _search(lax.stop_gradient(body), lax.stop_gradient(d), discs)
    kinks = _kinks(body, discs, found)
    normal = found.normal
    for _ in range(2):  # the second step makes second derivatives right, too
        normal = _step(body, d, kinks, normal)
    apart, arm = _arms(body, d, kinks, found, normal, one)
    distance = apart - body.ball
    # The points of both surfaces are p1 + arm + ball1 normal and that plus the distance along the normal.
    return Nearest(distance, normal, p1 + arm + (one.ball + 0.5 * distance) * normal)


def contact(kinds: tuple[str, str], *shapes: Array) -> Contacts:
    """One candidate: where the shapes are nearest or overlap least. Arguments as in `planes`."""
    found = nearest(kinds, *shapes[:6])
    return Contacts(found.distance[None], found.position[None], frame_of(found.normal)[None])


def _norm(x: Array) -> Array:
    return jnp.sqrt(jnp.sum(x**2, -1))


def _search(body: Sum, d: Array, discs: tuple[bool, ...]) -> _Found:
    """The best of the maxima that the most promising directions lead to."""
    value = lambda n: dot(n, d) - jnp.sum(jnp.abs(body.segments @ n)) - jnp.sum(_norm(n @ body.rounds))
    tried = directions(body, discs, d)
    values = jax.vmap(value)(tried)
    starts = []
    for _ in range(min(_STARTS, len(tried))):
        best = jnp.argmax(values)
        starts.append(tried[best])
        values = jnp.where(jnp.arange(len(tried)) == best, -jnp.inf, values)
    found = jax.vmap(lambda n: _climb(body, d, n))(jnp.stack(starts))
    best = jnp.argmax(jax.vmap(value)(found.normal))
    return jax.tree.map(lambda x: x[best], found)


def _size(body: Sum) -> Array:
    return jnp.sqrt(jnp.sum(body.segments**2) + jnp.sum(body.rounds**2))


def _climb(body: Sum, d: Array, n: Array) -> _Found:
    """Newton's method on the sphere with ever sharper kinks."""
    count, factor = _ROUNDS[d.dtype.itemsize]
    first = _ROUND * _size(body)

    def step(k: Array, state: tuple[_Found, Array]) -> tuple[_Found, Array]:
        found, e = state
        return _sharper(body, d, found, e), e * factor

    start = _Found(n, jnp.zeros(len(body.segments), d.dtype), jnp.zeros((len(body.rounds), 3), d.dtype))
    return fori_loop(0, count, step, (start, first))[0]


def _sharper(body: Sum, d: Array, found: _Found, e: Array) -> _Found:
    """One step of Newton's method with kinks rounded off by e."""
    n, t, y = found
    segments, rounds = body.segments, body.rounds
    x, z = segments @ n, n @ rounds
    a, b = jnp.sqrt(x**2 + e**2), jnp.sqrt(jnp.sum(z**2, -1) + e**2)
    pull = jnp.einsum("kij,kj->ki", rounds, z / b[:, None])
    slope = d - (x / a) @ segments - jnp.sum(pull, 0)
    bend = (1 - t * x / a) / a
    curvature = (bend[:, None] * segments).T @ segments
    for part, own, out, length in zip(rounds, y, pull, b):
        mixed = (part @ own)[:, None] * out
        curvature = curvature + (part @ part.T - 0.5 * (mixed + mixed.T)) / length
    tangents = frame_of(n)[1:]
    move = _uphill(tangents @ slope, tangents @ curvature @ tangents.T, dot(n, slope), e) @ tangents

    def value(n: Array) -> Array:
        rounded = jnp.sqrt(jnp.sum((n @ rounds) ** 2, -1) + e**2)
        return dot(n, d) - jnp.sum(jnp.sqrt((segments @ n) ** 2 + e**2)) - jnp.sum(rounded)

    tried = n + jnp.asarray(_STEPS, d.dtype)[:, None] * move
    tried = tried / _norm(tried)[:, None]
    new = tried[jnp.argmax(jax.vmap(value)(tried))]
    change = new - n
    t = jnp.clip(x / a + bend * (segments @ change), -_INSIDE, _INSIDE)
    turn = change @ rounds
    y = z / b[:, None] + (turn - y * (jnp.sum(z * turn, -1) / b)[:, None]) / b[:, None]
    y = y / jnp.maximum(1.0, _norm(y) / _INSIDE)[:, None]
    return _Found(new, t, y)


def _uphill(slope: Array, curvature: Array, height: Array, e: Array) -> Float[Array, "2"]:
    """Newton's step in the tangent plane, at most one radian; the sphere adds `height` to the curvature."""
    a, b, c = curvature[0, 0], curvature[0, 1], curvature[1, 1]
    least = 0.5 * (a + c) - jnp.sqrt(0.25 * (a - c) ** 2 + b**2)
    add = jnp.maximum(height, -_CURVED * least) + 1e-3 * jnp.finfo(e.dtype).eps * (a + c) + 1e-30
    a, c = a + add, c + add
    step = jnp.stack([c * slope[0] - b * slope[1], a * slope[1] - b * slope[0]]) / jnp.maximum(a * c - b**2, 1e-30)
    return step / jnp.maximum(1.0, jnp.sqrt(dot(step, step)))


def _kinks(body: Sum, discs: tuple[bool, ...], found: _Found) -> _Kinks:
    """From where the search ended: without derivatives, but for the vectors."""
    n, fixed = found.normal, lax.stop_gradient(body)
    count, factor = _ROUNDS[n.dtype.itemsize]
    near = _IN_KINK * _ROUND * factor ** (count - 1)
    lengths = _norm(fixed.segments)
    edges = jnp.abs(fixed.segments @ n) <= near * _size(fixed)
    faces = jnp.asarray(discs, bool) & (_norm(n @ fixed.rounds) <= near * _size(fixed))
    first, second, second_sine = jnp.zeros_like(n), jnp.zeros_like(n), jnp.zeros_like(n[0])
    some = jnp.zeros((), bool)
    size = jnp.max(jnp.where(edges, lengths, 0.0), initial=0.0)
    for k in range(len(body.segments)):  # the longest edge, and the one that is most across it
        chosen = edges[k] & ~some & (lengths[k] == size) & (size > 0)
        first, some = jnp.where(chosen, body.segments[k], first), some | chosen
    for k in range(len(body.segments)):
        sine = _norm(cross(lax.stop_gradient(first), fixed.segments[k])) / (size * lengths[k] + 1e-30)
        better = edges[k] & (sine > second_sine) & (sine > _PARALLEL[n.dtype.itemsize])
        second, second_sine = jnp.where(better, body.segments[k], second), jnp.where(better, sine, second_sine)
    kinks = jnp.where(second_sine > 0, 2, jnp.where(some, 1, 0))
    for k, disc in enumerate(discs):
        if disc:
            first = jnp.where(faces[k], body.rounds[k, :, 0], first)
            second = jnp.where(faces[k], body.rounds[k, :, 1], second)
            kinks = jnp.where(faces[k], 2, kinks)
    return _Kinks(edges, faces, first, second, kinks)


def _smooth(body: Sum, kinks: _Kinks, n: Array) -> tuple[Array, Array]:
    """The sum of what of the body is not in a kink, where it is farthest along n, and the derivative of that by n."""
    signs = jnp.where(kinks.edges, 0.0, jnp.sign(lax.stop_gradient(body.segments @ n)))
    total, curvature = signs @ body.segments, jnp.zeros((3, 3), n.dtype)
    for part, face in zip(body.rounds, kinks.faces):
        z = n @ part
        squared = jnp.where(face, 1.0, jnp.sum(z**2))
        length = jnp.sqrt(jnp.where(squared > 0, squared, 1.0))
        out = part @ z / length
        total = total + jnp.where(face, 0.0, out)
        bent = (part @ part.T - out[:, None] * out) / length
        curvature = curvature + jnp.where(face, 0.0, bent)
    return total, curvature


def _step(body: Sum, d: Array, kinks: _Kinks, n: Array) -> Float[Array, "3"]:
    """One Newton step in the kinks that the direction lies in."""
    some = jnp.where(kinks.number > 0, dot(kinks.first, kinks.first), 1.0)
    first = kinks.first / jnp.sqrt(some)
    across = cross(first, kinks.second)
    squared = dot(across, across)
    two = (kinks.number == 2) & (squared > 0)
    across = across / jnp.sqrt(jnp.where(two, squared, 1.0))
    vertex = across * jnp.where(dot(lax.stop_gradient(across), lax.stop_gradient(n)) < 0, -1.0, 1.0)
    n = n - dot(n, first) * first
    n = n / jnp.sqrt(jnp.where(two, 1.0, dot(n, n)))
    total, curvature = _smooth(body, kinks, n)
    slope = d - total
    height = dot(n, slope)
    along = cross(n, first)
    steep = dot(along, curvature @ along) + height
    least = jnp.finfo(n.dtype).eps * _size(body)
    safe = lambda x, where: jnp.where(where & (jnp.abs(x) > least), x, jnp.inf)
    on_edge = along * dot(along, slope) / safe(steep, kinks.number == 1)
    tangents = lax.stop_gradient(frame_of(n))[1:]
    (a, b), (_, c) = tangents @ curvature @ tangents.T
    a, c = a + height, c + height
    u, v = tangents @ (slope - height * n)  # n may be moved by what it depends on; the tangents stay
    free = jnp.stack([c * u - b * v, a * v - b * u]) @ tangents
    determinant = a * c - b**2
    smooth = (kinks.number == 0) & (jnp.abs(determinant) > least**2)
    free = free / jnp.where(smooth, determinant, jnp.inf)
    moved = n + jnp.where(kinks.number == 0, free, on_edge)
    moved = moved / jnp.sqrt(jnp.where(two, 1.0, dot(moved, moved)))
    return jnp.where(two, vertex, moved)


def _arms(
    body: Sum, d: Array, kinks: _Kinks, found: _Found, n: Array, one: Sum
) -> tuple[Float[Array, ""], Float[Array, "3"]]:
    """How far the sums are apart without their balls, and where on the first one that is, from its centre.

    What a kink leaves open is decided by d itself: d - f n is the sum of all parts at their places. Where there are
    more kinks than that can tell, as for a face on a face, the search's own places stand for the others.
    """
    total, _ = _smooth(body, kinks, n)
    apart = dot(n, d - total)
    rest = d - total - apart * n
    face_first = jnp.any(kinks.faces)
    t0, y0 = found.along, found.within
    same = lambda part, vector: jnp.all(lax.stop_gradient(part == vector))
    is_first = [
        kinks.edges[k] & ~face_first & (kinks.number > 0) & same(s, kinks.first) for k, s in enumerate(body.segments)
    ]
    is_second = [
        kinks.edges[k] & ~face_first & (kinks.number > 1) & same(s, kinks.second) for k, s in enumerate(body.segments)
    ]
    face = [kinks.faces[k] & same(part[:, 0], kinks.first) for k, part in enumerate(body.rounds)]
    for k, segment in enumerate(body.segments):
        rest = rest - jnp.where(kinks.edges[k] & ~is_first[k] & ~is_second[k], t0[k], 0.0) * segment
    for k, part in enumerate(body.rounds):
        rest = rest - jnp.where(kinks.faces[k] & ~face[k], part @ y0[k], 0.0)
    u, v = _places(kinks, rest)
    arm = jnp.zeros_like(d)
    signs = jnp.sign(lax.stop_gradient(body.segments @ n))
    for k in range(len(one.segments)):
        own = jnp.where(is_first[k], u, jnp.where(is_second[k], v, t0[k]))
        arm = arm + jnp.where(kinks.edges[k], jnp.clip(own, -1.0, 1.0), signs[k]) * body.segments[k]
    for k in range(len(one.rounds)):
        part = body.rounds[k]
        z = n @ part
        squared = jnp.where(kinks.faces[k], 1.0, jnp.sum(z**2))
        out = part @ z / jnp.sqrt(jnp.where(squared > 0, squared, 1.0))
        placed = jnp.stack([u, v, jnp.zeros_like(u)])
        beyond = dot(placed, placed)
        placed = placed / jnp.where(beyond > 1, jnp.sqrt(jnp.where(beyond > 1, beyond, 1.0)), 1.0)
        inside = part @ jnp.where(face[k], placed, y0[k])
        arm = arm + jnp.where(kinks.faces[k], inside, out)
    return apart, arm


def _places(kinks: _Kinks, rest: Array) -> tuple[Array, Array]:
    """Of rest = u first + v second, u and v."""
    aa, ab, bb = dot(kinks.first, kinks.first), dot(kinks.first, kinks.second), dot(kinks.second, kinks.second)
    area = aa * bb - ab**2
    two = (kinks.number == 2) & (area > 0)
    one = kinks.number == 1
    x, y = dot(kinks.first, rest), dot(kinks.second, rest)
    safe = jnp.where(two, area, 1.0)
    alone = x / jnp.where(one & (aa > 0), aa, 1.0)
    return jnp.where(two, (bb * x - ab * y) / safe, jnp.where(one, alone, 0.0)), jnp.where(
        two, (aa * y - ab * x) / safe, 0.0
    )

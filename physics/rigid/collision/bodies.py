"""Shapes as sums of simple parts: of a ball, segments, discs and ellipsoids.

A capsule is a segment with a ball about each of its points, a cylinder a segment with a disc, a box three segments. Two
such shapes overlap where the vector between their centres lies in the sum of all their parts, which is what `convex`
works on. All parts are symmetric about their centres, so that signs do not matter.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from .frames import cross, dot, length_and_direction, x_axis

SUMS = ("sphere", "capsule", "ellipsoid", "cylinder", "box")
_TINY = 1e-30  # squared lengths are divided by no less; m²


class Sum(NamedTuple):
    """{sum of t_i segments_i + sum of rounds_j y_j + b, with |t_i| <= 1, |y_j| <= 1, |b| <= ball}, m.

    The third column of the matrix of a disc is zero.
    """

    segments: Float[Array, "m 3"]
    rounds: Float[Array, "k 3 3"]
    ball: Float[Array, ""]


def sum_of(kind: str, r: Float[Array, "3 3"], size: Float[Array, "3"]) -> Sum:
    """A shape of the kind as a sum of parts in world axes."""
    none, zero = jnp.zeros((0, 3, 3), r.dtype), jnp.zeros((), r.dtype)
    if kind == "sphere":
        return Sum(jnp.zeros((0, 3), r.dtype), none, size[0])
    if kind == "capsule":
        return Sum((size[1] * r[:, 2])[None], none, size[0])
    if kind == "ellipsoid":
        return Sum(jnp.zeros((0, 3), r.dtype), (r * size)[None], zero)
    if kind == "cylinder":
        return Sum((size[1] * r[:, 2])[None], (r * jnp.array([1.0, 1.0, 0.0], r.dtype) * size[0])[None], zero)
    return Sum((r * size).T, none, zero)


def sum_of_two(one: Sum, other: Sum) -> Sum:
    """All parts of both shapes."""
    segments = jnp.concatenate([one.segments, other.segments])
    return Sum(segments, jnp.concatenate([one.rounds, other.rounds]), one.ball + other.ball)


def _unit(v: Array, otherwise: Array) -> Array:
    return length_and_direction(v, otherwise)[1]


def directions(body: Sum, discs: tuple[bool, ...], d: Float[Array, "3"]) -> Float[Array, "n 3"]:
    """Where to look for the way out of a body from the point d: across its edges, out of its faces, towards d.

    `discs`: which of the rounds are discs. All directions are on the side of d.
    """
    ahead = _unit(d, x_axis(d))
    beside = lambda axis: _unit(d - axis * dot(axis, d), ahead)
    count = body.segments.shape[0]
    found = [ahead]
    axes = [_unit(segment, ahead) for segment in body.segments]
    found += [_unit(cross(axes[i], axes[j]), ahead) for i in range(count) for j in range(i)]
    found += [beside(axis) for axis in axes]
    normals = []
    for part, disc in zip(body.rounds, discs):
        columns = [part[:, 0], part[:, 1], part[:, 2]]
        if disc:
            normals.append(_unit(cross(columns[0], columns[1]), ahead))
            found += [normals[-1], beside(normals[-1])]
        else:
            squares = [dot(column, column) for column in columns]
            away = sum(column * dot(column, d) / jnp.maximum(s, _TINY) ** 2 for column, s in zip(columns, squares))
            found += [_unit(away, ahead), *(_unit(column, ahead) for column in columns)]
    found += [_unit(cross(axis, normal), ahead) for axis in axes for normal in normals]
    if len(normals) == 2:
        found.append(_unit(cross(*normals), ahead))
    stacked = jnp.stack(found)
    return stacked * jnp.where(stacked @ d < 0, -1.0, 1.0).astype(d.dtype)[:, None]

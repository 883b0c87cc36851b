"""Sums over the rows of a contact problem, with one description for two machines.

In lanes they are loops over blocks of four rows, in registers, which pass over blocks that are there for no lane of a
group: most candidates for contact are not in contact. On XLA they are products of whole matrices. `contact` calls this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from ..core.lanes.width import any_lane, native_or_xla

BLOCK = 4  # the edges of a pyramid with two directions of friction
FEW = 32  # so many rows are in registers all together, without a loop
# Lanes hold arrays of up to 128 numbers in registers, where a loop cannot find a row by its number.
LEAST = 132


class Rows(NamedTuple):
    """Rows of a problem: their Jacobian, and what else there is of each."""

    jacobian: Float[Array, "rows n"]
    target: Float[Array, "rows"]
    stiffness: Float[Array, "rows"]
    lower: Float[Array, "rows"]
    upper: Float[Array, "rows"]


class Sweep(NamedTuple):
    """Rows and how to go over them; residuals have the length of `rows.target`, which may be more than there are rows.

    `following[k]` is the first block from k on that has stiffness in any lane of the group, and the number of blocks
    where none is left.
    """

    rows: Rows
    following: Int[Array, "blocks+"]


class Trial(NamedTuple):
    """A step seen by the rows: their change, slope and curvature of their cost at its end, and how many leave their piece."""

    change: Float[Array, "rows"]
    slope: Float[Array, ""]
    curvature: Float[Array, ""]
    leaving: Float[Array, ""]


def sweep_of(rows: Rows) -> Sweep:
    """The rows, without stiffness from where there are none; only the Jacobian, which is large, is not copied."""
    count = len(rows.target)
    blocks = -(-count // BLOCK)
    length = count if count <= FEW else max(LEAST, blocks * BLOCK)
    rows = Rows(rows.jacobian, *(jnp.pad(x, (0, length - count)) for x in rows[1:]))
    if count <= FEW:
        return Sweep(rows, jnp.zeros(0, jnp.int32))
    used = any_lane(jnp.any(rows.stiffness[: blocks * BLOCK].reshape(blocks, BLOCK) != 0, axis=1))
    following = lax.cummin(jnp.where(used, jnp.arange(blocks, dtype=jnp.int32), blocks), reverse=True)
    return Sweep(rows, jnp.append(following, jnp.full(max(1, LEAST - blocks), blocks, jnp.int32)))


def force_of(rows: Rows, residual: Float[Array, "rows"]) -> tuple[Float[Array, "rows"], Bool[Array, "rows"]]:
    """The force of each row, and whether it is inside its limits, where the cost is a parabola."""
    free = -rows.stiffness * residual
    return jnp.minimum(jnp.maximum(free, rows.lower), rows.upper), (free > rows.lower) & (free < rows.upper)


def piece_of(rows: Rows, residual: Float[Array, "rows"]) -> tuple[Bool[Array, "rows"], Bool[Array, "rows"]]:
    """Which rows are at their lower limit, and which at their upper one."""
    free = -rows.stiffness * residual
    below = ~(free > rows.lower)
    return below, ~below & ~(free < rows.upper)


def force_on_piece(rows: Rows, residual: Float[Array, "rows"], piece: tuple[Array, Array]) -> Float[Array, "rows"]:
    """The force of each row as the smooth function that it is on its piece."""
    below, above = piece
    free = jnp.where(below | above, 0.0, -rows.stiffness * residual)
    return jnp.where(below, rows.lower, jnp.where(above, rows.upper, free))


def cost_of(rows: Rows, residual: Float[Array, "rows"], force: Float[Array, "rows"]) -> Float[Array, ""]:
    """The cost of all rows together."""
    there = rows.stiffness > 0
    return -jnp.sum(force * (residual + jnp.where(there, 0.5 * force / jnp.where(there, rows.stiffness, 1.0), 0.0)))


def compared(
    sweep: Sweep, first: Float[Array, "n"], second: Float[Array, "n"]
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The costs at two points and the size that costs have; the residuals there, each [rows]."""

    def block(own: Rows) -> tuple[Any, Any]:
        r, s = own.jacobian @ first - own.target, own.jacobian @ second - own.target
        costs = (cost_of(own, x, force_of(own, x)[0]) for x in (r, s))
        return (*costs, 0.5 * jnp.sum(own.stiffness * own.target**2)), (r, s)

    return _swept(sweep, (), block, 3)


def assembled(
    sweep: Sweep, residual: Float[Array, "rows"], mass: Float[Array, "n n"], momentum: Float[Array, "n"]
) -> tuple[Float[Array, "n n"], Float[Array, "n"]]:
    """The Hessian (its lower half) and the gradient of the whole cost."""
    n = len(momentum)

    def weighed(own: Rows, residual: Array) -> tuple[Array, Array]:
        force, inside = force_of(own, residual)
        return jnp.where(inside, own.stiffness, 0.0)[:, None] * own.jacobian, -(force @ own.jacobian)

    def in_lanes() -> tuple[Array, Array]:
        def block(own: Rows, residual: Array) -> tuple[Any, Any]:
            weighted, gradient = weighed(own, residual)
            return ([weighted[:, i] @ own.jacobian[:, : i + 1] for i in range(n)], gradient), ()

        start = ([mass[i, : i + 1] for i in range(n)], momentum)
        (lines, gradient), _ = _blocks(sweep, (residual,), block, start)
        return jnp.stack([jnp.pad(line, (0, n - 1 - i)) for i, line in enumerate(lines)]), gradient

    def on_xla() -> tuple[Array, Array]:
        own = _whole(sweep.rows)
        weighted, gradient = weighed(own, residual)
        return mass + weighted.T @ own.jacobian, momentum + gradient

    return native_or_xla(in_lanes, on_xla)


def tried(sweep: Sweep, residual: Float[Array, "rows"], step: Float[Array, "n"]) -> Trial:
    """What the rows see of a whole step."""

    def block(own: Rows, residual: Array) -> tuple[Any, Any]:
        change = own.jacobian @ step
        before, inside = force_of(own, residual)
        after, still = force_of(own, residual + change)
        leaving = (inside != still) | (~inside & (before != after))
        curvature = jnp.sum(jnp.where(still, own.stiffness * change**2, 0.0))
        return (-(after @ change), curvature, jnp.sum(leaving.astype(change.dtype))), change

    (slope, curvature, leaving), change = _swept(sweep, (residual,), block, 3)
    return Trial(change, slope, curvature, leaving)


def along(
    sweep: Sweep, residual: Float[Array, "rows"], change: Float[Array, "rows"], fraction: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Slope and curvature of the rows' cost after a fraction of a step that changes the residual by `change`."""

    def block(own: Rows, residual: Array, change: Array) -> tuple[Any, Any]:
        force, inside = force_of(own, residual + fraction * change)
        return (-(force @ change), jnp.sum(jnp.where(inside, own.stiffness * change**2, 0.0))), ()

    return _swept(sweep, (residual, change), block, 2)[0]


def _swept(sweep: Sweep, given: tuple, block: Callable[..., tuple[Any, Any]], sums: int) -> tuple[Any, Any]:
    """`block` of all rows and what is given of each: so many sums, and what it has for each row."""
    zeros = (jnp.zeros((), sweep.rows.target.dtype),) * sums
    return native_or_xla(
        lambda: _blocks(sweep, given, block, zeros),
        lambda: block(_whole(sweep.rows), *given),
    )


def _whole(rows: Rows) -> Rows:
    missing = len(rows.target) - len(rows.jacobian)
    return rows._replace(jacobian=jnp.pad(rows.jacobian, ((0, missing), (0, 0))))


def _blocks(sweep: Sweep, given: tuple, block: Callable[..., tuple[Any, Any]], sums: Any) -> tuple[Any, Any]:
    """`block` of one block after the other, its sums added to those given; for rows of blocks not used zeros."""
    rows, following = sweep
    count, length = rows.jacobian.shape[0], len(rows.target)
    if count <= FEW:
        more, out = block(rows, *given)
        return jax.tree.map(jnp.add, sums, more), out
    blocks = -(-count // BLOCK)

    def read(k: Array) -> tuple[Array, tuple]:
        begin = jnp.minimum(BLOCK * k, count - BLOCK)  # the last block begins earlier, with rows already seen
        own = jax.tree.map(lambda x: lax.dynamic_slice_in_dim(x, begin, BLOCK), (rows, *given))
        new = begin + jnp.arange(BLOCK, dtype=jnp.int32) >= BLOCK * k
        return begin, (own[0]._replace(stiffness=jnp.where(new, own[0].stiffness, 0.0)), *own[1:])

    def step(now: tuple) -> tuple:
        k, sums, whole = now
        begin, own = read(k)
        more, out = block(*own)
        whole = jax.tree.map(lambda x, y: lax.dynamic_update_slice_in_dim(x, y, begin, 0), whole, out)
        return following[k + 1], jax.tree.map(jnp.add, sums, more), whole

    shapes = jax.eval_shape(lambda: block(*read(following[0])[1])[1])
    nothing = jax.tree.map(lambda x: jnp.zeros(length, x.dtype), shapes)
    return lax.while_loop(lambda now: now[0] < blocks, step, (following[0], sums, nothing))[1:]

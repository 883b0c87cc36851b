"""Primitives written in terms of simpler ones, in JAX; they are traced and compiled like the user's code.

Each takes the operands of the primitive and its parameters as keywords. Matrices up to `UNROLLED` rows are worked on
step by step, so that they stay in registers; larger ones in loops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

UNROLLED = 8


def _repeat(n: int, body: Callable[[Any, Any], Any], carry: Any) -> Any:
    """`carry = body(k, carry)` for k in 0 ... n - 1, written out for small n."""
    if n > UNROLLED:
        return lax.fori_loop(0, n, body, carry)
    for k in range(n):
        carry = body(k, carry)
    return carry


def _tile(x: Array, *, reps: Sequence[int], **_: Any) -> Array:
    """x repeated along each axis."""
    wide = [n for pair in zip(reps, x.shape) for n in pair]
    spread = lax.broadcast_in_dim(x, wide, [2 * d + 1 for d in range(x.ndim)])
    return spread.reshape([r * n for r, n in zip(reps, x.shape)])


def _lu(a: Array, **_: Any) -> tuple[Array, Array, Array]:
    """LU factors with row pivoting, as LAPACK's getrf: factors in one matrix, pivots, and the permutation of rows."""
    if a.ndim > 2:
        return _mapped(_lu, a)
    m, n = a.shape
    rows = jnp.arange(m, dtype=jnp.int32)

    def eliminate(k: Any, carry: tuple) -> tuple:
        a, pivots, permutation = carry
        size = jnp.where(rows >= k, jnp.abs(a[:, k]), -1.0)
        p = jnp.argmax(size).astype(jnp.int32)
        chosen = rows == p
        pivot_row = jnp.sum(jnp.where(chosen[:, None], a, 0.0), 0)  # exact: one row, and zeros
        own_row = a[k]
        a = jnp.where((rows == k)[:, None], pivot_row, jnp.where(chosen[:, None], own_row, a))
        moved = jnp.sum(jnp.where(chosen, permutation, 0), dtype=jnp.int32)
        permutation = jnp.where(rows == k, moved, jnp.where(chosen, permutation[k], permutation))
        below = rows > k
        # A singular column stays as it is, as LAPACK leaves it.
        pivot = jnp.where(pivot_row[k] == 0, 1.0, pivot_row[k])
        factor = jnp.where(below, a[:, k] / pivot, 0.0)
        right = jnp.arange(n) > k
        a = a - factor[:, None] * jnp.where(right, pivot_row, 0.0)
        a = jnp.where(below[:, None] & (jnp.arange(n) == k), factor[:, None], a)
        return a, jnp.where(jnp.arange(pivots.shape[0]) == k, p, pivots), permutation

    return _repeat(min(m, n), eliminate, (a, jnp.zeros(min(m, n), jnp.int32), rows))


def _permutation(pivots: Array, *, permutation_size: int, **_: Any) -> Array:
    """The order of rows that swapping each with its pivot leads to."""
    rows = jnp.arange(permutation_size, dtype=pivots.dtype)

    def swap(k: Any, order: Array) -> Array:
        other = pivots[k]
        return jnp.where(rows == k, order[other], jnp.where(rows == other, order[k], order))

    return _repeat(pivots.shape[0], swap, rows)


def _triangular_solve(
    a: Array, b: Array, *, left_side: bool, lower: bool, transpose_a: bool, unit_diagonal: bool, **_: Any
) -> Array:
    """x with op(a) x = b, or x op(a) = b, for a triangular matrix, row by row."""
    if a.ndim > 2:
        options = {"left_side": left_side, "lower": lower, "transpose_a": transpose_a, "unit_diagonal": unit_diagonal}
        return _mapped(lambda a, b: _triangular_solve(a, b, **options), a, b)
    if not left_side:
        options = {"left_side": True, "lower": lower, "transpose_a": not transpose_a, "unit_diagonal": unit_diagonal}
        return _triangular_solve(a, b.T, **options).T
    if transpose_a:
        a, lower = a.T, not lower
    n = a.shape[0]

    def solve(step: Any, x: Array) -> Array:
        k = step if lower else n - 1 - step
        known = jnp.arange(n) < k if lower else jnp.arange(n) > k
        rest = x[k] - jnp.where(known, a[k], 0.0) @ x
        return x.at[k].set(rest if unit_diagonal else rest / a[k, k])

    return _repeat(n, solve, b)


def _cholesky(a: Array, **_: Any) -> Array:
    """The lower triangular L with L L^T = a; NaN where a is not positive definite."""
    if a.ndim > 2:
        return _mapped(_cholesky, a)
    n = a.shape[0]
    rows = jnp.arange(n)

    def column(k: Any, left: Array) -> Array:
        done = rows < k
        rest = a[:, k] - left @ jnp.where(done, left[k], 0.0)
        diagonal = jnp.sqrt(rest[k])
        values = jnp.where(rows > k, rest / diagonal, jnp.where(rows == k, diagonal, 0.0))
        return jnp.where(rows == k, values[:, None], left)

    return _repeat(n, column, jnp.zeros_like(a))


def _sort(*arrays: Array, dimension: int, num_keys: int, **_: Any) -> tuple[Array, ...]:
    """Arrays ordered along an axis by the first `num_keys` of them; stable, NaN last.

    Odd-even transposition: neighbours change places until all are in order, which n rounds achieve.
    """
    n = arrays[0].shape[dimension]
    moved = tuple(jnp.moveaxis(x, dimension, -1) for x in arrays)

    def exchange(first: int, xs: tuple[Array, ...]) -> tuple[Array, ...]:
        count = (n - first) // 2
        if count == 0:
            return xs
        middle = [x[..., first : first + 2 * count].reshape(*x.shape[:-1], count, 2) for x in xs]
        swap = jnp.zeros(middle[0].shape[:-1], bool)
        for x in reversed(middle[:num_keys]):
            left, right = x[..., 0], x[..., 1]
            less, equal = _less(right, left), ~(_less(left, right) | _less(right, left))
            swap = less | (equal & swap)
        turned = [jnp.where(swap[..., None], x[..., ::-1], x).reshape(*x.shape[:-2], 2 * count) for x in middle]
        return tuple(
            jnp.concatenate([x[..., :first], t, x[..., first + 2 * count :]], -1) for x, t in zip(xs, turned)
        )

    moved = _repeat(-(-n // 2), lambda _, xs: exchange(1, exchange(0, xs)), moved)
    return tuple(jnp.moveaxis(x, -1, dimension) for x in moved)


def _less(x: Array, y: Array) -> Array:
    less = x < y
    return less | ((y != y) & (x == x)) if jnp.issubdtype(x.dtype, jnp.floating) else less


def _mapped(function: Callable, *arrays: Array) -> Any:
    """A function of matrices on each of a batch of them."""
    lead = arrays[0].shape[:-2]
    flat = [x.reshape(-1, *x.shape[len(lead) :]) for x in arrays]
    results = [function(*(x[i] for x in flat)) for i in range(flat[0].shape[0])]
    if not isinstance(results[0], tuple):
        return jnp.stack(results).reshape(*lead, *results[0].shape)
    return tuple(jnp.stack(parts).reshape(*lead, *parts[0].shape) for parts in zip(*results))


DECOMPOSED: dict[str, Callable[..., Any]] = {
    "tile": _tile,
    "lu": _lu,
    "lu_pivots_to_permutation": _permutation,
    "triangular_solve": _triangular_solve,
    "cholesky": _cholesky,
    "sort": _sort,
}

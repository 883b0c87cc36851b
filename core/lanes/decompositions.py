"""Primitives written in terms of simpler ones, in JAX; they are traced and compiled like the user's code.

Each takes the operands of the primitive and its parameters as keywords. Matrices up to `UNROLLED` rows are worked on
step by step, so that they stay in registers; larger ones in loops. Triangular matrices, the daily bread of mechanical
systems, up to `UNROLLED_TRIANGLE` rows, without the operations that a loop over whole columns does for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import jaxpr_as_fun
from jaxtyping import Array

from .arrays import is_small

UNROLLED = 8
# Seen at 16 lanes of float32 on two threads, microseconds a lane: factors of 9, 14, 23 and 27 rows take 0.03, 0.09, 0.35
# and 0.24 written out, 0.31, 0.42, 2.6 and 4.0 in loops. The last takes LLVM 0.9 s instead of 0.2.
UNROLLED_TRIANGLE = 32
UNROLLED_SOLVE = 2048  # multiplications of a triangular solution that are written out


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
    if pivots.ndim > 1:
        return _mapped(lambda p: _permutation(p, permutation_size=permutation_size), pivots, rank=1)
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
    if UNROLLED < n <= UNROLLED_TRIANGLE and n * n * b.shape[1] <= 2 * UNROLLED_SOLVE:
        return _substituted(a, b, lower, unit_diagonal)

    def solve(step: Any, x: Array) -> Array:
        k = step if lower else n - 1 - step
        known = jnp.arange(n) < k if lower else jnp.arange(n) > k
        rest = x[k] - jnp.where(known, a[k], 0.0) @ jnp.where(known[:, None], x, 0.0)
        return x.at[k].set(rest if unit_diagonal else rest / a[k, k])

    return _repeat(n, solve, b)


def _substituted(a: Array, b: Array, lower: bool, unit_diagonal: bool) -> Array:
    """The same written out: what is left of b, after each unknown."""
    n, x = a.shape[0], []
    for k in range(n) if lower else reversed(range(n)):
        row, b = (b[0], b[1:]) if lower else (b[-1], b[:-1])
        x.append(row if unit_diagonal else row / a[k, k])
        b = b - (a[k + 1 :, k] if lower else a[:k, k])[:, None] * x[-1]
    return jnp.stack(x if lower else x[::-1])


def _cholesky(a: Array, **_: Any) -> Array:
    """The lower triangular L with L L^T = a; all of it NaN where a is not positive definite, as XLA has it."""
    if a.ndim > 2:
        return _mapped(_cholesky, a)
    n = a.shape[0]
    rows = jnp.arange(n)
    if n <= UNROLLED_TRIANGLE:
        columns: list[Array] = []
        definite = jnp.asarray(True)
        for k in range(n):
            rest = a[k:, k]
            for j, done in enumerate(columns):
                rest = rest - done[k - j :] * done[k - j]
            definite = definite & (rest[0] > 0)
            columns.append(rest * (1.0 / jnp.sqrt(rest[0])))
        whole = jnp.stack([jnp.pad(column, (k, 0)) for k, column in enumerate(columns)], 1)
        return jnp.where(definite | (rows[:, None] < rows), whole, jnp.nan)

    def column(k: Any, carry: tuple) -> tuple:
        left, positive = carry
        done = rows < k
        rest = a[:, k] - left @ jnp.where(done, left[k], 0.0)
        diagonal = jnp.sqrt(rest[k])
        values = jnp.where(rows > k, rest / diagonal, jnp.where(rows == k, diagonal, 0.0))
        return jnp.where(rows == k, values[:, None], left), positive & (rest[k] > 0)

    left, positive = _repeat(n, column, (jnp.zeros_like(a), jnp.asarray(True)))
    return jnp.where(positive | (rows[:, None] < rows), left, jnp.nan)


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
        return tuple(jnp.concatenate([x[..., :first], t, x[..., first + 2 * count :]], -1) for x, t in zip(xs, turned))

    moved = _repeat(-(-n // 2), lambda _, xs: exchange(1, exchange(0, xs)), moved)
    return tuple(jnp.moveaxis(x, -1, dimension) for x in moved)


def _less(x: Array, y: Array) -> Array:
    less = x < y
    return less | ((y != y) & (x == x)) if jnp.issubdtype(x.dtype, jnp.floating) else less


def _mapped(function: Callable, *arrays: Array, rank: int = 2) -> Any:
    """A function of matrices (or of arrays of another rank) on each of a batch of them."""
    lead = arrays[0].shape[: arrays[0].ndim - rank]
    flat = [x.reshape(-1, *x.shape[len(lead) :]) for x in arrays]
    count = flat[0].shape[0]
    if 0 < count <= UNROLLED:
        each = [function(*(x[i] for x in flat)) for i in range(count)]
        results = jax.tree.map(lambda *parts: jnp.stack(parts), *each)
    else:
        results = lax.map(lambda xs: function(*xs), flat)
    return jax.tree.map(lambda y: y.reshape(*lead, *y.shape[1:]), results)


def _threefry2x32(k1: Array, k2: Array, x1: Array, x2: Array, **_: Any) -> tuple[Array, Array]:
    """The random function of JAX's keys: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (2011), 20 rounds."""
    shape = jnp.broadcast_shapes(k1.shape, k2.shape, x1.shape, x2.shape)
    if not is_small(shape):  # element by element, so that the rounds stay in registers
        flat = [jnp.broadcast_to(x, shape).reshape(-1) for x in (k1, k2, x1, x2)]
        results = lax.map(lambda each: _threefry2x32(*each), flat)
        return tuple(y.reshape(shape) for y in results)
    keys = (k1, k2, k1 ^ k2 ^ jnp.uint32(0x1BD11BDA))
    x, y = x1 + keys[0], x2 + keys[1]
    for group in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            x = x + y
            y = x ^ ((y << jnp.uint32(turn)) | (y >> jnp.uint32(32 - turn)))
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + jnp.uint32(group + 1)
    return jnp.broadcast_to(x, shape), jnp.broadcast_to(y, shape)


def _counts(*, shape: Sequence[int], **_: Any) -> tuple[Array, Array]:
    """0, 1, 2, ... as two halves of 64 bits."""
    return jnp.zeros(shape, jnp.uint32), lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)


def _reduce_precision(x: Array, *, exponent_bits: int, mantissa_bits: int, **_: Any) -> Array:
    """x rounded to a float of fewer bits, ties to even; what is too large is infinite, what is too small is zero."""
    info, kind = jnp.finfo(x.dtype), jnp.dtype(f"uint{8 * x.dtype.itemsize}")
    bits = lax.bitcast_convert_type(x, kind)
    number = lambda n: jnp.asarray(n, kind)
    dropped = info.nmant - mantissa_bits
    if dropped > 0:
        last = (bits >> number(dropped)) & number(1)
        bits = (bits + last + number((1 << (dropped - 1)) - 1)) & number(~((1 << dropped) - 1) % (1 << info.bits))
    if exponent_bits < info.nexp:
        sign = bits & number(1 << (info.bits - 1))
        top = ((1 << info.nexp) - 1) << info.nmant
        exponent, middle, reach = bits & number(top), (1 << (info.nexp - 1)) - 1, (1 << (exponent_bits - 1)) - 1
        bits = jnp.where(exponent > number((middle + reach) << info.nmant), sign | number(top), bits)
        bits = jnp.where(exponent <= number((middle - reach) << info.nmant), sign, bits)
    return jnp.where(x != x, x, lax.bitcast_convert_type(bits, x.dtype))


def _cumlogsumexp(x: Array, *, axis: int, reverse: bool, **_: Any) -> Array:
    """log(exp(x_0) + ... + exp(x_k)) for each k along an axis, one after the other."""

    def step(total: Any, row: Any) -> tuple[Any, Any]:
        total = jnp.logaddexp(total, row)
        return total, total

    moved = jnp.moveaxis(x, axis, 0)
    start: Any = jnp.full(moved.shape[1:], -jnp.inf, x.dtype)
    _, sums = lax.scan(step, start, moved, reverse=reverse)
    return jnp.moveaxis(sums, 0, axis)


def _lanes(*xs: Array, jaxpr: Any, laned: Sequence[bool], **_: Any) -> list[Array]:
    """Lanes within a lane, as what they mean."""
    return jax.vmap(jaxpr_as_fun(jaxpr), [-1 if has_lanes else None for has_lanes in laned], -1)(*xs)


def _top_k(x: Array, *, k: int, axis: int = -1, **_: Any) -> tuple[Array, Array]:
    """The k largest along an axis and where they stand, the first of equals first."""
    axis, key = axis % x.ndim, x
    if jnp.issubdtype(x.dtype, jnp.floating):  # by their bits: -0 before 0, as XLA has it
        bits = lax.bitcast_convert_type(x, f"int{8 * x.dtype.itemsize}")
        key = jnp.where(bits < 0, bits ^ jnp.iinfo(bits.dtype).max, bits)
    places = lax.broadcasted_iota(jnp.int32, x.shape, axis)
    places, ordered = lax.sort((key, -places, x), dimension=axis, num_keys=2)[1:]
    first = lambda y: lax.slice_in_dim(jnp.flip(y, axis), 0, k, axis=axis)
    return first(ordered), first(-places)


def _polynomial(x: Array, *coefficients: Array, **_: Any) -> Array:
    """a_0 + x (a_1 + x (a_2 + ...)), by Horner's rule."""
    value = coefficients[-1]
    for a in coefficients[-2::-1]:
        value = a + x * value
    return value


def _log2(x: Array, **_: Any) -> Array:
    return lax.log(x) / lax.log(lax.full_like(x, 2))


def _one_minus_square(x: Array, **_: Any) -> Array:
    return (1 + x) * (1 - x)  # close to one, 1 - x has no rounding


def _mulhi(x: Array, y: Array, **_: Any) -> Array:
    """The upper half of the bits of a product, from products of halves (Warren, Hacker's Delight, section 8-2)."""
    half = 4 * x.dtype.itemsize
    x, y = jnp.broadcast_arrays(x, y)
    by, mask = lax.full_like(x, half), lax.full_like(x, (1 << half) - 1)
    upper = lax.shift_right_arithmetic if jnp.issubdtype(x.dtype, jnp.signedinteger) else lax.shift_right_logical
    low, high = x & mask, upper(x, by)
    middle = high * (y & mask) + lax.shift_right_logical(low * (y & mask), by)
    last = low * upper(y, by) + (middle & mask)
    return high * upper(y, by) + upper(middle, by) + upper(last, by)


# Operations that engines add to JAX's, by name, each as the function of its operands and parameters that it stands for.
OPERATIONS: dict[str, Callable[..., Any]] = {}

DECOMPOSED: dict[str, Callable[..., Any]] = {
    "tile": _tile,
    "lu": _lu,
    "lu_pivots_to_permutation": _permutation,
    "triangular_solve": _triangular_solve,
    "cholesky": _cholesky,
    "sort": _sort,
    "top_k": _top_k,
    "lanes": _lanes,
    "threefry2x32": _threefry2x32,
    "iota_2x32_shape": _counts,
    "reduce_precision": _reduce_precision,
    "cumlogsumexp": _cumlogsumexp,
    "polynomial": _polynomial,
    "log2": _log2,
    "one_minus_square": _one_minus_square,
    "mulhi": _mulhi,
}

"""Rows of neighbors by XLA: candidates of some hundred particles tested at once, and those that are near put side by side.

Everybody near a particle stands in few runs of the sorted table, one for each column of cells around it. Particles that
follow each other have almost the same runs. So a block of them reads one window of each run at a time; what each particle
finds there is one bit a candidate, a word a window; and the k-th neighbor of a row is the k-th bit set in the words. Nothing
is scattered, and there are as many windows as runs ask for, whatever their lengths.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt

ROWS_IN_A_CHUNK = 256  # arrays of a chunk fit the cache
ROWS_IN_A_BLOCK = 8
WINDOW = 32  # bits in a word

Runs = Callable[[Int[Array, "n 3"]], tuple[Int[Array, "n c"], Int[Array, "n c"]]]


def rows_of_candidates(
    table: Float[Array, "m 4"], own: Int[Array, " n"], cell: Int[Array, "n 3"], runs: Runs, reach: float, length: int
) -> tuple[Int[Array, "n row"], Int[Array, " n"]]:
    """Rows [n, length] of everybody nearer than `reach`, filled up with one's own place, and how many these are.

    `own` names the places of the particles, ascending, `cell` theirs. `runs` gives the places where the runs of
    candidates of a cell begin and end. Where there are more neighbors than places in a row, the first ones are in it.
    """
    n = own.shape[0]
    size = min(ROWS_IN_A_CHUNK, n + -n % ROWS_IN_A_BLOCK)
    missing = -n % size
    # Windows may go on behind the last place.
    x = [jnp.concatenate([table[:, e], jnp.full(WINDOW, jnp.inf, table.dtype)]) for e in range(3)]

    def chunk(c: tuple[Array, Array]) -> tuple[Array, Array]:
        own, cell = c
        here = [_at(e, own) for e in x]
        first, last = runs(cell)

        def window(c: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            begin, count, row = c
            # A block goes on where the first of its particles does: runs far apart are met one after the other.
            lead = _of_blocks(jnp.where(begin < last, begin, table.shape[0])).min(1)
            place = lead[:, :, None] + jnp.arange(WINDOW, dtype=jnp.int32)
            there = jax.lax.optimization_barrier([_at(e, place) for e in x])
            near = _near(here, there, reach) & (place[:, None] != _of_blocks(own)[..., None, None])
            near &= (place[:, None] >= _of_blocks(begin)[..., None]) & (place[:, None] < _of_blocks(last)[..., None])
            bits = jnp.asarray(1, jnp.uint32) << jnp.arange(WINDOW, dtype=jnp.uint32)
            words = jnp.sum(jnp.where(near, bits, 0), -1, dtype=jnp.uint32).reshape(first.shape)
            lead = jnp.repeat(lead, ROWS_IN_A_BLOCK, 0)
            return jnp.clip(lead + WINDOW, begin, last), *_appended(row, count, words, lead)

        nobody = (first, jnp.zeros_like(own), jnp.broadcast_to(own[:, None], (own.shape[0], length)))
        _, count, row = jax.lax.while_loop(lambda c: jnp.any(c[0] < last), window, nobody)
        return row, count

    own, cell = jnp.pad(own, (0, missing), mode="edge"), jnp.pad(cell, ((0, missing), (0, 0)), mode="edge")
    rows, count = jax.lax.map(chunk, (own.reshape(-1, size), cell.reshape(-1, size, 3)))
    return rows.reshape(-1, length)[:n], count.reshape(-1)[:n]


def _at(x: Array, places: Array) -> Array:
    return x.at[places].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _of_blocks(x: Array) -> Array:
    return x.reshape(-1, ROWS_IN_A_BLOCK, *x.shape[1:])


def _near(here: list[Array], there: list[Array], reach: float) -> Bool[Array, "blocks rows c w"]:
    d = [_of_blocks(a)[..., None, None] - b[:, None] for a, b in zip(here, there)]
    return d[0] * d[0] + d[1] * d[1] + d[2] * d[2] < reach * reach


def _appended(
    row: Int[Array, "n row"], count: Int[Array, " n"], words: UInt[Array, "n c"], lead: Int[Array, "n c"]
) -> tuple[Int[Array, " n"], Int[Array, "n row"]]:
    """How many neighbors rows have with those of the words, and the rows; the bits of a word are places from `lead` on."""
    found = jax.lax.population_count(words).astype(jnp.int32)
    end = count[:, None] + jnp.cumsum(found, 1, dtype=jnp.int32)
    slot = jnp.arange(row.shape[1], dtype=jnp.int32)
    word, base, before = words[:, :1], lead[:, :1], count[:, None]
    for c in range(1, words.shape[1]):
        later = slot >= end[:, c - 1 : c]
        word = jnp.where(later, words[:, c : c + 1], word)
        base = jnp.where(later, lead[:, c : c + 1], base)
        before = jnp.where(later, end[:, c - 1 : c], before)
    new = (slot >= count[:, None]) & (slot < end[:, -1:])
    return end[:, -1], jnp.where(new, base + _place_of_bit(word, slot - before), row)


def _place_of_bit(word: UInt[Array, "n row"], rank: Int[Array, "n row"]) -> Int[Array, "n row"]:
    """Where in a word the bit stands that has `rank` set bits below it, found by halves."""
    place = jnp.zeros_like(rank)
    for half in (16, 8, 4, 2, 1):
        below = jax.lax.population_count(word & ((1 << half) - 1)).astype(jnp.int32)
        above = rank >= below
        rank = jnp.where(above, rank - below, rank)
        word = jnp.where(above, word >> half, word)
        place = jnp.where(above, place + half, place)
    return place

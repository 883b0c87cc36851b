"""Choosing and sorting places by their cells: one place after the other on CPUs, at once on other processors.

On CPUs XLA's own operations for this take most of the time of a search, and of its compilation. Seen for 80 000 flags: 0.2 ms
and 0.04 s to compile in a loop, 0.45 ms and 0.65 s by `jnp.nonzero`; for 55 000 places 0.4 ms in loops of native code, 8 ms
by sorting. (XLA's loops copy one of two arrays that change in each turn: 80 ms.)
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from ....core.lanes.single import one_lane

KNOWN: Any = "promise_in_bounds"  # of indices


def places_where(flags: Bool[Array, " m"], room: int) -> tuple[Int[Array, " room"], Int[Array, ""]]:
    """The places of flags that are set, as many as there is room for and filled up with 0, and how many there are."""
    if not room:
        return jnp.zeros(0, jnp.int32), jnp.sum(flags)

    def one_by_one(flags: Array) -> tuple[Array, Array]:
        def look(i: Array, c: tuple) -> tuple:
            count, found = c
            return count + flags.at[i].get(mode=KNOWN), found.at[jnp.minimum(count, room)].set(i, mode=KNOWN)

        start = (jnp.zeros((), jnp.int32), jnp.zeros(room + 1, jnp.int32))
        count, found = jax.lax.fori_loop(0, flags.shape[0], look, start)
        return jnp.where(jnp.arange(room) < count, found[:room], 0), count

    def at_once(flags: Array) -> tuple[Array, Array]:
        return jnp.nonzero(flags, size=room, fill_value=0)[0].astype(jnp.int32), jnp.sum(flags, dtype=jnp.int32)

    return jax.lax.platform_dependent(flags, cpu=one_lane(one_by_one, always=True), default=at_once)


def sort_by_cell(number: Int[Array, " m"], cells: int, particles: int) -> tuple[Array, Array, Array, Array]:
    """Places in the order of the numbers of their cells, which are from 0 to `cells`.

    Returns the `order` [m], where each cell begins [cells + 1], and of the first `particles` places, which are the particles
    themselves, `own`, where in the order they stand, ascending, and `rank`, which of these each particle has.
    """

    def one_by_one(number: Array) -> tuple[Array, Array, Array, Array]:
        m = number.shape[0]
        at = lambda x, i: x.at[i].get(mode=KNOWN)
        counts = jax.lax.fori_loop(
            0, m, lambda i, c: c.at[at(number, i) + 1].add(1, mode=KNOWN), jnp.zeros(cells + 2, jnp.int32)
        )
        start = jax.lax.fori_loop(0, cells + 1, lambda k, c: c.at[k + 1].add(at(c, k), mode=KNOWN), counts)

        def put(i: Array, c: tuple) -> tuple:
            order, next_place = c
            k = at(number, i)
            return order.at[at(next_place, k)].set(i, mode=KNOWN), next_place.at[k].add(1, mode=KNOWN)

        order, _ = jax.lax.fori_loop(0, m, put, (jnp.zeros(m, jnp.int32), start))

        def meet(k: Array, c: tuple) -> tuple:
            own, rank, count = c
            i = at(order, k)
            # What is no particle is noted where the next one will be, and in a place beyond the last.
            own = own.at[jnp.minimum(count, particles)].set(k, mode=KNOWN)
            rank = rank.at[jnp.minimum(i, particles)].set(count, mode=KNOWN)
            return own, rank, count + (i < particles)

        spare = jnp.zeros(particles + 1, jnp.int32)
        own, rank, _ = jax.lax.fori_loop(0, m, meet, (spare, spare, jnp.zeros((), jnp.int32)))
        return order, start[: cells + 1], own[:particles], rank[:particles]

    def at_once(number: Array) -> tuple[Array, Array, Array, Array]:
        order = jnp.argsort(number).astype(jnp.int32)
        counts = jnp.zeros(cells + 1, jnp.int32).at[number].add(1)
        start = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(counts[:cells]).astype(jnp.int32)])
        where = jnp.zeros_like(order).at[order].set(jnp.arange(order.shape[0], dtype=order.dtype))[:particles]
        own = jnp.sort(where)
        return order, start, own, jnp.searchsorted(own, where).astype(jnp.int32)

    return jax.lax.platform_dependent(number, cpu=one_lane(one_by_one, always=True), default=at_once)

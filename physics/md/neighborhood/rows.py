"""Many particles: rows of neighbors, found through cells, for all that come near until somebody has moved too far.

A table holds every particle in the home cell and those of its images that lie near enough, in the order of the cells that
they are in. Row i names the places in the table of everybody near particle i; it is filled up with i's own place. As rows
stay right for a while, they name images, and where these are now follows from positions and edges now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr
from jaxtyping import Array

from ....core.lanes.transform import lanes
from ....core.lanes.width import any_lane
from .all_pairs import masked
from .many_pairs import Numbers, apart, each, on_many, together
from .pair_programs import Signature

AT_ONCE = 4  # neighbors that a step of the loop of a row reads
PLACES_IN_A_CHUNK = 1 << 16  # on XLA: arrays of a chunk fit the cache, and are worth the start of an operation


def native_on_cpus(native: Callable[..., Any], xla: Callable[..., Any], *operands: Array) -> Any:
    """`native(*operands)` on CPUs, `xla(*operands)` on other processors.

    Where there are only CPUs the other way is not even traced, which takes a quarter of the time that tracing a run takes.
    """
    if jax.default_backend() == "cpu":
        return native(*operands)
    return jax.lax.platform_dependent(*operands, cpu=native, default=xla)


@dataclass(frozen=True)
class Rows:
    """Rows of neighbors as arrays (`RowLists.arrays`); `native`: run as native code where there is some."""

    native: bool = True

    def evaluate(
        self, pair: Callable, lists: Sequence[Array], signature: Signature, cutoff: float, operands: Sequence[Array]
    ) -> list[Array]:
        """The sums of a function of one pair, see `sums`."""
        visit = _Visit(pair, signature, cutoff, tuple(x.shape[1:] for x in signature.operands(operands)[2]))
        count = len(lists)

        def native(*values: Array) -> list[Array]:
            return visit.in_lanes(values[:count], values[count:])

        def xla(*values: Array) -> list[Array]:
            return visit.in_chunks(values[:count], values[count:])

        if not self.native:
            return xla(*lists, *operands)
        return native_on_cpus(native, xla, *lists, *operands)

    def at_once(
        self, pair: Callable, lists: Sequence[Array], signature: Signature, cutoff: float, operands: Sequence[Array]
    ) -> None:
        """Arrays are large: many sums are made one after the other."""


@dataclass(frozen=True)
class _Visit:
    """The sums of one pair function over all rows. `shapes` are those of one particle's data."""

    pair: Callable
    signature: Signature
    cutoff: float
    shapes: tuple[tuple[int, ...], ...]

    def in_lanes(self, lists: Sequence[Array], operands: Sequence[Array]) -> list[Array]:
        """One lane a row."""
        rows, own, count, parent, shift, rank = lists
        xs, hs, data, shared = self.signature.operands(operands)
        table = self._table(parent, shift, xs, hs, data)
        kinds = [x.dtype for x in data]

        def of_row(i: Array, own: Array, count: Array) -> list[Array]:
            here, mine = self._unpacked(table.at[own].get(mode="promise_in_bounds"), kinds)

            def some(carry: tuple) -> tuple:
                m, sums = carry
                places = jax.lax.dynamic_slice(rows, (i, m), (1, AT_ONCE))[0]
                for k in range(AT_ONCE):
                    there, other = self._unpacked(table.at[places[k]].get(mode="promise_in_bounds"), kinds)
                    d = [b - a for a, b in zip(here, there)]
                    values = masked(self.pair, self.cutoff, d, places[k] == own, mine, other, shared)
                    sums = [a + b for a, b in zip(sums, values)]
                return m + AT_ONCE, sums

            start = (jnp.zeros((), jnp.int32), self._zeros(xs, data, shared))
            # Lanes whose row has ended meet its filling, which adds nothing.
            return jax.lax.while_loop(lambda c: any_lane(c[0] < count), some, start)[1]

        out = lanes(of_row)(jnp.arange(rows.shape[0], dtype=jnp.int32), own, count)
        return [
            jnp.sum(y, -1) if total else jnp.moveaxis(y, -1, 0)[rank] for y, total in zip(out, self.signature.totals)
        ]

    def in_chunks(self, lists: Sequence[Array], operands: Sequence[Array]) -> list[Array]:
        """Arrays of some hundred rows at once."""
        rows, own, _, parent, shift, rank = lists
        xs, hs, data, shared = self.signature.operands(operands)
        n, totals = rows.shape[0], self.signature.totals
        size = min(n, max(PLACES_IN_A_CHUNK // rows.shape[1], 1))
        chunks = -(-n // size)
        known = [*self._places(parent, shift, xs, hs), *(x.at[parent].get(mode="promise_in_bounds") for x in data)]
        one = [jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in known]
        program = jax.make_jaxpr(lambda *v: list(self.pair(*v)))(*one, *one[len(xs) :], *shared)
        columns = [apart(jnp.moveaxis(x, 0, -1)) for x in known]

        def chunk(k: Array) -> list[Array]:
            begin = jnp.minimum(k * size, n - size)  # the last one begins earlier where it would be shorter
            row, owner = (jax.lax.dynamic_slice_in_dim(x, begin, size) for x in (rows, own))
            before = begin + jnp.arange(size) < k * size
            out = []
            for y, total in zip(self._of_rows(program, row, owner, columns, shared), totals):
                y = each(lambda y: jnp.sum(jnp.where(before, 0.0, y)), y) if total else y
                out.append(together(y, -1))
            return out

        out = jax.lax.map(chunk, jnp.arange(chunks, dtype=jnp.int32))
        whole = (chunks - 1) * size
        place = jnp.where(rank < whole, rank, rank + (chunks * size - n))
        in_order = lambda y: y.reshape(-1, *y.shape[2:]).at[place].get(mode="promise_in_bounds")
        return [jnp.sum(y, 0) if total else in_order(y) for y, total in zip(out, totals)]

    def _of_rows(
        self, program: ClosedJaxpr, row: Array, owner: Array, columns: Sequence[Numbers], shared: Sequence[Array]
    ) -> list[Numbers]:
        """The sums of some rows [k, row], whose particles are the places `owner`; `columns` hold what is known of all places."""
        count = self.signature.displacements
        at = lambda x, places: x.at[places].get(mode="promise_in_bounds", wrap_negative_indices=False)
        here = [each(lambda x: jnp.broadcast_to(at(x, owner)[:, None], row.shape), x) for x in columns]
        there = [each(lambda x: at(x, row), x) for x in columns]
        d = [b - a for a, b in zip(here, there[:count])]
        square = d[0][0] * d[0][0] + d[0][1] * d[0][1] + d[0][2] * d[0][2]
        different = row != owner[:, None]
        near = ~(square >= self.cutoff * self.cutoff) & different  # what is no number is near, so that it is seen
        # Only fillings are moved away: XLA may decide anew for each of x, y, z who is near, and differ in the last digit.
        for e, far in enumerate((self.cutoff, 0.0, 0.0)):
            d[0][e] = jnp.where(different, d[0][e], far)
        results = on_many(program, row.shape, [*d, *here[count:], *there[count:], *shared])
        return [each(lambda y: jnp.sum(jnp.where(near, y, 0.0), -1), y) for y in results]

    def _table(self, parent: Array, shift: Array, xs: Sequence, hs: Sequence, data: Sequence) -> Array:
        """All that is known about each place: its displacements, then its data, as one row of numbers."""
        dtype = xs[0].dtype
        of = lambda x: x.at[parent].get(mode="promise_in_bounds")
        columns = [*self._places(parent, shift, xs, hs), *(of(x.reshape(x.shape[0], -1).astype(dtype)) for x in data)]
        width = sum(c.shape[1] for c in columns)
        fill = [jnp.zeros((parent.shape[0], 1), dtype)] if width == 3 else []  # four numbers are read at once
        return jnp.concatenate([*columns, *fill], 1)

    def _places(self, parent: Array, shift: Array, xs: Sequence, hs: Sequence) -> list[Array]:
        """Where each place is, [m, 3] for each kind of displacement."""
        moved = shift.astype(xs[0].dtype)
        of = lambda x: x.at[parent].get(mode="promise_in_bounds")
        return [of(x) + moved[:, 0:1] * h[0] + moved[:, 1:2] * h[1] + moved[:, 2:3] * h[2] for x, h in zip(xs, hs)]

    def _unpacked(self, entry: Array, kinds: Sequence[np.dtype]) -> tuple[list[Array], list[Array]]:
        """Displacements and data from a row of the table."""
        begin = 3 * self.signature.displacements
        found = []
        for shape, kind in zip(self.shapes, kinds):
            size = int(np.prod(shape))
            found.append(entry[begin : begin + size].reshape(shape).astype(kind))
            begin += size
        return [entry[3 * k : 3 * k + 3] for k in range(self.signature.displacements)], found

    def _zeros(self, xs: Sequence[Array], data: Sequence[Array], shared: Sequence[Array]) -> list[Array]:
        one = [jax.ShapeDtypeStruct((3,), x.dtype) for x in xs]
        each = [jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in data]
        shapes = jax.eval_shape(lambda *v: list(self.pair(*v)), *one, *each, *each, *shared)
        return [jnp.zeros(s.shape, s.dtype) for s in shapes]


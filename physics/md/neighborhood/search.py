"""The search for neighbors, inside compiled programs: images near the home cell, cells, and rows.

All arrays have sizes fixed beforehand (`Capacity`), and a search that needs more says so by its code. Cells are at least half
as wide as the reach of the search between opposite faces, in a box of any shape, so that everybody near lies at most two
cells from one's own. Where space is not periodic the cells cover the particles.
"""

from __future__ import annotations

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ....core.lanes.transform import lanes
from ....core.status import Code
from ..box import Box, inverse_edges
from .candidates import rows_of_candidates
from .rows import AT_ONCE, Rows, native_on_cpus
from .sorting import places_where, sort_by_cell

PARTS = 2  # cells within the reach of a search: more have fewer pairs to test, and more ends of columns
SMALLEST_ROW_IN_MEMORY = 132  # native code searches arrays in registers, up to 128 numbers, by selection


@dataclass(frozen=True)
class Capacity:
    """Sizes of the arrays of a search.

    `images`: how many cells away the images are along each edge that are made. `room`: for how many images along the
    first, the second and the third edge the table has places. `cells` along each edge. `row`: neighbors of one particle.
    """

    images: tuple[int, int, int]
    room: tuple[int, int, int]
    cells: tuple[int, int, int]
    row: int


class RowLists(eqx.Module):
    """Rows of neighbors and what they were made for.

    `rows` [n, row] name places of the table, `own` [n] that of each row's particle and `count` [n] its neighbors. Place p
    is the image of particle `parent[p]` by `shift[p]` edges. Particle k has row `rank[k]`. `home` [n, 3] is by how many
    edges each particle was moved into the home cell, `position` and `vectors` are those of the search.
    """

    rows: Int[Array, "n row"]
    own: Int[Array, " n"]
    count: Int[Array, " n"]
    parent: Int[Array, " m"]
    shift: Int[Array, "m 3"]
    rank: Int[Array, " n"]
    home: Float[Array, "n 3"]
    position: Float[Array, "n 3"]
    vectors: Float[Array, "3 3"]
    code: Int[Array, ""]
    structure: Rows = eqx.field(static=True)

    @property
    def arrays(self) -> list[Array]:
        """What sums over neighbors read."""
        return [self.rows, self.own, self.count, self.parent, self.shift, self.rank]


def search(position: Float[Array, "n 3"], box: Box, reach: float, capacity: Capacity, native: bool) -> RowLists:
    """Rows of all neighbors, images included, nearer than `reach`; the code says where they are not all, or places mean nothing."""
    position, box = jax.lax.stop_gradient((position, box))
    n = position.shape[0]
    fractional = box.fractional(position)
    home = -box.cells_from_home(position)
    inside = fractional + home
    margin = reach / box.heights()
    parent, shift, exists, fits = _images(inside, margin, box.periodic, capacity)
    place = inside[parent] + shift
    cell = _cells(place, exists, margin, capacity.cells)
    number = (cell[:, 0] * capacity.cells[1] + cell[:, 1]) * capacity.cells[2] + cell[:, 2]
    cells = capacity.cells[0] * capacity.cells[1] * capacity.cells[2]
    order, start, own, rank = sort_by_cell(jnp.where(exists, number, cells), cells, n)
    x = jnp.where(exists[:, None], place @ box.vectors, jnp.inf)[order]
    table = jnp.concatenate([x, jnp.zeros((x.shape[0], 1), x.dtype)], 1)
    rows, count = _rows(table, start, cell[order][own], own, reach, capacity, native)
    fits &= jnp.all(count <= capacity.row)
    code = jnp.where(fits, jnp.where(lost(position, reach), Code.NON_FINITE, Code.OK), Code.CAPACITY_OVERFLOW).astype(jnp.int32)
    return RowLists(
        rows, own, jnp.minimum(count, capacity.row), parent[order], shift[order], rank, home, position, box.vectors, code,
        Rows(native),
    )  # fmt: skip


def lost(position: Float[Array, "n 3"], reach: float) -> Bool[Array, ""]:
    """Whether somebody is so far from the origin that distances as long as the reach cannot be told there."""
    return jnp.max(jnp.abs(position)) * jnp.finfo(position.dtype).eps > reach


def still_right(lists: RowLists, position: Float[Array, "n 3"], box: Box, cutoff: float, reach: float) -> Bool[Array, ""]:
    """Whether nobody who is not in the rows can be nearer than the cutoff.

    With F the deformation of the box since the search, and delta the largest |x - x_search F|, a pair that is now nearer
    than r was then nearer than (r + 2 delta) |F^-1|, which must not exceed the reach.
    """
    position, vectors = jax.lax.stop_gradient((position, box.vectors))
    change = vectors - lists.vectors
    # F - 1 in place of F: where nothing has moved since the search, rounding of places far away must not seem a motion.
    strain = inverse_edges(lists.vectors) @ change
    moved = jnp.sqrt(jnp.max(_square_of((position - lists.position) - _times(lists.position, strain))))
    stretch = 1 + jnp.sqrt(jnp.sum((inverse_edges(vectors) @ change) ** 2))
    return ~((cutoff + 2 * moved) * stretch > reach)  # lists of places that are no numbers are as good as any


def _times(rows: Float[Array, "n 3"], matrix: Float[Array, "3 3"]) -> Float[Array, "n 3"]:
    """rows @ matrix, written out: XLA takes several times as long for products with so narrow matrices."""
    return rows[:, 0:1] * matrix[0] + rows[:, 1:2] * matrix[1] + rows[:, 2:3] * matrix[2]


def _square_of(rows: Float[Array, "n 3"]) -> Float[Array, " n"]:
    return rows[:, 0] ** 2 + rows[:, 1] ** 2 + rows[:, 2] ** 2


def _images(
    inside: Float[Array, "n 3"], margin: Float[Array, "3"], periodic: tuple[bool, bool, bool], capacity: Capacity
) -> tuple[Array, Array, Array, Array]:
    """Who has an image within the margin around the home cell: parent, shift, whether there is one, whether all fit."""
    n = inside.shape[0]
    parent = jnp.arange(n, dtype=jnp.int32)
    shift, exists, fits = jnp.zeros((n, 3), jnp.int32), jnp.ones(n, bool), jnp.ones((), bool)
    for d in range(3):
        if not periodic[d]:
            continue
        fits &= margin[d] <= capacity.images[d]
        at = inside[parent, d]
        shifts = [m for m in range(-capacity.images[d], capacity.images[d] + 1) if m]
        near = jnp.concatenate([exists & (at + m >= -margin[d]) & (at + m < 1 + margin[d]) for m in shifts])
        room = capacity.room[d]
        found, count = places_where(near, room)
        fits &= count <= room
        source = found % parent.shape[0]
        by = jnp.asarray(shifts, jnp.int32)[found // parent.shape[0]]
        parent = jnp.concatenate([parent, parent[source]])
        shift = jnp.concatenate([shift, shift[source].at[:, d].set(by)])
        exists = jnp.concatenate([exists, jnp.arange(room) < count])
    return parent, shift, exists, fits


def _cells(
    place: Float[Array, "m 3"], exists: Bool[Array, " m"], margin: Float[Array, "3"], cells: tuple[int, int, int]
) -> Int[Array, "m 3"]:
    """In which cell each place lies."""
    low = jnp.min(jnp.where(exists[:, None], place, jnp.inf), 0)
    high = jnp.max(jnp.where(exists[:, None], place, -jnp.inf), 0)
    most = np.asarray(cells)
    # A little wider, so that rounding neither splits neighbors by a cell nor leaves the last cell.
    width = 1.0001 * jnp.maximum(margin / PARTS, (high - low) / most)
    cell = jnp.floor((place - low) / width).astype(jnp.int32)
    return jnp.clip(cell, 0, most - 1)


def _rows(
    table: Array, start: Array, cell: Array, own: Array, reach: float, capacity: Capacity, native: bool
) -> tuple[Int[Array, "n row"], Int[Array, " n"]]:
    """Rows [n, row] filled up with one's own place, and how many neighbors there are."""
    cells = capacity.cells
    length = max(capacity.row + 1, SMALLEST_ROW_IN_MEMORY)
    columns = 2 * PARTS + 1

    def row_of(own: Array, cell: Array) -> tuple[Array, Array]:
        x = table.at[own].get(mode="promise_in_bounds")

        def column(k: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            a, b = cell[0] + k // columns - PARTS, cell[1] + k % columns - PARTS
            inside = (a >= 0) & (a < cells[0]) & (b >= 0) & (b < cells[1])
            base = (a * cells[1] + b) * cells[2]
            low, high = jnp.maximum(cell[2] - PARTS, 0), jnp.minimum(cell[2] + PARTS, cells[2] - 1) + 1
            first = start.at[jnp.where(inside, base + low, 0)].get(mode="promise_in_bounds")
            last = start.at[jnp.where(inside, base + high, 0)].get(mode="promise_in_bounds")

            def test(c: tuple) -> tuple:
                j, count, row = c
                d = x - table.at[j].get(mode="promise_in_bounds")
                near = (d[0] * d[0] + d[1] * d[1] + d[2] * d[2] < reach * reach) & (j != own)
                row = row.at[jnp.minimum(count, length - 1)].set(j, mode="promise_in_bounds")
                return j + 1, count + near.astype(jnp.int32), row

            return jax.lax.while_loop(lambda c: c[0] < jnp.where(inside, last, first), test, (first, *carry))[1:]

        nobody = (jnp.zeros((), jnp.int32), jnp.full((length,), own, jnp.int32))
        count, row = jax.lax.fori_loop(0, columns**2, column, nobody)
        # The last one tried stands there without being near.
        return row.at[jnp.minimum(count, length - 1)].set(own)[: capacity.row], count

    def at_once(own: Array, cell: Array) -> tuple[Array, Array]:
        return rows_of_candidates(table, own, cell, lambda cell: _runs(start, cell, cells), reach, capacity.row)

    if not native:
        return at_once(own, cell)
    return native_on_cpus(lanes(row_of, in_axes=(0, 0), out_axes=0), at_once, own, cell)


def _runs(start: Array, cell: Int[Array, "n 3"], cells: tuple[int, int, int]) -> tuple[Array, Array]:
    """Where the places of cells around these begin and end in the table, [n, columns]; empty outside of all cells."""
    around = np.arange(-PARTS, PARTS + 1, dtype=np.int32)
    a, b = (x.reshape(1, -1) + cell[:, e : e + 1] for e, x in enumerate(np.meshgrid(around, around, indexing="ij")))
    inside = (a >= 0) & (a < cells[0]) & (b >= 0) & (b < cells[1])
    base = (a * cells[1] + b) * cells[2]
    low = jnp.maximum(cell[:, 2:] - PARTS, 0)
    high = jnp.minimum(cell[:, 2:] + PARTS, cells[2] - 1) + 1
    at = lambda k: start.at[jnp.where(inside, base + k, 0)].get(mode="promise_in_bounds")
    return at(low), jnp.where(inside, at(high), 0)


def row_capacity(neighbors: int) -> int:
    """A whole number of reads that holds so many neighbors, such that rows do not begin at the same places of cache lines.

    Rows an even number of lines of 64 bytes apart meet in few sets of a cache: seen to take 1.6 times as long.
    """
    if neighbors <= AT_ONCE:
        return AT_ONCE
    lines = -(-neighbors // 16)
    return 16 * (lines + 1 - lines % 2)

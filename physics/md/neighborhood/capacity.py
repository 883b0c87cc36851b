"""How large the arrays of a search must be for a state, found on the host."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
from scipy.spatial import cKDTree

from ..box import Box
from .all_pairs import AllPairs
from .search import PARTS, Capacity, row_capacity

# All pairs are taken up to so many particles, or pairs with images of one particle. Rows pay later.
MOST_PARTICLES_IN_PAIRS = 128
MOST_PAIRS_OF_ONE = 1024
MOST_PLACES = 5e7
SPARE = 1.3  # times the neighbors of now: a crystal that melts has particles with a fifth more
STEPS_OF_SIZES = 4  # sizes grow by factors of 2^(1/4), so that like states share their compiled programs


def plan(
    position: np.ndarray, box: Box, cutoff: float, reach: float, before: Capacity | None = None, spare: float = SPARE
) -> AllPairs | Capacity:
    """All pairs for few particles; otherwise sizes that hold all neighbors within `reach`, with some room.

    Sizes of `before` are not gone below. There is `spare` times the room that is needed now.
    """
    if before is None and (pairs := pairs_of_few(len(position), box, cutoff)) is not None:
        return pairs
    position, vectors = np.asarray(position, np.float64), np.asarray(box.vectors, np.float64)
    inverse = np.linalg.inv(vectors)
    heights = 1 / np.linalg.norm(inverse, axis=0)
    periodic = np.array(box.periodic)
    n = len(position)
    margin = reach / heights
    _refuse_tiny(n, reach, heights, periodic)
    inside = position @ inverse
    inside = inside - np.where(periodic, np.floor(inside), 0.0)
    counts, table = _count_images(inside, margin, periodic)
    x = table @ vectors
    neighbors = cKDTree(x).query_ball_point(inside @ vectors, reach, return_length=True).max() - 1
    extent = np.where(periodic, 1 + 2 * margin, np.ptp(table, axis=0))
    cells = np.maximum(np.floor(PARTS * extent / margin), 1.0)
    # No more cells than twice the places: space that is mostly empty is divided more coarsely.
    cells = np.maximum(np.floor(cells / max(1.0, (np.prod(cells) / (2 * counts[-1])) ** (1 / 3))), 1.0)
    found = Capacity(
        images=_three(max(1, math.ceil(1.02 * m)) if p else 0 for m, p in zip(margin, periodic)),
        room=_three(_with_spread(more - less, spare) if p else 0 for less, more, p in zip([n, *counts], counts, periodic)),
        cells=_three(int(c) for c in cells),
        row=row_capacity(_rounded(spare * int(neighbors))),
    )
    return found if before is None else _larger(found, before)


def pairs_of_few(count: int, box: Box, cutoff: float) -> AllPairs | None:
    """All pairs of particles that are few enough for that, wherever they are in a box; None for more."""
    heights = 1 / np.linalg.norm(np.linalg.inv(np.asarray(box.vectors, np.float64)), axis=0)
    # Some room for boxes that shrink, for then a run must begin anew.
    near = _three(max(1, math.ceil(2.04 * cutoff / h)) if p else 1 for h, p in zip(heights, box.periodic))
    pairs = count * math.prod(near)
    return AllPairs(count, box.periodic, near) if count <= MOST_PARTICLES_IN_PAIRS and pairs <= MOST_PAIRS_OF_ONE else None


class BoxTooSmall(ValueError):
    """So many images of particles lie within reach of each other that no memory holds them."""


def _refuse_tiny(count: int, reach: float, heights: np.ndarray, periodic: np.ndarray) -> None:
    places = count * np.prod(1 + 2 * np.where(periodic, reach / heights, 0.0))
    if places > MOST_PLACES:
        raise BoxTooSmall(
            f"lists of neighbors look {reach:.6g} far in a box of heights {', '.join(f'{h:.6g}' for h in heights)}, so that they "
            f"would hold {places:.2g} images: give a larger box or a smaller cutoff."
        )


def _three(values: Iterable[int]) -> tuple[int, int, int]:
    a, b, c = values
    return a, b, c


def _count_images(inside: np.ndarray, margin: np.ndarray, periodic: np.ndarray) -> tuple[list[int], np.ndarray]:
    """How many places there are after images along each edge, and their fractional coordinates."""
    table, counts = inside, []
    for d in range(3):
        if periodic[d]:
            most = math.ceil(margin[d])
            copies = [table]
            for m in itertools.chain(range(-most, 0), range(1, most + 1)):
                at = table[:, d] + m
                moved = table[(at >= -margin[d]) & (at < 1 + margin[d])].copy()
                moved[:, d] += m
                copies.append(moved)
            table = np.concatenate(copies)
        counts.append(len(table))
    return counts, table


def _with_spread(images: int, spare: float) -> int:
    """Room for images, of which there are about as many wherever the box is cut; in blocks, as for `_rounded`."""
    wanted = images * (1 + 0.15 * (spare - 1)) + 6 * math.sqrt(images) + 8
    block = 2 ** max(math.ceil(math.log2(wanted)) - 4, 0)
    return math.ceil(wanted / block) * block


def _rounded(count: float) -> int:
    """The next size on the scale."""
    wanted = max(count, 8.0)
    return math.ceil(2 ** (math.ceil(STEPS_OF_SIZES * math.log2(wanted)) / STEPS_OF_SIZES))


def _larger(a: Capacity, b: Capacity) -> Capacity:
    both = lambda x, y: _three(max(p, q) for p, q in zip(x, y))
    return Capacity(both(a.images, b.images), both(a.room, b.room), a.cells, max(a.row, b.row))

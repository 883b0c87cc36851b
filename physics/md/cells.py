"""Cells as other programs write them, where an edge along which nothing repeats may be a zero vector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .box import Box

NEARLY = 1e-6  # an edge this near to a unit vector at right angles to the others is one that was made up here


def box_from_cell(cell: np.ndarray, periodic: Sequence[bool]) -> Box:
    """The box with edges in the rows of `cell` [3, 3]; zero rows become unit vectors at right angles to the others.

    **Raises** `ValueError` for a zero row along which the box should repeat, and as `Box.triclinic` does.
    """
    vectors = np.array(cell, np.float64)
    flags = (bool(periodic[0]), bool(periodic[1]), bool(periodic[2]))
    absent = [not row.any() for row in vectors]
    for axis in range(3):
        if absent[axis] and flags[axis]:
            raise ValueError(f"the box is periodic along edge {'abc'[axis]}, but the cell gives that edge as zero.")
    if all(absent):
        return Box.free()
    given = [axis for axis in range(3) if not absent[axis]]
    if len(given) == 1:
        # Of the axes of space that come after x, y, z of the one edge, the first that is not nearly along it.
        (first,) = given
        along = vectors[first] / np.linalg.norm(vectors[first])
        second = (first + 1) % 3
        steep = min((second, (first + 2) % 3), key=lambda axis: round(abs(along[axis]), 9))
        across = np.eye(3)[steep] - along[steep] * along
        vectors[second] = across / np.linalg.norm(across)
        given.append(second)
    if len(given) == 2:
        (last,) = {0, 1, 2} - set(given)
        normal = np.cross(vectors[(last + 1) % 3], vectors[(last + 2) % 3])
        if np.linalg.norm(normal) == 0:
            raise ValueError(f"cell = {np.asarray(cell).tolist()}: its two edges are along one line.")
        vectors[last] = normal / np.linalg.norm(normal)
    return Box.triclinic(vectors, flags)


def cell_from_box(box: Box) -> np.ndarray:
    """The edges [3, 3] of a box, with zeros for edges that `box_from_cell` made up."""
    vectors = np.array(box.vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = np.abs(vectors @ vectors.T) / np.outer(lengths, lengths)
    made_up = [
        not box.periodic[axis] and abs(lengths[axis] - 1) < NEARLY and np.delete(cosines[axis], axis).max() < NEARLY
        for axis in range(3)
    ]
    vectors[made_up] = 0.0
    return vectors

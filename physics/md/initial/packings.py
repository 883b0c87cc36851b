"""Disordered beginnings: particles at random, pushed apart until no two are too close.

Each pair nearer than D has the energy (D - r)^2 / 2, and all move down its slope with some inertia, until every pair is
farther apart than asked; D is a little more than that, so that the end is reached and not only approached.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ....core.precision import default_float
from ....core.random import Key, streams
from ..box import Box

DENSEST = np.pi / np.sqrt(18)  # share of space filled by the densest packing of equal spheres
STEP, INERTIA = 0.1, 0.9  # stable while fewer than some 19 pairs push one particle; moves are also limited:
LONGEST_MOVE = 0.1  # of a diameter, in one step
SKIN = 0.3  # of a diameter: pairs this much farther apart are kept in the list, too
MOST_STEPS = 5000

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def random_packing(
    count: int,
    *,
    box: Box | None = None,
    density: float | None = None,
    distance: float,
    key: int | Key,
) -> tuple[Float[Array, "n 3"], Box]:
    """Random positions [count, 3] of particles no two of which, images included, are nearer than `distance`; and their box.

    Give the `box`, or a number `density` for a periodic cube. Positions are in the home cell, also along edges that are not
    periodic. They are a disordered packing, no sample of a liquid at equilibrium: run dynamics before measuring. Runs on the
    host, in memory and time linear in `count`; the same key gives the same packing.

    **Raises** `ValueError` for arguments that make no sense, where the particles cannot fit, and where no packing was found:
    random ones exist up to about 0.6 of space filled by spheres of diameter `distance`.
    """
    box = _chosen_box(count, box, density)
    distance = float(distance)
    if not (np.isfinite(distance) and distance > 0):
        raise ValueError(f"distance is {distance:.6g}: it must be a positive number.")
    if isinstance(key, jax.core.Tracer):
        raise TypeError("random_packing works on the host and cannot be traced: call it before jit and vmap.")
    vectors = np.asarray(box.vectors, np.float64)
    _check_room(count, vectors, box.periodic, distance)
    fractions = np.asarray(jax.random.uniform(streams(key, "packing")["packing"], (count, 3), default_float()), np.float64)
    return jnp.asarray(_spread(fractions @ vectors, vectors, box.periodic, distance), default_float()), box


def _chosen_box(count: int, box: Box | None, density: float | None) -> Box:
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise ValueError(f"count={count!r}: how many particles must be a positive whole number.")
    if (box is None) == (density is None):
        raise ValueError("a packing needs box= (such as wl.md.Box.cubic(10.0)) or density= (particles by volume), one of the two.")
    if box is not None:
        return box
    if density is None or not (np.isfinite(density) and density > 0):
        raise ValueError(f"density is {density!r}: it must be a positive number, particles by volume.")
    return Box.cubic((count / density) ** (1 / 3))


def _check_room(count: int, vectors: np.ndarray, periodic: tuple[bool, bool, bool], distance: float) -> None:
    # Centers may lie on a face that is not periodic, so that spheres reach half a diameter out of it on either side.
    heights = 1 / np.linalg.norm(np.linalg.inv(vectors), axis=0)
    outside = np.prod(np.where(periodic, 1.0, 1 + distance / heights))
    filled = count * np.pi / 6 * distance**3 / (abs(np.linalg.det(vectors)) * outside)
    if filled > DENSEST:
        raise ValueError(
            f"{count} spheres of diameter distance={distance:.6g} would fill {filled:.3g} of the box, and no packing fills "
            f"more than {DENSEST:.3f}: take a larger box, fewer particles or a smaller distance."
        )
    own = _images(np.zeros((1, 3)), vectors, periodic, distance)[0][1:]
    nearest = np.linalg.norm(own, axis=1).min(initial=np.inf)
    if nearest < distance:
        raise ValueError(
            f"distance={distance:.6g} is more than the {nearest:.6g} from a particle to its own image in the box: "
            "take a larger box or a smaller distance."
        )


def _spread(position: np.ndarray, vectors: np.ndarray, periodic: tuple[bool, bool, bool], distance: float) -> np.ndarray:
    """Positions moved until no pair is nearer than `distance`, as they are when rounded to the default float type."""
    diameter = 1.02 * distance
    skin = SKIN * diameter
    velocity = np.zeros_like(position)
    steps, nearest = 0, 0.0
    while steps < MOST_STEPS:
        position = _into_cell(position, vectors, periodic).astype(default_float()).astype(np.float64)
        pairs = _close_pairs(position, vectors, periodic, diameter + skin)
        nearest = np.linalg.norm(_apart(position, pairs), axis=1).min(initial=np.inf)
        if nearest >= distance:
            return position
        moved = np.zeros(len(position))
        while 2 * moved.max() < skin and steps < MOST_STEPS:
            push, overlap = _pushes(position, pairs, diameter)
            if moved.any() and overlap <= diameter - distance:
                break
            velocity = INERTIA * velocity + STEP * push
            length = np.linalg.norm(velocity, axis=1, keepdims=True)
            velocity *= np.minimum(1, LONGEST_MOVE * diameter / np.maximum(length, 1e-300))
            before, position = position, _held(position + velocity, vectors, periodic)
            moved += np.linalg.norm(position - before, axis=1)
            steps += 1
    raise ValueError(
        f"distance={distance:.6g}: after {MOST_STEPS} steps of pushing apart, some pair is still at {nearest:.6g}; the box is "
        "too full for a random packing. Take a smaller distance or density, or begin with wl.md.lattice(...)."
    )


def _pushes(position: np.ndarray, pairs: Pairs, diameter: float) -> tuple[np.ndarray, float]:
    """How each particle is pushed [n, 3], and by how much the nearest pair overlaps."""
    first, second, _ = pairs
    apart = _apart(position, pairs)
    length = np.linalg.norm(apart, axis=1, keepdims=True)
    # Two particles at one place part along x, one to each side.
    sideways = np.where(first < second, 1.0, -1.0)[:, None] * np.array([1.0, 0.0, 0.0])
    direction = np.where(length > 0, apart / np.maximum(length, 1e-300), sideways)
    overlap = np.maximum(diameter - length, 0)
    force = -overlap * direction
    sums = [np.bincount(first, force[:, axis], minlength=len(position)) for axis in range(3)]
    return np.stack(sums, 1), float(overlap.max(initial=0.0))


def _apart(position: np.ndarray, pairs: Pairs) -> np.ndarray:
    first, second, shift = pairs
    return position[second] + shift - position[first]


def _close_pairs(position: np.ndarray, vectors: np.ndarray, periodic: tuple[bool, bool, bool], reach: float) -> Pairs:
    """Every particle i with every image of every other j within `reach`: i, j, and the image's shift from the home cell."""
    from scipy.spatial import cKDTree

    images, owner = _images(position, vectors, periodic, reach)
    found = cKDTree(position).sparse_distance_matrix(cKDTree(images), reach, output_type="ndarray")
    first, image = found["i"], found["j"]
    second = owner[image]
    other = first != second
    return first[other], second[other], (images[image] - position[second])[other]


def _images(
    position: np.ndarray, vectors: np.ndarray, periodic: tuple[bool, bool, bool], reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Images of particles of the home cell within `reach` of that cell, those in it first, and whose images they are."""
    inverse = np.linalg.inv(vectors)
    margin = np.where(periodic, reach * np.linalg.norm(inverse, axis=0), 0.0)
    most = np.ceil(margin).astype(int)
    fractions = position @ inverse
    images, owners = [position], [np.arange(len(position))]
    for cell in itertools.product(*(range(-many, many + 1) for many in most)):
        moved = fractions + np.asarray(cell)
        near = np.flatnonzero(((moved >= -margin) & (moved <= 1 + margin)).all(1)) if any(cell) else np.arange(0)
        images.append(position[near] + np.asarray(cell) @ vectors)
        owners.append(near)
    return np.concatenate(images), np.concatenate(owners)


def _into_cell(position: np.ndarray, vectors: np.ndarray, periodic: tuple[bool, bool, bool]) -> np.ndarray:
    return position - np.where(periodic, np.floor(position @ np.linalg.inv(vectors)), 0.0) @ vectors


def _held(position: np.ndarray, vectors: np.ndarray, periodic: tuple[bool, bool, bool]) -> np.ndarray:
    """Positions kept in the cell along edges that are not periodic."""
    fractions = position @ np.linalg.inv(vectors)
    inside = np.where(periodic, fractions, np.clip(fractions, 0.0, 1.0))
    return position + (inside - fractions) @ vectors

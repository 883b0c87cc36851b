"""Sums over all pairs and images in numpy, with closed-form slopes: what the engine's sums are compared with."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

import worldline as wl

BOXES = {
    "free": ([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], (False, False, False)),
    "orthorhombic": ([[4.1, 0, 0], [0, 5.2, 0], [0, 0, 4.6]], (True, True, True)),
    "slab": ([[4.1, 0, 0], [0.9, 5.2, 0], [0.4, -0.7, 4.6]], (True, True, False)),
    "wire": ([[2.1, 0, 0], [1.5, 4.2, 0], [1.4, 0.7, 4.6]], (True, False, False)),
    "triclinic": ([[4.9, 0.3, 0], [2.9, 4.4, 0.2], [-2.2, 2.5, 4.1]], (True, True, True)),
    "left-handed": ([[0.3, 4.9, 0], [4.4, 2.9, 0.2], [2.5, -2.2, 4.1]], (True, True, True)),
    "tiny": ([[1.3, 0, 0], [0.5, 1.2, 0], [-0.4, 0.5, 1.4]], (True, True, True)),
}


def box(name: str) -> wl.md.Box:
    """One of the boxes."""
    vectors, periodic = BOXES[name]
    return wl.md.Box.triclinic(vectors, periodic)


def places(name: str, count: int, seed: int = 0, least: float = 0.55) -> np.ndarray:
    """Random positions in a box, some of them in cells far from home, no two nearer than `least`."""
    random = np.random.default_rng(seed)
    vectors = np.array(BOXES[name][0]) * (4.0 if name == "free" else 1.0)
    periodic = np.array(BOXES[name][1])
    found = np.zeros((0, 3))
    while len(found) < count:
        new = random.random((1, 3)) @ vectors
        if not len(found) or pairs(np.concatenate([found, new]), vectors, periodic, least)[0].size == 0:
            found = np.concatenate([found, new])
        elif random.random() < 0.001:
            least *= 0.98
    return found + np.where(periodic, random.integers(-3, 4, (count, 3)), 0) @ vectors


def pairs(
    x: np.ndarray, vectors: np.ndarray, periodic: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All i, j and displacements from i to images of j nearer than the cutoff, each pair from both sides."""
    inverse = np.linalg.inv(vectors)
    heights = 1 / np.linalg.norm(inverse, axis=0)
    s = x @ inverse
    home = np.where(periodic, np.floor(s), 0)
    inside = x - home @ vectors
    most = np.where(periodic, np.ceil(cutoff / heights + 1), 0).astype(int)
    shifts = np.array(list(itertools.product(*(range(-k, k + 1) for k in most)))) @ vectors
    d = inside[None, :, None] - inside[:, None, None] + shifts
    r = np.sqrt((d**2).sum(-1))
    near = r < cutoff
    near[np.arange(len(x)), np.arange(len(x)), len(shifts) // 2] = False
    i, j, k = np.nonzero(near)
    return i, j, d[i, j, k]


def pair_sum(
    x: np.ndarray, name: str, cutoff: float, u: Callable, slope: Callable, weight: Callable | None = None
) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy, forces and virial of u(r, i, j) with its slope; `weight(i, j, d)` is the factor of each pair."""
    i, j, d = pairs(x, np.array(BOXES[name][0]), np.array(BOXES[name][1]), cutoff)
    r = np.sqrt((d**2).sum(-1))
    factor = np.ones(len(r)) if weight is None else weight(i, j, d)
    keep = factor != 0
    i, j, d, r, factor = i[keep], j[keep], d[keep], r[keep], factor[keep]
    along = (factor * slope(r, i, j) / r)[:, None] * d  # the force on i
    force = np.zeros_like(x)
    np.add.at(force, i, along)
    return 0.5 * float(np.sum(factor * u(r, i, j))), force, -0.5 * along.T @ d


def nearest_only(x: np.ndarray, name: str, factors: dict[tuple[int, int], float]) -> Callable:
    """A weight for `pair_sum`: factors of chosen pairs, of the nearest image only."""
    vectors, periodic = np.array(BOXES[name][0]), np.array(BOXES[name][1])
    shortest = {}
    for a, b in factors:
        d = x[b] - x[a]
        inverse = np.linalg.pinv(vectors[periodic]) if periodic.any() else None
        if inverse is not None:
            d = d - np.round(d @ inverse) @ vectors[periodic]
            steps = np.array(list(itertools.product(range(-3, 4), repeat=int(periodic.sum()))))
            d = min(d + steps @ vectors[periodic], key=lambda v: v @ v)
        shortest[a, b] = np.sqrt(d @ d)

    def weight(i: np.ndarray, j: np.ndarray, d: np.ndarray) -> np.ndarray:
        r = np.sqrt((d**2).sum(-1))
        out = np.ones(len(r))
        for (a, b), factor in factors.items():
            meant = (((i == a) & (j == b)) | ((i == b) & (j == a))) & (np.abs(r - shortest[a, b]) < 1e-9)
            out[meant] = factor
        return out

    return weight

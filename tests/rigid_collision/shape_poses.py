"""Shapes and poses for tests of contacts: which kinds, how large, how they lie to each other."""

from __future__ import annotations

import numpy as np

from worldline.physics.rigid.collision import PAIRS

MARGIN = 0.03
PAIR_NAMES = ["-".join(pair) for pair in PAIRS]
# Where the C library iterates, see test_convex.
ITERATED = ["capsule-cylinder", "cylinder-cylinder", "cylinder-box"]
ITERATED += [name for name in PAIR_NAMES if "ellipsoid" in name and "plane" not in name]
SIZES = {"sphere": [0.12], "capsule": [0.08, 0.15], "cylinder": [0.11, 0.14], "box": [0.1, 0.15, 0.2],
         "ellipsoid": [0.1, 0.15, 0.2], "plane": [1.0, 1.0, 1.0]}  # fmt: skip


def random_rotation(rng: np.random.Generator, aligned: bool) -> np.ndarray:
    """A rotation matrix; aligned ones are products of quarter turns about the axes, exactly."""
    if aligned:
        matrix = np.eye(3)[rng.permutation(3)] * rng.choice([-1.0, 1.0], 3)[:, None]
        return matrix * np.linalg.det(matrix)
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def random_poses(first: str, count: int, seed: int = 0) -> list[tuple[np.ndarray, ...]]:
    """(p1, r1, p2, r2); every third with shapes along the axes, some deep inside each other."""
    rng, poses = np.random.default_rng(seed), []
    for k in range(count):
        aligned = k % 3 == 0
        r1 = np.eye(3) if first == "plane" and k % 2 else random_rotation(rng, aligned)
        r2 = random_rotation(rng, aligned)
        reach = 0.25 if first == "plane" else rng.choice([0.1, 0.2, 0.3])
        apart = rng.normal(size=3)
        apart *= reach * rng.uniform(0.2, 1.2) / np.linalg.norm(apart)
        p1 = rng.normal(size=3)
        poses.append((p1, r1, p1 + apart, r2))
    return poses

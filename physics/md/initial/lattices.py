"""Crystals to begin from: the common lattices, each in a cell with edges along x, y and z."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ..box import Box

Points = list[tuple[float, float, float]]

_FCC: Points = [(0, 0, 0), (0, 1 / 2, 1 / 2), (1 / 2, 0, 1 / 2), (1 / 2, 1 / 2, 0)]

# For each lattice the atoms of its cell as fractions of the edges, and the edges in units of the lattice constant.
_LATTICES: dict[str, tuple[Points, tuple[float, float, float]]] = {
    "sc": ([(0, 0, 0)], (1, 1, 1)),
    "bcc": ([(0, 0, 0), (1 / 2, 1 / 2, 1 / 2)], (1, 1, 1)),
    "fcc": (_FCC, (1, 1, 1)),
    "diamond": (_FCC + [(x + 1 / 4, y + 1 / 4, z + 1 / 4) for x, y, z in _FCC], (1, 1, 1)),
    "hcp": (
        [(0, 0, 0), (1 / 2, 1 / 2, 0), (1 / 2, 5 / 6, 1 / 2), (0, 1 / 3, 1 / 2)],
        (1, math.sqrt(3), math.sqrt(8 / 3)),
    ),
}


def lattice(
    kind: str,
    *,
    constant: ArrayLike | None = None,
    density: ArrayLike | None = None,
    cells: int | Sequence[int] = 1,
) -> tuple[Float[Array, "n 3"], Box]:
    """Positions [n, 3] of a crystal, and the periodic box that it fills.

    | kind | atoms in a cell | edges of a cell | nearest neighbors at |
    | --- | --- | --- | --- |
    | "sc" | 1 | a, a, a | a |
    | "bcc" | 2 | a, a, a | sqrt(3)/2 a |
    | "fcc" | 4 | a, a, a | a / sqrt(2) |
    | "diamond" | 8 | a, a, a | sqrt(3)/4 a |
    | "hcp" | 4 | a, sqrt(3) a, sqrt(8/3) a | a |

    Give either a, the lattice `constant`, or the number `density`, atoms by volume; `cells` is how many cells there are
    along all three edges or along each. Positions and box are differentiable in `constant` and `density`.

    **Raises** `ValueError` for other kinds, numbers that are not positive, and neither or both of `constant` and `density`.
    """
    if kind not in _LATTICES:
        near = difflib.get_close_matches(str(kind).lower(), _LATTICES, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"kind={kind!r}: no such lattice; {hint}there are {', '.join(_LATTICES)}.")
    if (constant is None) == (density is None):
        raise ValueError("a lattice needs constant= (the edge of its cell) or density= (atoms by volume), one of the two.")
    repeats = _repeats(cells)
    basis, shape = _LATTICES[kind]
    if constant is None:
        constant = jnp.cbrt(len(basis) / (_positive("density", density) * math.prod(shape)))
    edges = _positive("constant", constant) * np.asarray(shape)
    corners = np.stack(np.meshgrid(*map(np.arange, repeats), indexing="ij"), -1).reshape(-1, 1, 3)
    box = Box.orthorhombic(*(edge * many for edge, many in zip(edges, repeats)))
    return (corners + np.asarray(basis)).reshape(-1, 3) * edges, box


def _repeats(cells: int | Sequence[int]) -> tuple[int, int, int]:
    counts = np.asarray(cells)
    if counts.shape not in ((), (3,)) or not np.issubdtype(counts.dtype, np.integer) or (counts < 1).any():
        raise ValueError(f"cells={cells!r}: write a positive whole number, or three of them, cells=(4, 4, 8).")
    a, b, c = np.broadcast_to(counts, 3).tolist()
    return a, b, c


def _positive(name: str, value: ArrayLike | None) -> Array:
    number = jnp.asarray(value, float)
    if number.ndim:
        raise ValueError(f"{name} has shape {number.shape}: it must be one number.")
    if not isinstance(number, jax.core.Tracer) and not (np.isfinite(number) and number > 0):
        raise ValueError(f"{name} is {float(number):.6g}: it must be a positive number.")
    return number

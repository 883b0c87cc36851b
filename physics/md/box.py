"""The space that particles move in: free, or repeated along some or all of three edges of any direction.

Rows of `vectors` are the edges a, b, c of the cell, so that x = s @ vectors for fractional coordinates s. The engine takes
no nearest images from here: it makes every image that is near enough, which is right in boxes of any shape and size.
"""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ...core.arrays import as_floats
from ...core.parameters import brief
from ...core.precision import default_float

Periodic = bool | Sequence[bool]
FLAT = 1e-6  # a cell of less than this share of the volume of a brick with the same edges counts as flat


class Box(eqx.Module):
    """A cell with edges `vectors` [3, 3] (one a row), repeated along the edges that are `periodic`.

    Make one by `Box.cubic(10.0)`, `Box.orthorhombic(10.0, 12.0, 14.0)`, `Box.triclinic(vectors)` or `Box.free()`. Along an
    edge that is not periodic space has no end, and its vector is but a unit for fractional coordinates.
    """

    vectors: Float[Array, "3 3"]
    periodic: tuple[bool, bool, bool] = eqx.field(static=True, default=(True, True, True))

    @staticmethod
    def cubic(edge: ArrayLike, periodic: Periodic = True) -> Box:
        """A cube. **Raises** `ValueError` for an edge that is no positive number."""
        return Box.orthorhombic(edge, edge, edge, periodic)

    @staticmethod
    def orthorhombic(a: ArrayLike, b: ArrayLike, c: ArrayLike, periodic: Periodic = True) -> Box:
        """A brick with edges along x, y and z. **Raises** `ValueError` for edges that are no positive numbers."""
        for name, edge in zip("abc", (a, b, c)):
            if np.ndim(edge):
                raise ValueError(f"edge {name} of the box has shape {np.shape(edge)}: it must be one number.")
            if not isinstance(edge, jax.core.Tracer) and not 0 < (length := float(np.asarray(edge))) < np.inf:
                raise ValueError(f"edge {name} of the box is {length:.6g}: it must be a positive number.")
        return Box.triclinic(jnp.diag(jnp.stack([as_floats(edge) for edge in (a, b, c)])), periodic)

    @staticmethod
    def triclinic(vectors: ArrayLike, periodic: Periodic = True) -> Box:
        """A cell whose edges are the rows of `vectors` [3, 3], of any direction and handedness.

        **Raises** `ValueError` for another shape, numbers that are not finite, and edges that lie in one plane.
        """
        array = as_floats(vectors)
        if array.shape != (3, 3):
            raise ValueError(f"vectors has shape {array.shape}: a box has three edges, one a row, shape (3, 3).")
        if not isinstance(array, jax.core.Tracer):
            edges = np.asarray(array, np.float64)
            if not np.isfinite(edges).all():
                raise ValueError(f"vectors = {edges.tolist()}: the edges of a box must be finite numbers.")
            if abs(np.linalg.det(edges)) <= FLAT * np.prod(np.linalg.norm(edges, axis=1)):
                raise ValueError(f"vectors = {edges.tolist()}: these edges lie in one plane, so that the box has no volume.")
        return Box(array, _three(periodic))

    @staticmethod
    def free() -> Box:
        """Space without end or images."""
        return Box(jnp.eye(3, dtype=default_float()), (False, False, False))

    def __repr__(self) -> str:
        vectors = self.vectors
        if not isinstance(vectors, jax.Array | np.ndarray) or isinstance(vectors, jax.core.Tracer) or vectors.shape != (3, 3):
            return f"Box({'none' if vectors is None else brief(vectors)}, periodic={self.periodic})"
        if not any(self.periodic) and np.array_equal(vectors, np.eye(3)):
            return "Box.free()"
        edges = np.diag(vectors)
        end = ")" if all(self.periodic) else f", periodic={self.periodic})"
        if not np.array_equal(vectors, np.diag(edges)):
            return f"Box.triclinic([{', '.join(map(brief, vectors))}]{end}"
        cubic = bool((edges == edges[0]).all())
        return f"Box.cubic({edges[0]:.6g}{end}" if cubic else f"Box.orthorhombic({', '.join(map(brief, edges))}{end}"

    def volume(self) -> Float[Array, ""]:
        """|a · (b x c)|."""
        return jnp.abs(signed_volume(self.vectors))

    def inverse(self) -> Float[Array, "3 3"]:
        """The matrix with x @ inverse = s; its columns are normal to the faces."""
        return inverse_edges(self.vectors)

    def heights(self) -> Float[Array, "3"]:
        """How far opposite faces are apart."""
        return 1 / jnp.sqrt(jnp.sum(self.inverse() ** 2, 0))

    def fractional(self, position: Float[Array, "... 3"]) -> Float[Array, "... 3"]:
        """s with position = s @ vectors."""
        return position @ self.inverse()

    def cells_from_home(self, position: Float[Array, "... 3"]) -> Float[Array, "... 3"]:
        """In which cell a position lies: whole numbers, 0 along edges that are not periodic."""
        return jnp.where(np.asarray(self.periodic), jnp.floor(jax.lax.stop_gradient(self.fractional(position))), 0.0)

    def wrap(self, position: Float[Array, "... 3"]) -> Float[Array, "... 3"]:
        """The images of positions in the home cell, where fractional coordinates are from 0 to 1."""
        return position - self.cells_from_home(position) @ self.vectors


def signed_volume(vectors: Float[Array, "3 3"]) -> Float[Array, ""]:
    """a · (b x c), negative for a left-handed cell."""
    a, b, c = vectors
    return jnp.sum(a * jnp.cross(b, c))


def inverse_edges(vectors: Float[Array, "3 3"]) -> Float[Array, "3 3"]:
    """The inverse of the matrix of edges; its columns are b x c, c x a and a x b over the volume."""
    a, b, c = vectors
    return jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)], 1) / signed_volume(vectors)


def _three(periodic: Periodic) -> tuple[bool, bool, bool]:
    flags = (periodic,) * 3 if isinstance(periodic, bool | np.bool_) else tuple(periodic)
    if len(flags) != 3 or not all(isinstance(flag, bool | np.bool_) for flag in flags):
        raise ValueError(f"periodic={periodic!r}: write True, False, or one of them for each edge, (True, True, False).")
    return bool(flags[0]), bool(flags[1]), bool(flags[2])

"""`Surroundings`: what an interaction sees of a state, and the sums over neighbors it is written with."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array, ArrayLike, Float, Int, PyTree

from .box import Box
from .images import nearest_images
from .neighborhood import AllPairs, RowLists, sum_over_neighbors
from .units import Units


class Surroundings(eqx.Module):
    """Particles where they are, with their kinds, charges and neighbors.

    `species` has the names of kinds; `kind` [n] says which each particle is of. `mass` and `charge` [n] are those of each
    particle.
    """

    position: Float[Array, "n 3"]
    box: Box
    kind: Int[Array, " n"]
    mass: Float[Array, " n"]
    charge: Float[Array, " n"]
    lists: AllPairs | RowLists
    species: tuple[str, ...] = eqx.field(static=True)
    units: Units = eqx.field(static=True)

    def sum(
        self,
        fn: Callable[..., PyTree],
        cutoff: float,
        data: PyTree = (),
        shared: PyTree = (),
        *,
        parity: int = 0,
        total: bool = False,
    ) -> PyTree:
        """Sums over neighbors: S_i = sum over j with 0 < |d_ij| < cutoff of fn(d_ij, data_i, data_j, shared).

        All images near enough count, also those of particle i itself. Differentiable to any order in positions, box, data
        and shared numbers.

        - `fn`: a function of one pair: the displacement d [3] from i to j, what `data` (a pytree of arrays [n, ...]) holds
          for i and for j, and `shared` (a pytree of arrays). Returns numbers or arrays.
        - `parity`: 1 where fn(-d, b, a, shared) = fn(d, a, b, shared), -1 where it is the opposite, 0 for neither. It is
          a promise, which saves half of the work of derivatives.
        - `total`: one sum over all i instead of one for each. A pair then counts twice, once from each side.
        """
        lists = self.lists
        structure, arrays = (lists, []) if isinstance(lists, AllPairs) else (lists.structure, lists.arrays)
        position = self.position if isinstance(lists, AllPairs) else self.position + lists.home @ self.box.vectors
        return sum_over_neighbors(
            structure, arrays, cutoff, position, self.box.vectors, fn, data, shared, parity, total
        )

    def displacement(self, i: Int[ArrayLike, " m"], j: Int[ArrayLike, " m"]) -> Float[Array, "m 3"]:
        """From particles i to the nearest images of particles j."""
        return self.position[j] - self.position[i] + self.nearest(i, j)[0] @ self.box.vectors

    def nearest(self, i: Int[ArrayLike, " m"], j: Int[ArrayLike, " m"]) -> tuple[Float[Array, "m 3"], Float[Array, " m"]]:
        """By how many edges particles j are moved to their images nearest to i, and a length below which only these are."""
        return nearest_images(self.box, self.position[j] - self.position[i])

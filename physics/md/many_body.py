"""`ManyBody`: energies of particles in what their neighbors add up to, the form of metals, silicon and learned potentials.

    U = sum over i of E(rho_i; kind of i),    rho_i = sum over neighbors j of phi(d_ij; kinds of i and j)

Forces come by differentiation through the sums: a second pass over neighbors with dE/drho as data of each particle.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from ...core.arrays import as_floats
from .surroundings import Surroundings
from .terms import Term


class ManyBody(Term):
    """An interaction by sums over neighbors. A subclass has parameters as fields and defines `moments` and `site`.

    ```python
    class Gupta(wl.md.ManyBody):
        strength: jax.Array
        repulsion: jax.Array
        length: jax.Array

        def moments(self, d, own, other, p):
            r = jnp.linalg.norm(d) / p.length - 1
            return jnp.exp(-4.6 * r), p.repulsion * jnp.exp(-10.2 * r)

        def site(self, rho, own, p):
            return rho[1] - p.strength * jnp.sqrt(rho[0])

    metal = Gupta(cutoff=6.0, strength=jnp.array(1.2), repulsion=jnp.array(0.1), length=jnp.array(2.5))
    ```

    Nothing fades at the cutoff of itself: what `moments` returns is taken as zero from there on.
    """

    cutoff: float = eqx.field(static=True)

    def moments(self, d: Float[Array, "3"], own: Any, other: Any, p: Any) -> PyTree:
        """phi: what a neighbor at displacement d adds to rho, a pytree of arrays.

        `own` and `other` are the kinds of the particle and of its neighbor, 0 in systems of one species; `p` is what
        `shared` returns.
        """
        raise NotImplementedError

    def site(self, rho: PyTree, own: Any, p: Any) -> Float[Array, ""]:
        """E: the energy of a particle of kind `own` with these moments."""
        raise NotImplementedError

    def shared(self, near: Surroundings) -> Any:
        """Parameters as `moments` and `site` read them, a pytree of arrays; by default the term itself."""
        return _floats_as(self, near.position.dtype)

    def parity(self, species: int) -> int:
        """1 where phi(-d; b, a) = phi(d; a, b) in systems of so many species, -1 where it is the opposite, 0 for neither."""
        return 0

    @property
    def reach(self) -> float:
        """The cutoff."""
        return self.cutoff

    def energy(self, near: Surroundings) -> Float[Array, ""]:
        """U, of all particles."""
        return jnp.sum(self.site_energies(near))

    def site_energies(self, near: Surroundings) -> Float[Array, " n"]:
        """E of each particle."""
        p = self.shared(near)
        return jax.vmap(lambda rho, own: self.site(rho, own, p))(self.sums(near, p), near.kind)

    def sums(self, near: Surroundings, p: Any) -> PyTree:
        """rho of each particle, arrays [n, ...]."""
        one = len(near.species) == 1

        def moments(d: Array, own: Any, other: Any, p: Any) -> PyTree:
            return self.moments(d, 0, 0, p) if one else self.moments(d, own, other, p)

        return near.sum(moments, self.cutoff, () if one else near.kind, p, parity=self.parity(len(near.species)))


def _floats_as(tree: Any, dtype: Any) -> Any:
    cast = lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x
    return jax.tree.map(cast, tree)


def of_kind(other: Any, species: int, moments: Float[Array, "..."]) -> Float[Array, "s ..."]:
    """Moments as those of one kind of neighbors among several: zero for all kinds but `other`."""
    chosen = jnp.arange(species) == other
    return jnp.where(chosen.reshape(-1, *(1,) * moments.ndim), moments, 0.0)


def products(direction: Float[Array, "3"], rank: int) -> Float[Array, " m"]:
    """Distinct entries of the symmetric tensor u (x) u (x) ..., such that a · b of two of them is (u · v)^rank.

    Of rank 2 they are in the order xx, xy, xz, yy, yz, zz.
    """
    axes = np.array(list(itertools.combinations_with_replacement(range(3), rank)))
    often = [math.factorial(rank) / math.prod(math.factorial(int(c)) for c in np.bincount(entry)) for entry in axes]
    entries = jnp.asarray(np.sqrt(often), direction.dtype)
    for column in axes.T:
        # Chosen by a product, as its derivative is one too, where that of indexing scatters.
        chosen = jnp.asarray(np.eye(3)[column], direction.dtype)
        entries = entries * jnp.matmul(chosen, direction, precision="highest")
    return entries


def as_range(cutoff: float, least: float = 0.0) -> float:
    """A cutoff as a number. **Raises** `ValueError` for one that is not finite, or not more than `least`."""
    number = float(cutoff)
    if not (math.isfinite(number) and number > least):
        raise ValueError(f"cutoff={number:.6g}: it must be finite and more than {least:.6g}.")
    return number


def as_table(value: ArrayLike | Sequence, name: str) -> Array:
    """Numbers as an array of floats. **Raises** `ValueError` where one of them is not finite."""
    array = as_floats(value)
    if not isinstance(array, jax.core.Tracer) and not jnp.isfinite(array).all():
        raise ValueError(f"{name} has {int((~jnp.isfinite(array)).sum())} numbers that are not finite.")
    return array

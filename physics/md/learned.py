"""`Learned`: a potential whose energy of each particle is an Equinox module of what the particle's neighborhood looks like.

What the module sees are numbers that rotations, translations and exchanges of like particles leave as they are. With radial
functions R_n, kinds b and unit vectors u_j these are made of the moments

    M_l[n, b] = sum over neighbors j of kind b of R_n(r_ij) u_j (x) u_j (x) ... (l times)

as all products M_l[n, b] · M_l[m, c] of equal rank l, and M_0 itself. R_n = T_n(2 r / cutoff - 1) (1 - (r / cutoff)²)³, of
Chebyshev's polynomials, ends at the cutoff with two derivatives.

A form that is not of this kind is a subclass of `ManyBody` (other moments), or of `Term`: its `energy(near)` may chain sums
`near.sum(fn, cutoff, data)` as layers of a network that passes messages, each with the results of the one before as `data`,
and modules as fields are trained like this one. Pass the module's arrays to `fn` by `shared`, not by its closure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from ...core.precision import default_float
from .many_body import ManyBody, as_range, as_table, of_kind, products
from .surroundings import Surroundings

HIGHEST_RANK = 3


@dataclass(frozen=True)
class _Rest:
    """What of a module is no array, its activations say, kept apart so that systems are pytrees of arrays alone."""

    leaves: tuple[Any, ...]
    structure: Any

    @staticmethod
    def of(tree: Any) -> _Rest:
        leaves, structure = jax.tree.flatten(tree)
        return _Rest(tuple(leaves), structure)

    def tree(self) -> Any:
        return jax.tree.unflatten(self.structure, self.leaves)


class Learned(ManyBody):
    """U = sum over i of offset[kind of i] + module((features of i - shift) * scale).

    **Arguments**

    - `module`: an Equinox module, or any pytree that is a function of features [f]; returns one number, an energy.
    - `cutoff`: beyond which neighbors are not seen, a length.
    - `species`: of how many species the system is. Where there are several, features begin with 1 at the particle's own kind
      and 0 at the others.
    - `radial`: how many radial functions; `rank`: up to which rank moments are taken, at most 3. `Learned.size(species,
      radial, rank)` says how many features these make.
    - `shift`, `scale` [f] and `offset` [s]: see `standardized`; by default 0, 1 and 0.

    All float arrays of the module are parameters, trained by `wl.grad` of a loss in energies and forces.

    **Raises** `ValueError` for another rank or number of functions; for a module that takes other features, or returns more
    than one number.

    **Source**: moment tensors as in A. V. Shapeev, Multiscale Modeling and Simulation 14, 1153 (2016), section 2.
    """

    module: Any  # its arrays
    shift: Float[Array, " f"]
    scale: Float[Array, " f"]
    offset: Float[Array, " s"]
    rest: _Rest = eqx.field(static=True)
    species: int = eqx.field(static=True)
    radial: int = eqx.field(static=True)
    rank: int = eqx.field(static=True)

    def __init__(
        self,
        module: Callable[[Array], Array],
        cutoff: float,
        *,
        species: int = 1,
        radial: int = 6,
        rank: int = 2,
        shift: ArrayLike | None = None,
        scale: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ):
        self.cutoff = as_range(cutoff)
        self.module, rest = eqx.partition(module, lambda leaf: isinstance(leaf, jax.Array | np.ndarray))
        self.rest = _Rest.of(rest)
        self.species, self.radial, self.rank = int(species), int(radial), int(rank)
        size = Learned.size(species, radial, rank)
        self.shift = _row("shift", 0.0 if shift is None else shift, size)
        self.scale = _row("scale", 1.0 if scale is None else scale, size)
        self.offset = _row("offset", 0.0 if offset is None else offset, self.species)
        self._check_module()

    @staticmethod
    def size(species: int = 1, radial: int = 6, rank: int = 2) -> int:
        """How many features there are. **Raises** `ValueError` for a rank not from 0 to 3, and numbers below 1."""
        if not 0 <= rank <= HIGHEST_RANK:
            raise ValueError(f"rank={rank}: moments are taken up to a rank from 0 to {HIGHEST_RANK}.")
        if species < 1 or radial < 1:
            raise ValueError(f"species={species}, radial={radial}: there is at least one of each.")
        channels = species * radial
        return (species if species > 1 else 0) + channels + rank * channels * (channels + 1) // 2

    @staticmethod
    def network(
        cutoff: float,
        *,
        key: PRNGKeyArray,
        species: int = 1,
        radial: int = 6,
        rank: int = 2,
        width: int = 32,
        depth: int = 2,
    ) -> Learned:
        """One with a small dense network, `depth` hidden layers of `width` and smooth activations."""
        size = Learned.size(species, radial, rank)
        module = eqx.nn.MLP(size, "scalar", width, depth, activation=jax.nn.silu, dtype=default_float(), key=key)
        return Learned(module, cutoff, species=species, radial=radial, rank=rank)

    @property
    def function(self) -> Callable[[Array], Array]:
        """The module as it was given, with its arrays as they are now."""
        return eqx.combine(self.module, self.rest.tree())

    def standardized(self, features: Float[Array, "... f"], offset: ArrayLike | None = None) -> Learned:
        """This potential with features shifted and scaled to means 0 and deviations 1 over examples; offsets, if given, too.

        `learned.features(system.surroundings(state))` are those of a state. Features that are the same in all examples are
        shifted and left at their scale.
        """
        rows = features.reshape(-1, features.shape[-1])
        spread = jnp.std(rows, 0)
        flat = spread <= 1e-9 * (1 + jnp.abs(jnp.mean(rows, 0)))
        changes = (jnp.mean(rows, 0), 1 / jnp.where(flat, 1.0, spread), self.offset if offset is None else offset)
        return Learned(
            self.function, self.cutoff, species=self.species, radial=self.radial, rank=self.rank, shift=changes[0],
            scale=changes[1], offset=changes[2],
        )  # fmt: skip

    def features(self, near: Surroundings) -> Float[Array, "n f"]:
        """What the module sees of each particle before shift and scale."""
        p = self.shared(near)
        return jax.vmap(self._features)(self.sums(near, p), near.kind)

    def sums(self, near: Surroundings, p: Any) -> list[Float[Array, "n s radial m"]]:
        """The moments of each particle, rank by rank; they have no parameters."""
        return super().sums(near, ())

    def moments(self, d: Float[Array, "3"], own: Any, other: Any, p: Any) -> list[Float[Array, "s radial m"]]:
        """What a neighbor adds to the moments of its kind, rank by rank."""
        r = jnp.sqrt(jnp.sum(d * d))
        direction, x = d / r, r / self.cutoff
        fade = 1 - x * x
        functions = [fade * fade * fade, fade * fade * fade * (2 * x - 1)]
        while len(functions) < self.radial:
            functions.append((4 * x - 2) * functions[-1] - functions[-2])
        values = jnp.stack(functions[: self.radial])
        entries = [jnp.ones(1, d.dtype), *(products(direction, rank) for rank in range(1, self.rank + 1))]
        return [of_kind(other, self.species, values[:, None] * entry[None, :]) for entry in entries]

    def site(self, rho: list[Float[Array, "s radial m"]], own: Any, p: Learned) -> Float[Array, ""]:
        """The offset of the kind and what the module says."""
        seen = (self._features(rho, own) - p.shift) * p.scale
        return p.offset[own] + jnp.reshape(p.function(seen), ())

    def _features(self, rho: list[Float[Array, "s radial m"]], own: Any) -> Float[Array, " f"]:
        channels = self.species * self.radial
        upper = np.triu_indices(channels)
        parts = [rho[0].reshape(-1)]
        if self.species > 1:
            parts.insert(0, (jnp.arange(self.species) == own).astype(rho[0].dtype))
        for moment in rho[1:]:
            flat = moment.reshape(channels, -1)
            parts.append(jnp.matmul(flat, flat.T, precision="highest")[upper])
        return jnp.concatenate(parts)

    def check(self, species: tuple[str, ...], count: int) -> None:
        """**Raises** `ValueError` for another number of species."""
        if len(species) != self.species:
            raise ValueError(
                f"Learned was made for {self.species} species, and the system has {', '.join(species)}: pass "
                f"species={len(species)}."
            )

    def _check_module(self) -> None:
        size = self.shift.shape[0]
        try:
            out = eqx.filter_eval_shape(self.function, jax.ShapeDtypeStruct((size,), self.shift.dtype))
        except Exception as error:
            raise ValueError(
                f"the module fails on {size} features, as species={self.species}, radial={self.radial} and rank={self.rank} "
                f"make them ({str(error).splitlines()[0]}): build it for Learned.size(...) inputs."
            ) from error
        if not isinstance(out, jax.ShapeDtypeStruct) or np.prod(out.shape) != 1:
            raise ValueError(f"the module returns {out}: it must return one number, the energy of a particle.")


def _row(name: str, given: ArrayLike, size: int) -> Array:
    array = as_table(given, name)
    if array.shape not in ((), (size,)):
        raise ValueError(f"{name} has shape {array.shape}: give one number, or {size} of them.")
    return jnp.broadcast_to(array, (size,))

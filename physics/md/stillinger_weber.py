"""`StillingerWeber`: silicon and its like, with bonds that keep to the angles of a tetrahedron.

The sum over pairs of neighbors factorizes: with g_j = exp(gamma sigma / (r_ij - a sigma)) and unit vectors u_j

    sum over j, k of g_j g_k (u_j · u_k - c)² = |sum g u (x) u|² - 2 c |sum g u|² + c² (sum g)²

so that one pass over neighbors is enough: half of this without the terms j = k, (1 - c)² sum g², is the sum over j < k.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...core.arrays import Numbers
from .many_body import ManyBody, as_range, as_table, of_kind, products
from .surroundings import Surroundings
from .units import Units
from .units import units as units_by_name

ROOM = 1.05  # neighbors are sought a little beyond a sigma, so that both may be varied


class StillingerWeber(ManyBody):
    """Energies of pairs of neighbors j, and of angles between two of them, at each particle i:

        U = sum over i < j of epsilon A (B (sigma/r)^p - (sigma/r)^q) exp(sigma / (r - a sigma))
          + sum over i, j < k of strength epsilon (cos theta_jik - cosine)² g_ij g_ik,  g = exp(gamma sigma / (r - a sigma))

    where pairs beyond a sigma count nothing. All parameters may be fitted.

    | symbol | argument | shape |
    | --- | --- | --- |
    | epsilon, sigma (energy, length) | `epsilon`, `sigma` | number or [s, s] |
    | A, B, p, q, a, gamma | `A`, `B`, `p`, `q`, `a`, `gamma` | number or [s, s] |
    | lambda, cos theta_0 | `strength`, `cosine` | number or [s, s, s]: of i, then of its neighbors j and k |

    Tables are for systems of s species, in their order; epsilon of angles is sqrt(epsilon_ij epsilon_ik), sigma, gamma and a
    those of each of the pairs. Without `cutoff` neighbors are sought up to 1.05 a sigma. Give a larger one where sigma or a
    may grow more in a fit: where a sigma passes it, U is an error, and NaN in a compiled function.

    **Raises** `ValueError` for numbers that are not finite, or tables that do not fit each other or are not symmetric.

    **Source**: F. H. Stillinger and T. A. Weber, Physical Review B 31, 5262 (1985), equations 2.3 to 2.7.
    """

    epsilon: Float[Array, "..."]
    sigma: Float[Array, "..."]
    A: Float[Array, "..."]
    B: Float[Array, "..."]
    p: Float[Array, "..."]
    q: Float[Array, "..."]
    a: Float[Array, "..."]
    gamma: Float[Array, "..."]
    strength: Float[Array, "..."]
    cosine: Float[Array, "..."]
    units: str | None = eqx.field(static=True)  # that its numbers are in, where this is known

    of_pairs: ClassVar[tuple[str, ...]] = ("epsilon", "sigma", "A", "B", "p", "q", "a", "gamma")
    of_triplets: ClassVar[tuple[str, ...]] = ("strength", "cosine")

    def __init__(
        self,
        epsilon: Numbers,
        sigma: Numbers,
        *,
        A: Numbers,
        B: Numbers,
        p: Numbers,
        q: Numbers,
        a: Numbers,
        gamma: Numbers,
        strength: Numbers,
        cosine: Numbers = -1 / 3,
        cutoff: float | None = None,
    ):
        given = dict(epsilon=epsilon, sigma=sigma, A=A, B=B, p=p, q=q, a=a, gamma=gamma, strength=strength, cosine=cosine)
        for name, value in given.items():
            setattr(self, name, _symmetric(as_table(value, name), name, 2 if name in self.of_pairs else 3))
        range_ = self.a * self.sigma
        if cutoff is None and isinstance(range_, jax.core.Tracer):
            raise TypeError("a or sigma is traced, so that the range of the potential is not known: give cutoff, a number.")
        self.cutoff = as_range(ROOM * float(jnp.max(range_)) if cutoff is None else cutoff)
        self.units = None
        self._check_range()

    @staticmethod
    def silicon(units: str | Units = "metal", cutoff: float | None = None) -> StillingerWeber:
        """Silicon as published, with epsilon 2.1683 eV (50 kcal/mol) and sigma 2.0951 angstrom from its crystal.

        **Raises** `ValueError` for units that have no size ("lj").
        """
        known = units_by_name(units) if isinstance(units, str) else units
        made = StillingerWeber(
            2.1683 * known.factor("eV"),
            2.0951 * known.factor("angstrom"),
            A=7.049556277,
            B=0.6022245584,
            p=4.0,
            q=0.0,
            a=1.8,
            gamma=1.2,
            strength=21.0,
            cutoff=cutoff,
        )
        object.__setattr__(made, "units", known.name)
        return made

    def shared(self, near: Surroundings) -> dict[str, Float[Array, "..."]]:
        """Parameters of pairs [s, s] and of triplets [s, s, s], with `angle` [s, s, s] the energy of angles."""
        self._check_range()
        if self.units not in (None, near.units.name):
            raise ValueError(
                f"silicon's numbers are in units {self.units!r}, the system's in {near.units.name!r}: write "
                f"wl.md.System(..., units={self.units!r})."
            )
        dtype, many = near.position.dtype, len(near.species)
        shapes = {name: (many,) * (2 if name in self.of_pairs else 3) for name in (*self.of_pairs, *self.of_triplets)}
        p = {name: jnp.broadcast_to(getattr(self, name).astype(dtype), shape) for name, shape in shapes.items()}
        product = p["epsilon"][:, :, None] * p["epsilon"][:, None, :]
        root = jnp.where(product > 0, jnp.sqrt(jnp.where(product > 0, product, 1.0)), 0.0)
        lost = jnp.any(p["a"] * p["sigma"] > self.cutoff * (1 + 1e-6))
        return {**p, "angle": jnp.where(lost, jnp.nan, p["strength"] * root)}

    def moments(self, d: Float[Array, "3"], own: Any, other: Any, p: Any) -> tuple[Array, Array, Array, Array]:
        """Half of the energy of a pair, and what its bond adds to moments of its kind of neighbors: g u, g u (x) u, g²."""
        here = {name: p[name][own, other] for name in self.of_pairs}
        r = jnp.sqrt(jnp.sum(d * d))
        gap = here["a"] * here["sigma"] - r
        ratio = jnp.log(here["sigma"] / r)
        powers = here["B"] * jnp.exp(here["p"] * ratio) - jnp.exp(here["q"] * ratio)
        pair = 0.5 * here["epsilon"] * here["A"] * powers * _faded(here["sigma"], gap)
        g = _faded(here["gamma"] * here["sigma"], gap)
        direction, many = d / r, p["sigma"].shape[0]
        first, second = of_kind(other, many, g * direction), of_kind(other, many, g * products(direction, 2))
        return pair, first, second, of_kind(other, many, g * g)

    def site(self, rho: tuple[Array, Array, Array, Array], own: Any, p: Any) -> Float[Array, ""]:
        """The energy of pairs and angles at one particle."""
        pair, first, second, squares = rho
        angle, cosine = p["angle"][own], p["cosine"][own]
        # The trace of u (x) u is 1.
        zeroth = jnp.sum(second[:, np.array(DIAGONAL)], 1)
        outer = lambda m: jnp.sum(m[:, None, :] * m[None, :, :], -1)
        all_pairs = outer(second) - 2 * cosine * outer(first) + cosine**2 * zeroth[:, None] * zeroth[None, :]
        itself = jnp.diagonal(angle * (1 - cosine) ** 2) * squares
        return pair + 0.5 * (jnp.sum(angle * all_pairs) - jnp.sum(itself))

    def check(self, species: tuple[str, ...], count: int) -> None:
        """**Raises** `ValueError` for tables of another number of species."""
        many = len(species)
        for name in (*self.of_pairs, *self.of_triplets):
            shape = getattr(self, name).shape
            wanted = (many,) * (2 if name in self.of_pairs else 3)
            if shape not in ((), wanted):
                raise ValueError(
                    f"StillingerWeber: {name} has shape {shape}, and the species are {', '.join(species)}: give one number or a "
                    f"table {wanted}."
                )
        self._check_range()

    def _check_range(self) -> None:
        if isinstance(self.a, jax.core.Tracer) or isinstance(self.sigma, jax.core.Tracer):
            return
        furthest = float(np.max(np.asarray(self.a) * np.asarray(self.sigma)))
        if not furthest <= self.cutoff * (1 + 1e-6):
            raise ValueError(
                f"the potential ends at a sigma = {furthest:.6g}, beyond cutoff={self.cutoff:.6g} up to which neighbors are "
                "sought: build it with a larger cutoff."
            )


DIAGONAL = (0, 3, 5)  # of the distinct entries xx, xy, xz, yy, yz, zz


def _faded(scale: Array, gap: Array) -> Array:
    """exp(-scale / gap) for gap > 0, else 0, with all its derivatives; zero also where it is less than tiny."""
    limit = 0.9 * math.log(1 / float(jnp.finfo(gap.dtype).tiny))
    inside = gap * limit > scale
    safe = jnp.where(inside, gap, 1.0)
    return jnp.where(inside, jnp.exp(jnp.where(inside, -scale / safe, 0.0)), 0.0)


def _symmetric(table: Array, name: str, rank: int) -> Array:
    """**Raises** `ValueError` for a table of another rank, with unequal sides, or not symmetric in its last two places."""
    if table.shape not in ((), (table.shape[-1:] or (0,)) * rank):
        sides = ", ".join("s" * rank)
        raise ValueError(f"{name} has shape {table.shape}: give one number, or a table [{sides}] for s species.")
    if table.ndim and not isinstance(table, jax.core.Tracer):
        numbers = np.asarray(table)
        if not np.array_equal(numbers, numbers.swapaxes(-1, -2)):
            raise ValueError(f"{name} = {numbers.tolist()}: it must be symmetric in its last two places.")
    return table

"""The Lennard-Jones potential, with corrections for what lies beyond the cutoff."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...core.arrays import Numbers
from .exclusions import Exclusions
from .pairs import PairPotential, as_parameter
from .surroundings import Surroundings


class LennardJones(PairPotential):
    """u(r) = 4 epsilon ((sigma/r)^12 - (sigma/r)^6).

    **Arguments**: `epsilon` (energy) and `sigma` (length): one number, one for each species, or a table; `cutoff` (length);
    `shape` and `onset` as `PairPotential` has them; `mixing`: by default Lorentz and Berthelot's, arithmetic means of sigma and
    geometric ones of epsilon; `exclusions`: bonded pairs; `tail`: add energy and pressure of a uniform fluid beyond the
    cutoff, for shape "cut":

        U_tail = (2 pi / V) sum over kinds a, b of N_a N_b I_ab,    I = integral of u r² dr from r_c
               = (8 pi / 3 V) sum of N_a N_b epsilon sigma³ ((sigma/r_c)^9 / 3 - (sigma/r_c)^3),

    and to the pressure -(2 pi / 3 V²) sum of N_a N_b (integral of u' r³ dr), which includes what crosses the cutoff.

    **Source**: M. P. Allen and D. J. Tildesley, Computer Simulation of Liquids (2017), section 2.8.
    """

    epsilon: Float[Array, "..."]
    sigma: Float[Array, "..."]
    tail: bool = eqx.field(static=True)

    symbols: ClassVar[tuple[str, ...]] = ("epsilon", "sigma")

    def __init__(
        self,
        epsilon: Numbers,
        sigma: Numbers,
        cutoff: float,
        *,
        shape: str = "cut",
        onset: float | None = None,
        mixing: str | Mapping[str, str] = "lorentz_berthelot",
        tail: bool = False,
        exclusions: Exclusions | None = None,
    ):
        rules = {"epsilon": "geometric", "sigma": "arithmetic"} if mixing == "lorentz_berthelot" else mixing
        self.epsilon, self.sigma = as_parameter(epsilon, "epsilon"), as_parameter(sigma, "sigma")
        self.cut(cutoff, shape, onset, rules, exclusions)
        self.tail = tail
        if tail and shape != "cut":
            raise ValueError(f"tail=True corrects shape='cut' only, and shape is {shape!r}: leave one of them out.")

    def potential(self, square: Float[Array, ""], p: Mapping[str, Array]) -> Float[Array, ""]:
        """4 epsilon (s^6 - s^3), s = sigma² / r²."""
        ratio = p["sigma"] * p["sigma"] / square
        sixth = ratio * ratio * ratio
        return 4 * p["epsilon"] * sixth * (sixth - 1)

    def energy(self, near: Surroundings) -> Float[Array, ""]:
        """U of all pairs, and of the tail. **Raises** `ValueError` for a tail in space that has no volume."""
        if self.tail and not all(near.box.periodic):
            raise ValueError(
                "tail=True spreads particles evenly over the volume of a box that repeats along all three edges, and this one does "
                "not: leave tail out, or give the state such a box, wl.md.Box.cubic(10.0)."
            )
        return super().energy(near) + self._tail(near) if self.tail else super().energy(near)

    def _facts(self) -> list[str]:
        return [*super()._facts(), *(["tail=True"] if self.tail else [])]

    def _tail(self, near: Surroundings) -> Float[Array, ""]:
        kinds = len(near.species)
        numbers = jnp.zeros(kinds, near.position.dtype).at[near.kind].add(1.0)
        p = {name: jnp.broadcast_to(x.astype(numbers.dtype), (kinds, kinds)) for name, x in self.table().items()}
        third = (p["sigma"] / self.cutoff) ** 3
        volume = near.box.volume()
        pairs = numbers[:, None] * numbers[None, :] * p["epsilon"] / volume
        within = (8 * jnp.pi / 3) * jnp.sum(pairs * p["sigma"] ** 3 * third * (third**2 / 3 - 1))
        # The potential jumps at the cutoff, and what crosses it in a strain is no change of U: it is nothing in value.
        jump = jnp.sum(pairs * (8 * jnp.pi / 3) * self.cutoff**3 * third**2 * (third**2 - 1))
        return within - jump * (jnp.log(volume) - jax.lax.stop_gradient(jnp.log(volume)))

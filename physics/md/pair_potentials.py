"""Pair potentials with names: Morse, Buckingham, soft spheres, Yukawa. Cutoffs and mixing are those of `PairPotential`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...core.arrays import Numbers
from .exclusions import Exclusions
from .pairs import PairPotential, as_parameter
from .surroundings import Surroundings


class Morse(PairPotential):
    """u(r) = depth (exp(-2 a (r - r_0)) - 2 exp(-a (r - r_0))), with its minimum -depth at r_0.

    | symbol | argument | unit |
    | --- | --- | --- |
    | | `depth` | energy |
    | a | `steepness` | 1 / length |
    | r_0 | `length` | length |

    Each is one number, one for each species, or a table; `cutoff` (length), `shape`, `onset`, `mixing` and `exclusions` as
    `PairPotential` has them. Unlike species: arithmetic means, geometric ones of `depth`. At r = 0 it is finite, and
    atoms there have forces that are no numbers.

    **Raises** `ValueError` for numbers that make no sense, naming the argument.

    **Source**: P. M. Morse, Phys. Rev. 34 (1929) 57, equation 4.
    """

    depth: Float[Array, "..."]
    steepness: Float[Array, "..."]
    length: Float[Array, "..."]

    symbols: ClassVar[tuple[str, ...]] = ("depth", "steepness", "length")

    def __init__(
        self,
        depth: Numbers,
        steepness: Numbers,
        length: Numbers,
        cutoff: float,
        *,
        shape: str = "cut",
        onset: float | None = None,
        mixing: str | Mapping[str, str] | None = None,
        exclusions: Exclusions | None = None,
    ):
        self.depth, self.steepness = as_parameter(depth, "depth"), as_parameter(steepness, "steepness")
        self.length = as_parameter(length, "length")
        self.cut(cutoff, shape, onset, {"depth": "geometric"} if mixing is None else mixing, exclusions)

    def potential(self, square: Float[Array, ""], p: Mapping[str, Array]) -> Float[Array, ""]:
        """depth e (e - 2), e = exp(-a (r - r_0))."""
        e = jnp.exp(-p["steepness"] * (jnp.sqrt(square) - p["length"]))
        return p["depth"] * e * (e - 2)


class Buckingham(PairPotential):
    """u(r) = A exp(-r / rho) - C / r^6.

    | symbol | argument | unit |
    | --- | --- | --- |
    | A | `repulsion` | energy |
    | rho | `length` | length |
    | C | `dispersion` | energy length^6 |

    Each is one number, one for each species, or a table; `cutoff` (length), `shape`, `onset`, `mixing` and `exclusions` as
    `PairPotential` has them. Unlike species: arithmetic means of `length`, geometric ones of the others.

    **Nearer than its inner maximum it falls without end**, -C / r^6 for r to 0: atoms that pass over this maximum, in a bad
    start or a hot run, fall into each other, with forces that grow until the numbers are no longer finite. This
    form is kept as it is; add a core of your own where atoms may come so near, such as
    `wl.md.Pair(lambda r, p: p["core"] / r**12, {"core": 1.0}, cutoff)`.

    **Raises** `ValueError` for numbers that make no sense, naming the argument.

    **Source**: R. A. Buckingham, Proc. R. Soc. Lond. A 168 (1938) 264.
    """

    repulsion: Float[Array, "..."]
    length: Float[Array, "..."]
    dispersion: Float[Array, "..."]

    symbols: ClassVar[tuple[str, ...]] = ("repulsion", "length", "dispersion")

    def __init__(
        self,
        repulsion: Numbers,
        length: Numbers,
        dispersion: Numbers,
        cutoff: float,
        *,
        shape: str = "cut",
        onset: float | None = None,
        mixing: str | Mapping[str, str] | None = None,
        exclusions: Exclusions | None = None,
    ):
        rules = {"repulsion": "geometric", "dispersion": "geometric"} if mixing is None else mixing
        self.repulsion, self.length = as_parameter(repulsion, "repulsion"), as_length(length, "length")
        self.dispersion = as_parameter(dispersion, "dispersion")
        self.cut(cutoff, shape, onset, rules, exclusions)

    def potential(self, square: Float[Array, ""], p: Mapping[str, Array]) -> Float[Array, ""]:
        """A exp(-r / rho) - C / r^6."""
        return p["repulsion"] * jnp.exp(-jnp.sqrt(square) / p["length"]) - p["dispersion"] / (square * square * square)


class SoftSphere(PairPotential):
    """u(r) = epsilon / a (1 - r / sigma)^a for r < sigma, and 0 beyond: spheres that may overlap.

    | symbol | argument | unit |
    | --- | --- | --- |
    | | `epsilon` | energy |
    | | `sigma` | length |
    | a | `exponent` | 1; 2 for harmonic spheres, 5/2 for Hertz's |

    Each is one number, one for each species, or a table; `cutoff` is a length that no sigma exceeds: with one that does,
    after a change of parameters, the energy is not a number. Unlike species: arithmetic means, geometric ones of
    `epsilon`. Energies are finite everywhere; atoms at one place have forces that are no numbers.

    **Raises** `ValueError` for numbers that make no sense, naming the argument.

    **Source**: C. S. O'Hern, L. E. Silbert, A. J. Liu, S. R. Nagel, Phys. Rev. E 68 (2003) 011306, equation 1.
    """

    epsilon: Float[Array, "..."]
    sigma: Float[Array, "..."]
    exponent: Float[Array, "..."]

    symbols: ClassVar[tuple[str, ...]] = ("epsilon", "sigma", "exponent")

    def __init__(
        self,
        epsilon: Numbers,
        sigma: Numbers,
        cutoff: float,
        *,
        exponent: Numbers = 2.0,
        mixing: str | Mapping[str, str] | None = None,
        exclusions: Exclusions | None = None,
    ):
        self.epsilon, self.sigma = as_parameter(epsilon, "epsilon"), as_length(sigma, "sigma")
        self.exponent = as_length(exponent, "exponent")
        self.cut(cutoff, "cut", None, {"epsilon": "geometric"} if mixing is None else mixing, exclusions)
        if not isinstance(self.sigma, jax.core.Tracer) and np.max(self.sigma) > self.cutoff:
            raise ValueError(f"cutoff={self.cutoff:.6g} is less than sigma={float(np.max(self.sigma)):.6g}: give at least that.")

    def energy(self, near: Surroundings) -> Float[Array, ""]:
        """U of all pairs; not a number where a sigma exceeds the cutoff, as pairs would then be missed."""
        largest = jax.lax.stop_gradient(jnp.max(self.table()["sigma"]).astype(near.position.dtype))
        return super().energy(near) * jnp.where(largest <= self.cutoff, 1.0, jnp.nan)

    def potential(self, square: Float[Array, ""], p: Mapping[str, Array]) -> Float[Array, ""]:
        """epsilon / a (1 - r / sigma)^a within sigma."""
        depth = 1 - jnp.sqrt(square) / p["sigma"]
        overlap = depth > 0
        power = jnp.where(overlap, depth, 1.0) ** p["exponent"]
        return jnp.where(overlap, p["epsilon"] / p["exponent"] * power, 0.0)


class Yukawa(PairPotential):
    """u(r) = A exp(-kappa r) / r, a screened repulsion, or attraction for negative A.

    | symbol | argument | unit |
    | --- | --- | --- |
    | A | `strength` | energy length |
    | kappa | `kappa` | 1 / length |

    Each is one number, one for each species, or a table; `cutoff` (length), `shape`, `onset`, `mixing` and `exclusions` as
    `PairPotential` has them. Unlike species: arithmetic means. The charges of a system have no part in it.

    **Raises** `ValueError` for numbers that make no sense, naming the argument.

    **Source**: H. Yukawa, Proc. Phys.-Math. Soc. Japan 17 (1935) 48, equation 2.
    """

    strength: Float[Array, "..."]
    kappa: Float[Array, "..."]

    symbols: ClassVar[tuple[str, ...]] = ("strength", "kappa")

    def __init__(
        self,
        strength: Numbers,
        kappa: Numbers,
        cutoff: float,
        *,
        shape: str = "cut",
        onset: float | None = None,
        mixing: str | Mapping[str, str] = "arithmetic",
        exclusions: Exclusions | None = None,
    ):
        self.strength, self.kappa = as_parameter(strength, "strength"), as_parameter(kappa, "kappa")
        self.cut(cutoff, shape, onset, mixing, exclusions)

    def potential(self, square: Float[Array, ""], p: Mapping[str, Array]) -> Float[Array, ""]:
        """A exp(-kappa r) / r."""
        r = jnp.sqrt(square)
        return p["strength"] * jnp.exp(-p["kappa"] * r) / r


def as_length(value: Numbers, name: str) -> Array:
    """A parameter by which others are divided. **Raises** `ValueError` where it is not positive, and as `as_parameter`."""
    array = as_parameter(value, name)
    if not isinstance(array, jax.core.Tracer) and not (np.asarray(array) > 0).all():
        raise ValueError(f"{name} = {np.asarray(array).tolist()}: every number must be positive.")
    return array

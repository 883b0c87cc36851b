"""`PairPotential`: a scalar function of distance, cut off in one of several ways, as an interaction of all pairs.

    U = 1/2 sum over i, j, images of u(r_ij; parameters of the kinds of i and j)

Cut off at r_c as `shape` says:

| shape | potential within r_c |
| --- | --- |
| "cut" | u(r) |
| "shift" | u(r) - u(r_c) |
| "force_shift" | u(r) - u(r_c) - (r - r_c) u'(r_c) |
| "switch" | u(r) S(x), S = 1 - 10 x³ + 15 x⁴ - 6 x⁵, x = (r - onset) / (r_c - onset), S = 1 below the onset |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...core.arrays import Numbers, as_floats
from .exclusions import Exclusions, weighted
from .surroundings import Surroundings
from .terms import Term

SHAPES = ("cut", "shift", "force_shift", "switch")


class PairPotential(Term):
    """An interaction u(r) of all pairs. A subclass has parameters as fields, and says `potential` of r² and these.

    Each parameter is one number, one for each species [s], mixed for unlike pairs as `mixing` says, or a table [s, s] of
    pairs of species. `mixing` names a rule for all parameters ("arithmetic", "geometric") or is a dict with a rule for each.
    `exclusions` are bonded pairs that do not interact, or by a factor.
    """

    cutoff: float = eqx.field(static=True)
    shape: str = eqx.field(static=True)
    onset: float = eqx.field(static=True)
    mixing: tuple[tuple[str, str], ...] = eqx.field(static=True)
    exclusions: Exclusions | None

    symbols: ClassVar[tuple[str, ...]] = ()  # fields that are parameters

    def cut(
        self, cutoff: float, shape: str, onset: float | None, mixing: str | Mapping[str, str], exclusions: Exclusions | None
    ) -> None:
        """Sets the fields that all pair potentials have; for `__init__` of a subclass, after the parameters.

        **Raises** `ValueError` for distances out of order and names that there are not, `TypeError` for other exclusions.
        """
        self.cutoff, self.onset = as_cutoff(cutoff, shape, onset)
        self.shape, self.mixing = shape, as_mixing(mixing, self.symbols)
        self.exclusions = as_exclusions(exclusions)

    def potential(self, square: Float[Array, ""], p: Mapping[str, Array]) -> Float[Array, ""]:
        """u, of the square of the distance and the parameters of one pair of kinds."""
        raise NotImplementedError

    @property
    def reach(self) -> float:
        """The cutoff."""
        return self.cutoff

    def energy(self, near: Surroundings) -> Float[Array, ""]:
        """U, over all pairs."""
        shared = self._shared(near.position.dtype)
        kinds = len(near.species) if any(x.ndim for x in jax.tree.leaves(shared)) else 1
        data = (near.kind if kinds > 1 else None, None if self.exclusions is None else self.exclusions.partners(near))
        scale = () if self.exclusions is None else self.exclusions.scale

        def pair(d: Array, own: Any, other: Any, shared: Any) -> Array:
            of_pair = jax.tree.map(lambda x: x[own[0], other[0]] if x.ndim else x, shared[0])
            square, potential = jnp.sum(d * d), lambda square: self.shaped(square, *of_pair)
            if own[1] is None:
                return potential(square)
            return weighted(own[1], other[1], shared[1], square, self.cutoff, potential)

        return 0.5 * near.sum(pair, self.cutoff, data, (shared, scale), parity=1, total=True)

    def shaped(
        self, square: Float[Array, ""], p: Mapping[str, Array], end: tuple[Array, Array]
    ) -> Float[Array, ""]:
        """The potential as it is cut off, with `end` the value and the slope of u at the cutoff."""
        u = self.potential(square, p)
        if self.shape == "cut":
            return u
        if self.shape == "shift":
            return u - end[0]
        r = jnp.sqrt(square)
        if self.shape == "force_shift":
            return u - end[0] - (r - self.cutoff) * end[1]
        x = jnp.clip((r - self.onset) / (self.cutoff - self.onset), 0.0, 1.0)
        return u * (1 - x * x * x * (10 - x * (15 - 6 * x)))

    def table(self) -> dict[str, Array]:
        """Parameters as numbers, where they are the same for all pairs of species, or as tables [s, s]."""
        rules = dict(self.mixing)
        return {name: _mixed(self.parameter(name), rules.get(name, "arithmetic")) for name in self.symbols}

    def parameter(self, name: str) -> Float[Array, "..."]:
        """One of the parameters that `symbols` names."""
        return getattr(self, name)

    def check(self, species: tuple[str, ...], count: int) -> None:
        """**Raises** `ValueError` for parameters given for another number of species, exclusions for other particles."""
        if self.exclusions is not None:
            self.exclusions.check(count)
        for name in self.symbols:
            shape = jnp.shape(self.parameter(name))
            if shape not in ((), (len(species),), (len(species),) * 2):
                raise ValueError(
                    f"{type(self).__name__}: {name} has shape {shape}, and the species are {', '.join(species)}: give one "
                    f"number, one for each species [{len(species)}], or a table [{len(species)}, {len(species)}]."
                )

    def _facts(self) -> list[str]:
        shape = [] if self.shape == "cut" else [f"shape={self.shape!r}"]
        onset = [f"onset={self.onset:.6g}"] if self.shape == "switch" else []
        return [*super()._facts(), *shape, *onset, *([] if self.exclusions is None else ["exclusions"])]

    def _shared(self, dtype: Any) -> tuple[dict[str, Array], tuple[Array, Array]]:
        """Parameters, and value and slope of u at the cutoff, of all pairs of species."""
        p = {name: x.astype(dtype) for name, x in self.table().items()}
        rank = max((x.ndim for x in p.values()), default=0)
        if self.shape not in ("shift", "force_shift"):
            return p, (jnp.zeros((), dtype), jnp.zeros((), dtype))
        at = lambda r, p: self.potential(r * r, p)
        end = jax.value_and_grad(at)
        for _ in range(rank):
            end = jax.vmap(end, (None, {name: 0 if x.ndim else None for name, x in p.items()}))
        return p, end(jnp.asarray(self.cutoff, dtype), p)


def _mixed(given: Array, rule: str) -> Array:
    if given.ndim != 1:
        return given
    if given.shape[0] == 1:
        return given[0]
    return MIXING[rule](given[:, None], given[None, :])


MIXING: dict[str, Callable[[Array, Array], Array]] = {
    "arithmetic": lambda a, b: 0.5 * (a + b),
    "geometric": lambda a, b: jnp.sqrt(a * b),
}


def as_parameter(value: Numbers, name: str, table: bool = True) -> Array:
    """A parameter as an array of floats.

    **Raises** `ValueError` for a value that is not finite, and where it is a `table` of pairs that is not symmetric.
    """
    array = as_floats(value)
    if not isinstance(array, jax.core.Tracer):
        numbers = np.asarray(array)
        if not np.isfinite(numbers).all():
            raise ValueError(f"{name} = {numbers.tolist()}: every number must be finite.")
        if table and numbers.ndim == 2 and not np.array_equal(numbers, numbers.T):
            raise ValueError(f"{name} = {numbers.tolist()}: the table of pairs of species must be symmetric.")
    return array


def as_cutoff(cutoff: float, shape: str, onset: float | None) -> tuple[float, float]:
    """Cutoff and onset as numbers. **Raises** `ValueError` for an unknown shape and distances out of order."""
    if shape not in SHAPES:
        raise ValueError(f"shape={shape!r}: write one of {', '.join(map(repr, SHAPES))}.")
    try:
        cutoff = float(cutoff)
    except TypeError as error:
        raise TypeError(f"cutoff={cutoff!r}: it must be one number, the same for all species, known before compiling.") from error
    if not (math.isfinite(cutoff) and cutoff > 0):
        raise ValueError(f"cutoff={cutoff:.6g}: the distance beyond which pairs do not interact must be positive and finite.")
    if (shape == "switch") != (onset is not None):
        raise ValueError("onset is where shape='switch' begins: give both, or neither.")
    if onset is not None and not 0 <= float(onset) < cutoff:
        raise ValueError(f"onset={float(onset):.6g} must lie from 0 to the cutoff {cutoff:.6g}.")
    return cutoff, float(onset or 0.0)


def as_mixing(mixing: str | Mapping[str, str], symbols: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """A rule for each parameter. **Raises** `ValueError` for a rule or a parameter that there is not."""
    rules = dict.fromkeys(symbols, mixing) if isinstance(mixing, str) else dict(mixing)
    for name, rule in rules.items():
        if name not in symbols or rule not in MIXING:
            raise ValueError(f"mixing {name!r}: {rule!r}: rules are {', '.join(MIXING)}, parameters {', '.join(symbols)}.")
    return tuple(sorted(rules.items()))


def as_exclusions(exclusions: Exclusions | None) -> Exclusions | None:
    """Exclusions or none. **Raises** `TypeError` for anything else."""
    if exclusions is not None and not isinstance(exclusions, Exclusions):
        raise TypeError(
            f"exclusions has type {type(exclusions).__name__}: write wl.md.Exclusions.from_bonds(bonds, n) or "
            "wl.md.Exclusions.of_pairs(n, pairs)."
        )
    return exclusions

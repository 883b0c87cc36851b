"""The radial distribution function of a state: how much denser than on average particles are at a distance from another.

    g_ab(r_k) = H_k V / (N_a (N_b - delta_ab) v_k),    H_k = number of pairs, a to b, whose distance falls in bin k

with v_k the volume of the bin. V is that of the box in this state, so that g is right at constant pressure, too.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from ....core.status import Code
from ....core.transforms import jit
from ..neighborhood import AllPairs, Capacity, RowLists, plan, search
from ..state import State, one_state
from ..system import System
from .volume import volume_of


class RadialDistribution(eqx.Module):
    """g(r) up to `cutoff` in `bins` bins, as a function of (system, state): `g = RadialDistribution(3.0, 100)`.

    **Arguments**

    - `kinds`: two names of species, ("Na", "Cl"): g of the second around the first; by default of all around all.
    - `smooth`: each pair is shared between the two bins next to it, in proportion to how near it is to each, so that g
      is differentiable by positions, box and what they depend on. Otherwise bins count, and derivatives are zero.

    `g.r` [bins] are the middles of the bins and `g(system, state)` [bins] the values. Up to the reach of the interactions
    the lists of the run are used. Beyond it lists are made for this purpose, and while compiling their size must be known:
    write `g = RadialDistribution(6.0, 200).sized(system, state)` before `simulate(..., record=g)`. Should particles crowd so
    much that this is not enough, the values are NaN.

    All pairs count, bonded and excluded ones too. Images of a particle count like other particles, also its own where the
    cutoff is longer than an edge. Counting
    (N_b - delta_ab) makes g of an ideal gas 1 up to there.

    **Raises** `ValueError` for a cutoff or a number of bins that is not positive, and for unknown species.
    """

    cutoff: float = eqx.field(static=True)
    bins: int = eqx.field(static=True)
    kinds: tuple[str, str] | None = eqx.field(static=True)
    smooth: bool = eqx.field(static=True)
    capacity: AllPairs | Capacity | None = eqx.field(static=True)

    def __init__(
        self, cutoff: float, bins: int, *, kinds: tuple[str, str] | None = None, smooth: bool = False
    ):
        if not (np.isfinite(cutoff) and cutoff > 0):
            raise ValueError(f"cutoff={cutoff}: distances are counted up to a positive length.")
        if bins != int(bins) or bins < 1:
            raise ValueError(f"bins={bins}: a whole number of bins is needed, at least one.")
        if kinds is not None and (isinstance(kinds, str) or len(kinds) != 2):
            raise ValueError(f"kinds={kinds!r}: name two species, as in kinds=('Na', 'Cl').")
        self.cutoff, self.bins, self.smooth, self.capacity = float(cutoff), int(bins), smooth, None
        self.kinds = None if kinds is None else (kinds[0], kinds[1])

    @property
    def r(self) -> Float[np.ndarray, " bins"]:
        """The middle of each bin, a length."""
        if self.smooth:
            return self.cutoff / (self.bins + 1) * np.arange(1, self.bins + 1)
        return self.cutoff / self.bins * (np.arange(self.bins) + 0.5)

    def __call__(
        self, system: System, state: State, *, volume: ArrayLike | None = None
    ) -> Float[Array, " bins"]:
        """g at `r`. Where the box does not repeat along all edges, `volume` says which one the particles take.

        **Raises** `ValueError` for a box without a volume, `TypeError` where lists of unknown size would be needed.
        """
        one_state(state)
        first, second = self._members(system)
        like = self.kinds is None or self.kinds[0] == self.kinds[1]
        own, other = jnp.sum(first), jnp.sum(second)
        # One particle alone has its own images around it, and nobody else.
        pairs = jnp.maximum(own * (other - 1) if like else own * other, 1)
        ideal = pairs * jnp.asarray(self._volumes(), state.position.dtype) / volume_of(state.box, volume)
        return self.counts(system, state) / ideal

    def counts(self, system: System, state: State) -> Float[Array, " bins"]:
        """H: pairs of each bin, from the first of `kinds` to the second; pairs of like particles are there twice.

        **Raises** `TypeError` where lists of unknown size would be needed.
        """
        self._members(system)
        if self.cutoff > system.interaction.reach:
            return _count(self if self.capacity else self.sized(system, state), system, state)
        return _count(self, system.sized(state) if state.neighbors is None else system, state)

    def sized(self, system: System, state: State) -> RadialDistribution:
        """The same with lists that have room for a state's neighbors, to be used in compiled programs.

        **Raises** `TypeError` for traced positions, `ValueError` for such that are not finite.
        """
        if self.cutoff <= system.interaction.reach:
            return self
        if any(isinstance(x, jax.core.Tracer) for x in (state.position, state.box.vectors)):
            raise TypeError(
                f"cutoff={self.cutoff:.6g} is beyond the reach {system.interaction.reach:.6g} of the interactions, and positions "
                "are traced, so that the room that lists need is not known: write g = g.sized(system, state) outside."
            )
        position = np.asarray(state.position)
        bad = np.flatnonzero(~np.isfinite(position).all(1))
        if bad.size:
            raise ValueError(f"position of particle {bad[0]} is {position[bad[0]].tolist()}: every number must be finite.")
        # Room for a reach that is 4% longer: lists serve all states of a run, in which density changes a little.
        found = plan(position, state.box, 1.04 * self.cutoff, 1.04 * self.cutoff)
        changed = RadialDistribution(self.cutoff, self.bins, kinds=self.kinds, smooth=self.smooth)
        object.__setattr__(changed, "capacity", found)
        return changed

    def _lists(self, system: System, state: State) -> tuple[AllPairs | RowLists, Bool[Array, ""]]:
        """Lists to the cutoff, and whether they hold everybody."""
        lists: AllPairs | RowLists
        if self.cutoff <= system.interaction.reach:
            lists = system.lists(state) if state.neighbors is None else state.neighbors
        elif isinstance(self.capacity, AllPairs):
            lists = self.capacity
        else:
            assert self.capacity is not None
            lists = search(state.position, state.box, self.cutoff, self.capacity, system.native)
        if isinstance(lists, AllPairs):
            return lists, lists.holds(self.cutoff, state.box.heights())
        return lists, lists.code == Code.OK

    def _members(self, system: System) -> tuple[Bool[Array, " n"], Bool[Array, " n"]]:
        """Who is of the first kind, and who of the second."""
        everybody = jnp.ones(system.kind.shape, bool)
        if self.kinds is None:
            return everybody, everybody
        for name in self.kinds:
            if name not in system.species:
                raise ValueError(f"kinds names {name!r}, and the species are {', '.join(system.species)}.")
        first, second = (system.kind == system.species.index(name) for name in self.kinds)
        return first, second

    def _bin(self, r: Float[Array, ""]) -> Float[Array, " bins"]:
        """1 in the bin of a distance."""
        number = jnp.floor(jax.lax.stop_gradient(r) * (self.bins / self.cutoff)).astype(jnp.int32)
        return (jnp.arange(self.bins) == number).astype(r.dtype)

    def _shares(self, r: Float[Array, ""]) -> Float[Array, " bins"]:
        """1 - |r - r_k| / w, where that is positive."""
        place = r * ((self.bins + 1) / self.cutoff)
        return jnp.maximum(1 - jnp.abs(place - jnp.arange(1, self.bins + 1)), 0.0)

    def _volumes(self) -> Float[np.ndarray, " bins"]:
        """The integral of 4 pi r² times the weight of each bin."""
        if self.smooth:
            width = self.cutoff / (self.bins + 1)
            return 4 * np.pi * width * (self.r**2 + width**2 / 6)
        edges = np.linspace(0.0, self.cutoff, self.bins + 1)
        return 4 * np.pi / 3 * np.diff(edges**3)


@jit
def _count(g: RadialDistribution, system: System, state: State) -> Float[Array, " bins"]:
    """The pairs of each bin; NaN where lists have no room for everybody."""
    lists, enough = g._lists(system, state)
    near = system.surroundings(eqx.tree_at(lambda s: s.neighbors, state, lists, is_leaf=lambda x: x is None))
    species = None if g.kinds is None else tuple(map(system.species.index, g.kinds))
    weigh = g._shares if g.smooth else g._bin

    def pair(d: Array, own: Any, other: Any, _: Any) -> Array:
        weights = weigh(jnp.sqrt(jnp.sum(d * d)))
        return weights if species is None else jnp.where((own == species[0]) & (other == species[1]), weights, 0.0)

    symmetric = species is None or species[0] == species[1]
    data = () if species is None else near.kind
    found = near.sum(pair, g.cutoff, data, parity=1 if symmetric else 0, total=True)
    return jnp.where(enough, found, jnp.nan)

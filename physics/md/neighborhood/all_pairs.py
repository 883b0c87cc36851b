"""Few particles: every pair and every image near enough, without lists.

Two particles are brought nearest to each other in fractional coordinates, each from -1/2 to 1/2; images that lie within
the cutoff are then at most floor(cutoff / height + 1/2) cells away along each edge, in a box of any shape.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ....core.lanes.width import native_or_xla
from ..box import inverse_edges
from .sums import Signature


@dataclass(frozen=True)
class AllPairs:
    """All pairs of `count` particles and their images up to `reach` cells away, along the edges that are periodic."""

    count: int
    periodic: tuple[bool, bool, bool]
    reach: tuple[int, int, int]

    @property
    def images(self) -> np.ndarray:
        """Lattice shifts [m, 3] of all images, that of none first."""
        shifts = itertools.product(*(range(-k, k + 1) for k in self.reach))
        return np.array(sorted(shifts, key=lambda s: (sum(map(abs, s)), s)), float)

    def holds(self, cutoff: float, heights: Float[Array, "3"]) -> Bool[Array, ""]:
        """Whether no image is needed that is farther away than `reach`."""
        needed = jnp.where(np.asarray(self.periodic), jnp.floor(cutoff / heights + 0.5), 0.0)
        return jnp.all(needed <= np.asarray(self.reach))

    def batches(self) -> bool:
        """Arrays are small, so that sums are mapped as they are."""
        return True

    def evaluate(
        self, pair: Callable, lists: Sequence[Array], signature: Signature, cutoff: float, operands: Sequence[Array]
    ) -> list[Array]:
        """The sums of a function of one pair, see `sums`."""
        visit = _Visit(self, pair, signature, cutoff)
        return native_or_xla(visit.one_by_one, visit.at_once, *operands)


@dataclass(frozen=True)
class _Visit:
    """The sums of one pair function over all pairs."""

    structure: AllPairs
    pair: Callable
    signature: Signature
    cutoff: float

    def at_once(self, *operands: Array) -> list[Array]:
        """All pairs as arrays [n, n], one image after the other."""
        n = self.structure.count
        xs, hs, data, shared = self.signature.operands(operands)
        inverse = inverse_edges(hs[0])
        between = [x[None, :, :] - x[:, None, :] for x in xs]
        cells = self._nearest(between[0], inverse)
        same = jnp.eye(n, dtype=bool)
        term = functools.partial(masked, self.pair, self.cutoff)
        every = jax.vmap(jax.vmap(term, (0, 0, None, 0, None)), (0, 0, 0, None, None))

        def image(shift: Array) -> list[Array]:
            d = [b + (shift - cells) @ h for b, h in zip(between, hs)]
            return self._gathered(every(d, same & (shift == 0).all(), data, data, shared))

        images = jnp.asarray(self.structure.images.astype(xs[0].dtype))
        total = image(images[0])
        if len(images) == 1:
            return total
        add = lambda total, shift: ([a + b for a, b in zip(total, image(shift))], None)
        return jax.lax.scan(add, total, images[1:])[0]

    def _gathered(self, values: Sequence[Array]) -> list[Array]:
        return [jnp.sum(y, (0, 1)) if total else jnp.sum(y, 1) for y, total in zip(values, self.signature.totals)]

    def _nearest(self, between: Array, inverse: Array) -> Array:
        cells = jnp.round(jax.lax.stop_gradient(between @ inverse))
        return jnp.where(np.asarray(self.structure.periodic), cells, 0.0)

    def one_by_one(self, *operands: Array) -> list[Array]:
        """Pair after pair, in a loop whose places are the same in all lanes."""
        n = self.structure.count
        xs, hs, data, shared = self.signature.operands(operands)
        inverse = inverse_edges(hs[0])
        images = jnp.asarray(self.structure.images.astype(xs[0].dtype))
        at = lambda x, i: jax.lax.dynamic_index_in_dim(x, i, keepdims=False)

        def of_pair(i: Array, j: Array, own: Sequence, here: Sequence, sums: list[Array]) -> list[Array]:
            between = [at(x, j) - a for x, a in zip(xs, here)]
            cells = self._nearest(between[0], inverse)
            other = [at(x, j) for x in data]

            def add(k: Array, sums: list[Array]) -> list[Array]:
                d = [b + (images[k] - cells) @ h for b, h in zip(between, hs)]
                values = masked(self.pair, self.cutoff, d, (i == j) & (k == 0), own, other, shared)
                return [a + b for a, b in zip(sums, values)]

            return add(0, sums) if len(images) == 1 else jax.lax.fori_loop(0, len(images), add, sums)

        def of_particle(totals: list[Array], i: Array) -> tuple[list[Array], list[Array]]:
            own, here = [at(x, i) for x in data], [at(x, i) for x in xs]
            sums = jax.lax.fori_loop(0, n, lambda j, s: of_pair(i, j, own, here, s), zeros)
            return [a + s if t else a for a, s, t in zip(totals, sums, self.signature.totals)], sums

        one = [at(x, 0) for x in xs]
        first = [at(x, 0) for x in data]
        shapes = jax.eval_shape(lambda: list(self.pair(*one, *first, *first, *shared)))
        zeros = [jnp.zeros(s.shape, s.dtype) for s in shapes]
        totals, rows = jax.lax.scan(of_particle, zeros, jnp.arange(n))
        return [a if total else b for a, b, total in zip(totals, rows, self.signature.totals)]


def masked(
    pair: Callable, cutoff: float, d: Sequence[Array], excluded: Array, own: Sequence, other: Sequence, shared: Sequence
) -> list[Array]:
    """The pair function, and zero for a particle with itself or beyond the cutoff, where it is not evaluated."""
    square = d[0][0] * d[0][0] + d[0][1] * d[0][1] + d[0][2] * d[0][2]
    near = ~(square >= cutoff * cutoff) & ~excluded  # what is no number is near, so that it is seen
    safe = jnp.where(near, d[0], jnp.asarray([cutoff, 0.0, 0.0], d[0].dtype))
    return [jnp.where(near, y, 0.0) for y in pair(safe, *d[1:], *own, *other, *shared)]

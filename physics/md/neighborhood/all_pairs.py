"""Few particles: every pair and every image near enough, without lists.

Of the images of a pair, s + n apart in fractional coordinates along an edge, only those with |s + n| < cutoff / height can lie
within the cutoff, in a box of any shape: at most ceil(2 cutoff / height) in a row, which begins at another n for each pair.
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

from ....core.lanes.arrays import REGISTER_ELEMENTS
from ....core.lanes.width import native_or_xla
from ..box import inverse_edges
from .pair_programs import Signature


@dataclass(frozen=True)
class AllPairs:
    """All pairs of `count` particles, with the `nearest` so many images of each pair along the edges, one where not periodic."""

    count: int
    periodic: tuple[bool, bool, bool]
    nearest: tuple[int, int, int]

    @property
    def images(self) -> np.ndarray:
        """By how many edges [m, 3] each image of a pair is away from the first one."""
        return np.array(list(itertools.product(*map(range, self.nearest))), float)

    @property
    def itself(self) -> int:
        """Which of the images of a particle is the particle itself."""
        return int(np.ravel_multi_index(tuple((k - 1) // 2 for k in self.nearest), self.nearest))

    def first(self, fractional: Float[Array, "*m 3"]) -> Float[Array, "*m 3"]:
        """By how many edges the first image is away, for pairs that are `fractional` apart: s + n > -nearest / 2."""
        n = jnp.floor(-0.5 * np.asarray(self.nearest, fractional.dtype) - jax.lax.stop_gradient(fractional)) + 1
        return jnp.where(np.asarray(self.periodic), n, 0.0)

    def holds(self, cutoff: float, heights: Float[Array, "3"]) -> Bool[Array, ""]:
        """Whether no image within the cutoff is missed."""
        within = 2 * cutoff <= np.asarray(self.nearest) * heights
        return jnp.all(within | ~np.asarray(self.periodic))

    def evaluate(
        self, pair: Callable, lists: Sequence[Array], signature: Signature, cutoff: float, operands: Sequence[Array]
    ) -> list[Array]:
        """The sums of a function of one pair, see `sums`."""
        visit = _Visit(self, pair, signature, cutoff)
        return native_or_xla(visit.one_by_one, visit.at_once, *operands)

    def at_once(
        self, pair: Callable, lists: Sequence[Array], signature: Signature, cutoff: float, operands: Sequence[Array]
    ) -> list[Array]:
        """The same as operations on small arrays, which `vmap` makes larger ones."""
        return _Visit(self, pair, signature, cutoff).at_once(*operands)


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
        first = self.structure.first(between[0] @ inverse)
        same = jnp.eye(n, dtype=bool)
        term = functools.partial(masked, self.pair, self.cutoff)
        every = jax.vmap(jax.vmap(term, (0, 0, None, 0, None)), (0, 0, 0, None, None))

        def image(k: Array | int) -> list[Array]:
            d = [b + (first + images[k]) @ h for b, h in zip(between, hs)]
            return self._gathered(every(d, same & (k == self.structure.itself), data, data, shared))

        images = jnp.asarray(self.structure.images.astype(xs[0].dtype))
        total = image(0)
        if len(images) == 1:
            return total
        return jax.lax.fori_loop(1, len(images), lambda k, total: [a + b for a, b in zip(total, image(k))], total)

    def _gathered(self, values: Sequence[Array]) -> list[Array]:
        return [jnp.sum(y, (0, 1)) if total else jnp.sum(y, 1) for y, total in zip(values, self.signature.totals)]

    def one_by_one(self, *operands: Array) -> list[Array]:
        """Pair after pair, in a loop whose places are the same in all lanes; one side only where results have a parity."""
        n, signature = self.structure.count, self.signature
        xs, hs, data, shared = signature.operands(operands)
        inverse = inverse_edges(hs[0])
        images = jnp.asarray(self.structure.images.astype(xs[0].dtype))
        xs, data = [_in_memory(x) for x in xs], [_in_memory(x) for x in data]
        both = 0 not in signature.parities

        def of_pair(i: Array, j: Array) -> list[Array]:
            between = [_at(x, j) - _at(x, i) for x in xs]
            first = self.structure.first(between[0] @ inverse)
            own, other = [_at(x, i) for x in data], [_at(x, j) for x in data]

            def image(k: Array | int) -> list[Array]:
                d = [b + (first + images[k]) @ h for b, h in zip(between, hs)]
                return masked(self.pair, self.cutoff, d, (i == j) & (k == self.structure.itself), own, other, shared)

            add = lambda k, sums: [a + b for a, b in zip(sums, image(k))]
            return image(0) if len(images) == 1 else jax.lax.fori_loop(0, len(images), add, zeros)

        def once(k: Array, sums: list[Array], pairs: np.ndarray, sides: bool) -> list[Array]:
            i, j = (jnp.asarray(place)[k] for place in pairs)
            found = zip(sums, of_pair(i, j), signature.totals, signature.parities)
            return [_added(s, y, i, j, total, parity if sides else 0) for s, y, total, parity in found]

        one, first = [_at(x, 0) for x in xs], [_at(x, 0) for x in data]
        shapes = jax.eval_shape(lambda: list(self.pair(*one, *first, *first, *shared)))
        zeros = [jnp.zeros(s.shape, s.dtype) for s in shapes]
        sums = [z if total else _in_memory(jnp.zeros((n, *z.shape), z.dtype)) for z, total in zip(zeros, signature.totals)]
        # Images of a particle itself are met from both sides.
        alone = np.array([np.arange(n)] * 2, np.int32)
        different = np.array(np.triu_indices(n, 1) if both else np.nonzero(~np.eye(n, dtype=bool)), np.int32)
        for pairs, sides in ((different, both), *([(alone, False)] if len(images) > 1 else [])):
            if pairs.shape[1]:
                sums = jax.lax.fori_loop(0, pairs.shape[1], functools.partial(once, pairs=pairs, sides=sides), sums)
        return [s if total else s[:n] for s, total in zip(sums, signature.totals)]


def _at(x: Array, i: Array | int) -> Array:
    return x.at[i].get(mode="promise_in_bounds")


def _added(total: Array, y: Array, i: Array, j: Array, is_total: bool, parity: int) -> Array:
    """A sum with what a pair brings to particle i, and by its parity to particle j."""
    if is_total:
        return total + (1 + parity) * y
    put = lambda total, y, k: jax.lax.dynamic_update_index_in_dim(total, _at(total, k) + y, k, 0)
    total = put(total, y, i)
    return put(total, parity * y, j) if parity else total


def _in_memory(x: Array) -> Array:
    """Rows with so many more that native code keeps them in memory: registers have no places that a loop could choose."""
    width = max(int(np.prod(x.shape[1:])), 1)
    missing = -(-(REGISTER_ELEMENTS + 1) // width) - x.shape[0]
    return x if missing <= 0 else jnp.concatenate([x, jnp.zeros((missing, *x.shape[1:]), x.dtype)])


def masked(
    pair: Callable, cutoff: float, d: Sequence[Array], excluded: Array, own: Sequence, other: Sequence, shared: Sequence
) -> list[Array]:
    """The pair function, and zero for a particle with itself, where it is not evaluated, and beyond the cutoff.

    What is near decides about results alone: XLA computes it anew for each use, and may round it differently next to the cutoff.
    """
    square = d[0][0] * d[0][0] + d[0][1] * d[0][1] + d[0][2] * d[0][2]
    near = ~(square >= cutoff * cutoff) & ~excluded  # what is no number is near, so that it is seen
    apart = jnp.where(excluded, jnp.asarray([cutoff, 0.0, 0.0], d[0].dtype), d[0])
    return [jnp.where(near, y, 0.0) for y in pair(apart, *d[1:], *own, *other, *shared)]

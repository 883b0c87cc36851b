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

from ....core.lanes.arrays import REGISTER_ELEMENTS
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
        """Pair after pair, in loops whose places are the same in all lanes; one side only where results have a parity."""
        n, signature = self.structure.count, self.signature
        xs, hs, data, shared = signature.operands(operands)
        inverse = inverse_edges(hs[0])
        images = jnp.asarray(self.structure.images.astype(xs[0].dtype))
        xs, data = [_in_memory(x) for x in xs], [_in_memory(x) for x in data]
        at = lambda x, i: jax.lax.dynamic_index_in_dim(x, i, keepdims=False)
        both = 0 not in signature.parities

        def of_pair(i: Array, j: Array, here: Sequence, own: Sequence) -> list[Array]:
            between = [at(x, j) - a for x, a in zip(xs, here)]
            cells = self._nearest(between[0], inverse)
            other = [at(x, j) for x in data]

            def image(k: Array | int) -> list[Array]:
                d = [b + (images[k] - cells) @ h for b, h in zip(between, hs)]
                return masked(self.pair, self.cutoff, d, (i == j) & (k == 0), own, other, shared)

            add = lambda k, sums: [a + b for a, b in zip(sums, image(k))]
            return image(0) if len(images) == 1 else jax.lax.fori_loop(0, len(images), add, zeros)

        def of_particle(i: Array, sums: list[Array]) -> list[Array]:
            here, own = [at(x, i) for x in xs], [at(x, i) for x in data]

            def with_other(j: Array, carry: tuple[list, list]) -> tuple[list, list]:
                mine, sums = carry
                values = of_pair(i, j, here, own)
                return [a + b for a, b in zip(mine, values)], self._other_side(j, values, sums) if both else sums

            # Images of a particle itself are met from both sides.
            begin = of_pair(i, i, here, own) if both and len(images) > 1 else zeros
            weight = [1.0 + parity if total and both else 1.0 for total, parity in zip(signature.totals, signature.parities)]
            mine, sums = jax.lax.fori_loop(i + 1 if both else 0, n, with_other, (zeros, sums))
            mine = [w * a + b for w, a, b in zip(weight, mine, begin)]
            return [
                s + a if total else s.at[i].add(a) for s, a, total in zip(sums, mine, signature.totals)
            ]

        one, first = [at(x, 0) for x in xs], [at(x, 0) for x in data]
        shapes = jax.eval_shape(lambda: list(self.pair(*one, *first, *first, *shared)))
        zeros = [jnp.zeros(s.shape, s.dtype) for s in shapes]
        begin = [
            z if total else _in_memory(jnp.zeros((n, *z.shape), z.dtype)) for z, total in zip(zeros, signature.totals)
        ]
        sums = jax.lax.fori_loop(0, n, of_particle, begin)
        return [s if total else s[:n] for s, total in zip(sums, signature.totals)]

    def _other_side(self, j: Array, values: Sequence[Array], sums: Sequence[Array]) -> list[Array]:
        """What the other particle of a pair finds, by the parities of results."""
        signature = self.signature
        return [
            s if total else s.at[j].add(parity * y)
            for s, y, total, parity in zip(sums, values, signature.totals, signature.parities)
        ]


def _in_memory(x: Array) -> Array:
    """Rows with so many more that native code keeps them in memory: registers have no places that a loop could choose."""
    width = max(int(np.prod(x.shape[1:])), 1)
    missing = -(-(REGISTER_ELEMENTS + 1) // width) - x.shape[0]
    return x if missing <= 0 else jnp.concatenate([x, jnp.zeros((missing, *x.shape[1:]), x.dtype)])


def masked(
    pair: Callable, cutoff: float, d: Sequence[Array], excluded: Array, own: Sequence, other: Sequence, shared: Sequence
) -> list[Array]:
    """The pair function, and zero for a particle with itself or beyond the cutoff, where it is not evaluated."""
    square = d[0][0] * d[0][0] + d[0][1] * d[0][1] + d[0][2] * d[0][2]
    near = ~(square >= cutoff * cutoff) & ~excluded  # what is no number is near, so that it is seen
    safe = jnp.where(near, d[0], jnp.asarray([cutoff, 0.0, 0.0], d[0].dtype))
    return [jnp.where(near, y, 0.0) for y in pair(safe, *d[1:], *own, *other, *shared)]

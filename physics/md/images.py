"""Which image of one place is nearest to another, in boxes of any shape; bonds and exclusions ask.

In a cell with reduced edges, the shortest that the lattice has, the nearest image is the one with the least fractional
coordinates or one next to it. Cells that are given are reduced first, as sheared ones may be very skew.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .box import Box

SLACK = 1e-3  # edges count as reduced a little early, so that rounding cannot turn them to and fro
MOST_TURNS = 100


def nearest_images(box: Box, between: Float[Array, "m 3"]) -> tuple[Float[Array, "m 3"], Float[Array, " m"]]:
    """Lattice shifts e, whole numbers, with the shortest between + e @ vectors; and lengths that only these stay below.

    The length lies between those of the nearest image and of the next, infinite where there are no images. Both are
    constants for derivatives.
    """
    between, vectors = jax.lax.stop_gradient((between, box.vectors))
    repeated = [d for d in range(3) if box.periodic[d]]
    count = between.shape[0]
    if not repeated:
        return jnp.zeros_like(between), jnp.full(count, jnp.inf, between.dtype)
    turn = _reduction(vectors[np.array(repeated)])
    edges = turn @ vectors[np.array(repeated)]
    cells = jnp.round(between @ edges.T @ jnp.linalg.inv(edges @ edges.T))
    rounded = between - cells @ edges
    shortest = jnp.sqrt(jnp.min(jnp.sum(edges**2, 1)))

    def near() -> tuple[Array, Array]:
        return -cells, jnp.full(count, 0.5 * shortest)

    def far() -> tuple[Array, Array]:
        around = np.array(list(itertools.product((0, -1, 1), repeat=len(repeated))), float)
        steps = jnp.asarray(around.astype(between.dtype))
        lengths = jnp.sqrt(jnp.sum((rounded[:, None] + steps @ edges) ** 2, -1))
        first = jnp.argmin(lengths, 1)
        others = jnp.where(jnp.arange(len(around)) == first[:, None], jnp.inf, lengths)
        return steps[first] - cells, 0.5 * (jnp.min(lengths, 1) + jnp.min(others, 1))

    # What is nearer than half the shortest edge has no nearer image.
    close = jnp.all(jnp.sum(rounded**2, 1) < 0.25 * shortest**2)
    shifts, limit = jax.lax.cond(close, near, far)
    return jnp.zeros_like(between).at[:, np.array(repeated)].set(shifts @ turn), limit


def _reduction(edges: Float[Array, "k 3"]) -> Float[Array, "k k"]:
    """Whole numbers T with reduced edges T @ edges (in H. Minkowski's sense, found as by I. Semaev in 2001)."""
    k = edges.shape[0]
    one = jnp.eye(k, dtype=edges.dtype)
    if k == 1:
        return one
    sums = jnp.asarray([s for s in itertools.product((-1.0, 1.0), repeat=3) if s[0] > 0] if k == 3 else one, edges.dtype)

    def better(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        """The edge that another one shortens most, and then the longest if a sum of all three is shorter."""
        turn, _, turns = carry
        products = turn @ edges @ (turn @ edges).T
        share = jnp.where(one > 0, 0.0, products / jnp.diagonal(products))
        place = jnp.argmax(jnp.abs(share))
        whole = jnp.where(jnp.max(jnp.abs(share)) > 0.5 + SLACK, jnp.round(share.reshape(-1)[place]), 0.0)
        turn = turn - whole * one[place // k][:, None] * turn[place % k]
        along = sums @ turn
        lengths, longest = jnp.sum((along @ edges) ** 2, 1), jnp.argmax(jnp.sum((turn @ edges) ** 2, 1))
        shorter = jnp.min(lengths) < (1 - SLACK) * jnp.sum((turn[longest] @ edges) ** 2)
        shorter &= whole == 0 if k == 3 else False
        turn = jnp.where(shorter & (one[longest] > 0)[:, None], along[jnp.argmin(lengths)], turn)
        return turn, (whole != 0) | shorter, turns + 1

    start = (one, jnp.ones((), bool), jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(lambda c: c[1] & (c[2] < MOST_TURNS), better, start)[0]

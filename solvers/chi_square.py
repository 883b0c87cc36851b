"""Sums of squares of many normal numbers, drawn at once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

FEW = 512  # squares that are drawn one by one: a program that is quick to compile


def chi_square(key: Array, count: int, dtype: Any) -> Float[Array, ""]:
    """The sum of `count` squares of independent standard normal numbers, exactly distributed.

    Many of them by d v, v = (1 + x / sqrt(9 d))³, with x normal and accepted where log u < x² / 2 + d (1 - v + log v) for u
    uniform; nearly every x is. The result depends on the key alone: it has no derivative.

    **Source**: G. Marsaglia and W. W. Tsang, ACM Transactions on Mathematical Software 26 (2000) 363.
    """
    if count <= FEW:
        return jnp.sum(jax.random.normal(key, (count,), dtype) ** 2)
    d = 0.5 * count - 1 / 3

    def draw(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        turn, _, _ = carry
        ours = jax.random.fold_in(key, turn)
        x = jax.random.normal(jax.random.fold_in(ours, 0), (), dtype)
        u = jax.random.uniform(jax.random.fold_in(ours, 1), (), dtype)
        v = (1 + x / jnp.sqrt(jnp.asarray(9 * d, dtype))) ** 3
        safe = jnp.maximum(v, jnp.finfo(dtype).tiny)
        accepted = (v > 0) & (jnp.log(jnp.maximum(u, jnp.finfo(dtype).tiny)) < 0.5 * x * x + d * (1 - v + jnp.log(safe)))
        return turn + jnp.uint32(1), v, accepted

    start = (jnp.uint32(0), jnp.zeros((), dtype), jnp.zeros((), bool))
    return jax.lax.stop_gradient(2 * d * jax.lax.while_loop(lambda c: ~c[2], draw, start)[1])

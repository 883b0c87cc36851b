"""The part of Ewald's sum in reciprocal space.

    U = (2 pi / V) sum over k of exp(-k² / 4 alpha²) / k² |sum over j of q_j exp(i k x_j)|²

The waves k are whole numbers of the edges of the reciprocal cell, so that they follow boxes of any shape that change. Sums
over particles are made plane after plane of waves, each as products of matrices, with memory in proportion to the particles.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .box import Box


def reciprocal_energy(
    position: Float[Array, "n 3"], charge: Float[Array, " n"], box: Box, alpha: float, waves: tuple[int, int, int],
    waves_square: int | None,
) -> Float[Array, ""]:  # fmt: skip
    """U, of all waves of which no number is larger than `waves`, and n·n not than `waves_square`; k = 0 is left out."""
    inverse = box.inverse()
    place = position @ inverse
    a, b, c = (_waves(place[:, d], most) for d, most in enumerate(waves))
    # Both signs along the second edge; along the third they come from the same products.
    b = (jnp.concatenate([b[0][:0:-1], b[0]]), jnp.concatenate([-b[1][:0:-1], b[1]]))

    def plane(total: Array, wave: tuple[Array, Array, Array]) -> tuple[Array, None]:
        cosine, sine, weight = wave
        real, imaginary = charge * cosine, charge * sine
        real, imaginary = real * b[0] - imaginary * b[1], real * b[1] + imaginary * b[0]
        cc, ss = _over_particles(real, c[0]), _over_particles(imaginary, c[1])
        cs, sc = _over_particles(real, c[1]), _over_particles(imaginary, c[0])
        squares = jnp.stack([(cc - ss) ** 2 + (cs + sc) ** 2, (cc + ss) ** 2 + (sc - cs) ** 2], -1)
        return total + jnp.sum(weight * squares), None

    weights = _weights(inverse, alpha, waves, waves_square)
    # Planes are made again for derivatives, so that these take no more memory either.
    total = jax.lax.scan(jax.checkpoint(plane), jnp.zeros((), position.dtype), (*a, weights))[0]
    return 2 * math.pi / box.volume() * total


def _waves(place: Float[Array, " n"], most: int) -> tuple[Float[Array, "m n"], Float[Array, "m n"]]:
    """cos and sin of 2 pi m s for m = 0 to `most`."""
    turns = jnp.arange(most + 1, dtype=place.dtype)[:, None] * place
    phase = 2 * math.pi * (turns - jax.lax.stop_gradient(jnp.round(turns)))
    return jnp.cos(phase), jnp.sin(phase)


def _over_particles(left: Float[Array, "b n"], right: Float[Array, "c n"]) -> Float[Array, "b c"]:
    return jnp.matmul(left, right.T, precision=jax.lax.Precision.HIGHEST)


def _weights(
    inverse: Float[Array, "3 3"], alpha: float, waves: tuple[int, int, int], waves_square: int | None
) -> Float[Array, "a b c 2"]:
    """exp(-k² / 4 alpha²) / k² of waves (a, b, c) and (a, b, -c), each as often as it and its opposite are left out."""
    axes = [jnp.arange(low, most + 1) for low, most in zip((0, -waves[1], 0), waves)]
    one = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), -1)
    n = jnp.stack([one, one * jnp.asarray([1, 1, -1])], -2)
    length = jnp.sum(n * n, -1)
    used = (length > 0) & ((n[..., 2] != 0) | (jnp.arange(2) == 0))
    used &= length <= (waves_square or jnp.max(length))
    k = 2 * math.pi * n.astype(inverse.dtype) @ inverse.T
    square = jnp.where(used, jnp.sum(k * k, -1), 1.0)
    often = jnp.where(n[..., 0] > 0, 2.0, 1.0)
    return jnp.where(used, often * jnp.exp(-square / (4 * alpha**2)) / square, 0.0)

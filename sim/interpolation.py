"""States between stored ones, for `Trajectory.at`."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def hermite(
    ts: Float[Array, " n"],
    y: Float[Array, "n ..."],
    i: Int[Array, "*m"],
    t: Float[Array, "*m"],
    end: Float[Array, ""],
) -> Float[Array, "*m ..."]:
    """Values at times t, each between rows i and i + 1 of y, by the cubic through both with slopes from neighbours.

    The slope at a row is that of the parabola through it and its two neighbours, or of the line to the only neighbour
    that is finite. Values are NaN after `end`, and between rows of which one is not finite.
    """
    n = ts.shape[0]

    def wide(x: Array) -> Array:
        return x.reshape(x.shape + (1,) * (y.ndim - 1))

    if n == 1:
        return jnp.where(wide(t <= end), y[0], jnp.nan)
    known = jnp.isfinite(y)
    y = jnp.where(known, y, 0.0)  # a NaN in a branch not taken would be one in the derivative

    def ratio(a: Array, b: Array, there: Array) -> Array:
        """The slope from row a to row b where both are there."""
        return jnp.where(there, (y[b] - y[a]) / wide(jnp.where(ts[b] > ts[a], ts[b] - ts[a], 1.0)), 0.0)

    def slope(j: Array) -> Array:
        before, after = jnp.maximum(j - 1, 0), jnp.minimum(j + 1, n - 1)
        has_before, has_after = known[before] & wide(before < j), known[after] & wide(after > j)
        down, up = ratio(before, j, has_before), ratio(j, after, has_after)
        left, right = wide(ts[j] - ts[before]), wide(ts[after] - ts[j])
        width = jnp.where(left + right > 0.0, left + right, 1.0)
        inner = (down * right + up * left) / width
        return jnp.where(has_before & has_after, inner, down + up)

    h = wide(ts[i + 1] - ts[i])
    s = wide(t - ts[i]) / h
    value = (
        y[i] * (1 + 2 * s) * (1 - s) ** 2
        + y[i + 1] * s**2 * (3 - 2 * s)
        + h * (slope(i) * s * (1 - s) ** 2 - slope(i + 1) * s**2 * (1 - s))
    )
    # At a row itself the other one does not matter.
    there = known[i] & (known[i + 1] | (s == 0.0)) | known[i + 1] & (s == 1.0)
    return jnp.where(there & wide(t <= end), value, jnp.nan)

"""Tables of functions at evenly spaced places from zero on, joined by cubic polynomials as LAMMPS joins those of metals.

With values y_m and slopes s_m for one step, between m and m + 1 at p = x / step - m

    y = y_m + p (s_m + p (c2 + p c3)),   c2 = 3 (y_{m+1} - y_m) - 2 s_m - s_{m+1},   c3 = s_m + s_{m+1} - 2 (y_{m+1} - y_m)

and s_m = ((y_{m-2} - y_{m+2}) + 8 (y_{m+1} - y_{m-1})) / 12, central differences one entry from the ends, one-sided at the ends.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

LEAST = 5  # entries that slopes are made of


def cubics(values: Float[Array, "... n"]) -> Float[Array, "... n-1 4"]:
    """Coefficients of the polynomials between entries, lowest power first."""
    y = values
    inner = ((y[..., :-4] - y[..., 4:]) + 8.0 * (y[..., 3:-1] - y[..., 1:-3])) / 12.0
    first = [y[..., 1] - y[..., 0], 0.5 * (y[..., 2] - y[..., 0])]
    last = [0.5 * (y[..., -1] - y[..., -3]), y[..., -1] - y[..., -2]]
    slope = jnp.concatenate([jnp.stack(first, -1), inner, jnp.stack(last, -1)], -1)
    rise, here, there = y[..., 1:] - y[..., :-1], slope[..., :-1], slope[..., 1:]
    return jnp.stack([y[..., :-1], here, 3.0 * rise - 2.0 * here - there, here + there - 2.0 * rise], -1)


def read(table: Float[Array, "... m 4"], index: tuple[Any, ...], steps: Float[Array, ""]) -> Float[Array, ""]:
    """The value of table `index` so many steps from its beginning; beyond its end the last value."""
    c, p = _polynomial(table, index, steps)
    return c[0] + p * (c[1] + p * (c[2] + p * c[3]))


def read_on(table: Float[Array, "... m 4"], index: tuple[Any, ...], steps: Float[Array, ""]) -> Float[Array, ""]:
    """As `read`, going on with the last slope beyond the end."""
    c, _ = _polynomial(table, index, steps)
    return read(table, index, steps) + (c[1] + 2.0 * c[2] + 3.0 * c[3]) * jnp.maximum(steps - table.shape[-2], 0.0)


def _polynomial(table: Array, index: tuple[Any, ...], steps: Array) -> tuple[Array, Array]:
    m = jnp.clip(steps.astype(jnp.int32), 0, table.shape[-2] - 1)
    c = table.at[(*index, m)].get(mode="promise_in_bounds")
    return c, jnp.minimum(steps - m.astype(steps.dtype), 1.0)

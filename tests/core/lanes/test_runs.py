"""Rows of a table that all lanes share, each lane reading its own: against `vmap` on XLA, bit for bit, at all widths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from test_primitives import LANES, compare

import worldline as wl

ROWS = 40
READERS = {
    "index": lambda table, i: table[i],
    "clip": lambda table, i: table.at[i].get(mode="clip"),
    "promised": lambda table, i: table.at[jnp.clip(i, 0, ROWS - 1)].get(mode="promise_in_bounds"),
    "slice": lambda table, i: lax.dynamic_slice(table, (i, 0), (1, table.shape[1])),
    "two rows": lambda table, i: lax.dynamic_slice(table, (i, 0), (2, table.shape[1])),
    "part of a row": lambda table, i: lax.dynamic_slice(table, (i, i), (1, (table.shape[1] + 1) // 2)),
    "a column": lambda table, i: lax.dynamic_slice(table, (i, 0), (3, 1)),
    "several rows": lambda table, i: table[jnp.stack([i, i + 1, i // 2])],
    "transposed": lambda table, i: table.T[:, i],
}


def table_of(length, dtype):
    """Random numbers [ROWS, length]."""
    drawn = np.random.default_rng(length).normal(size=(ROWS, length)) * 100
    return jnp.asarray(drawn > 0 if dtype == "b1" else drawn.astype(dtype))


PLACES = np.random.default_rng(0).integers(-2 * ROWS, 2 * ROWS, LANES)


@pytest.mark.parametrize("name", list(READERS))
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "b1"])
def test_rows_of_a_shared_table(name, dtype):
    for length in (1, 2, 3, 4, 7, 8):
        table = table_of(length, dtype)
        compare(lambda i, table=table: READERS[name](table, i), PLACES, ulp=0)


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16])
def test_rows_at_every_width(width, monkeypatch):
    monkeypatch.setenv("WORLDLINE_LANES_WIDTH", str(width))
    for length in (2, 3, 4, 5):
        for dtype in ("f4", "f8"):
            table = table_of(length, dtype)
            found = wl.lanes(lambda i, table=table: table[i])(jnp.asarray(PLACES))
            np.testing.assert_array_equal(found, jax.vmap(lambda i, table=table: table[i], -1, -1)(jnp.asarray(PLACES)))


def test_rows_in_a_loop_and_their_derivative():
    table = table_of(4, "f8")

    def summed(scale, i):
        def step(k, total):
            return total + jnp.sin(scale * table[(i + 7 * k) % ROWS])

        return lax.fori_loop(0, 9, step, jnp.zeros(4))

    scales = np.linspace(0.01, 0.02, LANES)
    places = np.arange(LANES) % ROWS
    compare(summed, scales, places, ulp=64, size=10.0)
    compare(lambda s, i: jax.jvp(lambda s: summed(s, i), (s,), (1.0,))[1], scales, places, ulp=64, size=1000.0)

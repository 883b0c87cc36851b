"""What the lanes of a group share: conditions that all take one way, and programs written twice, for lanes and for XLA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl
from worldline.core.lanes.width import any_lane, lane_width, native_or_xla


@pytest.mark.parametrize("size", [3, 150])
def test_a_condition_holds_for_the_group_where_it_holds_for_any_lane(size):
    x = np.random.default_rng(0).normal(size=(size, 64)) > 2
    shared = np.asarray(jax.jit(wl.lanes(any_lane))(x))
    of_groups = [x.reshape(size, -1, width).any(-1).repeat(width, -1) for width in (1, 2, 4, 8, 16, 32, 64)]
    assert any((shared == expected).all() for expected in of_groups)
    np.testing.assert_array_equal(jax.jit(jax.vmap(any_lane, -1, -1))(x), x)


def test_lanes_that_are_done_have_no_say():
    def last(n):
        def step(state):
            k, seen = state
            return k + 1, jnp.where(any_lane(k < 2), seen, k)

        return jax.lax.while_loop(lambda s: s[0] < n, step, (0, 0))[1]

    n = jnp.arange(21)
    np.testing.assert_array_equal(jax.jit(wl.lanes(last))(n), jnp.where(n > 2, n - 1, 0))


def test_each_machine_runs_its_own_way():
    f = lambda x: native_or_xla(lambda x: x + lane_width(), lambda x: 2 * x, x)
    x = jnp.arange(1.0, 6.0)
    np.testing.assert_array_equal(jax.jit(jax.vmap(f))(x), 2 * x)
    assert (jax.jit(wl.lanes(f))(x) > 1.5 + x / 2).all()
    np.testing.assert_array_equal(jax.jit(wl.lanes(jax.grad(f)))(x), jnp.ones(5))
    np.testing.assert_array_equal(jax.jit(jax.vmap(jax.grad(f)))(x), jnp.full(5, 2.0))

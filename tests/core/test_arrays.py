"""`stack` and `floats_to_arrays`: what a user writes down becomes arrays of one definite type."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl


def test_stack_joins_numbers_and_arrays_along_a_new_first_axis():
    y = jnp.arange(6.0).reshape(2, 3)
    stacked = wl.stack(y[0], 1, -y[1])
    np.testing.assert_array_equal(stacked, [[0, 1, 2], [1, 1, 1], [-3, -4, -5]])
    np.testing.assert_array_equal(wl.stack([1.0, y[0, 1]]), [1, 1])
    np.testing.assert_array_equal(wl.stack((2.0,)), [2])


@pytest.mark.parametrize(
    "components, dtype",
    [
        ((1, 2), jnp.float64),
        ((True, 2.5), jnp.float64),
        ((jnp.float32(1), 2.0), jnp.float32),
        ((jnp.float32(1), jnp.float64(2)), jnp.float64),
        ((np.int32(1), 2), jnp.float64),
    ],
)
def test_stack_gives_the_common_float_type(components, dtype):
    stacked = wl.stack(*components)
    assert stacked.dtype == dtype
    assert not stacked.weak_type


def test_stack_refuses_nothing_and_unequal_shapes():
    with pytest.raises(ValueError, match=r"at least one component, as in stack\(x, y\)"):
        wl.stack()
    with pytest.raises(ValueError, match=r"shapes \(2,\), \(3,\).*one shape"):
        wl.stack(jnp.zeros(2), jnp.zeros(3))


def test_stack_is_differentiable_and_maps():
    slope = jax.jacobian(lambda x: wl.stack(x * x, 3.0, jnp.sin(x)))(0.5)
    np.testing.assert_allclose(slope, [1.0, 0.0, np.cos(0.5)], rtol=1e-15)
    assert jax.vmap(lambda x: wl.stack(x, 1.0))(jnp.arange(4.0)).shape == (4, 2)


def test_floats_to_arrays_converts_floats_only_and_drops_weak_types():
    fn = jnp.sin
    tree = wl.core.floats_to_arrays(
        {"a": 1.5, "n": 3, "f": fn, "b": np.ones(2, np.float32), "c": jnp.asarray(2.0)}
    )
    assert tree["n"] == 3 and type(tree["n"]) is int
    assert tree["f"] is fn
    for name, dtype in (("a", jnp.float64), ("b", jnp.float32), ("c", jnp.float64)):
        assert isinstance(tree[name], jax.Array)
        assert tree[name].dtype == dtype
        assert not tree[name].weak_type

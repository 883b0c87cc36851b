"""Mapping over lanes, at once and in chunks."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

ROUNDING = 1e-13


class System(wl.core.Parametrized):
    stiffness: jax.Array
    law: Callable
    links: int = 3


def force(system, x, offset=0.0):
    return {"f": system.law(system.stiffness * x) * system.links + offset, "tag": "lane", "n": system.links}


def systems(n):
    return System(jnp.linspace(0.5, 2.0, n), jnp.sin)


def test_leaves_that_are_no_arrays_are_shared():
    x = jnp.arange(4.0)
    out = wl.vmap(force)(systems(4), x)
    np.testing.assert_allclose(out["f"], 3 * np.sin(np.linspace(0.5, 2.0, 4) * np.arange(4)), rtol=ROUNDING)
    assert out["tag"] == "lane" and out["n"] == 3
    np.testing.assert_allclose(wl.vmap(force)(systems(4), x, 1.0)["f"], out["f"] + 1, rtol=ROUNDING)
    np.testing.assert_allclose(wl.vmap(force)(systems(4), x, offset=x)["f"], out["f"] + x, rtol=ROUNDING)


@pytest.mark.parametrize("chunk", [None, 1, 2, 3, 4, 7, 11, 12, 100])
@pytest.mark.parametrize("in_axes, out_axes", [(0, 0), (1, -1), (-1, 1), ((0, None), 0), ([None, 1], (0, 1))])
def test_axes_and_chunks_agree_with_jax(in_axes, out_axes, chunk):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(11, 11)), rng.normal(size=(11, 11))

    def fn(a, b):
        return jnp.sin(a) * b, jnp.outer(a, b)

    want = jax.vmap(fn, tuple(in_axes) if isinstance(in_axes, list) else in_axes, out_axes)(a, b)
    got = wl.vmap(fn, in_axes, out_axes, chunk=chunk)(a, b)
    for u, v in zip(got, want, strict=True):
        np.testing.assert_allclose(u, v, rtol=ROUNDING)


@pytest.mark.parametrize("chunk", [None, 4])
def test_axes_for_parts_of_an_argument(chunk):
    tree = {"a": jnp.arange(6.0), "b": jnp.array(2.0), "name": "x"}
    axes = {"a": 0, "b": None, "name": None}
    mapped = wl.vmap(
        lambda t: (t["a"] * t["b"], t["b"], t["name"]), in_axes=(axes,), out_axes=(0, None, 0), chunk=chunk
    )
    product, shared, name = mapped(tree)
    np.testing.assert_array_equal(product, 2 * np.arange(6.0))
    assert shared == 2.0 and name == "x"


def test_random_keys_are_mapped():
    keys = jax.random.split(jax.random.key(0), 7)
    want = jax.vmap(jax.random.normal)(keys)
    np.testing.assert_array_equal(wl.vmap(jax.random.normal, chunk=3)(keys), want)


@pytest.mark.parametrize("chunk", [None, 4])
def test_gradients_through_the_map(chunk):
    x = jnp.linspace(0.0, 1.0, 10)

    def total(k):
        return jnp.sum(wl.vmap(force, (None, 0), chunk=chunk)(System(k, jnp.sin), x)["f"] ** 2)

    want = np.sum(2 * 9 * np.sin(2 * x) * np.cos(2 * x) * x)
    np.testing.assert_allclose(jax.grad(total)(2.0), want, rtol=1e-12)
    np.testing.assert_allclose(jax.jacfwd(total)(2.0), want, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.grad(total))(2.0), want, rtol=1e-12)


def memory(chunk, gradient):
    """Bytes of working memory for 4096 lanes, each going through a matrix of 32 x 32."""

    def lane(x):
        table = jnp.sin(x * jnp.arange(32.0)[:, None] * jnp.arange(32.0))
        return jnp.sum(jnp.linalg.matrix_power(table, 3))

    def total(x):
        return jnp.sum(wl.vmap(lane, chunk=chunk)(x))

    fn = jax.grad(total) if gradient else total
    return jax.jit(fn).lower(jnp.ones(4096)).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("gradient", [False, True])
def test_chunks_bound_the_memory(gradient):
    assert memory(128, gradient) < memory(None, gradient) / 16


def test_errors_name_arguments_and_sizes():
    with pytest.raises(ValueError) as caught:
        wl.vmap(force)(systems(3), jnp.ones(4))
    assert str(caught.value) == (
        "vmap: the mapped axes differ in size: system.stiffness has 3 (shape (3,)), x has 4 (shape (4,))"
    )
    with pytest.raises(ValueError, match=r"offset has 5 \(shape \(5,\)\)"):
        wl.vmap(force)(systems(3), jnp.ones(3), offset=jnp.ones(5))
    with pytest.raises(
        ValueError, match=r"system\.stiffness has shape \(\) and so no axis 0.*None for it in in_axes"
    ):
        wl.vmap(force)(System(jnp.array(1.0), jnp.sin), jnp.ones(4))
    with pytest.raises(ValueError, match=r"x has shape \(4,\) and so no axis 1"):
        wl.vmap(force, in_axes=(0, 1))(systems(4), jnp.ones(4))
    with pytest.raises(ValueError, match="no argument of force is mapped"):
        wl.vmap(force, in_axes=None)(systems(4), jnp.ones(4))
    with pytest.raises(ValueError, match="in_axes has 3 entries, but force was called with 2"):
        wl.vmap(force, in_axes=(0, 0, 0))(systems(4), jnp.ones(4))
    with pytest.raises(ValueError, match="in_axes = .* does not begin like"):
        wl.vmap(force, in_axes=({"a": 0}, 0))(systems(4), jnp.ones(4))
    with pytest.raises(TypeError, match="in_axes holds 'x'"):
        wl.vmap(force, in_axes="x")(systems(4), jnp.ones(4))
    for chunk in (0, 2.0, True):
        with pytest.raises(ValueError, match="positive integer or None"):
            wl.vmap(force, chunk=chunk)

"""Streams: the same name gives the same numbers, other names give independent ones."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl


def words(key):
    return np.asarray(jax.random.key_data(key))


def test_streams_depend_on_key_and_name_alone():
    first = wl.streams(3, "a", "b")
    assert list(first) == ["a", "b"]
    other = wl.streams(3, "c", "b", "a")
    for name in first:
        np.testing.assert_array_equal(words(first[name]), words(other[name]))
    assert (words(first["a"]) != words(first["b"])).any()
    assert (words(first["a"]) != words(wl.streams(4, "a")["a"])).any()


def test_streams_are_what_is_documented_and_stay_so():
    digest = hashlib.sha256(b"thermostat").digest()
    key = jax.random.key(3)
    for part in (digest[:4], digest[4:8]):
        key = jax.random.fold_in(key, int.from_bytes(part, "big"))
    np.testing.assert_array_equal(words(wl.streams(3, "thermostat")["thermostat"]), words(key))
    # Written down once: a change would change the numbers of every run.
    np.testing.assert_array_equal(words(wl.streams(3, "a")["a"]), [127615736, 1192211749])


@pytest.mark.parametrize("seed", [3, np.int64(3), jnp.array(3), jax.random.key(3), jax.random.PRNGKey(3)])
def test_every_kind_of_key(seed):
    made = wl.streams(seed, "a")["a"]
    np.testing.assert_array_equal(words(made), [127615736, 1192211749])
    old = getattr(seed, "dtype", None) == jnp.uint32
    assert jnp.issubdtype(made.dtype, jax.dtypes.prng_key) != old


def test_streams_under_jit_and_vmap():
    want = words(wl.streams(3, "a")["a"])
    np.testing.assert_array_equal(jax.jit(lambda s: words_traced(wl.streams(s, "a")["a"]))(3), want)
    keys = jax.random.split(jax.random.key(0), 3)
    many = jax.vmap(lambda k: wl.streams(k, "a")["a"])(keys)
    np.testing.assert_array_equal(words(many[1]), words(wl.streams(keys[1], "a")["a"]))


def words_traced(key):
    return jax.random.key_data(key)


def test_streams_are_independent():
    """Correlations between all pairs of 40 streams, each in units of the sigma of independent numbers."""
    n, names = 20_000, [f"stream {i}" for i in range(38)] + ["a", "b"]
    keys = wl.streams(11, *names)
    numbers = np.stack([np.asarray(jax.random.normal(k, (n,))) for k in keys.values()])
    correlation = (numbers @ numbers.T / n)[np.triu_indices(len(names), 1)] * np.sqrt(n)
    assert np.abs(correlation).max() < 5
    assert 0.9 < correlation.std() < 1.1
    assert np.abs(numbers.mean(axis=1) * np.sqrt(n)).max() < 5


def test_streams_errors():
    with pytest.raises(ValueError, match="at least one name"):
        wl.streams(0)
    with pytest.raises(ValueError, match="'a' given twice"):
        wl.streams(0, "a", "b", "a")
    with pytest.raises(TypeError, match="must be a string, got 3"):
        wl.streams(0, 3)
    for wrong in (0.5, True, "seed", jnp.ones(2), jnp.arange(3)):
        with pytest.raises(TypeError, match="key must be an integer seed"):
            wl.streams(wrong, "a")
    with pytest.raises(TypeError, match=r"batch of keys of shape \(3,\).*wl\.vmap"):
        wl.streams(jax.random.split(jax.random.key(0), 3), "a")

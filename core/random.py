"""Named, independent streams of random numbers from one seed."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, UInt32

Key = PRNGKeyArray | UInt32[Array, "words"]


def streams(key: int | Key, *names: str) -> dict[str, Key]:
    """One random key for each name, each independent of the others.

        keys = streams(7, "thermostat", "initial velocities")

    The key of a name depends on `key` and the name alone: not on the order, nor on which other names are
    asked for, nor on the Python process. So a program that one day needs another stream keeps the numbers
    of those it had.

    `key` is an integer seed (traced ones too), a key of `jax.random.key`, or an old one of
    `jax.random.PRNGKey`; the keys given back are of the same kind (from a seed, the new kind). Each is
    `fold_in(fold_in(key, a), b)`, with a and b the first two 32-bit words of the SHA-256 digest of the
    name.

    Raises `ValueError` for a name given twice or no name, `TypeError` for names that are no strings or a
    key that is none.
    """
    if not names:
        raise ValueError('streams: needs at least one name, as in streams(key, "noise")')
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"streams: a name must be a string, got {name!r}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"streams: {', '.join(map(repr, twice))} given twice; equal names would give equal numbers"
        )
    root = _as_key(key)
    return {name: _folded(root, name) for name in names}


def _as_key(key: Any) -> Any:
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
        return jax.random.key(int(key))
    dtype = getattr(key, "dtype", None)
    if dtype is None:
        raise TypeError(f"streams: key must be an integer seed or a key as of jax.random.key(0), got {key!r}")
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        shape = key.shape
    elif jnp.issubdtype(dtype, jnp.integer) and key.ndim == 0:
        return jax.random.key(key)
    elif dtype == jnp.uint32:
        shape = key.shape[:-1]
    else:
        raise TypeError(
            f"streams: key must be an integer seed or a key as of jax.random.key(0), got an array of "
            f"{dtype} with shape {key.shape}"
        )
    if shape:
        raise TypeError(
            f"streams: key holds a batch of keys of shape {shape}; for a stream in each lane write "
            "wl.vmap(lambda key: wl.streams(key, ...))(keys)"
        )
    return key


def _folded(key: Any, name: str) -> Any:
    digest = hashlib.sha256(name.encode()).digest()
    for start in (0, 4):
        key = jax.random.fold_in(key, np.uint32(int.from_bytes(digest[start : start + 4], "big")))
    return key

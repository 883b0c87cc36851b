"""A program with a bit of everything, and its results for some choices of lanes, printed as digests; run by itself.

`test_independence` starts it with several numbers of threads and devices, and compares what it prints.
"""

import hashlib
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import worldline as wl

LANES = 203  # no multiple of a width; many more groups than threads


def program(x, m, key):
    """Registers, memory (also more than the stack takes), divergent loops and branches, sorting, random numbers."""

    def step(state, t):
        x, m, key = state
        key, own = jax.random.split(key)
        x = jnp.sin(x + t) + 0.1 * jax.random.normal(own, x.shape)
        place = jnp.abs(100 * x[0]).astype(int) % 600
        m = m.at[place].set(x.sum()).at[jnp.array([3, 599])].add(x[1], mode="drop")
        x = lax.cond(x[0] > 0.3, lambda x: x * 0.5, lambda x: x + m[place - 7], x)
        x, _ = lax.while_loop(lambda s: (jnp.abs(s[0]).max() > 0.4) & (s[1] < 20), lambda s: (s[0] * 0.8, s[1] + 1), (x, 0))
        return (x, jnp.tanh(m + x[2]), key), jnp.sort(m[:40])[5]

    (x, m, key), rows = lax.scan(step, (x, m, key), jnp.linspace(0.0, 1.0, 7))
    return x, m.sum(), jnp.sort(m)[::50], rows, jax.random.bits(key, (2,))


def gradient(x, m, key):
    """The derivative of a part of it that has one."""

    def value(x):
        step = lambda y, t: (jnp.sin(y) * jnp.where(y[0] > 0, t, 1.0) + m[:3], jnp.sort(y))
        y, rows = lax.scan(step, x, jnp.linspace(0.5, 1.0, 9))
        return (y * rows).sum()

    return jax.value_and_grad(value)(x)


def inputs(lanes=LANES):
    """Arguments for so many lanes; the first ones are the same for any number."""
    rng = np.random.default_rng(0)
    x, m = (np.moveaxis(rng.normal(size=(LANES, n)), 0, -1) for n in (3, 600))
    return x[:, :lanes], m[:, :lanes], np.asarray(jax.random.split(jax.random.PRNGKey(1), LANES)).T[:, :lanes]


def digest(values):
    """What identifies the bits of some arrays."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(y).tobytes() for y in jax.tree.leaves(values))).hexdigest()[:16]


def chosen(values, lanes):
    """The results of some lanes."""
    return [np.asarray(y)[..., lanes] for y in jax.tree.leaves(values)]


def check_choices(native, xs, few):
    """The results of all lanes; each has the same bits alone, in another order, among fewer, and beside a broken one."""
    every = native(*xs)
    order = np.random.default_rng(1).permutation(LANES)
    for lanes in (order, order[:9]) if few else (order, order[:50], order[:9], np.repeat(order[:3], 7), order[:1]):
        assert digest(native(*(x[:, lanes] for x in xs))) == digest(chosen(every, lanes)), lanes
    for broken in (101,) if few else (0, 101, LANES - 1):
        worse = [np.array(x) for x in xs]
        worse[0][:, broken] = np.nan
        others = np.arange(LANES) != broken
        assert digest(chosen(native(*worse), others)) == digest(chosen(every, others)), broken
    return every


def check_callers(natives, xs, expected):
    """Several threads call the same kernel and different ones at once."""
    wrong = []

    def work(k):
        for _ in range(5):
            if digest(natives[k % 2](*xs)) != expected[k % 2]:
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong


def check_devices(function, xs, expected):
    """On a mesh of all devices; the lanes are as many as can be divided among them."""
    mesh = jax.make_mesh((jax.device_count(),), ("lanes",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec
    count = LANES - LANES % jax.device_count()
    mapped = jax.shard_map(
        wl.lanes(function), mesh=mesh, in_specs=(spec(None, "lanes"),) * 3,
        out_specs=jax.tree.map(lambda y: spec(*[None] * (y.ndim - 1), "lanes"), expected), check_vma=False,
    )  # fmt: skip
    results = jax.jit(mapped)(*(x[:, :count] for x in xs))
    assert digest(results) == digest(chosen(expected, np.arange(count)))


def main(few):
    """Print the digests of both functions."""
    jax.config.update("jax_enable_x64", True)
    xs = inputs()
    natives = [jax.jit(wl.lanes(f)) for f in (program, gradient)]
    results = [check_choices(native, xs, few) for native in natives]
    digests = [digest(r) for r in results]
    check_callers(natives, xs, digests)
    if jax.device_count() > 1:
        for function, found in [*zip((program, gradient), results, strict=True)][: 1 if few else 2]:
            check_devices(function, xs, found)
    print(*digests)


if __name__ == "__main__":
    main(few="few" in sys.argv[1:])

"""Lanes over eight devices: the numbers of one device, for any number of lanes."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

EIGHT_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
import worldline as wl
shard_lanes = wl.core.shard_lanes

def one(x, rate, key):
    c = wl.while_loop(lambda c: c[0] < x, lambda c: (c[0] + rate, c[1] + jnp.sin(c[0])), (0.0, 0.0))
    return {"sum": c[1] + jax.random.normal(key), "end": c[0], "label": "lane"}

mapped = wl.vmap(one, in_axes=(0, None, 0))
rate = jnp.array(0.3)
for lanes in (1, 7, 8, 13, 1000):
    x, keys = jnp.linspace(0.0, 20.0, lanes), jax.random.split(jax.random.key(lanes), lanes)
    want = wl.jit(mapped)(x, rate, keys)
    runs = {
        "all": shard_lanes(mapped, in_axes=(0, None, 0)),
        "three": shard_lanes(mapped, 3, in_axes=(0, None, 0)),
        "jit": wl.jit(shard_lanes(mapped, jax.devices()[2:7], in_axes=(0, None, 0))),
    }
    for name, run in runs.items():
        got = run(x, rate, keys)
        assert got["label"] == "lane"
        for field in ("sum", "end"):
            np.testing.assert_allclose(got[field], want[field], rtol=1e-6, err_msg=f"{name} {lanes}")
    if lanes == 1000:
        assert len(runs["all"](x, rate, keys)["end"].sharding.device_set) == 8

# Arrays that the user put on a device outside the mesh.
x = jax.device_put(jnp.linspace(0.0, 1.0, 13), jax.devices()[7])
double = wl.vmap(lambda x, a: jnp.sin(a * x), in_axes=(0, None))
spread = shard_lanes(double, jax.devices()[:4], in_axes=(0, None))
np.testing.assert_allclose(spread(x, 2.0), np.sin(2 * np.asarray(x)), rtol=1e-6)

# Derivatives with respect to what is shared and to what is not.
x = jnp.linspace(0.0, 1.0, 13)
slope = wl.grad(lambda a: jnp.sum(spread(x, a)))
np.testing.assert_allclose(slope(2.0), np.sum(np.asarray(x) * np.cos(2 * np.asarray(x))), rtol=1e-6)
np.testing.assert_allclose(wl.jit(slope)(2.0), slope(2.0), rtol=1e-6)
table = wl.jacobian(lambda x: spread(x, jnp.array(2.0)))(x)
np.testing.assert_allclose(table, np.diag(2 * np.cos(2 * np.asarray(x))), rtol=1e-6, atol=1e-6)

# The last lane is run again to fill up; that must not count twice.
np.testing.assert_allclose(wl.grad(lambda x: jnp.sum(spread(x, 2.0)))(x), np.diag(table), rtol=1e-6)
text = jax.jit(lambda x: spread(x, 2.0)).lower(x).as_text()
assert not any(word in text for word in ("all_reduce", "all_gather", "collective_permute")), text
try:
    shard_lanes(double, 9)
except ValueError as error:
    assert "devices = 9, but there are 8" in str(error)
else:
    raise AssertionError("nine devices of eight")
print("passed")
"""


def test_eight_devices_give_the_numbers_of_one():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    run = subprocess.run(
        [sys.executable, "-c", EIGHT_DEVICES], env=environment, capture_output=True, text=True
    )
    assert run.stdout.strip() == "passed", run.stderr


def test_one_device():
    x = jnp.linspace(0.0, 1.0, 5)
    run = wl.core.shard_lanes(wl.vmap(jnp.sin), 1)
    np.testing.assert_allclose(run(x), np.sin(x), rtol=1e-15)


def test_errors():
    shard_lanes = wl.core.shard_lanes
    add = wl.vmap(lambda x, y: x + y)
    many = len(jax.devices()) + 1
    with pytest.raises(ValueError, match=rf"devices = {many}, but there are .*device_count={many} before"):
        shard_lanes(add, many)
    with pytest.raises(ValueError, match="devices = 0"):
        shard_lanes(add, 0)
    with pytest.raises(ValueError, match="must be some of jax.devices"):
        shard_lanes(add, ["cpu"])
    with pytest.raises(ValueError, match=r"shapes are \(3,\), \(4,\).*None in in_axes"):
        shard_lanes(add)(jnp.ones(3), jnp.ones(4))
    with pytest.raises(ValueError, match=r"shapes are \(3,\), \(\)"):
        shard_lanes(add)(jnp.ones(3), jnp.array(1.0))
    with pytest.raises(ValueError, match="there are no lanes"):
        shard_lanes(add)(jnp.ones(0), jnp.ones(0))
    with pytest.raises(ValueError, match="0 or None for each of 2 arguments"):
        shard_lanes(add, in_axes=(0, 1))(jnp.ones(3), jnp.ones(3))
    with pytest.raises(ValueError, match=r"a result has shape \(\) for 3 lanes"):
        shard_lanes(jnp.sum, 1)(jnp.ones(3))

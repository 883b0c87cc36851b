"""The same programs with groups of 1, 2, 4, 8 and 16 lanes, each in a process of its own: the same numbers."""

import os
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import sys
import jax, jax.numpy as jnp, numpy as np
from jax import lax
import worldline as wl

def fn(x, m, n):
    def step(s, t):
        x, m, n = s
        x = jnp.where(x > t, jnp.sin(x), x[::-1] + n)
        m = m.at[n % 150].set(x.sum()).at[jnp.array([n, 200])].add(1.0, mode="drop")
        x = lax.cond(x[0] > 0.3, lambda x: x * 0.5, lambda x: x + m[n % 7], x)
        x, k = lax.while_loop(lambda s: (s[0].max() > 0.5) & (s[1] < 9), lambda s: (s[0] * 0.7, s[1] + 1), (x, 0))
        return (x, m, lax.switch(n % 3, [lambda n: n + 1, lambda n: n * 3 % 11, lambda n: n ^ 5], n) + k), x
    (x, m, n), rows = lax.scan(step, (x, m, n), jnp.linspace(0.0, 1.0, 6))
    bits = jax.random.bits(jax.random.fold_in(jax.random.PRNGKey(0), n), (3,))
    return x, m, n, rows, jnp.sort(m[:9]), jnp.linalg.solve(jnp.eye(3) * 3 + jnp.outer(x, x), x), bits, rows > 0.1

rng = np.random.default_rng(0)
xs = rng.normal(size=(3, 21)), rng.normal(size=(150, 21)), rng.integers(0, 9, 21)
both = [jax.tree.leaves(f(*xs)) for f in (wl.lanes(fn), jax.vmap(fn, -1, -1))]
both += [[f(*xs)] for f in (wl.lanes(jax.jacfwd(lambda *a: fn(*a)[0])), jax.vmap(jax.jacfwd(lambda *a: fn(*a)[0]), -1, -1))]
for a, e in (*zip(*both[:2]), *zip(*both[2:])):
    np.testing.assert_allclose(a, e, rtol=1e-12, atol=1e-12)  # a hundred operations, right to a few ulp each
print(wl.lanes.explain(fn, *xs).width)
np.savez(sys.argv[1], *both[0])
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each width computes."""
    folder, found = tmp_path_factory.mktemp("widths"), {}
    for width in (1, 2, 4, 8, 16):
        environment = {**os.environ, "WORLDLINE_LANES_WIDTH": str(width), "JAX_ENABLE_X64": "1"}
        command = [sys.executable, "-W", "error::UserWarning", "-c", PROGRAM, str(folder / f"{width}.npz")]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.strip() == str(width)
        found[width] = list(np.load(folder / f"{width}.npz").values())
    return found


@pytest.mark.slow
def test_all_widths_give_the_same_numbers(results):
    for width in (1, 2, 4, 16):
        for a, e in zip(results[width], results[8], strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-12, atol=1e-12)  # fused or not, and of other vector functions

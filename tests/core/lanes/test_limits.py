"""What lanes are not made for ends in one sentence, in `vmap` on XLA with a warning, or in a status; never in a crash."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import worldline as wl

X = np.random.default_rng(0).normal(size=(3, 21))


def nested(depth):
    """Branches in loops in loops that end otherwise in each lane, so many deep."""
    if depth == 0:
        return jnp.sin
    inner = nested(depth - 1)
    if depth % 3 == 0:
        return lambda x: lax.cond(x[0] > 0, inner, lambda x: x * 0.5, x)
    if depth % 3 == 1:
        return lambda x: lax.fori_loop(0, 2, lambda i, x: x * 0.5, inner(x))
    return lambda x: lax.while_loop(lambda s: s[1] < (x[1] > 0), lambda s: (inner(s[0]), s[1] + 1), (x, 0))[0]


FALLBACKS = {
    "complex128": (lambda x: abs(x * 1j), X), "numbers of type complex64": (jnp.conj, X.astype("c8")),
    "numbers of type float16": (lambda x: x * 2, X.astype("f2")),
    "pure_callback": (lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="expand_dims"), X),
    "numbers of type": (lambda x: x, np.zeros((3, 21), jax.dtypes.float0)),
}  # fmt: skip


@pytest.mark.parametrize("name", FALLBACKS)
def test_what_has_no_native_code_says_so_and_runs(name):
    function, x = FALLBACKS[name]
    with pytest.warns(UserWarning, match=f"{name}.*runs by vmap on XLA"):
        actual = wl.lanes(function)(x)
    expected = jax.vmap(function, -1, -1)(x)
    assert actual.dtype == expected.dtype
    if name != "numbers of type":  # those of float0 are no numbers
        np.testing.assert_allclose(actual, expected, rtol=1e-13)


def test_programs_that_are_too_long_run_on_xla(monkeypatch):
    monkeypatch.setattr("worldline.core.lanes.lowering.MOST_LINES", 200)
    function = lambda x: sum((jnp.sin(x + k) for k in range(50)), x)
    with pytest.warns(UserWarning, match=r"a program of \d+ operations on numbers, more than 200: .*runs by vmap"):
        actual = wl.lanes(function)(X)
    np.testing.assert_allclose(actual, jax.vmap(function, -1, -1)(X), rtol=1e-12)
    assert "more than 200" in str(wl.lanes.explain(function, X))


def test_shapes_that_depend_on_values_are_jax_errors():
    with pytest.raises(jax.errors.ConcretizationTypeError):
        wl.lanes(lambda x: jnp.nonzero(x > 0)[0])(X)
    with pytest.raises(jax.errors.TracerBoolConversionError):
        wl.lanes(lambda x: x if x[0] > 0 else -x)(X)


@pytest.mark.parametrize("arguments", [(), (3.0,), (None,)])
def test_no_lanes_to_count(arguments):
    with pytest.raises(ValueError, match="lanes: no argument of .* is mapped"):
        wl.lanes(lambda *xs: xs)(*arguments)


def test_places_far_outside():
    far = np.array([2**62, -(2**62), 2**31, -1] * 5 + [0])
    for mode in ("clip", "fill", "drop"):
        function = lambda x, i, mode=mode: jnp.tile(x, 60).at[i].set(7.0, mode=mode)
        np.testing.assert_array_equal(wl.lanes(function)(X, far), jax.vmap(function, -1, -1)(X, far))


def test_deeply_nested_loops_and_branches():
    function = nested(30)
    np.testing.assert_allclose(jax.jit(wl.lanes(function))(X), jax.vmap(function, -1, -1)(X), rtol=1e-12)


def test_a_lane_that_would_never_end_stops_at_the_step_limit():
    """One lane needs steps without end; the others do not notice, and it says so."""

    def run(p):
        return wl.simulate(wl.ode.System(lambda t, y, p: -p * y, p), 1.0, ts=[0.0, 1.0], solver="tsit5", max_steps=300, throw=False)

    fast = np.array([1.0, 2.0, 1e12, 3.0, np.nan, 1.0])
    runs = wl.ensemble(run)(fast)
    alone = wl.ensemble(run)(fast[[0, 1, 3, 5]])
    fine = np.array([0, 1, 3, 5])
    np.testing.assert_array_equal(np.asarray(runs.status.failed), [False, False, True, False, True, False])
    np.testing.assert_array_equal(np.asarray(runs.states)[fine], np.asarray(alone.states))


DEEP_STACK = """
import threading
import jax, jax.numpy as jnp, numpy as np
import worldline as wl

def fn(x):  # 90 arrays of 3 kB wait, with copies of each: on the stack until its share is full, then in the workspace
    rows = [jnp.cumsum(jnp.tile(x, 67)[:200] * k) for k in range(1, 91)]
    return sum(jnp.tanh(y[::-1] * 1e-3).sum() for y in rows)

x = np.random.default_rng(0).normal(size=(3, 500)).astype("f4")
native = jax.jit(wl.lanes(fn))
expected = jax.vmap(fn, -1, -1)(x)
threading.stack_size(512 * 1024)  # what threads have on macOS
def work():
    np.testing.assert_allclose(native(x), expected, rtol=1e-4, atol=1e-3)
    print("fine")
thread = threading.Thread(target=work)
thread.start(); thread.join()
"""


@pytest.mark.slow
def test_large_stack_arrays_on_a_thread_with_a_small_stack():
    environment = {**os.environ, "WORLDLINE_LANES_WIDTH": "4"}  # wider ones put such arrays into the workspace at once
    done = subprocess.run([sys.executable, "-c", DEEP_STACK], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "fine", (done.returncode, done.stderr[-2000:])

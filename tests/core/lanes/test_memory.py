"""Compiled code is freed when nothing refers to it any more, and not before."""

import subprocess
import sys
import textwrap

import pytest

START = """
import gc
import jax, jax.numpy as jnp, numpy as np
import worldline as wl
from worldline.core.lanes import kernel, target

jax.config.update("jax_enable_x64", True)
X = np.arange(16.0)

def function(k):
    return lambda x: jnp.sin(x) * (k + 0.5) + x

def compile_and_forget(k):
    np.testing.assert_allclose(jax.jit(wl.lanes(function(k)))(X), np.sin(X) * (k + 0.5) + X, atol=1e-13)
    if k % 20 == 0:
        jax.clear_caches()

def forget():
    "Drop what JAX keeps, and compile something else, when code without users is freed."
    jax.clear_caches()
    gc.collect()
    wl.lanes.explain(lambda x: x + np.random.random(), X)

def resident():
    forget()
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return int(next(line for line in lines if line.startswith("Rss")).split()[1]), sum(1 for _ in open("/proc/self/maps"))
"""


def python(code):
    """What a program prints, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", START + textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


GROWTH = """
    for k in range(25):  # until allocators have what they need
        compile_and_forget(-k)
    before = resident()
    for k in range({count}):
        compile_and_forget({k})
    after = resident()
    print((after[0] - before[0]) / {count}, after[1] - before[1], len(kernel._codes), len(target._linkers))
"""


def growth(count, k):
    """Kilobytes each compilation added, memory mappings all of them did, kernels and engines that are left."""
    if not sys.platform.startswith("linux"):
        pytest.skip("this system does not say in /proc what memory a process has")
    kilobytes, mappings, codes, linkers = python(GROWTH.format(count=count, k=k))
    return float(kilobytes), int(mappings), int(codes), int(linkers)


# Seen: 0.4 to 0.8 kB each, most of it in JAX, which has 0.5 kB each with vmap in place of lanes.
KILOBYTES = 3.0


def test_compilations_leave_nothing_behind():
    kilobytes, mappings, codes, linkers = growth(40, "k")
    assert kilobytes < 10 * KILOBYTES  # so few say little; it was 94 when all code stayed
    assert abs(mappings) < 30 and codes <= 3 and linkers <= 3


@pytest.mark.slow
@pytest.mark.parametrize("k", ["k", "1"], ids=["distinct", "same"])
def test_ten_thousand_compilations_leave_nothing_behind(k):
    kilobytes, mappings, codes, linkers = growth(10_000, k)
    assert kilobytes < KILOBYTES and abs(mappings) < 30 and codes <= 3 and linkers <= 3


def test_code_stays_while_something_may_call_it():
    python("""
    lowered = jax.jit(wl.lanes(function(1))).lower(X)  # nothing but what JAX lowered refers to it
    loaded = jax.jit(wl.lanes(function(2))).lower(X).compile()
    inner = lambda x: jax.lax.scan(lambda y, _: (wl.lanes(function(3))(y), None), x, None, length=2)[0]
    inner = jax.jit(inner).lower(X).compile()
    twice = inner(X)
    kept = list(kernel._codes)
    for _ in range(4):
        forget()
    assert set(kept) <= set(kernel._codes), (kept, list(kernel._codes))
    again = lowered.compile()
    for _ in range(3):
        forget()
        np.testing.assert_allclose(again(X), np.sin(X) * 1.5 + X)
        np.testing.assert_allclose(loaded(X), np.sin(X) * 2.5 + X)
    np.testing.assert_array_equal(inner(X), twice)
    del lowered, loaded, again, inner
    forget()
    forget()
    assert len(kernel._codes) <= 2
    """)


def test_threads_that_compile_run_and_forget():
    python("""
    import threading
    wrong = []

    def work(number):
        for k in range(4):
            scale = 10 * number + k % 2 + 1.0  # some of it again and again, some of it in another thread too
            run = jax.jit(wl.lanes(lambda x: x * scale + 1))
            for _ in range(20):
                if not np.array_equal(run(X), X * scale + 1):
                    wrong.append((number, k))
            del run
            gc.collect()

    threads = [threading.Thread(target=work, args=(k % 2,)) for k in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert not wrong
    forget()
    forget()
    assert len(kernel._codes) <= 3
    """)


def test_the_interpreter_ends_while_programs_run():
    """A long program is running when Python takes itself apart."""
    python("""
    long = jax.jit(wl.lanes(lambda x: jax.lax.fori_loop(0, 5_000_000, lambda i, y: jnp.cos(y), x)))
    long.lower(X).compile()
    result = long(X)
    del long
    print("leaving")
    """)

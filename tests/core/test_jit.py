"""Compilation: what is traced, what is part of the program, when a program is compiled anew."""

import gc
import sys
import weakref
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl


class System(wl.core.Parametrized):
    stiffness: jax.Array
    law: Callable
    links: int
    name: str = "chain"

    def energy(self, x):
        return sum(self.law(self.stiffness * x * i) for i in range(self.links))


def system(links=3, law=jnp.sin):
    return System(jnp.array(2.0), law, links)


def counted(fn):
    """`fn` and the list that grows each time it is traced."""
    traces = []

    def wrapped(*args, **kwargs):
        traces.append(1)
        return fn(*args, **kwargs)

    return wrapped, traces


def test_numbers_are_those_of_the_function():
    fn = wl.jit(lambda s, x: s.energy(x))
    np.testing.assert_allclose(fn(system(), 0.3), system().energy(0.3), rtol=1e-14)


def test_arrays_and_floats_are_traced_and_never_compile_again():
    fn, traces = counted(lambda p, x, n: p["a"] * x + n + p["b"])
    jitted = wl.jit(fn)
    for i in range(5):
        want = i * 2.0 + i + 0.5 * i
        assert jitted({"a": jnp.array(float(i)), "b": 0.5 * i}, np.float64(2), i) == want
    assert len(traces) == 1
    assert jitted({"a": jnp.array(1.0), "b": 0.0}, np.float64(2), True) == 3.0


def test_an_integer_argument_is_traced_by_keyword_too_and_in_place():
    fn = wl.jit(lambda a, b, *, n=1: a - 2 * b + 3 * n)
    assert fn(5, 2) == 4
    assert fn(5, 2, n=4) == 13
    assert fn(2, 5.0, n=0) == -8
    assert fn(jnp.array(5), 2) == 4


def test_other_leaves_are_part_of_the_program():
    fn, traces = counted(lambda s, x: s.energy(x))
    jitted = wl.jit(fn)
    for links, law, count in (
        (3, jnp.sin, 1),
        (3, jnp.sin, 1),
        (4, jnp.sin, 2),
        (3, jnp.cos, 3),
        (3, jnp.sin, 3),
    ):
        np.testing.assert_allclose(
            jitted(system(links, law), 0.3), system(links, law).energy(0.3), rtol=1e-14
        )
        assert len(traces) == count


def test_equal_leaves_of_another_type_are_another_program():
    jitted = wl.jit(lambda p, x: (x, type(p["n"]).__name__))
    assert [jitted({"n": n}, 1.0)[1] for n in (1, True, 1)] == ["int", "bool", "int"]


def test_lambdas_are_equal_when_they_are_the_same_object():
    fn, traces = counted(lambda law, x: law(x))
    jitted = wl.jit(fn)

    def make():
        return lambda x: 2 * x

    same = make()
    for _ in range(3):
        assert jitted(same, 1.0) == 2.0
    assert len(traces) == 1
    for _ in range(3):
        jitted(make(), 1.0)
    assert len(traces) == 4


def test_jitting_the_same_function_again_shares_the_programs():
    fn, traces = counted(lambda x: x + 1)
    for _ in range(3):
        wl.jit(fn)(1.0)
    assert len(traces) == 1


def test_the_programs_go_with_the_function():
    def make():
        data = np.ones(10)

        def fn(x):
            return x + data.sum()

        wl.jit(fn)(1.0)
        return weakref.ref(fn)

    held = make()
    gc.collect()
    assert held() is None


def test_programs_kept_are_bounded():
    jitted = wl.jit(lambda p, x: x)
    for i in range(300):
        jitted.lower({"n": i}, 1.0)
    assert len(jitted._programs) == 256


def test_results_come_back_as_they_were():
    shape = {"a": 1.0, "n": 3, "s": "text", "none": None, "law": jnp.sin, "inner": system()}
    out = wl.jit(lambda x: {**shape, "x": x, "system": shape["inner"].replace(stiffness=x)})(2.0)
    assert (out["a"], out["n"], out["s"], out["none"], out["law"]) == (1.0, 3, "text", None, jnp.sin)
    assert out["system"].links == 3 and out["system"].stiffness == 2.0
    ranked = wl.jit(lambda x: (x, f"{x.ndim} axes"))
    assert [ranked(x)[1] for x in (jnp.ones(2), jnp.array(1.0), jnp.ones(2))] == [
        "1 axes",
        "0 axes",
        "1 axes",
    ]


def test_methods_and_modules_with_arrays_of_their_own():
    class Counter:
        @wl.jit
        def scaled(self, x):
            return 3 * x

    assert Counter().scaled(2.0) == 6.0

    class Spring(eqx.Module):
        k: jax.Array

        @wl.jit
        def force(self, x):
            return -self.k * x

        def __call__(self, x):
            return self.k * x

    assert Spring(jnp.array(2.0)).force(3.0) == -6.0
    assert wl.jit(Spring(jnp.array(2.0)))(3.0) == 6.0
    # The stiffness is an argument of the program: one program for all values.
    fn, traces = counted(lambda k, x: k * x)
    Law = type("Law", (Spring,), {"__call__": lambda self, x: fn(self.k, x)})
    assert [float(wl.jit(Law(jnp.array(k)))(3.0)) for k in (1.0, 2.0)] == [3.0, 6.0]
    assert len(traces) == 1
    slope = jax.grad(lambda k: wl.jit(Spring(k).force)(3.0))(2.0)
    assert slope == -3.0


def test_static_arguments():
    fn, traces = counted(lambda x, n, mode="a": x * sum(range(n)))

    @wl.jit(static=("n", "mode"))
    def power(x, n, mode="a"):
        return fn(x, n)

    assert power(2.0, 4) == 12.0
    assert power(3.0, n=4) == 18.0
    assert len(traces) == 1
    assert power(3.0, 3, mode="b") == 9.0
    assert len(traces) == 2
    with pytest.raises(ValueError, match="static names k"):
        wl.jit(lambda x: x, static="k")


def test_errors():
    class Mutable:
        __hash__ = None

    with pytest.raises(TypeError, match="of type Mutable is no array and cannot be hashed.*frozen dataclass"):
        wl.jit(lambda m, x: x)(Mutable(), 1.0)
    with pytest.raises(TypeError, match="jit: needs a function, got 3"):
        wl.jit(3)


def test_lower_gives_the_program():
    assert "sine" in wl.jit(lambda s, x: s.energy(x)).lower(system(), 0.3).as_text()


def test_a_call_runs_little_more_python_than_one_of_jax():
    """Calls of Python functions, counted: unlike time, their number does not depend on what else the machine does."""
    x, made = jnp.array(0.3), system()
    ours, jaxs = wl.jit(lambda s, x: s.stiffness * x), jax.jit(lambda k, x: k * x)

    def calls(call):
        call()
        entered = 0

        def count(frame, event, argument):
            nonlocal entered
            entered += event == "call"

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            call()
        finally:
            sys.setprofile(before)
        return entered

    # Taking a module apart and finding the program by its leaves is ten calls; tracing again would be thousands.
    assert calls(lambda: ours(made, x)) - calls(lambda: jaxs(made.stiffness, x)) < 30

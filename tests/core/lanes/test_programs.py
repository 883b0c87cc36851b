"""Generated programs: natively, by `vmap` on XLA, and one lane at a time; and their derivatives.

A program is a list of steps on a state (three floats, a table, an integer). Steps are drawn from a grammar in which
loops and branches hold steps again, so that divergent loops stand in branches of divergent loops.
"""

import warnings

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from jax import lax

import worldline as wl

LANES = 11
# All steps keep numbers near one, and a program has fewer than 1000 operations in sequence, each right to a few ulp.
TOLERANCE = 1000 * 8 * np.finfo("f8").eps

MATRIX = np.array([[0.3, 0.0, -0.5], [0.2, 0.7, 0.0], [0.0, -0.1, 0.4]])


def on_numbers(function):
    return lambda x, m, n: (function(x, m, n), m, n)


PLAIN = {
    "sin": on_numbers(lambda x, m, n: jnp.sin(x) + 0.1),
    "tanh": on_numbers(lambda x, m, n: jnp.tanh(x * 1.5)),
    "exp": on_numbers(lambda x, m, n: jnp.exp(-jnp.abs(x))),
    "root": on_numbers(lambda x, m, n: jnp.where(x > 0.1, jnp.sqrt(jnp.maximum(x, 0.05)), -x)),
    "ratio": on_numbers(lambda x, m, n: x / (1 + x[0] ** 2)),
    "matrix": on_numbers(lambda x, m, n: jnp.asarray(MATRIX) @ x),
    "solve": on_numbers(lambda x, m, n: jnp.linalg.solve(jnp.eye(3) * 3 + jnp.outer(x, x), x)),
    "turned": on_numbers(lambda x, m, n: jnp.roll(x, 1) * 0.5 + x[::-1] * 0.3),
    "sums": on_numbers(lambda x, m, n: jnp.tanh(jnp.cumsum(x) - x.mean())),
    "sorted": on_numbers(lambda x, m, n: jnp.sort(x)),
    "set": on_numbers(lambda x, m, n: x.at[n % 3].set(x.max() * 0.5)),
    "add": on_numbers(lambda x, m, n: x.at[n].add(0.25, mode="drop")),
    "get": on_numbers(lambda x, m, n: x * 0.5 + m[n]),
    "far": on_numbers(lambda x, m, n: x * 0.5 + jnp.tanh(m.at[n * 31].get(mode="clip"))),
    "count": on_numbers(lambda x, m, n: x + 0.01 * n),
    "put": lambda x, m, n: (x, m.at[n % 5].set(x[0]), n),
    "heap": lambda x, m, n: (x, m.at[jnp.array([n, n + 2, n])].add(x, mode="drop"), n),
    "table": lambda x, m, n: (x, jnp.tanh(m + x[1]), n),
    "slide": lambda x, m, n: (x, lax.dynamic_update_slice(m, x, (n,)), n),
    "next": lambda x, m, n: (x, m, n + 1),
    "bits": lambda x, m, n: (x, m, ((n * 5) ^ 3) % 7),
    "rows": on_numbers(lambda x, m, n: jax.vmap(lambda y: lax.while_loop(lambda s: s > 0.5, lambda s: s * 0.6, y))(x)),
    "where": lambda x, m, n: (x, m, jnp.argmax(x).astype(n.dtype) + (n >> 1)),
    "swap": lambda x, m, n: (m[:3], m.at[:3].set(x), n),
}


def repeated(body, limit):
    """While the first number is not small, but a few times only; the number differs between lanes."""

    def run(x, m, n):
        go = lambda s: (jnp.abs(s[0][0]) > 0.2) & (s[3] < limit)
        return lax.while_loop(go, lambda s: (*body(*s[:3]), s[3] + 1), (x, m, n, 0))[:3]

    return run


def scanned(body, length, reverse):
    def run(x, m, n):
        def step(s, row):
            s = body(s[0] + 0.1 * row, *s[1:])
            return s, s[0]

        s, rows = lax.scan(step, (x, m, n), jnp.linspace(-1.0, 1.0, length), reverse=reverse)
        return jnp.tanh(s[0] + rows.sum(0)), *s[1:]

    return run


def build(program):
    """The function of a program."""
    kind, *parts = program
    if kind == "plain":
        return PLAIN[parts[0]]
    if kind == "steps":
        functions = [build(p) for p in parts[0]]

        def run(x, m, n):
            for f in functions:
                x, m, n = f(x, m, n)
            return x, m, n

        return run
    if kind == "scan":
        return scanned(build(parts[0]), parts[1], parts[2])
    if kind == "while":
        return repeated(build(parts[0]), parts[1])
    if kind == "fori":
        body = build(parts[0])
        return lambda x, m, n: lax.fori_loop(0, n % 4, lambda i, s: body(s[0] + 0.1 * i, *s[1:]), (x, m, n))
    if kind == "fixed":
        body = build(parts[0])
        return lambda x, m, n: lax.fori_loop(0, 3, lambda i, s: body(s[0], s[1].at[i].add(0.1), s[2]), (x, m, n))
    if kind == "cond":
        yes, no = build(parts[0]), build(parts[1])
        return lambda x, m, n: lax.cond(x[1] > 0, yes, no, x, m, n)
    if kind == "switch":
        branches = [build(p) for p in parts[0]]
        return lambda x, m, n: lax.switch(n - 1, branches, x, m, n)
    body = build(parts[0])
    return lambda x, m, n: jax.checkpoint(body)(x, m, n)


def programs(endless=True):
    """Programs; without loops that have no reverse derivative, if not `endless`."""
    plain = st.tuples(st.just("plain"), st.sampled_from([name for name in PLAIN if endless or name != "rows"]))

    def deeper(inner):
        steps = st.tuples(st.just("steps"), st.lists(inner, min_size=2, max_size=4))
        kinds = [
            steps, st.tuples(st.just("scan"), inner, st.integers(1, 4), st.booleans()),
            st.tuples(st.just("cond"), inner, inner), st.tuples(st.just("switch"), st.lists(inner, min_size=2, max_size=3)),
            st.tuples(st.just("checkpoint"), inner), st.tuples(st.just("fixed"), inner),
        ]  # fmt: skip
        if endless:
            kinds += [st.tuples(st.just("while"), inner, st.integers(1, 5)), st.tuples(st.just("fori"), inner)]
        return st.one_of(kinds)

    return st.recursive(plain, deeper, max_leaves=8)


def inputs(size, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(3, LANES)), rng.normal(size=(size, LANES)), rng.integers(-2, 9, LANES)


def both(function, *xs):
    """The results natively and by `vmap`."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        native = jax.tree.leaves(wl.lanes(function)(*xs))
    return native, jax.tree.leaves(jax.jit(jax.vmap(function, -1, -1))(*xs))


def agree(native, reference):
    for a, e in zip(native, reference, strict=True):
        np.testing.assert_allclose(a, e, rtol=TOLERANCE, atol=TOLERANCE)


def check_values(program, size, seed):
    agree(*both(build(program), *inputs(size, seed)))


def check_eagerly(program, size, seed):
    function, xs = build(program), inputs(size, seed)
    native, _ = both(function, *xs)
    with jax.disable_jit():
        one = function(*(jnp.asarray(x[..., 0]) for x in xs))
    agree([y[..., 0] for y in native], jax.tree.leaves(one))


def check_forward(program, size, seed):
    function, (x, m, n) = build(program), inputs(size, seed)
    agree(*both(lambda x, m, n: jax.jvp(lambda x, m: function(x, m, n)[:2], (x, m), (jnp.sin(x), m)), x, m, n))


def check_reverse(program, size, seed):
    function, (x, m, n) = build(program), inputs(size, seed)
    agree(*both(jax.grad(lambda x, m, n: sum(jnp.vdot(y, y) for y in function(x, m, n)[:2]), (0, 1)), x, m, n))


def searched(examples):
    return settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


SIZES, SEEDS = st.sampled_from([7, 140]), st.integers(0, 3)


@searched(10)
@given(programs(), SIZES, SEEDS)
def test_programs_have_the_values_of_vmap(program, size, seed):
    check_values(program, size, seed)


@searched(3)
@given(programs(), SIZES, SEEDS)
def test_programs_have_the_values_of_one_lane_run_eagerly(program, size, seed):
    check_eagerly(program, size, seed)


@searched(6)
@given(programs(), SIZES, SEEDS)
def test_programs_have_the_forward_derivatives_of_vmap(program, size, seed):
    check_forward(program, size, seed)


@searched(6)
@given(programs(endless=False), SIZES, SEEDS)
def test_programs_have_the_reverse_derivatives_of_vmap(program, size, seed):
    check_reverse(program, size, seed)


@pytest.mark.slow
@pytest.mark.parametrize("check, endless", [(check_values, True), (check_forward, True), (check_reverse, False)])
def test_many_programs(check, endless):
    searched(150)(given(programs(endless), SIZES, SEEDS)(check))()

"""Rows and sums by XLA alone against those of native code: searches at once, and pair functions on many pairs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_neighbors import COUNT, ROOMY, rows_of, searched, systems

import worldline as wl
from worldline.physics.md.neighborhood import Capacity, plan, search
from worldline.physics.md.neighborhood.many_pairs import apart, on_many, together

PLAIN = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
FEW = Capacity(**{**vars(ROOMY), "row": 20})


def as_sets(lists):
    """Each row in the order of its places."""
    return np.sort(np.asarray(lists.rows), 1)


def same(found, wanted):
    assert int(found.code) == int(wanted.code)
    np.testing.assert_array_equal(found.count, wanted.count)
    np.testing.assert_array_equal(found.own, wanted.own)
    if int(wanted.code) == 0:
        np.testing.assert_array_equal(as_sets(found), as_sets(wanted))


@pytest.mark.slow
@PLAIN
@given(systems(), st.sampled_from([ROOMY, FEW]))
def test_rows_and_overflow_are_those_of_native_code(case, capacity):
    position, vectors, periodic, reach = case
    rows_of(position, vectors, periodic, reach)
    same(*(searched(position, vectors, reach, periodic, capacity, native) for native in (False, True)))


def crowd(dtype):
    """A thin gas with a dense drop in it, in a long box: runs of very different lengths."""
    rng = np.random.default_rng(1)
    vectors = np.diag([9.0, 5.0, 40.0]) + 0.5
    gas, drop = rng.random((500, 3)), 0.45 + 0.1 * rng.random((407, 3))
    return jnp.asarray(np.concatenate([gas, drop]) @ vectors, dtype), jnp.asarray(vectors, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_several_chunks_hold_crowds(dtype):
    position, vectors = crowd(dtype)
    box = wl.md.Box.triclinic(vectors, (True, False, True))
    capacity = plan(np.asarray(position), box, 1.0, 1.0)
    assert capacity.row > 100
    find = jax.jit(search, static_argnums=(2, 3, 4))
    wanted = find(position, box, 1.0, capacity, True)
    same(find(position, box, 1.0, capacity, False), wanted)
    most = int(jnp.max(wanted.count))
    for row, full in ((most, False), (most - 1, True)):
        small = find(position, box, 1.0, Capacity(**{**vars(capacity), "row": row}), False)
        assert (int(small.code) != 0) == full and int(jnp.max(small.count)) == row


@pytest.mark.slow
def test_rows_under_vmap_are_those_of_each():
    rng = np.random.default_rng(2)
    many = jnp.asarray(6.0 * rng.random((3, COUNT, 3)))
    find = lambda x: search(x, wl.md.Box.cubic(6.0), 1.5, ROOMY_FOR_FEW, False)
    for one, x in zip(range(3), many):
        same(jax.tree.map(lambda y: y[one], jax.jit(jax.vmap(find))(many)), find(x))


ROOMY_FOR_FEW = Capacity(images=(1, 1, 1), room=(40, 60, 80), cells=(8, 8, 8), row=20)


def vector_functions():
    """Functions of d [3], a number, and shared weights, with all that is moved or added up in small arrays."""
    turn = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)))
    hidden = jnp.asarray(np.random.default_rng(1).normal(size=(3, 20)))

    def structure(d, a, weights):
        outer = d[:, None] * d[None, :]
        parts = jnp.concatenate([d, a[None], jnp.stack([d[2], a])])
        return outer.T.reshape(9)[2:8:2], jnp.sum(outer, 1) * weights, parts, jnp.asarray(2.0), jnp.sum(outer)

    def branches(d, a, weights):
        length = jnp.sqrt(jnp.sum(d * d))
        near = jnp.where(length < 1, jnp.clip(d, -0.3, 0.3), weights)
        return near, jnp.exp(-length) * a, jax.nn.softplus(length), jnp.max(d), jnp.sort(d)[1]

    def products(d, a, weights):
        return turn @ d, d @ d, jnp.dot(weights, d), jnp.cross(d, weights), jax.lax.fori_loop(0, 3, lambda k, s: s + d[k], a)

    def learned(d, a, weights):
        return jnp.tanh(d @ hidden) @ hidden.T * a, weights

    return structure, branches, products, learned


@pytest.mark.parametrize("fn", vector_functions(), ids=lambda fn: fn.__name__)
def test_a_function_on_many_pairs_is_that_of_each(fn):
    rng = np.random.default_rng(3)
    d, a, weights = jnp.asarray(rng.normal(size=(4, 5, 3))), jnp.asarray(rng.normal(size=(4, 5))), jnp.asarray([0.5, 2.0, -1.0])
    slopes = lambda *v: jax.jvp(lambda d: tuple(fn(d, *v[1:])), (v[0],), (jnp.cos(v[0]),))[1]
    for of in (fn, slopes):
        program = jax.make_jaxpr(lambda *v, of=of: tuple(of(*v)))(d[0, 0], a[0, 0], weights)
        inputs = [apart(jnp.moveaxis(d, -1, 0), 2), apart(a, 2), weights]
        found = [together(y, -1) for y in on_many(program, (4, 5), inputs)]
        wanted = jax.vmap(jax.vmap(functools.partial(of), (0, 0, None)), (0, 0, None))(d, a, weights)
        for x, y in zip(found, wanted, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12)


def test_sums_in_chunks_are_those_of_native_code():
    count, rng = 300, np.random.default_rng(4)  # not a whole number of chunks
    box = wl.md.Box.cubic(7.0)
    position, charge = jnp.asarray(7.0 * rng.random((count, 3))), jnp.asarray(rng.normal(size=(count, 2)))

    def fn(d, own, other, shared):
        return {"vector": d * own[0] * other[1], "number": shared * jnp.sum(d * d)}

    def sums(native, total):
        system = wl.md.System(wl.md.LennardJones(1.0, 0.1, 1.3), {"A": count}, native=native)
        near = system.surroundings(system.state(position, None, box))
        return near.sum(fn, 1.3, charge, jnp.asarray(0.7), total=total)

    for total in (False, True):
        found, wanted = sums(False, total), sums(True, total)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-10), found, wanted)

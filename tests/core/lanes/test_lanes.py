"""`wl.lanes` as a transformation: axes, pytrees, what is shared, all of JAX's transformations around and inside it."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import worldline as wl
from worldline.core.lanes.support import markdown

LANES = 21  # no multiple of a vector's width
TOLERANCE = 1e-12  # a hundred operations in float64, right to a few ulp each


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, LANES))


X, P = normal(3), normal(seed=1)


def program(x, p):
    """A bit of everything: a scan with a branch, and numbers of it at every step."""

    def step(carry, t):
        x, n = carry
        x = x + 0.1 * jnp.sin(p * x + t)
        x = lax.cond(x[0] > 0, lambda x: x * 0.9, lambda x: x + p, x)
        return (x, n + 1), x.sum()

    (x, n), sums = lax.scan(step, (x, 0), jnp.arange(5.0))
    return x.sum() * sums[-1] + n * (sums**2).sum()


def same(actual, expected):
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=TOLERANCE, atol=TOLERANCE)


def check(around, *xs, inside=program, axes=-1):
    """`around` of the mapped function, natively and by `vmap`; no fallback."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        actual = around(wl.lanes(inside, axes))(*xs)
    same(actual, around(jax.vmap(inside, axes, -1))(*xs))


def total(f):
    return lambda *xs: f(*xs).sum()


AROUND = {
    "nothing": lambda f: f, "jit": jax.jit, "grad": lambda f: jax.grad(total(f), (0, 1)),
    "jit of grad": lambda f: jax.jit(jax.grad(total(f), (0, 1))),
    "jvp": lambda f: lambda x, p: jax.jvp(f, (x, p), (p * x, x[0])),
    "vjp": lambda f: lambda x, p: jax.vjp(f, x, p)[1](p), "linearize": lambda f: lambda x, p: jax.linearize(f, x, p)[1](x, p),
    "jacfwd": jax.jacfwd, "jacrev": jax.jacrev, "hessian": lambda f: jax.hessian(total(f)),
    "forward over reverse": lambda f: jax.jacfwd(jax.grad(total(f))),
    "reverse over reverse": lambda f: jax.jacrev(jax.grad(total(f))),
    "reverse over forward": lambda f: jax.jacrev(jax.jacfwd(total(f))),
    "gradient of a jvp": lambda f: jax.grad(lambda x, p: jax.jvp(f, (x, p), (p * x, p))[1].sum()),
    "vmap": lambda f: lambda x, p: jax.vmap(f)(jnp.stack([x, 2 * x]), jnp.stack([p, p + 1])),
    "vmap of one": lambda f: lambda x, p: jax.vmap(f, (0, None))(jnp.stack([x, 2 * x]), p),
    "vmap of grad": lambda f: lambda x, p: jax.vmap(jax.grad(total(f)), (None, 0))(x, jnp.stack([p, p + 1])),
    "scan": lambda f: lambda x, p: lax.scan(lambda c, _: (c * 0.9 + 0.01 * f(c, p), None), x, None, length=3)[0],
    "gradient of scan": lambda f: jax.grad(
        lambda x, p: lax.scan(lambda c, _: (c * 0.9 + 0.01 * f(c, p), c), x, None, length=3)[0].sum(), (0, 1)
    ),
    "checkpoint": lambda f: jax.grad(lambda x, p: jax.checkpoint(f)(x, p).sum()),
}  # fmt: skip


@pytest.mark.parametrize("name", AROUND)
def test_transformations_around(name):
    few = "jac" in name or "over" in name or name == "hessian"
    check(AROUND[name], X[:, :3] if few else X, P[:3] if few else P)


INSIDE = {
    "grad": jax.grad(program), "value_and_grad": jax.value_and_grad(program), "hessian": jax.hessian(program),
    "jacrev": jax.jacrev(lambda x, p: jnp.stack([program(x, p), p])), "vmap": lambda x, p: jax.vmap(jnp.sin)(x * p),
    "while under vmap": lambda x, p: jax.vmap(lambda y: lax.while_loop(lambda s: s < 3, lambda s: s + 1.5, y))(x),
    "bounded scan": jax.grad(lambda x, p: wl.scan(lambda c, i: (jnp.sin(c) * p, c.sum()), x, jnp.arange(50.0))[1].sum()),
    "lanes": lambda x, p: wl.lanes(lambda y: jnp.sin(y) * p)(x), "jit": jax.jit(program),
}  # fmt: skip


@pytest.mark.parametrize("name", INSIDE)
def test_transformations_inside(name):
    check(lambda f: f, X, P, inside=INSIDE[name])


def test_gradient_of_lanes_of_gradient():
    check(lambda f: jax.grad(lambda x, p: (f(x, p) ** 2).sum()), X, P, inside=jax.grad(program))


def test_custom_derivatives_are_kept():
    @jax.custom_vjp
    def sine(x):
        return jnp.sin(x)

    sine.defvjp(lambda x: (sine(x), x), lambda x, g: (7 * g * jnp.cos(x),))
    check(lambda f: jax.grad(total(f)), X, inside=lambda x: sine(x).sum())
    check(lambda f: f, X, inside=sine)


def test_a_linear_function_is_transposed():
    check(lambda f: lambda x: jax.linear_transpose(f, x)(2 * x)[0], X, inside=lambda x: 3 * x + x[::-1])


def test_integer_results_have_no_derivative():
    check(lambda f: jax.grad(lambda x: (f(x) * x).sum()), X, inside=lambda x: (x > 0).sum())
    check(lambda f: jax.grad(lambda x: (f(x)[0] * f(x)[1]).sum()), X, inside=lambda x: (x.sum(), (x > 0).sum()))


def test_pytrees_axes_and_leaves_that_are_no_arrays():
    def fn(d, name, *, scale):
        return {"y": d["x"] * d["p"][0] * scale, "name": name, "n": (d["p"][0] > 0,)}

    axes = ({"x": 0, "p": -1}, None)
    mapped = wl.lanes(fn, axes, {"y": 1, "name": None, "n": 0})
    out = mapped({"x": X.T, "p": (P,)}, "abc", scale=P)
    assert out["name"] == "abc"
    same(out["y"], X * P * P)
    assert out["n"][0].dtype == bool


def test_shared_and_captured_values():
    table, q = jnp.arange(10_000.0), jnp.asarray(1.5)
    check(lambda f: jax.grad(total(f), (0, 1)), X, q, axes=(-1, None))
    check(lambda f: f, X, P, inside=lambda x, p: table[jnp.abs(100 * p).astype(int)] * x)
    gradient = jax.grad(lambda q: wl.lanes(lambda x: (x * q).sum())(X).sum())(q)
    np.testing.assert_allclose(gradient, X.sum(), rtol=TOLERANCE, atol=TOLERANCE)


def test_results_shared_by_all_lanes():
    assert wl.lanes(lambda x, q: (x, q + 1), (-1, None), (-1, None))(P, jnp.ones(2))[1].shape == (2,)
    with pytest.raises(ValueError, match="out_axes is None for a result that differs"):
        wl.lanes(lambda x: x, out_axes=None)(P)


def test_numbers_of_lanes_and_axes_must_agree():
    with pytest.raises(ValueError, match="differ in size"):
        wl.lanes(program)(X, P[:-1])
    with pytest.raises(ValueError, match="no axis"):
        wl.lanes(lambda x: x, 3)(X)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 17])
def test_any_number_of_lanes(count):
    check(lambda f: f, X[:, :count], P[:count])
    check(lambda f: jax.grad(total(f)), X[:, :count], P[:count])


def test_lanes_do_not_influence_each_other():
    native = jax.jit(wl.lanes(jax.value_and_grad(program)))
    value, gradient = native(X, P)
    order = np.random.default_rng(0).permutation(LANES)
    for kept in (order, order[:5], np.arange(LANES)[3:4]):
        some = native(X[:, kept], P[kept])
        np.testing.assert_array_equal(some[0], value[kept])
        np.testing.assert_array_equal(some[1], gradient[:, kept])
    broken = X.copy()
    broken[1, 4] = np.nan
    others = np.arange(LANES) != 4
    np.testing.assert_array_equal(native(broken, P)[0][others], value[others])
    assert np.isnan(native(broken, P)[0][4])


def test_inputs_that_are_not_contiguous_or_are_given_away():
    check(lambda f: f, np.asfortranarray(X), P[::-1])
    native = jax.jit(wl.lanes(lambda x, p: x[::-1] * p), donate_argnums=0)
    same(native(jnp.array(X), P), X[::-1] * P)


def test_shard_map():
    mesh = jax.make_mesh((1,), ("lanes",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec
    mapped = jax.shard_map(
        wl.lanes(program), mesh=mesh, in_specs=(spec(None, "lanes"), spec("lanes")), out_specs=spec("lanes"), check_vma=False
    )
    same(jax.jit(mapped)(X, P), jax.vmap(program, -1, -1)(X, P))


def test_derivatives_by_what_the_devices_of_shard_map_share():
    mesh = jax.make_mesh((1,), ("lanes",), axis_types=(jax.sharding.AxisType.Auto,))
    spec, x, a = jax.sharding.PartitionSpec, jnp.array(X), jnp.arange(1.0, 1.0 + X.shape[0])

    def mapped(transform):
        scaled = transform(lambda x, a: jnp.sin(a * x), in_axes=(-1, None), out_axes=-1)
        inside = jax.shard_map(scaled, mesh=mesh, in_specs=(spec(None, "lanes"), spec()), out_specs=spec(None, "lanes"))
        return jax.grad(lambda x, a: jnp.sum(inside(x, a)), (0, 1))

    same(mapped(wl.lanes)(x, a), mapped(jax.vmap)(x, a))
    program = str(jax.make_jaxpr(mapped(wl.lanes))(x, a))
    assert "psum" in program, "the sum over devices is missing"


def test_what_looks_for_faults_runs_one_operation_after_the_other():
    with jax.disable_jit():
        same(wl.lanes(jnp.sin)(X), np.sin(X))
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="nan"):
        wl.lanes(lambda x: (x - x) / (x - x))(X)


@pytest.mark.slow
def test_draws_of_the_gamma_distribution_run_on_xla():
    keys = jax.random.split(jax.random.key(0), LANES)
    with pytest.warns(UserWarning, match="random_gamma"):
        ours = wl.lanes(lambda key: jax.random.dirichlet(key, jnp.ones(3)))(keys)
    same(ours, jax.vmap(lambda key: jax.random.dirichlet(key, jnp.ones(3)), -1, -1)(keys))


@pytest.mark.parametrize("typed", [True, False])
def test_random_numbers_are_those_of_vmap(typed):
    keys = jax.random.split(jax.random.key(3) if typed else jax.random.PRNGKey(3), LANES)
    keys = keys if typed else keys.T

    def walk(key, x):
        def step(carry, _):
            key, x = carry
            key, own = jax.random.split(key)
            return (jax.random.fold_in(key, 7), x + jax.random.normal(own, (2,))), jax.random.bits(own, (200,))

        (key, x), bits = lax.scan(step, (key, x), None, length=3)
        return (jax.random.key_data(key) if typed else key), x, bits.sum(), jax.random.randint(key, (3,), 0, 100)

    check(lambda f: f, keys, normal(2), inside=walk)


def test_typed_keys_come_and_go():
    keys = jax.random.split(jax.random.key(3), LANES)
    native = wl.lanes(lambda key, p: lax.cond(p > 0, lambda k: jax.random.split(k), lambda k: jnp.stack([k, k]), key))(keys, P)
    expected = jax.vmap(lambda key, p: jnp.where(p > 0, jax.random.split(key), jnp.stack([key, key])), -1, -1)(keys, P)
    np.testing.assert_array_equal(jax.random.key_data(native), jax.random.key_data(expected))
    shared = wl.lanes(lambda p: p + jax.random.normal(keys[0]))(P)
    same(shared, P + jax.random.normal(keys[0]))


def test_what_has_no_native_code_runs_by_vmap_and_is_named_once():
    function = lambda x: jnp.linalg.eigh(x @ x.T)[0]
    with pytest.warns(UserWarning, match="eigh") as caught:
        values = wl.lanes(function)(normal(3, 3))
    assert str(caught[0].message).count("eigh") == 1
    same(values, jax.vmap(function, -1, -1)(normal(3, 3)))
    with pytest.warns(UserWarning, match=r"scatter: with a function of its own"):
        same(wl.lanes(lambda x: x.at[1].apply(jnp.sin))(X)[1], np.sin(X[1]))


def test_effects_are_kept(capfd):
    def printing(x):
        jax.debug.print("here")
        return 2 * x

    with pytest.warns(UserWarning, match="an effect"):
        jax.block_until_ready(wl.lanes(printing)(X[:, :2]))
    jax.effects_barrier()
    assert "here" in capfd.readouterr().out


def test_no_results():
    assert wl.lanes(lambda x: {"name": "abc"})(X) == {"name": "abc"}


def test_explain():
    native = wl.lanes.explain(program, X, P)
    assert native.native and native.width > 1 and native.code_bytes > 0 and native.workspace_bytes == 0
    assert native.equations > 10 and "runs natively" in str(native)
    other = wl.lanes.explain(lambda x: jnp.linalg.eigh(x)[0], jax.ShapeDtypeStruct((3, 3, LANES), "f8"))
    assert not other.native and "no native code for eigh" in str(other)


def test_code_size_is_bounded():
    big = jax.ShapeDtypeStruct((100_000, 8), "f8")
    small = jax.ShapeDtypeStruct((200, 8), "f8")

    def fn(x):
        x = jnp.sin(x) * 2 + jnp.arange(x.shape[0])
        return jnp.cumsum(x)[::-1], x.sum(), jnp.argmax(x), x.reshape(-1, 4) @ jnp.ones((4, 2))

    assert wl.lanes.explain(fn, big).code_bytes < 1.5 * wl.lanes.explain(fn, small).code_bytes < 30_000


def test_an_array_that_a_loop_carries_is_changed_where_it_stands():
    size = 1000
    loop = lambda x: lax.fori_loop(0, 100, lambda i, x: x.at[i].set(2 * x[i + 1]), x)
    found = wl.lanes.explain(loop, jax.ShapeDtypeStruct((size, 64), "f8"))
    assert found.workspace_bytes == size * 8 * found.width  # one array, no copies


def test_the_table_of_primitives_is_current(root):
    assert (root / "docs" / "lanes_primitives.md").read_text() == markdown()

"""Derivatives of functions of pytrees against what is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

ROUNDING = 1e-13


def energy(p, x):
    """k/2 |x - c|^2 + a sum x^4, with names, sizes and functions among the parameters."""
    d = x - p["centre"]
    return p["law"](0.5 * p["k"] * jnp.sum(d**2)) + p["a"][p["which"]] * jnp.sum(x**4)


def constants():
    return {
        "k": 3.0,
        "centre": jnp.array([0.1, 0.2]),
        "a": [jnp.array(0.5), np.float32(0.25)],
        "which": 1,
        "law": jnp.sin,
        "name": "spring",
        "none": None,
    }


X = np.array([0.7, -0.3])


def by_hand(p, x):
    d = x - np.asarray(p["centre"])
    inner = np.cos(0.5 * p["k"] * d @ d)
    return {"k": inner * 0.5 * d @ d, "centre": -inner * p["k"] * d, "a[1]": (x**4).sum(), "a[0]": 0.0}


def test_gradient_of_every_float_leaf_and_none_elsewhere():
    slope = wl.grad(energy)(constants(), X)
    for name, want in by_hand(constants(), X).items():
        np.testing.assert_allclose(
            wl.parameters(slope)[name], want, rtol=1e-6 if name == "a[1]" else ROUNDING
        )
    assert slope["which"] is slope["law"] is slope["name"] is slope["none"] is None
    assert slope["a"][1].dtype == jnp.float32


def test_value_aux_and_several_arguments():
    def with_aux(p, x):
        return energy(p, x), {"x": x, "text": "kept", "count": 2, "law": p["law"]}

    (value, aux), slope = wl.value_and_grad(with_aux, has_aux=True)(constants(), X)
    assert value == energy(constants(), X)
    assert aux["text"] == "kept" and aux["count"] == 2 and aux["law"] is jnp.sin
    only, aux2 = wl.grad(with_aux, has_aux=True)(constants(), X)
    assert aux2["text"] == "kept"
    both = wl.grad(energy, argnums=(0, 1))(constants(), X)
    last = wl.grad(energy, argnums=-1)(constants(), X)
    for a, b in ((slope, only), (slope, both[0])):
        for u, v in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
            np.testing.assert_array_equal(u, v)
    np.testing.assert_array_equal(both[1], last)
    assert wl.grad(lambda x, scale: scale * x**2)(3.0, scale=2) == 12.0


def test_plain_python_floats():
    slope = wl.grad(lambda x: x**3)(2.0)
    assert isinstance(slope, jax.Array) and slope == 12.0
    assert wl.grad(lambda x: 1.0)(2.0) == 0.0
    assert wl.grad(lambda p: p[0] * p[1]["b"])((2.0, {"b": 3.0})) == (3.0, {"b": 2.0})


def test_gradient_errors_say_what_to_write():
    with pytest.raises(TypeError, match=r"argument 0 of square is the integer 3, and .* floats: write 3\.0"):
        wl.grad(square)(3)
    with pytest.raises(TypeError, match=r"array of int.*write x\.astype\(float\)"):
        wl.grad(square)(jnp.arange(3))
    with pytest.raises(TypeError, match="of type dict and holds no float leaf"):
        wl.grad(lambda p: 1.0)({"name": "x"})
    with pytest.raises(
        TypeError, match=r"square must return one number.*shape \(3,\).*wl\.jacobian\(square\)"
    ):
        wl.grad(square)(jnp.ones(3))
    with pytest.raises(TypeError, match=r"not tuple.*has_aux=True"):
        wl.grad(lambda x: (x, x))(1.0)
    with pytest.raises(TypeError, match="pair \\(value, aux\\)"):
        wl.grad(square, has_aux=True)(1.0)
    with pytest.raises(TypeError, match="returned int.*return a float"):
        wl.grad(lambda x: 3)(1.0)
    with pytest.raises(TypeError, match="0 positional arguments.*pass it by position"):
        wl.grad(square)(x=1.0)
    with pytest.raises(
        ValueError, match=r"forward mode.*wl\.jacobian\(loop, mode=\"forward\"\).*gradient=\"reverse\""
    ):
        wl.grad(loop)(1.0)


def square(x):
    return x**2


def loop(x):
    return wl.while_loop(lambda c: c[1] < 3, lambda c: (c[0] * x, c[1] + 1), (x, 0))[0]


def loop_reverse(x):
    return wl.while_loop(lambda c: c[1] < 3, lambda c: (c[0] * x, c[1] + 1), (x, 0), gradient="reverse")[0]


@pytest.mark.slow
def test_jacobian_chooses_the_shorter_mode():
    """Seen from which loops it gets through: each loop has one mode."""
    wide, tall = jnp.ones((1, 5)), jnp.ones((5, 1))
    x = jnp.array([2.0])
    np.testing.assert_allclose(wl.jacobian(lambda x: loop(tall @ x))(x), np.full((5, 1), 32.0))
    np.testing.assert_allclose(
        wl.jacobian(lambda x: loop_reverse(wide @ x))(jnp.full(5, 0.4)), np.full((1, 5), 32.0)
    )
    with pytest.raises(ValueError, match=r'mode="forward"'):
        wl.jacobian(lambda x: loop(wide @ x))(jnp.full(5, 0.4))
    with pytest.raises(TypeError, match=r'mode="reverse"'):
        wl.jacobian(lambda x: loop_reverse(tall @ x))(x)
    np.testing.assert_allclose(
        wl.jacobian(lambda x: loop(wide @ x), mode="forward")(jnp.full(5, 0.4)), np.full((1, 5), 32.0)
    )
    np.testing.assert_allclose(
        wl.jacobian(lambda x: loop_reverse(tall @ x), mode="reverse")(x), np.full((5, 1), 32.0)
    )


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
def test_jacobian_of_pytrees(mode):
    def fn(p):
        return {"force": p["k"] * p["x"] ** 2, "pair": (jnp.sum(p["x"]), "text", 3)}

    p = {"k": 2.0, "x": jnp.array([1.0, 3.0]), "name": "spring", "n": 4}
    table = wl.jacobian(fn, mode=mode)(p)
    np.testing.assert_allclose(table["force"]["k"], [1.0, 9.0])
    np.testing.assert_allclose(table["force"]["x"], np.diag([4.0, 12.0]))
    np.testing.assert_allclose(table["pair"][0]["k"], 0.0)
    np.testing.assert_allclose(table["pair"][0]["x"], [1.0, 1.0])
    assert table["pair"][1:] == (None, None)
    assert table["force"]["name"] is table["force"]["n"] is None


def test_jacobian_shapes_and_aux_agree_with_jax():
    x = jnp.linspace(0.1, 1.0, 6).reshape(2, 3)

    def fn(x):
        return jnp.sin(x @ x.T)

    np.testing.assert_allclose(wl.jacobian(fn)(x), jax.jacfwd(fn)(x), rtol=ROUNDING)
    table, aux = wl.jacobian(lambda x: (fn(x), "aux"), has_aux=True)(x)
    assert aux == "aux" and table.shape == (2, 2, 2, 3)
    first, second = wl.jacobian(lambda x, y: x * y, argnums=(0, 1))(2.0, 3.0)
    assert (first, second) == (3.0, 2.0)
    with pytest.raises(ValueError, match='"auto", "forward" or "reverse"'):
        wl.jacobian(fn, mode="backward")
    with pytest.raises(TypeError, match="returned no float"):
        wl.jacobian(lambda x: 3)(1.0)
    with pytest.raises(TypeError, match="jacobian: argument 0 of .* is the integer 3"):
        wl.jacobian(square)(3)


MODES = ["forward-over-reverse", "reverse-over-reverse", "forward-over-forward"]


@pytest.mark.parametrize("mode", MODES)
def test_hessian(mode):
    p = {"k": 2.0, "x": jnp.array([1.0, 3.0]), "law": jnp.exp}
    table = wl.hessian(lambda p: p["k"] * p["x"][0] * p["x"][1] ** 2, mode=mode)(p)
    np.testing.assert_allclose(table["k"]["k"], 0.0)
    np.testing.assert_allclose(table["k"]["x"], [9.0, 6.0])
    np.testing.assert_allclose(table["x"]["k"], [9.0, 6.0])
    np.testing.assert_allclose(table["x"]["x"], [[0.0, 12.0], [12.0, 4.0]])
    assert table["law"] is None and table["x"]["law"] is None
    assert wl.hessian(lambda x: x**3, mode=mode)(2.0) == 12.0


def test_hessian_through_loops():
    np.testing.assert_allclose(wl.hessian(loop_reverse)(2.0), 4 * 3 * 2.0**2)
    np.testing.assert_allclose(wl.hessian(loop, mode="forward-over-forward")(2.0), 4 * 3 * 2.0**2)
    with pytest.raises(ValueError, match="mode is \"?'backward"):
        wl.hessian(loop, mode="backward")
    with pytest.raises(TypeError, match=r"hessian: square must return one number.*\(2,\)"):
        wl.hessian(square, mode="forward-over-forward")(jnp.ones(2))


def test_hessian_vector_product_is_the_product():
    x = jnp.linspace(0.1, 1.0, 5)
    v = jnp.arange(5.0)

    def fn(x, c):
        return c * jnp.sum(jnp.sin(x) * x[::-1] ** 2)

    product = wl.hessian_vector_product(fn)(x, v, 3.0)
    np.testing.assert_allclose(product, wl.hessian(fn)(x, 3.0) @ v, rtol=ROUNDING)
    p = constants()
    direction = wl.grad(energy)(p, X)
    bent = wl.hessian_vector_product(energy)(p, direction, X)
    step = 1e-6
    shifted = wl.replace(p, {n: wl.parameters(p)[n] + step * d for n, d in wl.parameters(direction).items()})
    ahead = wl.parameters(wl.grad(energy)(shifted, X))
    for name, now in wl.parameters(direction).items():
        np.testing.assert_allclose(
            wl.parameters(bent)[name], (ahead[name] - now) / step, rtol=1e-4, atol=1e-5
        )
    assert bent["law"] is None
    with pytest.raises(ValueError, match=r"float leaves of x, of shapes \[\(5,\)\]; it has \[\(4,\)\]"):
        wl.hessian_vector_product(fn)(x, v[:4], 3.0)


def test_names_and_docs_are_kept():
    for transform in (wl.grad, wl.value_and_grad, wl.jacobian, wl.hessian, wl.vmap, wl.jit):
        assert transform(square).__name__ == "square"
        assert "jax" in transform.__doc__.lower()
    assert "JAX" in wl.hessian_vector_product.__doc__

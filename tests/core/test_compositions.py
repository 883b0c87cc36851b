"""The transformations in any order, on a system with names, functions, sizes and None in it.

The answers are written out by hand: the energy of one lane is `k^2 sum_i sin(c_i x)` over the links i.
"""

from collections.abc import Callable
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

ROUNDING = 1e-12
C = np.array([0.5, 1.0, 2.0])
XS = np.linspace(-1.0, 1.0, 5)
K = 1.7


class System(wl.core.Parametrized):
    inner: dict
    coefficients: jax.Array
    law: Callable
    links: int = 3
    nothing: None = None


def system():
    return System({"k": jnp.array(K), "name": "spring"}, jnp.asarray(C), jnp.sin)


def energy(s, x):
    total = 0.0
    for i in range(s.links):
        total = total + s.law(s.coefficients[i] * x)
    return s.inner["k"] ** 2 * total


def slopes(x):
    """d energy / d (k, c) for one x or for many, lanes first."""
    x = np.asarray(x)[..., None]
    return {"inner.k": 2 * K * np.sin(C * x).sum(-1), "coefficients": K**2 * x * np.cos(C * x)}


def curvatures(x):
    """The blocks of the matrix of second derivatives."""
    x = np.asarray(x)[..., None]
    mixed = 2 * K * x * np.cos(C * x)
    return {
        "inner.k.inner.k": 2 * np.sin(C * x).sum(-1),
        "inner.k.coefficients": mixed,
        "coefficients.inner.k": mixed,
        "coefficients.coefficients": -(K**2) * (x**2 * np.sin(C * x))[..., None] * np.eye(3),
    }


def lanes(fn):
    return wl.vmap(fn, in_axes=(None, 0))


def chunks(fn):
    return wl.vmap(fn, in_axes=(None, 0), chunk=2)


def check(got, want):
    found = wl.parameters(got)
    assert set(found) == set(want)
    for name, value in want.items():
        np.testing.assert_allclose(found[name], value, rtol=ROUNDING, atol=ROUNDING, err_msg=name)


@pytest.mark.parametrize("over", [lanes, chunks])
@pytest.mark.parametrize("transforms", list(permutations(["grad", "jit", "lanes"])))
def test_grad_jit_and_vmap_in_every_order(transforms, over):
    fn, mapped = energy, False
    for name in transforms:
        if name == "grad":
            if mapped:  # a gradient needs one number
                fn = (lambda g: lambda s, xs: jnp.sum(g(s, xs)))(fn)
            fn = wl.grad(fn)
        elif name == "jit":
            fn = wl.jit(fn)
        else:
            fn, mapped = over(fn), True
    want = slopes(XS)
    if transforms.index("lanes") < transforms.index("grad"):
        want = {name: value.sum(0) for name, value in want.items()}
    check(fn(system(), XS), want)


@pytest.mark.parametrize("transforms", list(permutations(["jacobian", "jit", "lanes"])))
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobian_jit_and_vmap_in_every_order(transforms, mode):
    make = {"jacobian": lambda fn: wl.jacobian(fn, mode=mode), "jit": wl.jit, "lanes": chunks}
    fn = energy
    for name in transforms:
        fn = make[name](fn)
    check(fn(system(), XS), slopes(XS))


@pytest.mark.parametrize("transforms", list(permutations(["hessian", "jit", "lanes"])))
def test_hessian_jit_and_vmap_in_every_order(transforms):
    fn, mapped = energy, False
    for name in transforms:
        if name == "hessian":
            fn = wl.hessian((lambda g: lambda s, xs: jnp.sum(g(s, xs)))(fn) if mapped else fn)
        elif name == "jit":
            fn = wl.jit(fn)
        else:
            fn, mapped = lanes(fn), True
    want = curvatures(XS)
    if transforms.index("lanes") < transforms.index("hessian"):
        want = {name: value.sum(0) for name, value in want.items()}
    check(fn(system(), XS), want)


def test_derivatives_of_derivatives():
    x = 0.3
    check(wl.jacobian(wl.grad(energy))(system(), x), curvatures(x))
    check(wl.jit(wl.jacobian(wl.jit(wl.grad(wl.jit(energy)))))(system(), x), curvatures(x))
    direction = wl.grad(energy)(system(), x)
    want = curvatures(x)
    product = {
        "inner.k": want["inner.k.inner.k"] * slopes(x)["inner.k"]
        + want["inner.k.coefficients"] @ slopes(x)["coefficients"],
        "coefficients": want["coefficients.inner.k"] * slopes(x)["inner.k"]
        + want["coefficients.coefficients"] @ slopes(x)["coefficients"],
    }
    check(wl.hessian_vector_product(wl.jit(energy))(system(), direction, x), product)
    check(wl.jit(wl.hessian_vector_product(energy))(system(), direction, x), product)


def run_of(loop):
    """The same energy summed by a loop over the links, the system being part of the carry or not."""

    def by_scan(s, x):
        def add(carry, c):
            return (carry[0], carry[1] + carry[0].law(c * x)), None

        return (
            wl.scan(add, (s, jnp.zeros_like(x)), s.coefficients, checkpoints="sqrt")[0][1] * s.inner["k"] ** 2
        )

    def by_while(s, x):
        def add(carry):
            i, total, law = carry
            return i + 1, total + law(s.coefficients[i] * x), law

        start = (0, jnp.zeros_like(x), s.law)
        return wl.while_loop(lambda c: c[0] < 3, add, start, gradient="reverse")[1] * s.inner["k"] ** 2

    return {"scan": by_scan, "while": by_while}[loop]


@pytest.mark.parametrize("loop", ["scan", "while"])
def test_loops_inside_the_transformations(loop):
    fn = run_of(loop)
    np.testing.assert_allclose(fn(system(), jnp.array(0.3)), energy(system(), 0.3), rtol=ROUNDING)
    check(wl.jit(lanes(wl.grad(fn)))(system(), XS), slopes(XS))
    total = wl.jit(wl.grad(lambda s, xs: jnp.sum(chunks(wl.jit(fn))(s, xs))))
    check(total(system(), XS), {name: value.sum(0) for name, value in slopes(XS).items()})
    check(wl.jit(wl.hessian(fn))(system(), jnp.array(0.3)), curvatures(0.3))


def test_a_scan_over_gradients():
    """Descent written with the transformations inside one another."""

    def step(values, _):
        s = system().replace(values)
        square, slope = wl.value_and_grad(lambda s: energy(s, 0.3) ** 2)(s)
        return {name: value - 0.1 * slope.parameters[name] for name, value in values.items()}, square

    _, squares = wl.jit(lambda values: wl.scan(step, values, length=50))(system().parameters)
    assert squares[0] == pytest.approx(float(energy(system(), 0.3)) ** 2)
    assert squares[-1] < 1e-4 * squares[0]

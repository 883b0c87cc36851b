"""Loops: the numbers of JAX's own, exact gradients, bounded memory."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

# A checkpointed loop computes the same operations in the same order; XLA may fuse them differently.
ROUNDING = 1e-13


def body(carry, x):
    y = jnp.sin(carry["y"] * x) + 0.9 * carry["y"]
    return {"y": y, "law": carry["law"], "n": carry["n"] + 1}, {"y": y, "label": "step"}


def start(y0):
    return {"y": y0, "law": jnp.sin, "n": 0}


def loss(y0, xs, **options):
    carry, ys = wl.scan(body, start(y0), xs, **options)
    return jnp.sum(carry["y"]) * 2 + jnp.sum(ys["y"] ** 2)


def plain_loss(y0, xs, reverse):
    def step(y, x):
        y = jnp.sin(y * x) + 0.9 * y
        return y, y

    y, ys = jax.lax.scan(step, y0, xs, reverse=reverse)
    return jnp.sum(y) * 2 + jnp.sum(ys**2)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n", [0, 1, 7, 16, 23])
@pytest.mark.parametrize("checkpoints", [None, "sqrt", 3, 1000])
def test_scan_has_the_numbers_and_gradients_of_jax(checkpoints, n, reverse):
    y0, xs = jnp.array([1.3, -0.4]), jnp.linspace(0.1, 1.0, n)
    options = {"checkpoints": checkpoints, "reverse": reverse}
    want = jax.jit(jax.value_and_grad(plain_loss, (0, 1)), static_argnums=2)(y0, xs, reverse)
    got = jax.jit(jax.value_and_grad(lambda *a: loss(*a, **options), (0, 1)))(y0, xs)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want)):
        np.testing.assert_allclose(a, b, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("checkpoints", [None, "sqrt", 4])
def test_scan_gradients_forward_reverse_jitted_and_mapped(checkpoints):
    y0, xs = jnp.array([1.3, -0.4]), jnp.linspace(0.1, 1.0, 23)

    def of_start(y0):
        return loss(y0, xs, checkpoints=checkpoints)

    reverse = jax.jit(jax.grad(of_start))(y0)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(of_start))(y0), reverse, rtol=ROUNDING)
    lanes = jnp.stack([y0, 2 * y0, -y0])
    mapped = jax.jit(jax.vmap(jax.grad(of_start)))(lanes)
    np.testing.assert_allclose(mapped, [jax.jit(jax.grad(of_start))(y) for y in lanes], rtol=ROUNDING)
    step = 1e-6
    for i in range(2):
        shift = jnp.zeros(2).at[i].set(step)
        slope = (plain_loss(y0 + shift, xs, False) - plain_loss(y0 - shift, xs, False)) / (2 * step)
        np.testing.assert_allclose(reverse[i], slope, rtol=1e-7)


def test_scan_carries_what_is_no_array():
    carry, ys = wl.scan(body, start(1.0), jnp.ones(5), checkpoints=2)
    assert carry["law"] is jnp.sin and int(carry["n"]) == 5
    assert ys["label"] == "step" and ys["y"].shape == (5,)
    total, last = wl.scan(lambda c, x: (c + x["v"], x["name"]), 0.0, {"v": jnp.arange(4.0), "name": "v"})
    assert total == 6.0 and last == "v"


def test_scan_without_inputs():
    for checkpoints in (None, "sqrt", 3):
        carry, ys = wl.scan(lambda c, _: (2 * c, c), 1.0, length=10, checkpoints=checkpoints)
        assert carry == 1024.0
        np.testing.assert_array_equal(ys, 2.0 ** np.arange(10))


def test_scan_errors():
    def add(c, x):
        return c, None

    with pytest.raises(ValueError, match=r"length=100"):
        wl.scan(add, 0.0)
    with pytest.raises(ValueError, match=r"different numbers of steps: \[3, 4\]"):
        wl.scan(add, 0.0, (jnp.ones(3), jnp.ones(4)))
    with pytest.raises(ValueError, match=r"different numbers of steps: \[3, 5\]"):
        wl.scan(add, 0.0, jnp.ones(3), length=5)
    with pytest.raises(ValueError, match="no axis to run over"):
        wl.scan(add, 0.0, jnp.array(1.0))
    for wrong in (0, -1, 2.5, "all", True):
        with pytest.raises(ValueError, match=r'must be "sqrt", a positive integer or None'):
            wl.scan(add, 0.0, jnp.ones(3), checkpoints=wrong)
    with pytest.raises(TypeError, match="changed from 'a' to 'b'"):
        wl.scan(lambda c, x: ((c[0], "b"), None), (0.0, "a"), jnp.ones(3))
    with pytest.raises(TypeError, match="structure it was given"):
        wl.scan(lambda c, x: ((c, c), None), 0.0, jnp.ones(3))


def gradient_memory(n, checkpoints):
    """Bytes of working memory that the compiled gradient of n steps on 100 numbers asks for."""

    def end(y0):
        def step(y, _):
            return jnp.sin(y) * jnp.cos(y) + jnp.tanh(y), None

        return jnp.sum(wl.scan(step, y0, length=n, checkpoints=checkpoints)[0])

    compiled = jax.jit(jax.grad(end)).lower(jnp.ones(100)).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def test_scan_memory_grows_like_the_square_root():
    lengths = (1024, 4096, 16384)
    plain = [gradient_memory(n, None) for n in lengths]
    root = [gradient_memory(n, "sqrt") for n in lengths]
    for small, large in zip(plain, plain[1:]):
        assert 3.8 < large / small < 4.2
    for small, large in zip(root, root[1:]):
        assert 1.7 < large / small < 2.3
    assert root[-1] < plain[-1] / 40


def test_scan_memory_with_a_given_number_of_checkpoints():
    memory = {k: gradient_memory(4096, k) for k in (1, 8, 64, 4096)}
    # k carries are kept, and the values of n/k steps: least in the middle.
    assert memory[64] < memory[8] / 4 < memory[1] / 16
    assert memory[64] < memory[4096] / 8


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_scan_memory_of_a_process():
    """The peak of resident memory, in a process of its own: 100 MB of values kept, against a few."""
    program = (
        "import sys, jax, jax.numpy as jnp, worldline as wl\n"
        "checkpoints = None if sys.argv[1] == 'all' else sys.argv[1]\n"
        "def end(y, n):\n"
        "    step = lambda y, _: (jnp.tanh(jnp.sin(y) * jnp.cos(y)), None)\n"
        "    return jnp.sum(wl.scan(step, y, length=n, checkpoints=checkpoints)[0])\n"
        "def peak(n):\n"
        "    jax.block_until_ready(jax.jit(jax.grad(lambda y: end(y, n)))(jnp.ones(1000)))\n"
        "    [line] = [line for line in open('/proc/self/status') if line.startswith('VmHWM')]\n"
        "    return int(line.split()[1]) / 1024\n"
        "small = peak(100)\n"
        "print(peak(10000) - small)\n"
    )

    def growth(checkpoints):
        run = subprocess.run(
            [sys.executable, "-c", program, checkpoints], check=True, capture_output=True, text=True
        )
        return float(run.stdout)

    kept, bounded = growth("all"), growth("sqrt")
    assert kept > 75  # at least two float32 values of a step for each of 1000 numbers: 76 MB
    assert bounded < kept / 4


def count_up(x, limit, **options):
    """The state (y, steps) of y <- x sin(y) + 1, until `limit` steps are done."""
    y, n, _ = wl.while_loop(
        lambda c: c[1] < limit, lambda c: (x * jnp.sin(c[0]) + 1, c[1] + 1, c[2]), (x, 0, "name"), **options
    )
    return y, n


def unrolled(x, steps):
    y = x
    for _ in range(steps):
        y = x * jnp.sin(y) + 1
    return y


@pytest.mark.parametrize(
    "max_steps, checkpoints", [(None, None), (None, 1), (None, 3), (30, None), (12, None), (30, 3), (12, 40)]
)
def test_while_loop_reverse_gradient_is_exact(max_steps, checkpoints):
    def end(x):
        return count_up(x, 12, gradient="reverse", max_steps=max_steps, checkpoints=checkpoints)[0]

    want = jax.value_and_grad(unrolled)(0.7, 12)
    np.testing.assert_allclose(jax.jit(jax.value_and_grad(end))(0.7), want, rtol=ROUNDING)


def test_while_loop_forward_gradient_is_exact():
    for options in ({}, {"max_steps": 30}):
        slope = jax.jacfwd(lambda x, options=options: count_up(x, 12, **options)[0])(0.7)
        np.testing.assert_allclose(slope, jax.grad(unrolled)(0.7, 12), rtol=ROUNDING)


def test_while_loop_second_derivatives():
    want = jax.grad(jax.grad(unrolled))(0.7, 6)
    np.testing.assert_allclose(jax.jacfwd(jax.jacfwd(lambda x: count_up(x, 6)[0]))(0.7), want, rtol=1e-12)
    over = jax.jacfwd(jax.grad(lambda x: count_up(x, 6, gradient="reverse")[0]))
    np.testing.assert_allclose(jax.jit(over)(0.7), want, rtol=1e-12)


@pytest.mark.parametrize("gradient", ["forward", "reverse"])
def test_while_loop_lanes_of_different_length(gradient):
    limits, xs = jnp.array([0, 3, 11]), jnp.array([0.2, 0.5, 0.7])

    def end(x, limit):
        return count_up(x, limit, gradient=gradient)[0]

    slope = jax.grad(end) if gradient == "reverse" else jax.jacfwd(end)
    want = [jax.grad(unrolled)(x, int(n)) for x, n in zip(xs, limits)]
    np.testing.assert_allclose(jax.jit(jax.vmap(slope))(xs, limits), want, rtol=ROUNDING)


@pytest.mark.parametrize("gradient", ["forward", "reverse"])
def test_while_loop_stops_at_its_limit(gradient):
    y, n = count_up(0.7, 100, max_steps=5, gradient=gradient)
    assert int(n) == 5
    np.testing.assert_allclose(y, unrolled(0.7, 5), rtol=ROUNDING)
    assert int(count_up(0.7, 3, max_steps=5, gradient=gradient)[1]) == 3
    assert int(count_up(0.7, 3, max_steps=0, gradient=gradient)[1]) == 0


def test_while_loop_takes_python_numbers_of_another_type():
    end = wl.while_loop(lambda c: c < 3, lambda c: c + jnp.float32(1), 0.0, gradient="reverse")
    assert end == 3.0


def test_while_loop_memory_does_not_grow_with_the_bound():
    def memory(max_steps):
        def end(x):
            return count_up(x, 7, gradient="reverse", max_steps=max_steps, checkpoints=10)[0].sum()

        return jax.jit(jax.grad(end)).lower(jnp.ones(1000)).compile().memory_analysis().temp_size_in_bytes

    assert memory(100_000) < 1.1 * memory(1000)


def test_while_loop_errors():
    with pytest.raises(ValueError, match="gradient is 'both'; it must be"):
        count_up(0.7, 3, gradient="both")
    with pytest.raises(ValueError, match="max_steps is -1"):
        count_up(0.7, 3, max_steps=-1)
    with pytest.raises(ValueError, match='checkpoints = 3 is for gradient="reverse"'):
        count_up(0.7, 3, checkpoints=3)
    with pytest.raises(ValueError, match="checkpoints is 0"):
        count_up(0.7, 3, gradient="reverse", checkpoints=0)
    with pytest.raises(TypeError, match="changed from 'a' to 'b'"):
        wl.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, "b"), (0, "a"))


@pytest.mark.parametrize("checkpoints", [None, "sqrt", 2])
def test_fori_loop_with_fixed_bounds_has_both_modes(checkpoints):
    def end(x):
        return wl.fori_loop(2, 9, lambda i, c: (x * c[0] + i, c[1]), (x, "s"), checkpoints=checkpoints)[0]

    def by_hand(x):
        y = x
        for i in range(2, 9):
            y = x * y + i
        return y

    want = jax.grad(by_hand)(0.7)
    np.testing.assert_allclose(end(0.7), by_hand(0.7), rtol=ROUNDING)
    np.testing.assert_allclose([jax.grad(end)(0.7), jax.jacfwd(end)(0.7)], [want, want], rtol=ROUNDING)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_fori_loop_takes_numpy_integers_as_python_ones(kind):
    def end(x, lower, upper):
        return wl.fori_loop(lower, upper, lambda i, c: x * c + i, x, checkpoints="sqrt")

    for bounds in ((2, 9), (9, 2)):  # unsigned numbers have no negative difference
        value, slope = jax.value_and_grad(end)(0.7, *map(kind, bounds))
        assert (value, slope) == jax.value_and_grad(end)(0.7, *bounds)
    assert end(0.7, 2, kind(9)) == end(0.7, 2, 9)


def test_fori_loop_bounds():
    def add(i, c):
        return c + i

    assert wl.fori_loop(0, 5, add, 0) == 10
    assert wl.fori_loop(-3, 0, add, 0) == -6
    assert wl.fori_loop(5, 2, add, 7) == 7
    assert jax.jit(lambda n: wl.fori_loop(0, n, add, 0))(5) == 10
    slope = jax.grad(lambda x, n: wl.fori_loop(0, n, lambda i, c: c * x, 1.0, gradient="reverse"))(
        2.0, jnp.array(3)
    )
    np.testing.assert_allclose(slope, 12.0, rtol=ROUNDING)
    with pytest.raises(ValueError, match="Python or NumPy integers; give a number"):
        wl.fori_loop(0, jnp.array(3), add, 0, checkpoints="sqrt")

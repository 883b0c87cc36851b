"""Sums over neighbors and their derivatives: all layouts against all others, finite differences, forward against reverse."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

# Tests that compile much take one layout, and the others in long runs.
ROWS_FIRST = pytest.mark.parametrize(
    "layout",
    ["rows", *(pytest.param(other, marks=pytest.mark.slow) for other in ("pairs", "rows on XLA"))],
    indirect=True,
)
SKEWED = np.array([[3.1, 0.0, 0.0], [1.2, 2.7, 0.0], [-0.8, 0.9, 2.9]])
CUTOFF = 1.9  # several images of a particle are near it


def case(layout):
    """A system of two species in a small skewed box, its state, and parameters."""
    position = wl.md.random_packing(12, box=wl.md.Box.triclinic(SKEWED), distance=0.85, key=3)[0]
    term = wl.md.LennardJones([1.0, 0.7], [0.9, 0.8], CUTOFF, shape="force_shift")
    system = wl.md.System(term, ["A", "B"] * 6, **layout)
    state = system.state(position, None, wl.md.Box.triclinic(SKEWED))
    return system.sized(state), state


def energy(system, state):
    """U of (positions, edges, parameters)."""

    def of(position, vectors, epsilon, sigma):
        moved = system.replace({"lennard_jones.epsilon": epsilon, "lennard_jones.sigma": sigma})
        return moved.potential_energy(moved.state(position, None, wl.md.Box(vectors)))

    term = system.interaction.terms["lennard_jones"]
    return of, (state.position, state.box.vectors, term.epsilon, term.sigma)


def directions(arguments, seed):
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(rng.normal(size=x.shape) * 0.1) for x in arguments)


@pytest.mark.parametrize("which", range(4))
def test_gradients_are_slopes_of_finite_differences(layout, which):
    of, arguments = energy(*case(layout))
    gradient = jax.jit(jax.grad(of, which))(*arguments)
    v = directions(arguments, which)[which]
    evaluate = jax.jit(of)

    def at(h):
        return evaluate(*(x + h * v if k == which else x for k, x in enumerate(arguments)))

    slopes = [float((at(h) - at(-h)) / (2 * h)) for h in (1e-3, 1e-4)]
    exact = float(jnp.sum(gradient * v))
    # The error of central differences falls with the square of the step.
    errors = [abs(s - exact) for s in slopes]
    assert errors[1] < 2e-6 * abs(exact) and errors[1] < max(0.02 * errors[0], 1e-9 * abs(exact))


@ROWS_FIRST
def test_second_derivatives_agree_forward_reverse_and_by_differences(layout):
    of, arguments = energy(*case(layout))
    v, w = directions(arguments, 1), directions(arguments, 2)
    gradient = jax.jit(jax.grad(of, (0, 1, 2, 3)))
    product = lambda g, u: sum(jnp.sum(a * b) for a, b in zip(g, u))
    along = lambda h: gradient(*(x + h * d for x, d in zip(arguments, v)))
    forward = jax.jit(lambda *a: jax.jvp(jax.grad(of, (0, 1, 2, 3)), a, v)[1])(*arguments)
    reverse = jax.jit(jax.grad(lambda *a: product(jax.grad(of, (0, 1, 2, 3))(*a), v), (0, 1, 2, 3)))(*arguments)
    for a, b in zip(forward, reverse):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * float(jnp.abs(a).max()))
    h = 1e-5
    differences = product(jax.tree.map(lambda a, b: (a - b) / (2 * h), along(h), along(-h)), w)
    assert float(product(forward, w)) == pytest.approx(float(differences), rel=1e-6)


@ROWS_FIRST
def test_third_derivatives_exist(layout):
    of, arguments = energy(*case(layout))
    v = directions(arguments, 1)[0]
    second = lambda x: jax.jvp(lambda x: jax.jvp(lambda x: of(x, *arguments[1:]), (x,), (v,))[1], (x,), (v,))[1]
    third = float(jax.jit(lambda x: jax.jvp(second, (x,), (v,))[1])(arguments[0]))
    back = float(jnp.sum(jax.jit(jax.grad(second))(arguments[0]) * v))
    assert third == pytest.approx(back, rel=1e-9)


@pytest.mark.slow
def test_the_same_through_vmap_and_loops(layout):
    system, state = case(layout)
    of, arguments = energy(system, state)
    sigmas = jnp.stack([arguments[3], 1.02 * arguments[3], 0.97 * arguments[3]])
    each = jax.grad(of)
    many = jax.jit(jax.vmap(each, (None, None, None, 0)))(*arguments[:3], sigmas)
    for k in range(3):
        np.testing.assert_allclose(many[k], each(*arguments[:3], sigmas[k]), rtol=1e-9, atol=1e-9)
    summed = jax.jit(jax.grad(lambda s: jnp.sum(jax.vmap(of, (None, None, None, 0))(*arguments[:3], s))))(sigmas)
    np.testing.assert_allclose(summed[1], jax.grad(of, 3)(*arguments[:3], sigmas[1]), rtol=1e-9)


@ROWS_FIRST
def test_a_pair_function_of_both_kinds_and_no_parity(layout):
    system, state = case(layout)
    near = system.surroundings(state)
    charge = jnp.asarray(np.random.default_rng(0).normal(size=12))

    def fn(d, own, other, shared):
        return shared * d * (own + 2 * other) * jnp.sum(d * d)

    def total(position, charge, shared):
        import equinox as eqx

        moved = eqx.tree_at(lambda n: n.position, near, position)
        rows = moved.sum(fn, CUTOFF, charge, shared)
        return jnp.sum(jnp.sin(rows))

    arguments = (state.position, charge, jnp.asarray(0.3))
    v = directions(arguments, 4)
    gradient = jax.jit(jax.grad(total, (0, 1, 2)))(*arguments)
    slope = jax.jit(lambda *a: jax.jvp(total, a, v)[1])(*arguments)
    assert float(sum(jnp.sum(a * b) for a, b in zip(gradient, v))) == pytest.approx(float(slope), rel=1e-10)
    h = 1e-6
    at = jax.jit(lambda h: total(*(x + h * d for x, d in zip(arguments, v))))
    assert float((at(h) - at(-h)) / (2 * h)) == pytest.approx(float(slope), rel=1e-5)


@ROWS_FIRST
def test_what_a_pair_function_closes_over_is_differentiated(layout):
    system, state = case(layout)
    near = system.surroundings(state)
    fn = lambda a: near.sum(lambda d, *_: a * jnp.sum(d * d) + 1.0, CUTOFF, parity=1, total=True)
    value = float(fn(2.0))
    assert float(jax.grad(fn)(2.0)) == pytest.approx((value - float(fn(0.0))) / 2, rel=1e-12)


@ROWS_FIRST
def test_float32_differs_by_rounding(layout):
    system, state = case(layout)
    exact = system.forces(state)
    lower = jax.tree.map(lambda x: x.astype(jnp.float32) if jnp.issubdtype(x.dtype, jnp.floating) else x, (system, state))
    found = lower[0].forces(lower[1])
    assert found.force.dtype == jnp.float32 and found.virial.dtype == jnp.float32
    np.testing.assert_allclose(found.force, exact.force, atol=2e-4 * float(jnp.abs(exact.force).max()))
    assert float(found.energy) == pytest.approx(float(exact.energy), rel=1e-4)


@pytest.mark.parametrize("images", [True, False])
def test_in_lanes_the_sums_are_the_same(images):
    system, state = case({})
    if not images:
        state = system.state(state.position, None, wl.md.Box.triclinic(2.2 * SKEWED))
        system = wl.md.System(system.interaction, ["A", "B"] * 6).sized(state)
    near = system.surroundings(state)

    def all_kinds(position):
        import equinox as eqx

        moved = eqx.tree_at(lambda n: n.position, near, position)
        odd = moved.sum(lambda d, *_: d * jnp.sum(d * d), CUTOFF, parity=-1)
        total = moved.sum(lambda d, *_: d[0] * d[1], CUTOFF, parity=1, total=True)
        nothing = moved.sum(lambda d, *_: d, CUTOFF, parity=-1, total=True)
        mixed = moved.sum(lambda d, own, other, _: d * (own + 1) * (other + 3), CUTOFF, moved.kind)
        forces = jax.grad(lambda x: system.interaction.energy(eqx.tree_at(lambda n: n.position, near, x)))(position)
        return odd, total, nothing, mixed, forces

    positions = jnp.stack([state.position, state.position + 0.1 * jnp.sin(7 * state.position)], -1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that something has no native code
        found = jax.jit(wl.lanes(all_kinds))(positions)
    for k in range(2):
        for a, b in zip(found, all_kinds(positions[..., k])):
            np.testing.assert_allclose(a[..., k], b, rtol=1e-10, atol=1e-10)

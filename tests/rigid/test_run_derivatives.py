"""Derivatives of runs through contact, limits and friction: three ways, finite everywhere, of every parameter."""

import c_library
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_models

import worldline as wl

r = wl.rigid
STEPS = 40


def push(model, u):
    return wl.Sampled(jnp.arange(STEPS + 1) * model.timestep, jnp.concatenate([u, u[-1:]]), kind="hold")


def sliding_block():
    """On the ground and sliding all the time."""
    model = small_models.block(0.1, friction=0.3)
    return model, jnp.array([0.0, -0.0004]), jnp.array([1.0, 0.02])


def rolling_ball():
    """Bouncing once, with spin, sliding and rolling friction."""
    model = small_models.falling_ball(condim=6, solref=(0.03, 0.4), friction=(0.6, 0.02, 0.01))
    turn = jnp.array([0.7, 0.1, -0.5, 0.4])
    q = jnp.concatenate([jnp.array([0.0, 0.1, 0.108]), turn / jnp.linalg.norm(turn)])
    return model, q, jnp.array([0.5, 0.2, -0.6, 1.0, -2.0, 3.0])


def driven():
    """Every kind of actuator, limits, dry friction, couplings and tendons, in a state where many act."""
    model = r.load(c_library.path("driven"))
    q, v = c_library.random_states(c_library.compiled("driven")[0], 1, seed=3, spread=0.3)
    return model, jnp.asarray(q[0]), jnp.asarray(v[0])


def spinning():
    """A free body that turns fast about no axis of its own."""
    model = small_models.top()
    turn = jnp.array([0.7, 0.1, -0.5, 0.4])
    q = jnp.concatenate([jnp.array([0.1, -0.2, 0.3]), turn / jnp.linalg.norm(turn)])
    return model, q, jnp.array([0.4, -0.3, 0.2, 15.0, 40.0, -25.0])


CASES = {"block": sliding_block, "ball": rolling_ball, "driven": driven, "spinning": spinning}
# The search for forces ends at rounding; differences lose half the digits besides.
DIFFERENCES = {"block": 2e-6, "ball": 2e-6, "driven": 5e-5, "spinning": 2e-6}


def outcome(model, q, v, u, gradient="auto", solver="auto"):
    """One number from the last state, with weights that no symmetry cancels."""
    run = wl.simulate(model, model.state(q, v), steps=STEPS, controls=push(model, u), gradient=gradient, solver=solver)
    end = jnp.concatenate([run.final.q, run.final.v])
    return jnp.sum(jnp.asarray(np.random.default_rng(1).normal(size=end.shape)) * jnp.arcsinh(end))


@pytest.mark.parametrize(
    ("case", "solver"),
    [
        ("block", "auto"),
        *(pytest.param(*given, marks=pytest.mark.slow) for given in (("block", "rk4"), ("ball", "auto"), ("driven", "auto"))),
        *(pytest.param("spinning", solver, marks=pytest.mark.slow) for solver in ("rk4", "implicitfast")),
    ],
)  # fmt: skip
def test_forward_reverse_and_differences_agree(case, solver):
    """Along one direction of state, controls and all parameters at once."""
    model, q, v = CASES[case]()
    random = np.random.default_rng(0)
    point = (model, q, v, jnp.asarray(0.3 * random.normal(size=(STEPS, model.nu))))
    step = jax.tree.map(lambda x: 0.02 * random.normal(size=x.shape) * jnp.where(x == 0, 0.0, x), point)

    def along(s):
        return outcome(*jax.tree.map(lambda x, d: x + s * d, point, step), solver=solver)

    sizes = jnp.asarray([1e-4, -1e-4, 1e-5, -1e-5, 1e-6, -1e-6])
    forward = wl.lanes(lambda s: jax.jvp(along, (s,), (jnp.ones_like(s),))[1])(jnp.zeros(1))[0]
    slopes = wl.lanes(jax.grad(lambda *p: outcome(*p, gradient="reverse", solver=solver), (0, 1, 2, 3)))(
        *jax.tree.map(lambda x: x[..., None], point)
    )
    reverse = sum(jnp.vdot(a[..., 0], b) for a, b in zip(jax.tree.leaves(slopes), jax.tree.leaves(step), strict=True))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes))
    assert float(reverse) == pytest.approx(float(forward), rel=1e-8)
    values = wl.lanes(along)(sizes)
    errors = [abs(float((values[k] - values[k + 1]) / (2 * sizes[k]) / forward) - 1) for k in (0, 2, 4)]
    assert min(errors) < DIFFERENCES[case], errors
    assert max(errors) < 0.05, errors


@pytest.mark.slow
def test_every_parameter_is_reached_through_a_run():
    """The derivative by every float leaf is finite, and of those that can matter in this state it is not zero."""
    model = r.load(c_library.path("driven"))
    q, v = c_library.random_states(c_library.compiled("driven")[0], 8, seed=3, spread=0.3)
    u = 0.3 * jnp.ones((STEPS, model.nu))

    def loss(model, q, v):
        return outcome(model, q, v, u, gradient="reverse")

    slopes = wl.lanes(jax.grad(loss), in_axes=(None, -1, -1))(model, jnp.asarray(q.T), jnp.asarray(v.T))
    found = slopes.parameters
    assert set(found) == set(model.parameters)
    assert all(np.isfinite(x).all() for x in found.values())
    dead = {name for name, x in found.items() if not np.any(x)}
    for word in ("mass", "center", "damping", "armature", "gain", "gear", "gravity"):
        assert not any(
            name.endswith(f".{word}") and name.split(".")[0] in ("rail", "hinge", "pole") for name in dead
        ), dead
    assert len(dead) < 0.5 * len(found), dead


SPECIAL = {
    "rest": ([0, 0, 0.0999, 1, 0, 0, 0], [0] * 6, 0.5),
    "grazing": ([0, 0, 0.1, 1, 0, 0, 0], [0] * 6, 0.5),
    "no friction": ([0, 0, 0.0995, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0], 0.0),
    "in flight": ([0, 0, 0.5, 1, 0, 0, 0], [0] * 6, 0.5),
}


@pytest.mark.parametrize("solver", ["euler", pytest.param("rk4", marks=pytest.mark.slow)])
def test_derivatives_are_finite_at_rest_grazing_and_without_friction(solver):
    """All of these states in lanes of one program: by state, friction and the whole model."""
    model = small_models.falling_ball(condim=6)

    def loss(model, q, v, friction):
        numbers = friction * jnp.array([1.0, 0.01, 0.001])
        changed = model.replace({"shell.friction": numbers, "floor.friction": numbers})
        end = wl.simulate(changed, changed.state(q, v), steps=5, solver=solver, gradient="reverse").final
        return jnp.sum(jnp.sin(end.q)) + jnp.sum(end.v)

    points = [jnp.stack([jnp.asarray(p[k], float) for p in SPECIAL.values()], axis=-1) for k in range(3)]
    slopes = wl.lanes(jax.grad(loss, (0, 1, 2, 3)), in_axes=(None, -1, -1, -1))(model, *points)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes))


@pytest.mark.slow
def test_hessian_vector_products_are_differences_of_gradients():
    model, q, v = sliding_block()
    u = jnp.zeros((STEPS, model.nu))
    direction = jnp.array([0.3, -0.7])

    def loss(v, friction):
        changed = model.replace({"box.friction": friction * jnp.array([1.0, 0, 0]), "floor.friction": jnp.zeros(3)})
        return outcome(changed, q, v, u, gradient="forward") ** 2

    slope = jax.grad(loss, (0, 1))
    product = jax.jit(lambda v, f: jax.jvp(slope, (v, f), (direction, 0.2))[1])(v, 0.3)
    slopes = wl.lanes(lambda s: slope(v + s * direction, 0.3 + 0.2 * s))(jnp.array([1e-5, -1e-5]))
    for exact, values in zip(product, slopes):
        np.testing.assert_allclose(exact, (values[..., 0] - values[..., 1]) / 2e-5, rtol=1e-5, atol=1e-8)

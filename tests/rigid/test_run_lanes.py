"""Many runs at once: in native lanes as by vmap on XLA, in float32, with one model each."""

import jax
import jax.numpy as jnp
import numpy as np
import small_models

import worldline as wl

# Sixty steps on the ground: rounding grows a little with each.
ROUNDING = 1e-10
BLOCK = small_models.block(0.1)


def run(speed, friction):
    numbers = friction * jnp.array([1.0, 0.01, 0.001], friction.dtype)
    changed = BLOCK.replace({"box.friction": numbers, "floor.friction": numbers})
    return wl.simulate(changed, changed.state(v=jnp.stack([speed, -speed])), steps=60)


def test_an_ensemble_in_lanes_is_that_of_vmap():
    speed, friction = jnp.linspace(-1, 1, 19), jnp.linspace(0.1, 0.9, 19)
    lanes = wl.ensemble(run)(speed, friction)
    assert int(lanes.stats.lanes.max()) > 1
    xla = jax.jit(jax.vmap(run))(speed, friction)
    for a, b in zip(jax.tree.leaves(lanes.states), jax.tree.leaves(xla.states), strict=True):
        np.testing.assert_allclose(a, b, rtol=ROUNDING, atol=ROUNDING * np.abs(b).max(initial=0.0))
    assert np.array_equal(lanes.status.code, xla.status.code)


def test_a_lane_is_the_single_run():
    speed, friction = jnp.linspace(-1, 1, 5), jnp.linspace(0.1, 0.9, 5)
    many = wl.ensemble(run)(speed, friction)
    one = run(speed[3], friction[3])
    np.testing.assert_allclose(many.states.q[3], one.states.q, rtol=ROUNDING, atol=1e-13)


def test_float32_models_run_in_float32():
    single = lambda tree: jax.tree.map(lambda x: x.astype(jnp.float32), tree)
    double_run = wl.simulate(BLOCK, BLOCK.state(v=[1.0, 0.0]), steps=60)
    small = single(BLOCK)
    run = wl.simulate(
        small, single(small.state(v=[1.0, 0.0])), steps=60, controls=lambda t: jnp.ones(1, jnp.float32) * 0
    )
    assert {x.dtype for x in jax.tree.leaves(run.states)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(run.states.q, double_run.states.q, atol=2e-6)
    np.testing.assert_allclose(run.states.v, double_run.states.v, atol=2e-4)

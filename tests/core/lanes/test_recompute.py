"""Reverse passes through loops in lanes: a chain of links, and rows that are computed again instead of being stored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl
from worldline.core.lanes import lanes
from worldline.core.lanes.recompute import rows_computed_again

LANES, LINKS, STEPS, DT = 11, 2, 12, 0.01
# A step has fewer than 2000 operations in sequence, each right to a few ulp, and the motion is smooth.
TOLERANCE = 2000 * 8 * np.finfo("f8").eps
BODY = np.array([[0.05, 0.0, 0.2], [0.0, 1.0, 0.0], [0.2, 0.0, 1.0]])  # inertia about the joint, center 0.2 along x


def chain_step(state):
    """A semi-implicit Euler step of links in a plane by the articulated-body algorithm; vectors are (turn, x, y)."""
    q, rate = state
    hinge, inertia = jnp.array([1.0, 0.0, 0.0]), jnp.asarray(BODY)

    def transform(k):
        c, s = jnp.cos(q[k]), jnp.sin(q[k])
        turn = jnp.array([[1.0, 0.0, 0.0], [0.0, c, s], [0.0, -s, c]])
        shift = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.4 if k else 0.0, 0.0, 1.0]])
        return turn @ shift

    def cross(v):
        return jnp.array([[0.0, 0.0, 0.0], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])

    transforms, v, drifts, forces = [transform(k) for k in range(LINKS)], jnp.zeros(3), [], []
    for k in range(LINKS):
        v = transforms[k] @ v + hinge * rate[k]
        drifts.append(cross(v) @ (hinge * rate[k]))
        forces.append(-cross(v).T @ (inertia @ v))
    whole, force, joints = inertia, forces[-1], []
    for k in reversed(range(LINKS)):
        pull = whole @ hinge
        weight, torque = hinge @ pull, -(hinge @ force) - 0.1 * rate[k]
        joints.append((pull, weight, torque))
        rest = whole - jnp.outer(pull, pull) / weight
        carried = force + rest @ drifts[k] + pull * torque / weight
        whole = inertia + transforms[k].T @ rest @ transforms[k]
        force = forces[k - 1] + transforms[k].T @ carried
    a, result = jnp.array([0.0, 0.0, 9.81]), []
    for k, (pull, weight, torque) in enumerate(reversed(joints)):
        a = transforms[k] @ a + drifts[k]
        result.append((torque - pull @ a) / weight)
        a = a + hinge * result[-1]
    rate = rate + DT * jnp.stack(result)
    return jnp.stack([q + DT * rate, rate])


def loss(state, checkpoints):
    return jnp.sum(wl.fori_loop(0, STEPS, lambda k, s: chain_step(s), state, checkpoints=checkpoints))


def states():
    return jnp.asarray(np.random.default_rng(0).normal(size=(2, LINKS, LANES)))


@pytest.mark.parametrize("checkpoints", [None, "sqrt", 5])
def test_gradient_of_a_chain_agrees_with_xla(checkpoints):
    one = lambda s: loss(s, checkpoints)
    expected = jax.jit(jax.vmap(jax.grad(one), -1, -1))(states())
    inside = wl.lanes(jax.grad(one))(states())
    outside = jax.grad(lambda s: jnp.sum(wl.lanes(one)(s)))(states())
    np.testing.assert_allclose(inside, expected, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(outside, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_gradient_of_a_chain_agrees_with_finite_differences():
    many, state = wl.lanes(lambda s: loss(s, None)), states()
    slope = jnp.sum(wl.lanes(jax.grad(lambda s: loss(s, "sqrt")))(state) * state, (0, 1))
    errors = []
    for h in (1e-3, 1e-4):
        difference = (many(state * (1 + h)) - many(state * (1 - h))) / (2 * h)
        errors.append(float(jnp.max(jnp.abs(difference - slope))))
    assert errors[0] < 1e-3
    assert errors[1] < errors[0] / 50  # the error of central differences is of second order


def test_gradient_through_a_long_rollout_needs_little_memory():
    state = jax.ShapeDtypeStruct((2, LINKS, LANES), jnp.float64)
    native = lanes.explain(jax.grad(lambda s: loss(s, None)), state)
    bytes_of_states = STEPS * 2 * LINKS * native.width * 8
    assert native.native
    assert native.workspace_bytes <= 2 * bytes_of_states


def scans(body, equations):
    return rows_computed_again(body, [e for e in equations if e.primitive.name == "scan"])


def test_rows_that_are_results_too_are_stored():
    def both(x):
        def step(c, _):
            c = jnp.stack([c[1], c[0] * c[1]]) * 0.9
            return c, c * c

        end, rows = jax.lax.scan(step, x, length=5)
        return jnp.sum(jax.lax.scan(lambda c, r: (c + r, None), end, rows)[0]), rows

    body = jax.make_jaxpr(both)(jnp.ones(2)).jaxpr
    assert scans(body, body.eqns) == {}
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, LANES)))
    for native, expected in zip(wl.lanes(both)(x), jax.vmap(both, -1, -1)(x)):
        np.testing.assert_allclose(native, expected, rtol=1e-14)


def test_rows_read_by_two_loops_and_rows_made_of_rows():
    def chained(x, inputs):
        def step(c, r):
            y = jnp.stack([c * r, c + r, c - r, c * c])
            return jnp.tanh(jnp.sum(y)), y

        end, rows = jax.lax.scan(step, x, inputs)
        second, more = jax.lax.scan(lambda c, r: (c + r[0] * r[3], (r * c, r + c)), end, rows)
        total = lambda c, r: (c * 0.5 + jnp.sum(r[0] * r[1][0] * r[1][1]), None)
        return jax.lax.scan(total, second, (rows, more), reverse=True)[0]

    inputs = jnp.asarray(np.random.default_rng(2).normal(size=(6, LANES)))
    body = jax.make_jaxpr(chained)(1.0, inputs[:, 0]).jaxpr
    assert len(scans(body, body.eqns)) == 2
    x = jnp.linspace(-1.0, 1.0, LANES)
    np.testing.assert_allclose(wl.lanes(chained)(x, inputs), jax.vmap(chained, -1)(x, inputs), rtol=1e-13)


def test_loops_within_and_costly_rows_are_stored():
    def nested(c, _):
        c = jax.lax.fori_loop(0, 3, lambda k, y: jnp.sin(y), c)
        return c, jnp.stack([c, c * c, c + 1.0, c - 1.0])

    def costly(c, _):
        for _ in range(40):
            c = jnp.sin(c)
        return c, jnp.stack([c, c * c, c + 1.0, c - 1.0])

    for step in (nested, costly):
        def whole(x, step=step):
            end, rows = jax.lax.scan(step, x, length=4)
            return jax.lax.scan(lambda c, r: (c + jnp.sum(r), None), end, rows)[0]

        body = jax.make_jaxpr(whole)(1.0).jaxpr
        assert scans(body, body.eqns) == {}
        x = jnp.linspace(-1.0, 1.0, LANES)
        np.testing.assert_allclose(wl.lanes(whole)(x), jax.vmap(whole)(x), rtol=1e-13)

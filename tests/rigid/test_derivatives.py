"""Derivatives: of every parameter, finite where formulas are 0/0, by closed form, differences, forwards and backwards."""

import c_library
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

MODELS = ("mixed", "driven", "touching")


def state(name, rest):
    model = wl.rigid.load(c_library.path(name))
    if rest:
        return model, model.rest(), jnp.zeros(model.nv)
    q, v = c_library.random_states(c_library.compiled(name)[0], 1, seed=3, spread=0.5)
    return model, jnp.asarray(q[0]), jnp.asarray(v[0])


def everything(model, q, v):
    """One number made of all that the smooth half computes, with weights that no symmetry cancels."""
    driven = wl.rigid.actuation(model, q, v, 0.1 * jnp.ones(model.nu), 0.2 * jnp.ones(model.na))
    found = [wl.rigid.forward_dynamics(model, q, v, driven.generalized), wl.rigid.bias_forces(model, q, v), driven.rate]
    for rows in (wl.rigid.coupling_rows(model, q), wl.rigid.friction_rows(model), wl.rigid.limit_rows(model, q)):
        velocity = rows.jacobian @ v
        found += wl.rigid.response(
            rows.position, velocity, rows.inverse_weight, rows.solref, rows.solimp, rows.margin, dt=0.001
        )
        if rows.loss is not None:
            found.append(rows.loss)
    found += [x for contact in model.tree.contacts for x in wl.rigid.contact_parameters(model, contact)]
    found.append(wl.rigid.kinematics(model, q).center)
    flat = jnp.concatenate([jnp.ravel(x) for x in found])
    scale = jnp.asarray(np.random.default_rng(5).normal(size=flat.shape))
    return jnp.sum(scale * jnp.arcsinh(flat))


@pytest.mark.parametrize(
    ("name", "rest"),
    [pytest.param(name, rest, marks=pytest.mark.slow) for name in MODELS for rest in (True, False)],
)
def test_every_parameter_has_a_finite_derivative(name, rest):
    model, q, v = state(name, rest)
    slopes = wl.lanes(jax.grad(everything, (0, 1, 2)))(*jax.tree.map(lambda x: x[..., None], (model, q, v)))
    by_model = slopes[0].parameters
    assert set(by_model) == set(model.parameters)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_forward_backward_and_differences_agree(name):
    model, q, v = state(name, False)
    random = np.random.default_rng(0)
    step = jax.tree.map(lambda x: 0.1 * random.normal(size=x.shape) * jnp.where(x == 0, 0.05, x), (model, q, v))
    # Away from the bends at defaults: powers of one, equal frictions of two shapes, no width.
    model, q, v = jax.tree.map(lambda x, d: x + 0.3 * d, (model, q, v), step)

    def along(s):
        moved = jax.tree.map(lambda x, d: x + s * d, (model, q, v), step)
        return everything(*moved)

    sizes = jnp.asarray([0.0, 1e-6, -1e-6, 3e-7, -3e-7])
    forward = wl.lanes(jax.jacfwd(along))(sizes[:1])[0]
    slopes = wl.lanes(jax.grad(everything, (0, 1, 2)))(*jax.tree.map(lambda x: x[..., None], (model, q, v)))
    backward = sum(jnp.vdot(a[..., 0], b) for a, b in zip(jax.tree.leaves(slopes), jax.tree.leaves(step)))
    assert float(backward) == pytest.approx(float(forward), rel=1e-10)
    values = wl.lanes(along)(sizes)
    for k in (1, 3):
        difference = (values[k] - values[k + 1]) / (2 * sizes[k])
        assert float(difference) == pytest.approx(float(forward), rel=2e-5)


def pendulum(mass, length):
    """A point mass on a rod without mass, hanging along -z, turning about y."""
    r = wl.rigid
    rod = r.body(
        "rod", mass=mass, inertia=(1e-12, 1e-12, 1e-12), center=(0, 0, -1), joints=[r.hinge("pivot", (0, 1, 0))]
    )
    return r.build([rod]).replace({"rod.center": jnp.stack([0.0 * length, 0.0 * length, -length])})


def test_a_pendulum_has_the_derivatives_of_its_formula():
    """d²θ/dt² = -g sin θ / l, and under a torque τ besides τ / (m l²)."""
    model, angle, torque, g = pendulum(0.7, 1.3), 0.4, 0.2, 9.81

    def acceleration(model, angle, torque):
        return wl.rigid.forward_dynamics(model, angle[None], jnp.zeros(1), torque[None])[0]

    value, slopes = jax.value_and_grad(acceleration, (0, 1, 2))(model, jnp.asarray(angle), jnp.asarray(torque))
    m, l = 0.7, 1.3
    assert float(value) == pytest.approx(-g * np.sin(angle) / l + torque / (m * l**2), rel=1e-9)
    by_mass = -torque / (m**2 * l**2)
    by_center = -(g * np.sin(angle) / l**2 - 2 * torque / (m * l**3))  # the centre is at -l
    assert float(slopes[0].parameters["rod.mass"]) == pytest.approx(by_mass, rel=1e-8)
    assert float(slopes[0].parameters["rod.center"][2]) == pytest.approx(by_center, rel=1e-8)
    assert float(slopes[1]) == pytest.approx(-g * np.cos(angle) / l, rel=1e-9)
    assert float(slopes[2]) == pytest.approx(1 / (m * l**2), rel=1e-9)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("depth", [0.0, 0.02, 0.05, 0.0999, 0.2])
def test_impedances_have_the_derivatives_of_differences(power, depth):
    from worldline.physics.rigid.constraints import impedance

    solimp = jnp.array([0.3, 0.9, 0.1, 0.4, power])
    by_solimp, by_depth = jax.jacrev(impedance, (0, 1))(solimp, jnp.asarray(depth))
    assert np.isfinite(by_solimp).all() and np.isfinite(by_depth)
    assert np.isfinite(jax.hessian(lambda x: impedance(solimp, x))(jnp.asarray(depth)))
    if 0 < depth < 0.1 and depth != 0.04:
        h = 1e-7
        slope = (impedance(solimp, depth + h) - impedance(solimp, depth - h)) / (2 * h)
        assert float(by_depth) == pytest.approx(float(slope), rel=1e-6, abs=1e-8)
        if power > 1:
            up, down = (impedance(solimp.at[4].add(s), jnp.asarray(depth)) for s in (h, -h))
            assert float(by_solimp[4]) == pytest.approx(float((up - down) / (2 * h)), rel=1e-5, abs=1e-8)

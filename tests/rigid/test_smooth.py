"""Kinematics and smooth forces against the C library of MuJoCo, and against the laws they must obey."""

import c_library
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from c_library import assert_near

import worldline as wl

MODELS = ("mixed", "chain")
STATES = 12


def everything(model, q, v):
    poses = wl.rigid.kinematics(model, q)
    acceleration = wl.rigid.forward_dynamics(model, q, v)
    return dict(
        xpos=poses.position,
        xquat=poses.orientation,
        xipos=poses.center,
        mass=wl.rigid.mass_matrix(model, q),
        qfrc_bias=wl.rigid.bias_forces(model, q, v),
        qfrc_passive=wl.rigid.passive_forces(model, q, v),
        qacc_smooth=acceleration,
        nothing=wl.rigid.inverse_dynamics(model, q, v, acceleration),
        energy=jnp.stack([wl.rigid.potential_energy(model, q), wl.rigid.kinetic_energy(model, q, v)]),
        center=wl.rigid.center_of_mass(model, q),
        momentum=jnp.concatenate(wl.rigid.momentum(model, q, v)),
        jacobian=jnp.concatenate(wl.rigid.point_jacobian(model, q, model.tree.bodies[2], jnp.array([0.1, 0.2, 0.3]))),
        moved=wl.rigid.integrate_position(model, q, v, 0.1),
        there=wl.rigid.difference(model, q, wl.rigid.integrate_position(model, q, v, 0.1)),
    )


@pytest.fixture(scope="module", params=MODELS)
def compared(request):
    """The name, the C model, random states, and everything we compute there."""
    theirs, _ = c_library.compiled(request.param)
    q, v = c_library.random_states(theirs, STATES)
    model = wl.rigid.load(c_library.path(request.param))
    ours = wl.lanes(lambda q, v: everything(model, q, v))(q.T, v.T)
    return request.param, q, v, {name: np.moveaxis(np.asarray(x), -1, 0) for name, x in ours.items()}


def test_poses_forces_and_accelerations_agree_with_the_c_library(compared):
    name, q, v, ours = compared
    model, data = c_library.compiled(name)
    model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_ENERGY
    for k in range(STATES):
        c_library.at(model, data, q[k], v[k])
        for field in ("xpos", "xquat", "xipos"):
            assert_near(ours[field][k], getattr(data, field)[1:])
        for field in ("qfrc_bias", "qfrc_passive", "qacc_smooth", "energy"):
            assert_near(ours[field][k], getattr(data, field))
        assert_near(ours["mass"][k], c_library.full_mass(model, data))
        assert_near(ours["center"][k], data.subtree_com[0])
        assert np.abs(ours["nothing"][k]).max() < 1e-10 * np.abs(data.qfrc_bias).max(initial=1.0)


def test_jacobians_momentum_and_steps_of_configurations_agree_with_the_c_library(compared):
    name, q, v, ours = compared
    model, data = c_library.compiled(name)
    for k in range(STATES):
        c_library.at(model, data, q[k], v[k])
        linear, angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        mujoco.mj_jac(model, data, linear, angular, np.array([0.1, 0.2, 0.3]), 3)
        assert_near(ours["jacobian"][k], np.concatenate([linear, angular]))
        mujoco.mj_subtreeVel(model, data)
        mass = model.body_subtreemass[0]
        assert_near(ours["momentum"][k][:3], mass * data.subtree_linvel[0])
        assert_near(ours["momentum"][k][3:], data.subtree_angmom[0])
        moved = q[k].copy()
        mujoco.mj_integratePos(model, moved, v[k], 0.1)
        assert_near(ours["moved"][k], moved)
        there = np.zeros(model.nv)
        mujoco.mj_differentiatePos(model, there, 1.0, q[k], moved)
        assert_near(ours["there"][k], there)


@pytest.mark.slow
def test_energy_and_momentum_of_a_free_chain_do_not_change():
    """Their rates along the motion, by the chain rule: exact but for rounding."""
    model = wl.rigid.load(c_library.path("chain"))
    q, v = (jnp.asarray(x[0]) for x in c_library.random_states(c_library.compiled("chain")[0], 1))

    @jax.jit
    def rates(q, v):
        acceleration = wl.rigid.forward_dynamics(model, q, v)

        def after(dt):
            moved, faster = wl.rigid.integrate_position(model, q, v, dt), v + dt * acceleration
            linear, angular = wl.rigid.momentum(model, moved, faster)
            return wl.rigid.energy(model, moved, faster), linear, angular

        return jax.jvp(after, (0.0,), (1.0,))

    values, changes = rates(q, v)
    for value, change in zip(values, changes):
        assert np.abs(change).max() < 1e-11 * np.abs(value).max()


def test_lengths_and_names_that_do_not_fit_are_refused():
    model = wl.rigid.load(c_library.path("chain"))
    with pytest.raises(ValueError, match=r"q has shape \(3,\).*shape \(12,\)"):
        wl.rigid.mass_matrix(model, jnp.zeros(3))
    with pytest.raises(ValueError, match=r"v has shape \(12,\).*shape \(10,\)"):
        wl.rigid.bias_forces(model, jnp.zeros(12), jnp.zeros(12))
    with pytest.raises(KeyError, match="no body 'arm'; its bodies are base, upper, lower"):
        wl.rigid.point_jacobian(model, model.rest(), "arm")

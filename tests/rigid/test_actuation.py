"""Actuators and tendons against the C library of MuJoCo."""

import c_library
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from c_library import assert_near

import worldline as wl

STATES = 40
MODEL = wl.rigid.load(c_library.path("driven"))


def drawn():
    """The C model, and states in which ranges are left on both sides."""
    theirs, data = c_library.compiled("driven")
    q, v = c_library.random_states(theirs, STATES)
    random = np.random.default_rng(1)
    return theirs, data, q, v, 2 * random.normal(size=(STATES, theirs.nu)), 4 * random.normal(size=(STATES, theirs.na))


def test_actuators_do_what_those_of_the_c_library_do():
    theirs, data, q, v, control, activation = drawn()

    def ours(q, v, control, activation):
        done = wl.rigid.actuation(MODEL, q, v, control, activation)
        later = wl.rigid.next_activation(MODEL, activation, done, MODEL.settings.timestep)
        return done.force, done.generalized, done.rate, later

    found = wl.lanes(ours)(q.T, v.T, control.T, activation.T)
    for k in range(STATES):
        c_library.at(theirs, data, q[k], v[k], control[k], activation[k])
        for mine, field in zip(found, ("actuator_force", "qfrc_actuator", "act_dot")):
            assert_near(mine[:, k], getattr(data, field))
        mujoco.mj_step(theirs, data)
        assert_near(found[3][:, k], data.act)


def test_tendons_spring_damp_and_weigh_as_those_of_the_c_library():
    theirs, data, q, v, *_ = drawn()
    theirs.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_ENERGY

    def ours(q, v):
        acceleration = wl.rigid.forward_dynamics(MODEL, q, v)
        return (
            wl.rigid.tendon_lengths(MODEL, q),
            wl.rigid.passive_forces(MODEL, q, v),
            wl.rigid.mass_matrix(MODEL, q),
            acceleration,
            jnp.stack([wl.rigid.potential_energy(MODEL, q), wl.rigid.kinetic_energy(MODEL, q, v)]),
            wl.rigid.inverse_dynamics(MODEL, q, v, acceleration),
        )

    found = wl.lanes(ours)(q.T, v.T)
    for k in range(STATES):
        c_library.at(theirs, data, q[k], v[k])
        smooth = np.zeros((1, theirs.nv))
        mujoco.mj_solveM(theirs, data, smooth, (data.qfrc_passive - data.qfrc_bias)[None])
        expected = (data.ten_length, data.qfrc_passive, c_library.full_mass(theirs, data), smooth[0], data.energy)
        for mine, other in zip(found, expected):
            assert_near(mine[..., k], other)
        assert np.abs(found[5][:, k]).max() < 1e-9


def test_elements_of_one_name_have_parameters_of_their_own():
    parameters = MODEL.parameters
    assert {"rail.damping", "rail.gain", "rail.gear", "tendons.hinge.stiffness", "hinge.damping"} <= set(parameters)
    kinds = [(wl.rigid.Body, wl.rigid.Joint, wl.rigid.Geom, wl.rigid.Actuator)]
    fields = [
        name for group in kinds for kind in group for name in kind.__annotations__ if name not in ("kind", "body")
    ]
    assert len(fields) == len(set(fields))


def test_controls_of_another_length_are_refused():
    q, v = MODEL.rest(), jnp.zeros(MODEL.nv)
    with pytest.raises(ValueError, match=r"control has shape \(2,\).*shape \(13,\), its nu, its actuators"):
        wl.rigid.actuation(MODEL, q, v, jnp.zeros(2))
    with pytest.raises(ValueError, match=r"activation has shape \(\).*shape \(4,\)"):
        wl.rigid.actuation(MODEL, q, v, jnp.zeros(MODEL.nu), jnp.asarray(1.0))


@pytest.mark.slow
def test_forces_are_differentiable_by_controls_and_gains():
    theirs, _, q, v, control, activation = drawn()

    def total(model, control):
        return jnp.sum(jnp.sin(wl.rigid.actuation(model, q[0], v[0], control, activation[0]).generalized))

    by_model, by_control = jax.jit(jax.grad(total, (0, 1)))(MODEL, jnp.asarray(0.1 * control[0]))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((by_model, by_control)))
    step = 1e-6
    for name in ("rail.gain", "rate.gear"):
        near = [total(MODEL.replace({name: MODEL.parameters[name] + s}), 0.1 * control[0]) for s in (step, -step)]
        assert float(by_model.parameters[name]) == pytest.approx(
            float(near[0] - near[1]) / (2 * step), rel=1e-6, abs=1e-8
        )

"""Rows of constraints and their parameters against the C library of MuJoCo."""

import c_library
import jax
import mujoco
import numpy as np
from c_library import assert_near

import worldline as wl
from worldline.physics.rigid.constraints import response
from worldline.physics.rigid.rows import coupling_rows, friction_rows, limit_rows

STATES = 40
EQUALITY, FRICTION, LIMIT = (0,), (1, 2), (3, 4)  # mjtConstraint
MODEL = wl.rigid.load(c_library.path("driven"))


def rows_of(data, types):
    """Of the constraint rows of these types in the C library: numbers of the rows."""
    return np.flatnonzero(np.isin(data.efc_type, types))


def check_rows(theirs, data, found, types):
    rows, reference, stiffness, velocity = found
    chosen = rows_of(data, types)
    acting = np.ones(len(rows.position), bool) if types != LIMIT else np.asarray(rows.position < rows.margin)
    assert acting.sum() == len(chosen)
    jacobian = data.efc_J.reshape(-1, theirs.nv)
    for mine, other in (
        (rows.jacobian, jacobian),
        (rows.position, data.efc_pos),
        (rows.margin, data.efc_margin),
        (velocity, data.efc_vel),
        (rows.inverse_weight, data.efc_diagA),
        (reference, data.efc_aref),
        (stiffness, data.efc_D),
    ):
        assert_near(np.asarray(mine)[acting], other[chosen])
    if types == FRICTION:
        assert_near(rows.loss, data.efc_frictionloss[chosen])


def test_rows_are_those_of_the_c_library():
    theirs, data = c_library.compiled("driven")
    theirs.opt.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    q, v = c_library.random_states(theirs, STATES, spread=0.6)

    @jax.jit
    def ours(q, v):
        found = []
        for rows in (coupling_rows(MODEL, q), friction_rows(MODEL), limit_rows(MODEL, q)):
            velocity = rows.jacobian @ v
            about = (rows.inverse_weight, rows.solref, rows.solimp, rows.margin)
            found.append((rows, *response(rows.position, velocity, *about, dt=MODEL.settings.timestep), velocity))
        return found

    limits = 0
    for k in range(STATES):
        c_library.at(theirs, data, q[k], v[k])
        for found, types in zip(ours(q[k], v[k]), (EQUALITY, FRICTION, LIMIT)):
            check_rows(theirs, data, found, types)
        limits += len(rows_of(data, LIMIT))
    assert limits > STATES

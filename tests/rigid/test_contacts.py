"""Which shapes may touch, with which parameters, and the rows of contacts, against the C library of MuJoCo."""

import c_library
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from c_library import assert_near

import worldline as wl
from worldline.physics.rigid.constraints import contact_response
from worldline.physics.rigid.contacts import contact_parameters, geom_pose, pyramid, relative_jacobian
from worldline.physics.rigid.kinematics import place

STATES = 60
MODEL = wl.rigid.load(c_library.path("touching"))
PARAMETERS = {(c.first, c.second): contact_parameters(MODEL, c) for c in MODEL.tree.contacts}
CONTACTS = {(c.first, c.second): c for c in MODEL.tree.contacts}


def states(theirs):
    q, v = c_library.random_states(theirs, STATES, spread=0.15)
    return q, v


def names(theirs, contact):
    return tuple(theirs.geom(int(g)).name for g in contact.geom)


def test_all_contacts_of_the_c_library_are_candidates_and_have_its_parameters():
    theirs, data = c_library.compiled("touching")
    theirs.geom_rbound[1:] = 100.0  # no pair is ruled out by distance
    theirs.geom_margin[:] += 50.0
    theirs.pair_margin[:] += 100.0
    seen = set()
    for q in states(theirs)[0]:
        data.qpos[:] = q
        mujoco.mj_fwdPosition(theirs, data)
        for contact in data.contact:
            pair = names(theirs, contact)
            seen.add(pair)
            mine = PARAMETERS[pair]
            assert contact.dim == CONTACTS[pair].condim
            for found, expected in (
                (mine.friction, contact.friction),
                (mine.solref, contact.solref),
                (mine.solimp, contact.solimp),
                (mine.margin + 100.0, contact.includemargin),
            ):
                assert_near(found, expected, 1e-14)
    assert seen == set(CONTACTS)


@pytest.mark.parametrize("flag", ["CONTACT", "FILTERPARENT"])
def test_flags_of_the_file_count(flag, tmp_path):
    text = (
        c_library.path("touching")
        .read_text()
        .replace("<option ", f'<option><flag {flag.lower()}="disable"/></option><option ')
    )
    path = tmp_path / "flagged.xml"
    path.write_text(text)
    found = {(c.first, c.second) for c in wl.rigid.load(path).tree.contacts}
    related = {("ball", "stick"), ("ball", "knob"), ("stick", "palm"), ("knob", "palm")}
    ordered = {tuple(pair) for pair in found - set(CONTACTS)}
    assert ordered == (related if flag == "FILTERPARENT" else set())
    assert flag == "FILTERPARENT" or not found


def test_rows_of_contacts_are_those_of_the_c_library():
    theirs, data = c_library.compiled("touching")
    theirs.opt.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    q, v = states(theirs)
    found = 0
    for k in range(10):
        c_library.at(theirs, data, q[k], v[k])
        placed = place(MODEL, q[k])
        jacobian = data.efc_J.reshape(-1, theirs.nv)
        for contact in [c for c in data.contact if c.efc_address >= 0][:4]:
            candidate, mine = CONTACTS[names(theirs, contact)], PARAMETERS[names(theirs, contact)]
            start = contact.efc_address
            rows = slice(start, start + (1 if contact.dim == 1 else 2 * (contact.dim - 1)))
            frame = contact.frame.reshape(3, 3)
            edges = pyramid(
                relative_jacobian(MODEL, placed, candidate, jnp.asarray(contact.pos), frame), mine.friction, contact.dim
            )
            assert_near(edges, jacobian[rows])
            reference, stiffness = contact_response(
                jnp.asarray(contact.dist), edges @ v[k], mine.inverse_weight, mine.friction[0], mine.solref, mine.solimp,
                mine.margin, ratio=MODEL.settings.friction_impedance, dt=MODEL.settings.timestep,
            )  # fmt: skip
            assert_near(reference, data.efc_aref[rows])
            assert_near(jnp.broadcast_to(stiffness, reference.shape), data.efc_D[rows])
            found += 1
    assert found > 20


def test_shapes_are_where_those_of_the_c_library_are():
    theirs, data = c_library.compiled("touching")
    q, v = states(theirs)
    ours = jax.jit(lambda q: {name: geom_pose(MODEL, place(MODEL, q), name) for name in MODEL.tree.geoms})
    for k in range(4):
        c_library.at(theirs, data, q[k], v[k])
        for name, (position, turn) in ours(q[k]).items():
            assert_near(position, data.geom(name).xpos)
            assert_near(turn, data.geom(name).xmat.reshape(3, 3))


def test_mixed_parameters_are_differentiable():
    def total(model):
        return sum(jnp.sum(x) for c in model.tree.contacts for x in contact_parameters(model, c))

    slopes = jax.jit(jax.grad(total))(MODEL)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes))
    assert float(slopes.parameters["ball.solmix"]) != 0

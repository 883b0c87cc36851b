"""The models of these tests, random states of them, and what the C library of MuJoCo computes there."""

from pathlib import Path

import mujoco
import numpy as np

MODELS = Path(__file__).parent / "models"
mujoco.set_mju_user_warning(lambda message: None)  # it would go to a file in the current folder

# Both programs round differently; between them are a few hundred operations.
ROUNDING = 1e-10


def path(name):
    return next(MODELS.glob(f"{name}.*"))


def compiled(name):
    """The model and its data as the C library has them."""
    model = mujoco.MjModel.from_xml_path(str(path(name)))
    return model, mujoco.MjData(model)


def random_states(model, count, seed=0, spread=1.0):
    """`count` states around the reference pose: q and v, quaternions of length one and of all directions."""
    random = np.random.default_rng(seed)
    q = model.qpos0 + spread * random.normal(size=(count, model.nq))
    for kind, place in zip(model.jnt_type, model.jnt_qposadr):
        if kind in (mujoco.mjtJoint.mjJNT_FREE, mujoco.mjtJoint.mjJNT_BALL):
            start = place + 3 if kind == mujoco.mjtJoint.mjJNT_FREE else place
            turns = random.normal(size=(count, 4))
            q[:, start : start + 4] = turns / np.linalg.norm(turns, axis=1, keepdims=True)
    return q, 2 * spread * random.normal(size=(count, model.nv))


def at(model, data, q, v, ctrl=None, act=None):
    """`data` after all forces of the state are computed."""
    mujoco.mj_resetData(model, data)
    data.qpos[:], data.qvel[:] = q, v
    if ctrl is not None:
        data.ctrl[:] = ctrl
    if act is not None:
        data.act[:] = act
    mujoco.mj_forward(model, data)
    return data


def full_mass(model, data):
    matrix = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, matrix)
    return matrix


def assert_near(ours, theirs, rtol=ROUNDING):
    """Agreement to `rtol` of the largest entry: small entries of a force are differences of large ones."""
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(
        np.asarray(ours), theirs, rtol=0, atol=rtol * max(np.abs(theirs).max(initial=0.0), 1e-300)
    )

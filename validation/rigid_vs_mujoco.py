"""The rigid-body engine against the C library of MuJoCo, on the robots of Gymnasium, in random states.

`worldline validate rigid` prints what `validate` returns. Needs the packages mujoco and gymnasium, of the latter only
its model files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from ..core.lanes import lanes
from ..physics import rigid
from ..physics.rigid.features import CONTACTS
from ..physics.rigid.mjcf import quiet
from .report import Check, Report, Row, report_on

MODELS = (
    "inverted_pendulum",
    "inverted_double_pendulum",
    "reacher",
    "swimmer",
    "hopper",
    "walker2d",
    "half_cheetah",
    "ant",
    "humanoid",
    "humanoidstandup",
    "pusher",
)
COMPARED = (
    "body positions",
    "body orientations",
    "mass matrix",
    "bias forces",
    "passive forces",
    "actuator forces",
    "acceleration",
)
STATES = 1000
# Of some hundred roundings, in differences of terms that are larger than they.
TOLERANCE = 1e-10

NOTES = (
    f"Each row: {STATES} random states, controls and activations of one model in float64, all of them in native lanes;",
    "  positions spread by 1 (m or rad) around the reference pose, orientations over all, velocities by 2.",
    "Columns: the largest difference from the C library in any state, relative to the largest entry in that state.",
    "acceleration: of the smooth forces, without contacts and limits.",
    f"Allowed: {TOLERANCE:.0e}.",
    "s: seconds of compiling and running ours, and of running the C library.",
)


def model_path(name: str) -> Path:
    """The file of a model. **Raises** `LookupError` for another name, `ImportError` without the packages."""
    if name not in MODELS:
        raise LookupError(f"there is no model {name!r}; the models are {', '.join(MODELS)}")
    for package in ("mujoco", "gymnasium"):
        if util.find_spec(package) is None:
            raise ImportError(f"this validation needs the package {package}: pip install {package}")
    found = util.find_spec("gymnasium")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "envs" / "mujoco" / "assets" / f"{name}.xml"


def validate(names: Sequence[str] | None = None, *, progress: Callable[[Row], None] | None = None) -> Report:
    """Compare the models (all of them by default) with the C library and return the report.

    `progress` is called with each row as it is done. **Raises** `ValueError` in float32, `LookupError` for a name that
    there is not, `ImportError` without mujoco or gymnasium.
    """
    paths = {name: model_path(name) for name in (MODELS if names is None else names)}
    cases = {name: partial(check_model, name, path) for name, path in paths.items()}
    return report_on("Rigid bodies: smooth dynamics against MuJoCo", cases, NOTES, progress)


def check_model(name: str, path: Path, states: int = STATES) -> Row:
    """Compare one model file in random states."""
    import mujoco

    with quiet():
        theirs = mujoco.MjModel.from_xml_path(str(path))
    model = rigid.load(path, without=(CONTACTS,))
    # The C library keeps the forces it computed without constraints apart; contacts would only slow it down.
    theirs.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONSTRAINT)
    drawn = random_states(theirs, states)
    began = time.perf_counter()
    ours = {
        quantity: np.asarray(values)
        for quantity, values in lanes(lambda *state: quantities(model, *state))(*(x.T for x in drawn)).items()
    }
    seconds, began = time.perf_counter() - began, time.perf_counter()
    worst = _largest_differences(theirs, drawn, ours)
    facts = {"bodies": theirs.nbody - 1, "freedoms": theirs.nv, "our s": round(seconds, 2)}
    facts["MuJoCo s"] = round(time.perf_counter() - began, 2)
    return Row(name, [Check(key, error, TOLERANCE) for key, error in worst.items()], facts)


def quantities(model: rigid.Model, q: Any, v: Any, control: Any, activation: Any) -> dict[str, Any]:
    """What is compared, of one state."""
    poses = rigid.kinematics(model, q)
    driven = rigid.actuation(model, q, v, control, activation)
    found = (
        poses.position,
        poses.orientation,
        rigid.mass_matrix(model, q),
        rigid.bias_forces(model, q, v),
        rigid.passive_forces(model, q, v),
        driven.generalized,
        rigid.forward_dynamics(model, q, v, driven.generalized),
    )
    return dict(zip(COMPARED, found))


def random_states(theirs: Any, count: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """`count` random (q, v, control, activation) of an MjModel, one a row."""
    random = np.random.default_rng(seed)
    q = theirs.qpos0 + random.normal(size=(count, theirs.nq))
    for kind, place in zip(theirs.jnt_type, theirs.jnt_qposadr):
        if kind < 2:  # free and ball joints
            start = place + (3 if kind == 0 else 0)
            q[:, start : start + 4] = random.normal(size=(count, 4))
            q[:, start : start + 4] /= np.linalg.norm(q[:, start : start + 4], axis=1, keepdims=True)
    sizes = (theirs.nv, theirs.nu, theirs.na)
    return q, *((2 if k == 0 else 1) * random.normal(size=(count, size)) for k, size in enumerate(sizes))


def _largest_differences(theirs: Any, drawn: tuple[np.ndarray, ...], ours: dict[str, np.ndarray]) -> dict[str, float]:
    import mujoco

    data, mass = mujoco.MjData(theirs), np.zeros((theirs.nv, theirs.nv))
    worst = dict.fromkeys(COMPARED, 0.0)
    for k, state in enumerate(zip(*drawn)):
        data.qpos[:], data.qvel[:], data.ctrl[:], data.act[:] = state
        mujoco.mj_forward(theirs, data)
        mujoco.mj_fullM(theirs, data, mass)
        fields = (data.xpos[1:], data.xquat[1:], mass, data.qfrc_bias, data.qfrc_passive, data.qfrc_actuator)
        for quantity, expected in zip(COMPARED, (*fields, data.qacc_smooth)):
            size = np.abs(expected).max(initial=0.0)
            error = np.abs(ours[quantity][..., k] - expected).max(initial=0.0) / (size if size > 0 else 1.0)
            worst[quantity] = max(worst[quantity], float(error)) if np.isfinite(error) else np.nan
    return worst

"""Runs of rigid bodies with limits, friction and contact against the C library of MuJoCo, on the robots of Gymnasium.

`worldline validate rigid-runs` prints what `validate` returns. Accelerations and next states are compared in random
states; then both programs go on from the same states until chaos drives them apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..core.lanes import lanes
from ..physics import rigid
from ..physics.rigid.mjcf import quiet
from ..physics.rigid.motion import motion
from ..sim import simulate
from .report import Check, Report, Row, report_on
from .rigid_vs_mujoco import MODELS, STATES, model_path

COMPARED = ("acceleration", "next q", "next v", "q in 20 steps")
# Both searches end at rounding; a contact that one program sees and the other does not would show as 1e-2 or more.
TOLERANCE = 1e-6
EARLY = 20  # steps
RUNS = 8
SECONDS = 2.0  # of a run
APART = 1e-3  # rad or m: runs that differ by more have separated

NOTES = (
    f"acceleration, next q, next v: {STATES} random states and controls of one model in float64, all in native lanes; the",
    "  largest difference from the C library, relative to the largest entry in that state. Joints lie up to a tenth",
    "  of their range beyond their limits, models reach into the ground. The searches of both programs run to their end.",
    f"q in {EARLY} steps: the largest difference, m or rad, of {RUNS} runs from the reference pose under random constant controls.",
    f"Allowed: {TOLERANCE:.0e}.",
    "touching: share of the states with contacts; contacts: the most in a state.",
    f"apart at s: when the first and the median of these runs came to differ by more than {APART:g}; - : not in {SECONDS:g} s.",
    "q at the end: the largest difference of these runs at their end, which is that time where all have come apart.",
    "s: seconds of compiling and running ours, and of running the C library.",
)


class Drawn(NamedTuple):
    """Random states and controls, one a row."""

    q: np.ndarray
    v: np.ndarray
    control: np.ndarray


class _Expected(NamedTuple):
    acceleration: np.ndarray
    q: np.ndarray
    v: np.ndarray
    contacts: np.ndarray


def validate(names: Sequence[str] | None = None, *, progress: Callable[[Row], None] | None = None) -> Report:
    """Compare runs of the models (all of them by default) with the C library and return the report.

    `progress` is called with each row as it is done. **Raises** `ValueError` in float32, `LookupError` for a name that
    there is not, `ImportError` without mujoco or gymnasium.
    """
    paths = {name: model_path(name) for name in (MODELS if names is None else names)}
    cases = {name: partial(check_runs, name, path) for name, path in paths.items()}
    return report_on("Rigid bodies: runs with contact against MuJoCo", cases, NOTES, progress)


def check_runs(name: str, path: Path, states: int = STATES, seconds: float = SECONDS) -> Row:
    """Compare one model file: in random states, and in runs."""
    theirs, model = converging(path), rigid.load(path)
    drawn = random_states(theirs, states)
    began = time.perf_counter()
    accelerations = _by_runs(jax.jit(lanes(lambda *drawn: _acceleration(model, *drawn))), tuple(x.T for x in drawn))
    step = jax.jit(lanes(lambda state, control: _step(model, state, control)))
    after = _by_runs(step, (_states(model, drawn.q, drawn.v), drawn.control.T))
    found = [np.asarray(x).T for x in (accelerations, after.q, after.v)]
    middle = time.perf_counter()
    expected = _expected(theirs, drawn)
    end = time.perf_counter()
    worst = [_largest(mine, other) for mine, other in zip(found, expected)]
    early, late, times = _separation(theirs, model, step, round(seconds / theirs.opt.timestep))
    facts = {
        "freedoms": theirs.nv,
        "touching": f"{np.mean(expected.contacts > 0):.0%}",
        "contacts": int(expected.contacts.max()),
        "apart at s": " ".join(_time(t) for t in (np.min(times), np.median(times))),
        "q at the end": f"{late:.0e}",
        "our s": round(middle - began, 2),
        "MuJoCo s": round(end - middle, 2),
    }
    return Row(name, [Check(key, error, TOLERANCE) for key, error in zip(COMPARED, (*worst, early))], facts)


def converging(path: Path) -> Any:
    """The MjModel of a file, its searches for forces of constraints and for nearest points run to their end."""
    import mujoco

    with quiet():
        theirs = mujoco.MjModel.from_xml_path(str(path))
    theirs.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    theirs.opt.tolerance, theirs.opt.iterations = 0.0, 100
    theirs.opt.ls_tolerance, theirs.opt.ls_iterations = 1e-12, 100
    theirs.opt.ccd_tolerance, theirs.opt.ccd_iterations = 1e-12, 200
    return theirs


def random_states(theirs: Any, count: int, seed: int = 0) -> Drawn:
    """`count` random states and controls of an MjModel, many of them at limits and in the ground."""
    random = np.random.default_rng(seed)
    q = np.tile(theirs.qpos0, (count, 1))
    for joint, (kind, start) in enumerate(zip(theirs.jnt_type, theirs.jnt_qposadr)):
        if kind == 0:  # free
            q[:, start : start + 3] += 0.2 * random.normal(size=(count, 3))
            q[:, start + 2] -= 0.3 * np.abs(random.normal(size=count))
        if kind < 2:  # free and ball
            start += 3 if kind == 0 else 0
            turns = random.normal(size=(count, 4))
            q[:, start : start + 4] = turns / np.linalg.norm(turns, axis=1, keepdims=True)
        else:
            low, high = theirs.jnt_range[joint] if theirs.jnt_limited[joint] else (-1.0, 1.0)
            q[:, start] = random.uniform(low - 0.1 * (high - low), high + 0.1 * (high - low), count)
    return Drawn(q, random.normal(size=(count, theirs.nv)), random.uniform(-1.0, 1.0, (count, theirs.nu)))


def _acceleration(model: rigid.Model, q: Any, v: Any, control: Any) -> Any:
    state, dt = model.state(q, v), jnp.asarray(model.timestep)
    return motion(model, jnp.zeros(()), state, control, dt, "none").acceleration


def _step(model: rigid.Model, state: rigid.State, control: Any) -> rigid.State:
    return simulate(model, state, steps=1, controls=lambda t: control).final


def _by_runs(program: Callable, args: tuple) -> Any:
    """A program over the last axis of `args`, as many lanes at once as there are runs, for which it is compiled anyway."""
    count = jax.tree.leaves(args)[0].shape[-1]
    turns = (np.arange(first, first + RUNS) % count for first in range(0, count, RUNS))
    found = [program(*jax.tree.map(lambda x: x[..., turn], args)) for turn in turns]
    return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-1)[..., :count], *found)


def _states(model: rigid.Model, q: np.ndarray, v: np.ndarray) -> rigid.State:
    return jax.vmap(model.state, out_axes=-1)(q, v)


def _expected(theirs: Any, drawn: Drawn) -> _Expected:
    import mujoco

    data, found = mujoco.MjData(theirs), []
    for q, v, control in zip(*drawn):
        mujoco.mj_resetData(theirs, data)
        data.qpos[:], data.qvel[:], data.ctrl[:] = q, v, control
        mujoco.mj_forward(theirs, data)
        before = data.qacc.copy(), data.ncon
        mujoco.mj_step(theirs, data)
        found.append((before[0], data.qpos.copy(), data.qvel.copy(), before[1]))
    return _Expected(*(np.stack(column) for column in zip(*found)))


def _largest(mine: np.ndarray, other: np.ndarray) -> float:
    """The largest difference relative to the largest entry of its row; NaN where a number is not finite."""
    size = np.abs(other).max(axis=1)
    return float(np.max(np.abs(mine - other).max(axis=1) / np.where(size > 0, size, 1.0)))


def _separation(theirs: Any, model: rigid.Model, step: Callable, steps: int) -> tuple[float, float, np.ndarray]:
    """The largest differences in `EARLY` steps and at the end, and when each run has separated (infinity: never)."""
    import mujoco

    random = np.random.default_rng(1)
    v, control = 0.1 * random.normal(size=(RUNS, theirs.nv)), random.uniform(-1.0, 1.0, (RUNS, theirs.nu))
    data = [mujoco.MjData(theirs) for _ in range(RUNS)]
    for one, v_one, control_one in zip(data, v, control):
        one.qvel[:], one.ctrl[:] = v_one, control_one
    state = _states(model, np.tile(theirs.qpos0, (RUNS, 1)), v)
    differences, k = np.zeros((steps, RUNS)), 0
    for k in range(steps):
        state = step(state, control.T)
        for one in data:
            mujoco.mj_step(theirs, one)
        difference = np.abs(np.asarray(state.q).T - np.stack([one.qpos for one in data])).max(axis=1)
        differences[k] = np.where(np.isfinite(difference), difference, np.inf)
        if (differences[: k + 1] > APART).any(axis=0).all() and k >= EARLY:
            break
    apart = differences > APART
    times = np.where(apart.any(axis=0), theirs.opt.timestep * (1 + apart.argmax(axis=0)), np.inf)
    return float(differences[:EARLY].max()), float(differences[k].max()), times


def _time(t: float) -> str:
    return f"{t:.2f}" if np.isfinite(t) else "-"

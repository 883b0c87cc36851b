"""Accelerations and next states with constraints, against the C library of MuJoCo with its search run to the end."""

import c_library
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import worldline as wl

STATES = 40
# Both searches end when steps are worth no more than rounding, of costs that are squares.
CONVERGED = 1e-10
MODELS = ("chain", "driven", "mixed", "touching", "built", "held")
INTEGRATORS = {
    "auto": None,  # that of the file
    "euler": mujoco.mjtIntegrator.mjINT_EULER,
    "rk4": mujoco.mjtIntegrator.mjINT_RK4,
    "implicitfast": mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
}


def expected(name, integrator, drawn):
    """The next q, v and activation of each state, and how many contacts and constraints it had."""
    model, data = c_library.compiled(name)
    model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    if integrator != "auto":
        model.opt.integrator = INTEGRATORS[integrator]
    model.opt.tolerance, model.opt.iterations = 0.0, 100
    model.opt.ls_tolerance, model.opt.ls_iterations = 1e-12, 100
    found = []
    for state in zip(*drawn):
        data = c_library.at(model, data, *state)
        rows = data.ncon, data.nefc
        mujoco.mj_step(model, data)
        found.append((data.qpos.copy(), data.qvel.copy(), data.act.copy(), *rows))
    return [np.stack(column) for column in zip(*found)]


# Small robots, each with many features in combination; some rest on one another in the file, and some touch when moved.
ROBOTS = (
    "four_legged", "mid_tree", "fingers", "masks", "switched", "spinning", "servos", "rolling", "nested", "limits", "flying",
    "arm", "guarded",
)  # fmt: skip
TOUCHING = {
    "four_legged",
    "mid_tree",
    "fingers",
    "masks",
    "rolling",
    "nested",
    "flying",
    "arm",
    "guarded",
    "touching",
    "held",
}
QUICK = {"switched", "spinning"}
CASES = [
    *(pytest.param(name, "auto", marks=[pytest.mark.slow] * (name not in QUICK)) for name in ROBOTS),
    *(pytest.param(name, "rk4", marks=pytest.mark.slow) for name in MODELS),
    *(pytest.param(name, "implicitfast", marks=pytest.mark.slow) for name in MODELS),
    *(pytest.param(name, "euler", marks=[pytest.mark.slow] * (name in ("touching", "held"))) for name in MODELS),
]


@pytest.mark.parametrize(("name", "integrator"), CASES)
def test_next_states_are_those_of_the_c_library(name, integrator):
    theirs, _ = c_library.compiled(name)
    model = wl.rigid.load(c_library.path(name))
    random = np.random.default_rng(2)
    q, v = c_library.random_states(theirs, STATES, seed=1, spread=0.15)
    if name not in MODELS or name == "held":
        near = STATES // 2  # half of them as the file shows it, where shapes rest on one another
        q[:near] = theirs.qpos0 + 0.01 * random.normal(size=(near, theirs.nq))
    drawn = q, v, random.uniform(-1, 1, (STATES, theirs.nu)), random.uniform(-0.5, 0.5, (STATES, theirs.na))

    def one(q, v, control, activation):
        run = wl.simulate(model, model.state(q, v, activation), steps=1, controls=lambda t: control, solver=integrator)
        return run.final, run.status.code

    final, code = jax.jit(wl.lanes(one))(*(jnp.asarray(x.T) for x in drawn))
    assert not np.any(code)
    *after, contacts, rows = expected(name, integrator, drawn)
    assert name not in TOUCHING or contacts.max() > 0
    assert name != "driven" or rows.max() > 0
    for mine, other in zip((final.q, final.v, final.activation), after):
        sizes = np.maximum(np.abs(other).max(axis=1, initial=0.0), 1.0)
        worst = (np.abs(np.asarray(mine).T - other).max(axis=1, initial=0.0) / sizes).max()
        assert worst < CONVERGED, worst

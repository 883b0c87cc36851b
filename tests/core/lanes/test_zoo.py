"""Every problem of the zoo by every method of our own: as native code alone, in native lanes, and on XLA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl
from worldline.core.lanes import lowering
from worldline.core.lanes.arrays import Unsupported

ZOO = wl.ode.zoo
OFTEN = {("lorenz", "auto"), ("robertson", "auto"), ("lotka_volterra", "dopri8"), ("sir", "rk4"), ("hires", "rodas5p")}
RTOL = 1e-6
FIXED_STEPS = 2000


def cases():
    for name in ZOO.names():
        methods = ("auto", "rodas5p") if ZOO.problem(name).stiff else ("auto", "tsit5", "dopri5", "dopri8", "rk4", "rodas5p")
        for solver in methods:
            yield pytest.param(name, solver, marks=() if (name, solver) in OFTEN else pytest.mark.slow)


def without_native_code(*_):
    raise Unsupported("by request")


@pytest.mark.parametrize(("name", "solver"), list(cases()))
def test_a_problem_natively_and_on_xla(name, solver, monkeypatch):
    problem = ZOO.problem(name)
    ts, start = problem.times(5), problem.initial()
    t0, t1 = problem.span
    dt = {"dt": (t1 - t0) / FIXED_STEPS} if solver == "rk4" else {}

    def run(share):
        state = jax.tree.map(lambda y: y * (1 + share), start)
        # Enough for the comparison: whole spans of some problems take an explicit method minutes.
        return wl.simulate(
            problem.system(), state, ts=ts, solver=solver, rtol=RTOL, atol=RTOL * problem.size,
            controls=problem.controls, max_steps=20_000, throw=False, **dt,
        )  # fmt: skip

    shares = jnp.array([0.0, 1e-3, 2e-3])
    alone = jax.jit(run)(0.0)
    many = wl.ensemble(run)(shares)
    monkeypatch.setattr(lowering, "compiled", without_native_code)
    on_xla = jax.jit(lambda share: run(share))(0.0)
    assert int(alone.stats.lanes) in (0, 1) and int(on_xla.stats.lanes) == 0
    assert (np.asarray(many.stats.lanes) > 1).all()
    np.testing.assert_array_equal(many.status.code, alone.status.code)
    assert alone.status.code == on_xla.status.code == wl.core.Code.OK
    tolerance = 10 * RTOL * problem.condition
    for one, first, other in zip(*(jax.tree.leaves(x) for x in (alone.states, many.states, on_xla.states)), strict=True):
        scale = np.abs(one).max(axis=0) + problem.size
        np.testing.assert_allclose(first[0] / scale, one / scale, atol=tolerance)
        np.testing.assert_allclose(other / scale, one / scale, atol=tolerance)

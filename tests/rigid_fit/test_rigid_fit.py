"""Fits of rigid bodies: the solver that the model means, pieces of one record, initial states, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

TS = np.linspace(0.0, 1.0, 51)
PUSH = wl.Sampled(TS, 0.4 * np.sin(9.0 * TS)[:, None])
TRUE = {"rod.mass": 0.7, "pivot.damping": 0.05, "pivot.dry_friction.loss": 0.08}
START = {"rod.mass": 0.5, "pivot.damping": 0.02, "pivot.dry_friction.loss": 0.05}
ROUNDING = 1e-9  # relative, of sums over some hundred steps
DIGITS = 1e-5  # relative, to which a fit without noise finds what made the data


def pendulum(**options):
    pivot = wl.rigid.hinge("pivot", (0, 1, 0), damping=0.05, dry_friction=wl.rigid.dry_friction(0.08))
    rod = wl.rigid.body("rod", mass=0.7, center=(0, 0, -0.3), inertia=(0.01, 0.01, 0.01), joints=[pivot])
    return wl.rigid.build([rod], actuators=[wl.rigid.motor("drive", "pivot")], **options)


def run(model, ts, q, v):
    return wl.simulate(model, model.state([q], [v]), ts=ts, controls=PUSH).states


def pieces(model, ends):
    """Experiments that start where the one before ended."""
    states = run(model, TS, 0.3, 0.0)
    found = []
    for first, last in zip(ends[:-1], ends[1:], strict=True):
        cut = slice(first, last + 1)
        state = model.state(states.q[first], states.v[first])
        found.append(wl.Experiment(wl.Observations(TS[cut], states.q[cut], observe="q"), state, PUSH))
    return found


@pytest.mark.parametrize("solver", ["auto", "euler", "rk4"])
def test_a_fit_runs_what_simulate_runs(solver):
    model = pendulum(settings=wl.rigid.Settings(timestep=0.004, integrator="implicitfast"))
    state = model.state([0.3], [0.0])
    measured = 0.3 * np.cos(4.0 * TS)
    data = wl.Observations(TS, measured[:, None], observe="q")
    result = wl.fit(model, data, state, controls=PUSH, free={"rod.mass": wl.Positive()}, solver=solver, starts=1)
    again = wl.simulate(result.system, state, ts=TS, controls=PUSH, solver=solver).states.q[:, 0]
    assert result.residuals == pytest.approx(np.asarray(again) - measured, rel=ROUNDING, abs=ROUNDING)


@pytest.mark.parametrize(
    "ends", [(0, 50), (0, 10, 20, 30, 40, 50), (0, 10, 25, 35, 50)], ids=["one", "alike", "of two lengths in turn"]
)
def test_pieces_of_a_record_give_the_parameters_that_made_it(ends):
    model = pendulum()
    experiments = pieces(model, ends)
    result = wl.fit(model.replace(START), experiments, free={name: wl.Positive() for name in TRUE}, starts=1)
    assert result.success
    assert result.values == pytest.approx(TRUE, rel=DIGITS)
    shown = [np.ravel(run.states.q) - np.ravel(e.observations[0].values) for run, e in zip(result.runs, experiments)]
    assert result.residuals == pytest.approx(np.concatenate(shown), rel=ROUNDING, abs=ROUNDING)


@pytest.mark.parametrize("names", [("y0.q", "rod.mass", "y0.v"), ("y0", "rod.mass")], ids=["parts", "all"])
def test_each_piece_has_its_own_initial_state(names):
    model = pendulum()
    experiments = pieces(model, (0, 10, 20, 35, 50))
    true = [e.state for e in experiments]
    moved = [wl.Experiment(e.observations, model.state(e.state.q + 0.01, 1.1 * e.state.v), PUSH) for e in experiments]
    result = wl.fit(model.replace({"rod.mass": 0.6}), moved, free={name: wl.Free() for name in names}, starts=1)
    assert len(result.names) == 9  # and no acceleration of the step before
    assert result.values["rod.mass"] == pytest.approx(0.7, rel=DIGITS)
    for found, state in zip(result.states, true, strict=True):
        assert found.q == pytest.approx(np.asarray(state.q), rel=DIGITS, abs=DIGITS)
        assert found.v == pytest.approx(np.asarray(state.v), rel=DIGITS, abs=DIGITS)


@pytest.mark.parametrize("ends", [(0, 50), (0, 25, 50)], ids=["one", "two"])
def test_standard_errors_are_those_of_finite_differences(ends):
    model = pendulum()
    experiments, names = pieces(model, ends), list(TRUE)
    draw = np.random.default_rng(3)
    for number, e in enumerate(experiments):
        values = e.observations[0].values + 0.01 * draw.normal(size=(len(e.ts), 1))
        experiments[number] = wl.Experiment(wl.Observations(e.ts, values, observe="q"), e.state, PUSH)
    result = wl.fit(model, experiments, free={name: wl.Bounded(0.0) for name in names}, starts=1)

    def residuals(values):
        changed = model.replace(dict(zip(names, values, strict=True)))
        runs = [wl.simulate(changed, e.state, ts=e.ts, controls=PUSH).states.q for e in experiments]
        return np.concatenate([np.ravel(q) for q in runs])

    columns = []
    for i, best in enumerate(result.best):
        step = np.zeros(len(names))
        step[i] = 1e-5 * best
        columns.append((residuals(result.best + step) - residuals(result.best - step)) / (2 * step[i]))
    jacobian = np.stack(columns, axis=1)
    covariance = np.linalg.inv(jacobian.T @ jacobian) * result.sigma**2
    expected = np.sqrt(np.diag(covariance))
    assert [result.standard_errors[name] for name in names] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("gradient", ["forward", "tangent"])
def test_a_derivative_along_one_direction_is_that_of_all(gradient):
    model = pendulum()

    def end(mass, gradient):
        changed = model.replace({"rod.mass": mass})
        return wl.simulate(changed, model.state([0.3], [0.0]), ts=TS, controls=PUSH, gradient=gradient).final.q[0]

    step = 1e-5
    expected = (end(0.7 + step, gradient) - end(0.7 - step, gradient)) / (2 * step)
    _, slope = jax.jvp(lambda m: end(m, gradient), (jnp.asarray(0.7),), (jnp.asarray(1.0),))
    assert float(slope) == pytest.approx(float(expected), rel=1e-6)
    assert float(slope) == pytest.approx(float(wl.jacobian(lambda m: end(m, "forward"))(0.7)), rel=ROUNDING)


@pytest.mark.slow
def test_pieces_that_differ_in_numbers_alone_share_one_program():
    model = pendulum()
    counted = []
    for ends in ((0, 10), (0, 10, 20, 30, 40, 50)):
        calls = []
        seen = lambda state, calls=calls: (calls.append(1), state.q)[1]
        experiments = [
            wl.Experiment(wl.Observations(e.ts, e.observations[0].values, observe=seen), e.state, PUSH)
            for e in pieces(model, ends)
        ]
        wl.fit(model, experiments, free={"rod.mass": wl.Positive(start=0.6)}, starts=1)
        counted.append(len(calls))
    assert counted[0] == counted[1] > 0


@pytest.mark.slow
def test_the_friction_of_a_contact_is_found():
    """A box slides, turns and comes to rest."""
    shape = wl.rigid.geom("side", "box", (0.1, 0.1, 0.1), friction=(0.3, 0.005, 0.0001))
    box = wl.rigid.body(
        "box", mass=1.0, inertia=(0.01,) * 3, position=(0, 0, 0.1), joints=[wl.rigid.free("loose")], geoms=[shape]
    )
    floor = wl.rigid.geom("floor", "plane", (1.0, 1.0, 1.0), friction=(0.1, 0.005, 0.0001))
    model = wl.rigid.build([box], ground=[floor])
    state, ts = model.state(None, [2.0, 0.3, 0.0, 0.0, 0.0, 1.0]), np.linspace(0.0, 0.5, 26)
    data = wl.Observations(ts, wl.simulate(model, state, ts=ts).states.q[:, :3], observe=lambda state: state.q[:3])
    slippery = model.replace({"side.friction": [0.5, 0.005, 0.0001]})
    result = wl.fit(slippery, data, state, free={"side.friction[0]": wl.Positive()}, starts=1)
    assert result.values["side.friction[0]"] == pytest.approx(0.3, rel=DIGITS)


def test_an_entry_of_a_position_is_observed_by_its_name():
    model = pendulum()
    angle = run(model, TS, 0.3, 0.0).q[:, 0]
    begin = model.replace({"rod.mass": 0.5})
    result = wl.fit(
        begin, wl.Observations(TS, angle, observe="q[0]"), begin.state([0.3], [0.0]), controls=PUSH,
        free={"rod.mass": wl.Positive()},
    )  # fmt: skip
    np.testing.assert_allclose(result.values["rod.mass"], 0.7, rtol=DIGITS)
    with pytest.raises(ValueError, match="no such component; it has 'q', 'v'"):
        wl.fit(begin, wl.Observations(TS, angle, observe="angle"), begin.state(), controls=PUSH, free={"rod.mass": wl.Positive()})

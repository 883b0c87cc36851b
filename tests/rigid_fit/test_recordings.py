"""Real recordings fitted by the models of the examples: how well positions come out, from near and from far."""

import numpy as np
import pytest

import worldline as wl

ODE_ERROR = 0.0510  # rad, of the whole motion of the pendulum as an ordinary differential equation
SECOND = 500  # samples of the double pendulum
TIMES_BETTER = 5  # than the published values; measured: 5.7


def _columns(shared, name):
    path = shared / "data" / name
    if not path.is_file():
        pytest.skip(f"needs {name} in ../shared/data, which is not here")
    return np.genfromtxt(path, delimiter=",", names=True)


POOR_PENDULUM = {
    "rod.mass": 1.0,
    "rod.inertia": [0.06, 0.06, 0.06],
    "pivot.damping": 0.02,
    "pivot.dry_friction.loss": 0.16,
    "motor.bias": [0.0, 0.0, 0.0],
}


@pytest.mark.parametrize("start", [{}, POOR_PENDULUM], ids=["published", "poor"])
def test_the_whole_motion_of_the_pendulum_is_fitted(root, shared, start):
    pytest.importorskip("mujoco")
    record = _columns(shared, "pendulum/measured.csv")
    time, position, velocity, torque = (np.asarray(record[name], float) for name in record.dtype.names)
    model = wl.rigid.load(root / "examples" / "rigid_pendulum.xml").replace(start)
    motor, state = wl.Sampled(time, torque[:, None]), model.state(position[:1], velocity[:1])
    free = {
        "rod.mass": wl.Positive(),
        "rod.inertia[1]": wl.Positive(),
        "pivot.damping": wl.Bounded(0.0),
        "pivot.dry_friction.loss": wl.Bounded(0.0),
        "motor.bias[0]": wl.Free(),
    }

    def error(model):
        run = wl.simulate(model, state, ts=time, controls=motor)
        return np.sqrt(np.mean((np.asarray(run.states.q)[:, 0] - position) ** 2))

    data = wl.Observations(time, position[:, None], observe="q")
    result = wl.fit(model, data, state, controls=motor, free=free)
    assert error(model) > 0.6  # rad
    assert result.success
    assert error(result.system) <= 1.1 * ODE_ERROR


POOR_DOUBLE = {
    "upper.mass": 1.0,
    "upper.inertia": [0.02, 0.02, 0.02],
    "upper.center": [0.0, 0.0, -0.15],
    "lower.mass": 1.0,
    "lower.inertia": [0.02, 0.02, 0.02],
    "lower.center": [0.0, 0.0, -0.1],
    "shoulder.damping": 0.01,
    "shoulder.dry_friction.loss": 0.05,
    "elbow.damping": 0.01,
    "elbow.dry_friction.loss": 0.05,
}


@pytest.mark.slow
@pytest.mark.parametrize("start", [{}, POOR_DOUBLE], ids=["published", "poor"])
def test_one_second_of_the_double_pendulum_is_predicted(root, shared, start):
    pytest.importorskip("mujoco")
    record = _columns(shared, "double_pendulum/trajectory_00.csv")
    q, v, torque = (np.stack([record[f"{x}_meas{i}"] for i in (1, 2)], axis=1) for x in ("pos", "vel", "tau"))
    time, half = record["time"], len(q) // 2
    published = wl.rigid.load(root / "examples" / "rigid_double_pendulum.xml")
    motors = wl.Sampled(time, torque)

    def piece(first):
        rows = np.arange(first, first + SECOND - 1, 5)
        seen = wl.Observations(time[rows], q[rows], wl.Normal(0.02), observe="q")
        return wl.Experiment(seen, published.state(q[first], v[first]), motors)

    masses = lambda t, state, model: wl.stack(model.bodies["upper"].mass, model.bodies["lower"].mass)
    known = wl.Observations([0.0], [[0.608, 0.630]], wl.Normal(0.02), observe=masses)
    pieces = [piece(first) for first in range(0, half - SECOND + 2, SECOND - 1)]
    free = {f"{body}.{name}": wl.Positive() for body in ("upper", "lower") for name in ("mass", "inertia[1]")}
    free |= {"upper.center[2]": wl.Free(), "lower.center[2]": wl.Free()}
    for joint in ("shoulder", "elbow"):
        free |= {f"{joint}.damping": wl.Bounded(0.0), f"{joint}.dry_friction.loss": wl.Bounded(0.0)}
    experiments = [*pieces, wl.Experiment(known, published.state())]
    result = wl.fit(published.replace(start), experiments, free=free, starts=1, tolerance=0.01)

    windows = np.arange(half, len(q) - SECOND, SECOND // 10)[:, None] + np.arange(SECOND + 1)

    def error(model):
        run = wl.ensemble(lambda t, q, v: wl.simulate(model, model.state(q, v), ts=t, controls=motors).states.q)
        return np.sqrt(np.mean((np.asarray(run(time[windows], q[windows[:, 0]], v[windows[:, 0]])) - q[windows]) ** 2))

    assert len(pieces) == 5
    assert result.success
    assert error(result.system) < error(published) / TIMES_BETTER

"""A real motor-driven pendulum, fitted to its whole measured motion."""

import numpy as np
import pytest

import worldline as wl

TARGET = 0.055  # rad, root mean square over the whole record
FREE = {
    "inertia": wl.Positive(),
    "mass_length": wl.Positive(),
    "viscous": wl.Bounded(lower=0.0),
    "coulomb": wl.Bounded(lower=0.0),
    "offset": wl.Free(),
}
PUBLISHED = (0.06259, 0.1022, 0.04707, 0.1839, -0.07586)
POOR = (0.1, 0.2, 0.02, 0.1, 0.0)


@pytest.fixture(scope="module")
def record(shared):
    """Time (s), position (rad), velocity (rad/s) and torque (N m), each [1170]."""
    path = shared / "data" / "pendulum" / "measured.csv"
    if not path.is_file():
        pytest.skip("needs pendulum/measured.csv in ../shared/data, which is not here")
    return np.loadtxt(path, delimiter=",", skiprows=1).T


@pytest.mark.parametrize("start", [PUBLISHED, POOR], ids=["published", "poor"])
def test_the_whole_motion_is_fitted(record, start):
    ts, position, velocity, torque = record
    controls, state = wl.Sampled(ts, torque), [position[0], velocity[0]]
    system = wl.ode.zoo.problem("driven_pendulum").system().replace(dict(zip(FREE, start, strict=True)))

    def error(system):
        run = wl.simulate(system, state, ts=ts, controls=controls)
        return np.sqrt(np.mean((np.asarray(run.states)[:, 0] - position) ** 2))

    result = wl.fit(system, wl.Observations(ts, position, observe=0), state, controls=controls, free=FREE)
    assert error(system) > 0.6  # the published values fit accelerations, not the motion
    assert result.success
    assert error(result.system) <= TARGET
    assert result.sum_of_squares == pytest.approx(position.size * error(result.system) ** 2, rel=1e-6)

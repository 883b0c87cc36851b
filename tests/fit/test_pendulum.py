"""A real motor-driven pendulum, fitted to its whole measured motion."""

import numpy as np
import pytest

import worldline as wl
from worldline.demo.pendulum import TARGET, Record, fit_pendulum, read_record

NAMES = ("inertia", "mass_length", "viscous", "coulomb", "offset")


@pytest.fixture(scope="module")
def record(shared) -> Record:
    path = shared / "data" / "pendulum" / "measured.csv"
    if not path.is_file():
        pytest.skip("needs pendulum/measured.csv in ../shared/data, which is not here")
    return read_record(path)


def test_the_pendulum_is_fitted_from_the_published_values(record):
    comparison = fit_pendulum(record)
    assert comparison.result.success
    assert comparison.fitted_error <= TARGET
    assert comparison.published_error > 0.6


def test_the_pendulum_is_fitted_from_a_poor_start(record):
    start = dict(zip(NAMES, (0.1, 0.2, 0.02, 0.1, 0.0), strict=True))
    free = {
        "inertia": wl.Positive(),
        "mass_length": wl.Positive(),
        "viscous": wl.Bounded(lower=0.0),
        "coulomb": wl.Bounded(lower=0.0),
        "offset": wl.Free(),
    }
    result = wl.fit(
        wl.ode.zoo.problem("driven_pendulum").system().replace(start),
        wl.Observations(record.ts, record.position, observe=0),
        record.state,
        controls=wl.Sampled(record.ts, record.torque),
        free=free,
    )
    assert result.success
    error = np.asarray(result.trajectory.states)[:, 0] - record.position
    assert np.sqrt(np.mean(error**2)) <= TARGET
    # the same optimum as from the published values: same numbers, not only the same error
    np.testing.assert_allclose(list(result.values.values()), list(fit_pendulum(record).result.best), rtol=1e-3)

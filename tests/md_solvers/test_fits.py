"""Parameters of particles fitted to recorded motions that are not chaotic."""

import numpy as np
import pytest

import worldline as wl

TIMES = np.linspace(0.0, 3.0, 31)


@pytest.mark.parametrize(
    "term, name, start, places",
    [
        (wl.md.HarmonicTrap(3.0), "harmonic_trap.stiffness", 2.0, [[1.0, 0.0, 0.0], [0.0, 0.5, 0.0]]),
        (wl.md.Morse(1.0, 2.0, 1.2, 6.0), "morse.depth", 1.5, [[0.0, 0.0, 0.0], [1.4, 0.0, 0.0]]),
    ],
)
def test_a_recorded_motion_gives_its_parameter_back(term, name, start, places):
    system = wl.md.System(term, {"A": 2})
    state = system.state(places)
    system = system.sized(state)
    positions = wl.simulate(system, state, ts=TIMES, dt=0.01).states.position
    recorded = wl.Observations(TIMES, positions, wl.Normal(0.01), observe="position")
    result = wl.fit(system.replace({name: start}), recorded, state, free={name: wl.Positive()}, dt=0.01)
    np.testing.assert_allclose(result.values[name], system.parameters[name], rtol=1e-8)


def test_particles_without_neighbors_need_no_lists():
    system = wl.md.System(wl.md.HarmonicTrap(3.0), {"A": 2})
    at = lambda x: wl.simulate(system, system.state(x), t1=1.0, dt=0.01).final.position[0, 0]
    slope = wl.grad(at)(np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.0]]))[0, 0]
    np.testing.assert_allclose(slope, np.cos(np.sqrt(3.0)), atol=1e-4)

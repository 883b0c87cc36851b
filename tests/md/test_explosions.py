"""Runs that explode, or begin with particles at the end of the world, end with a status and in little time."""

import numpy as np
import pytest

import worldline as wl

SPHERES = wl.md.System(wl.md.SoftSphere(1.0, 0.5, 0.5), {"A": 8})
EDGE = 7.3  # of which h^-1 h is not exactly 1


def start(away):
    position = np.random.default_rng(0).random((8, 3)) * EDGE
    position[0, 0] += away * EDGE
    return SPHERES.state(position, 0.1 * np.ones((8, 3)), wl.md.Box.cubic(EDGE))


def test_particles_very_far_away_do_not_renew_their_lists_for_ever(in_rows):
    run = wl.simulate(SPHERES, start(1e14), dt=0.005, t1=0.05)
    assert not bool(run.status.failed) and int(run.stats.steps) == 10


@pytest.mark.parametrize("rows", [False, True])
def test_particles_where_numbers_have_no_digits_left_are_a_status(rows, request):
    if rows:
        request.getfixturevalue("in_rows")
    with pytest.raises(wl.SimulationError, match="non-finite at t = 0, step 0. Particle 0 is 7.3e[+]16 away from the origin"):
        wl.simulate(SPHERES, start(1e16), dt=0.005, t1=0.05)
    run = wl.simulate(SPHERES, start(1e16), dt=0.005, t1=0.05, throw=False)
    assert np.isnan(run.final.position).all()


@pytest.mark.slow
def test_two_particles_thrown_apart_end_the_run_and_leave_other_lanes_alone(in_rows):
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 2.0, shape="force_shift"), {"A": 4})
    fine = 1.2 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    thrown = fine.copy()
    thrown[1] = [1e-6, 0, 0]
    box = wl.md.Box.cubic(6.0)
    system = system.sized(system.state(fine, None, box), 3.0)
    run = lambda position: wl.simulate(system, system.state(position, None, box), dt=0.005, t1=0.05)
    many = wl.ensemble(run)(np.stack([fine, thrown]))
    assert many.status.code.tolist() == [wl.core.Code.OK, wl.core.Code.NON_FINITE]
    np.testing.assert_allclose(many.final.position[0], run(fine).final.position, rtol=0, atol=1e-13)

"""`auto` hands over to Rodas5P where steps are held back by stability, says so, and only there."""

import numpy as np
import pytest
from small_systems import decay

import worldline as wl

zoo = wl.ode.zoo
# Largest relative deviation from the published end points, in units of the tolerance of each step.
FROM_STEP_TO_RUN = 1e3


def solve(name, tolerance, t1=None):
    problem = zoo.problem(name)
    return problem, wl.simulate(
        problem.system(),
        problem.initial(),
        t0=problem.span[0],
        t1=problem.span[1] if t1 is None else t1,
        rtol=tolerance,
        atol=tolerance * problem.size,
    )


@pytest.mark.parametrize(
    "name", ["robertson", "van_der_pol", "hires", pytest.param("oregonator", marks=pytest.mark.slow)]
)
def test_stiff_problems_switch_early_and_reach_their_published_ends(name):
    problem, run = solve(name, 1e-6)
    assert run.stats["stiff_solver"] == "rodas5p"
    assert problem.span[0] < run.stats["switched_at"] < 0.05 * problem.span[1]
    assert "proved stiff" in repr(run.stats) and "rodas5p" in repr(run)
    assert run.stats["steps"] < 1500  # the explicit method alone would need from 1e4 to 1e14
    published = np.asarray(problem.reference["state"])
    error = np.abs(np.ravel(run.final) - published)
    assert np.all(error < FROM_STEP_TO_RUN * 1e-6 * (np.abs(published) + problem.size))


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-8])
def test_robertson_switches_within_a_few_hundred_steps(tolerance):
    # Up to 0.1 there is room for 150 explicit steps: more than that and the switch would come later.
    _, run = solve("robertson", tolerance, 10.0)
    assert run.stats["switched_at"] < 0.1
    assert run.stats["steps"] < 400


@pytest.mark.parametrize("name", ["lotka_volterra", "lorenz", "kepler", "arenstorf", "henon_heiles"])
def test_problems_that_are_not_stiff_do_not_switch(name):
    for tolerance in (1e-3, 1e-4, 1e-6, 1e-8, 1e-10):
        _, run = solve(name, tolerance)
        assert np.isnan(run.stats["switched_at"]), tolerance
        assert "proved stiff" not in repr(run.stats)


def test_fast_decay_over_a_long_time_switches():
    run = wl.simulate(decay().replace(rate=1e4), 1.0, t1=100.0)
    assert run.stats["switched_at"] < 0.1
    assert run.stats["steps"] < 500
    assert abs(run.final) < 1e-8  # atol 1e-9 holds per step


def test_a_run_that_is_nearly_over_does_not_switch():
    run = wl.simulate(decay().replace(rate=1e4), 1.0, t1=0.02)
    assert np.isnan(run.stats["switched_at"])


def test_named_methods_stay():
    for solver in ("tsit5", "rodas5p"):
        run = wl.simulate(decay().replace(rate=1e4), 1.0, t1=0.2, solver=solver)
        assert run.stats["solver"] == solver and run.stats["stiff_solver"] is None
        assert np.isnan(run.stats["switched_at"])

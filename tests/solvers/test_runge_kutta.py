"""Orders of our own methods and of their dense outputs, from their coefficients and by halving the step."""

import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import nonautonomous, nonautonomous_solution

import worldline as wl

ROUNDING = 1e-13  # sums of published coefficients up to 50, which have 16 digits
# The slope of log(error) against log(step) between steps 1/8 and 1/32 still shows the next order.
BELOW, ABOVE = 0.3, 1.0


TABLEAUX = wl.solvers.tableaux
PAIRS = {pair.name: pair for pair in (TABLEAUX.TSIT5, TABLEAUX.DOPRI5, TABLEAUX.DOPRI8, TABLEAUX.RK4)}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_quadrature_conditions(pair):
    a, c, b = pair.a, pair.c, pair.a[pair.stages - 1]
    np.testing.assert_allclose(a.sum(axis=1), c, atol=ROUNDING)
    for k in range(pair.order):
        assert b @ c**k == pytest.approx(1 / (k + 1), abs=ROUNDING)
    tall, product = b, 1.0  # b A^(m - 1) c = 1 / (m + 1)!
    for m in range(2, pair.order):
        tall, product = tall @ a, product / m
        assert tall @ c == pytest.approx(product / (m + 1), abs=ROUNDING)
    np.testing.assert_allclose(pair.error.sum(axis=1), 0.0, atol=ROUNDING)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_dense_output_joins_smoothly(pair):
    powers, places = np.arange(pair.dense.shape[1]), np.eye(len(pair.c))
    rounding = ROUNDING * max(1.0, np.abs(pair.dense).max() / 10.0)
    np.testing.assert_allclose(pair.dense.sum(axis=1), pair.a[pair.stages - 1], atol=rounding)  # theta = 1: the step
    np.testing.assert_allclose(pair.dense[:, 1], places[0], atol=rounding)  # slope at the beginning: first stage
    np.testing.assert_allclose(pair.dense @ powers, places[pair.stages - 1], atol=rounding)  # at the end: the last
    np.testing.assert_array_equal(pair.dense[:, 0], 0.0)


ORDERS = [("tsit5", 5, 5), ("rodas5p", 5, 5), ("dopri5", 5, 5), ("dopri8", 8, 7), ("rk4", 4, 4)]


@pytest.mark.parametrize(("solver", "expected", "expected_between"), ORDERS)
def test_order_of_steps_and_of_dense_output(solver, expected, expected_between):
    system, errors, between = nonautonomous(), [], []
    ts = np.concatenate(
        [[0.0], np.linspace(0.11, 1.93, 23), [2.0]]
    )  # none but the first and last on the steps' grid
    for dt in (1 / 8, 1 / 16, 1 / 32) if expected < 8 else (1 / 2, 1 / 4, 1 / 8):
        run = wl.simulate(system, [1.0, 1.0], ts=ts, dt=dt, solver=solver)
        error = np.abs(run.states - nonautonomous_solution(ts)).max(axis=1)
        errors.append(error[-1])
        between.append(error[1:-1].max())
    for e, wanted in ((errors, expected), (between, expected_between)):
        order = np.log2(e[0] / e[-1]) / 2
        assert wanted - BELOW < order < wanted + ABOVE, e


@pytest.mark.parametrize("solver", ["dopri5", "dopri8"])
def test_adaptive_pairs_against_the_closed_form(solver):
    ts = np.linspace(0.0, 3.0, 17)
    steps = []
    for rtol in (1e-6, 1e-10):
        run = wl.simulate(nonautonomous(), [1.0, 1.0], ts=ts, solver=solver, rtol=rtol, atol=1e-3 * rtol)
        np.testing.assert_allclose(run.states, nonautonomous_solution(ts), rtol=100 * rtol)
        steps.append(int(run.stats.steps))
    assert steps[0] < steps[1] < (60 if solver == "dopri8" else 400)


def test_a_method_without_error_estimate_needs_a_step():
    with pytest.raises(ValueError, match="rk4 has no error estimate.*pass dt=step"):
        wl.simulate(nonautonomous(), [1.0, 1.0], t1=1.0, solver="rk4")


def _stiff(t, y, p):
    return -p["stiffness"] * (y - jnp.cos(t)) - jnp.sin(t)


def test_rodas5p_takes_steps_that_stability_forbids_an_explicit_method():
    # Prothero and Robinson: y = cos t whatever the stiffness; 0.1 * 1e6 is far beyond Tsit5's boundary of
    # 3.5.
    system = wl.ode.System(_stiff, {"stiffness": 1e6})
    run = wl.simulate(system, 1.0, t1=2.0, dt=0.1, solver="rodas5p")
    assert abs(run.final - np.cos(2.0)) < 1e-8
    explicit = wl.simulate(system, 1.0, t1=2.0, dt=0.1, solver="tsit5", throw=False)
    assert not abs(explicit.final - np.cos(2.0)) < 1.0

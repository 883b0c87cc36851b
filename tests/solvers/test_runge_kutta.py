"""Orders of Tsit5 and Rodas5P and of their dense outputs, from their coefficients and by halving the step."""

import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import nonautonomous, nonautonomous_solution

import worldline as wl

ROUNDING = 1e-13  # sums of published coefficients up to 50, which have 16 digits
# The slope of log(error) against log(step) between steps 1/8 and 1/32 still shows the next order.
LEAST_ORDER, MOST_ORDER = 4.7, 6.0


def test_tsit5_satisfies_the_quadrature_conditions_to_order_five():
    pair = wl.solvers.tableaux.TSIT5
    b, c = pair.a[-1], pair.c
    np.testing.assert_allclose(pair.a.sum(axis=1), c, atol=ROUNDING)
    for k in range(5):
        assert b @ c**k == pytest.approx(1 / (k + 1), abs=ROUNDING)
    assert b @ pair.a @ c == pytest.approx(1 / 6, abs=ROUNDING)
    assert b @ pair.a @ pair.a @ pair.a @ c == pytest.approx(1 / 120, abs=ROUNDING)
    assert pair.error.sum() == pytest.approx(0.0, abs=ROUNDING)


def test_tsit5_dense_output_joins_smoothly():
    pair = wl.solvers.tableaux.TSIT5
    powers = np.arange(pair.dense.shape[1])
    np.testing.assert_allclose(
        pair.dense.sum(axis=1), pair.a[-1], atol=ROUNDING
    )  # theta = 1 is the step itself
    np.testing.assert_allclose(
        pair.dense[:, 1], np.eye(7)[0], atol=ROUNDING
    )  # slope at the beginning: first stage
    np.testing.assert_allclose(
        pair.dense @ powers, np.eye(7)[6], atol=ROUNDING
    )  # slope at the end: last stage


@pytest.mark.parametrize("solver", ["tsit5", "rodas5p"])
def test_order_of_steps_and_of_dense_output(solver):
    system, errors, between = nonautonomous(), [], []
    ts = np.concatenate(
        [[0.0], np.linspace(0.11, 1.93, 23), [2.0]]
    )  # none but the first and last on the steps' grid
    for dt in (1 / 8, 1 / 16, 1 / 32):
        run = wl.simulate(system, [1.0, 1.0], ts=ts, dt=dt, solver=solver)
        error = np.abs(run.states - nonautonomous_solution(ts)).max(axis=1)
        errors.append(error[-1])
        between.append(error[1:-1].max())
    for e in (errors, between):
        order = np.log2(e[0] / e[-1]) / 2
        assert LEAST_ORDER < order < MOST_ORDER, e


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

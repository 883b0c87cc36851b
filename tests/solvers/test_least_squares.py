"""Levenberg-Marquardt on problems with closed forms, certified values, failures, bounds and flat directions."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worldline.solvers import Descent, Outcome, Tolerances, covariance, levenberg_marquardt

# NIST, Statistical Reference Datasets, nonlinear regression: y(b, x).
MODELS = {
    "Misra1a": lambda b, x: b[0] * (1 - jnp.exp(-b[1] * x)),
    "BoxBOD": lambda b, x: b[0] * (1 - jnp.exp(-b[1] * x)),
    "Chwirut1": lambda b, x: jnp.exp(-b[0] * x) / (b[1] + b[2] * x),
    "DanWood": lambda b, x: b[0] * x ** b[1],
    "Gauss1": lambda b, x: (
        b[0] * jnp.exp(-b[1] * x)
        + b[2] * jnp.exp(-((x - b[3]) ** 2) / b[4] ** 2)
        + b[5] * jnp.exp(-((x - b[6]) ** 2) / b[7] ** 2)
    ),
    "Kirby2": lambda b, x: (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2),
    "Lanczos3": lambda b, x: b[0] * jnp.exp(-b[1] * x) + b[2] * jnp.exp(-b[3] * x) + b[4] * jnp.exp(-b[5] * x),
    "MGH09": lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "MGH17": lambda b, x: b[0] + b[1] * jnp.exp(-x * b[3]) + b[2] * jnp.exp(-x * b[4]),
    "Rat42": lambda b, x: b[0] / (1 + jnp.exp(b[1] - b[2] * x)),
    "Rat43": lambda b, x: b[0] / (1 + jnp.exp(b[1] - b[2] * x)) ** (1 / b[3]),
    "Thurber": lambda b, x: (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3),
}


# Two of them with their data, so that certified values are tested where the files are not: both starts, certified
# values and standard deviations, sum of squares, x and y.
SMALL = {
    "BoxBOD": (
        [[1.0, 1.0], [100.0, 0.75]],
        [2.1380940889e02, 5.4723748542e-01],
        [1.2354515176e01, 1.0455993237e-01],
        1.1680088766e03,
        [1.0, 2.0, 3.0, 5.0, 7.0, 10.0],
        [109.0, 149.0, 149.0, 191.0, 213.0, 224.0],
    ),
    "Misra1a": (
        [[500.0, 0.0001], [250.0, 0.0005]],
        [2.3894212918e02, 5.5015643181e-04],
        [2.7070075241e00, 7.2668688436e-06],
        1.2455138894e-01,
        [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0],
        [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78],
    ),
}


def batched(residuals):
    """What `levenberg_marquardt` wants, from residuals of one point written in jax.numpy."""
    both = jax.jit(jax.vmap(lambda x: (residuals(x), jax.jacfwd(residuals)(x))))
    return lambda points: both(jnp.asarray(points))


def read_nist(file):
    """Both starts [2, n], certified values and standard deviations [n], sum of squares, and data x, y [m]."""
    lines = file.read_text().splitlines()
    rows = [re.match(r"\s*b\d+ =\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)", line) for line in lines]
    table = np.array([[float(v) for v in row.groups()] for row in rows if row]).T
    squares = next(float(line.split(":")[1]) for line in lines if line.startswith("Residual Sum of Squares"))
    first = max(i for i, line in enumerate(lines) if line.startswith("Data:")) + 1
    data = np.array([[float(v) for v in line.split()] for line in lines[first:] if line.strip()])
    return table[:2], table[2], table[3], squares, data[:, 1], data[:, 0]


def rosenbrock(x):
    return jnp.stack([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])


def check_certified(name, starts, certified, deviations, squares, x, y):
    """Both starts end at the certified values, sum of squares and standard errors."""
    x, y = np.asarray(x), np.asarray(y)
    evaluate = batched(lambda b: MODELS[name](b, x) - y)
    result = levenberg_marquardt(evaluate, starts, Tolerances(iterations=1000))
    assert all(outcome.converged for outcome in result.outcomes)
    for found, cost, jacobian in zip(result.x, result.cost, result.jacobians, strict=True):
        np.testing.assert_allclose(found, certified, rtol=1e-5)
        np.testing.assert_allclose(cost, squares, rtol=1e-9)
        errors = covariance(jacobian, cost / (len(y) - len(certified))).standard_errors
        np.testing.assert_allclose(errors, deviations, rtol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_certified_values_of_small_nist_problems_are_reached_from_both_starts(name):
    check_certified(name, *SMALL[name])


@pytest.mark.parametrize("name", MODELS)
def test_certified_values_of_nist_are_reached_from_both_starts(name, shared):
    file = shared / "data" / "nist_strd" / f"{name}.dat"
    if not file.is_file():
        pytest.skip(f"needs nist_strd/{name}.dat in ../shared/data, which is not here")
    check_certified(name, *read_nist(file))


def test_a_linear_problem_takes_one_step():
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((20, 4)), rng.standard_normal(20)
    result = levenberg_marquardt(batched(lambda x: A @ x - b), np.full(4, 10.0))
    np.testing.assert_allclose(result.x[0], np.linalg.lstsq(A, b)[0], atol=1e-12)
    assert result.iterations[0] <= 3


def test_many_starts_advance_together_and_do_not_disturb_each_other():
    starts = np.array([[-1.2, 1.0], [3.0, -4.0], [0.5, 0.2]])
    together = levenberg_marquardt(batched(rosenbrock), starts)
    for start, x in zip(starts, together.x, strict=True):
        alone = levenberg_marquardt(batched(rosenbrock), start)
        np.testing.assert_allclose(x, alone.x[0], rtol=1e-12)
    np.testing.assert_allclose(together.x, 1.0, atol=1e-8)
    assert together.calls == max(together.iterations) + 1


def test_the_path_does_not_depend_on_units():
    units = np.array([1e-6, 1e5])
    plain = levenberg_marquardt(batched(rosenbrock), [-1.2, 1.0])
    scaled = levenberg_marquardt(batched(lambda x: 1e3 * rosenbrock(x * units)), np.array([-1.2, 1.0]) / units)
    assert plain.iterations == scaled.iterations
    np.testing.assert_allclose(scaled.x * units, plain.x, rtol=1e-6)


def test_points_outside_the_domain_are_steps_too_far():
    evaluate = batched(lambda x: jnp.stack([jnp.log(x[0]) - 1.0, jnp.sqrt(3.0 - x[0]) - 0.5, x[0] - 2.7]))
    result = levenberg_marquardt(evaluate, [[0.01], [2.99], [-1.0]])
    assert [o.converged for o in result.outcomes] == [True, True, False]
    assert result.outcomes[2] is Outcome.START_FAILED
    assert np.isnan(result.cost[2])
    np.testing.assert_allclose(result.x[0], result.x[1], rtol=1e-5)
    assert result.best in (0, 1)
    with pytest.raises(ValueError, match="all starts failed"):
        _ = levenberg_marquardt(evaluate, [[-1.0]]).best


def test_flat_directions_are_left_alone_and_named():
    result = levenberg_marquardt(batched(lambda x: x[0] * x[1] * jnp.arange(1.0, 6.0) - 2.0), [1.0, 0.5, 7.0])
    assert result.outcomes[0].converged
    assert result.x[0][2] == 7.0
    known = covariance(result.jacobians[0])
    assert known.rank == 1
    assert known.undetermined.all()
    assert np.isnan(known.standard_errors).all()


def test_determined_unknowns_keep_their_errors_beside_undetermined_ones():
    J = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 4.0], [0.0, 1.0, 2.0], [1.0, 0.0, 0.0]])
    found = covariance(J, 4.0)
    np.testing.assert_allclose(found.standard_errors[0], np.sqrt(2.0))
    assert found.undetermined.tolist() == [False, True, True]
    assert np.isnan(found.matrix[0, 1])


def test_covariance_is_the_inverse_of_the_normal_matrix():
    J = np.random.default_rng(1).standard_normal((30, 4)) * np.array([1.0, 1e4, 1e-5, 3.0])
    np.testing.assert_allclose(covariance(J, 0.3).matrix, 0.3 * np.linalg.inv(J.T @ J), rtol=1e-8)
    with pytest.raises(ValueError, match="must be a finite matrix"):
        covariance(np.full((3, 2), np.nan))


def test_bounds_hold_and_are_reached():
    # the free minimum is (1, 1); with x0 <= 0.5 it is (0.5, 0.25)
    seen = []

    def evaluate(points):
        seen.append(np.array(points))
        return batched(rosenbrock)(points)

    result = levenberg_marquardt(evaluate, [[-1.2, 1.0], [0.5, 2.0]], upper=[0.5, np.inf])
    np.testing.assert_allclose(result.x, [[0.5, 0.25]] * 2, atol=1e-7)
    assert all(o.converged for o in result.outcomes)
    assert all((points[:, 0] <= 0.5).all() for points in seen)
    corner = levenberg_marquardt(batched(lambda x: x + jnp.array([1.0, 2.0])), [3.0, 3.0], lower=0.0)
    np.testing.assert_array_equal(corner.x[0], 0.0)
    assert corner.outcomes[0] is Outcome.STATIONARY


def test_correlated_unknowns_on_a_bound():
    """Against scipy.optimize.lsq_linear, on random boxes that cut off the free minimum."""
    from scipy.optimize import lsq_linear

    rng = np.random.default_rng(5)
    for _ in range(20):
        A = rng.standard_normal((12, 5)) @ (np.eye(5) + 0.9)
        b = rng.standard_normal(12)
        low, high = -0.3 * rng.random(5), 0.3 * rng.random(5)
        result = levenberg_marquardt(batched(lambda x: A @ x - b), rng.uniform(low, high), lower=low, upper=high)
        expected = lsq_linear(A, b, (low, high), tol=1e-14)
        np.testing.assert_allclose(result.cost[0], 2 * expected.cost, rtol=1e-8)
        assert result.outcomes[0].converged


def test_noise_of_single_precision_ends_in_convergence():
    x = np.linspace(0, 10, 100, dtype=np.float32)
    y = np.float32(2.0) * np.exp(-np.float32(0.7) * x) + np.float32(0.01) * np.random.default_rng(2).standard_normal(
        100
    )

    def residuals(b):
        return b[0] * jnp.exp(-b[1] * x) - y.astype(np.float32)

    both = jax.jit(jax.vmap(lambda b: (residuals(b), jax.jacfwd(residuals)(b))))
    tolerances = Tolerances.for_residuals(np.float32, float(np.sum(y**2)))
    result = levenberg_marquardt(lambda b: both(jnp.asarray(b, jnp.float32)), [[1.0, 0.1], [5.0, 3.0]], tolerances)
    assert all(o.converged for o in result.outcomes)
    np.testing.assert_allclose(result.x, [[2.0, 0.7]] * 2, rtol=0.02)
    np.testing.assert_allclose(result.x[0], result.x[1], rtol=1e-4)


def test_limits_wrong_jacobians_and_callbacks_end_in_words():
    limited = levenberg_marquardt(batched(rosenbrock), [-1.2, 1.0], Tolerances(iterations=3))
    assert limited.outcomes[0] is Outcome.ITERATION_LIMIT
    assert limited.calls == 4

    def uphill(points):
        r, J = batched(rosenbrock)(points)
        return r, -J

    assert levenberg_marquardt(uphill, [-1.2, 1.0]).outcomes[0] is Outcome.NO_PROGRESS
    stopped = levenberg_marquardt(batched(rosenbrock), [-1.2, 1.0], callback=lambda descents: descents[0].cost < 4.0)
    assert stopped.outcomes[0] is Outcome.RUNNING
    assert all(outcome.describe() for outcome in Outcome)
    with pytest.raises(ValueError, match=r"x0 has shape \(0,\)"):
        levenberg_marquardt(batched(rosenbrock), [])


def test_residuals_that_vanish_and_ones_that_nothing_moves():
    exact = levenberg_marquardt(batched(rosenbrock), [1.0, 1.0])
    assert exact.outcomes[0] is Outcome.EXACT
    still = levenberg_marquardt(batched(lambda x: 0.0 * x + 1.0), [1.0, 1.0])
    assert still.outcomes[0] is Outcome.STATIONARY
    more_unknowns = levenberg_marquardt(batched(lambda x: jnp.sum(x)[None] - 1.0), [1.0, 2.0, 3.0])
    assert more_unknowns.outcomes[0].converged
    assert more_unknowns.cost[0] < 1e-20


def test_a_descent_is_asked_and_told():
    descent = Descent([-1.2, 1.0])
    evaluate = batched(rosenbrock)
    costs = []
    while descent.running:
        r, J = evaluate(descent.trial[None])
        descent.tell(r[0], J[0])
        costs.append(descent.cost)
    assert costs == sorted(costs, reverse=True)


def fails_away_from(x0):
    """Residuals that are only finite at x0."""

    def evaluate(points):
        r, J = batched(rosenbrock)(points)
        return np.where(np.all(points == np.asarray(x0), axis=1)[:, None], r, np.nan), J

    return evaluate


def test_trials_that_fail_for_ever_end_without_a_division_by_zero():
    """The trust radius shrinks until it underflows."""
    start = [-1.2, 1.0]
    forever = Tolerances(step=0.0, accuracy=0.0, iterations=10_000)
    result = levenberg_marquardt(fails_away_from(start), start, forever)
    assert result.outcomes[0] is Outcome.NO_PROGRESS
    np.testing.assert_array_equal(result.x[0], start)


@pytest.mark.parametrize("size", [1e-150, 1e150])
def test_residuals_of_any_size(size):
    """Their squares are still numbers, barely."""
    result = levenberg_marquardt(batched(lambda x: size * rosenbrock(x)), [-1.2, 1.0])
    assert result.outcomes[0].converged
    np.testing.assert_allclose(result.x[0], 1.0, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-320, 1e-160, 1e-10, 1.0])
@pytest.mark.parametrize("size", [1e-150, 1.0, 1e150])
def test_a_first_step_however_short_ends_in_an_outcome(size, scale):
    """Lengths of steps and their slopes round to zero."""
    descent = Descent([-1.2, 1.0], Tolerances(step=1e-300), scale=scale)
    evaluate = batched(lambda x: size * rosenbrock(x))
    costs = []
    while descent.running:
        r, J = evaluate(descent.trial[None])
        descent.tell(r[0], J[0])
        costs.append(descent.cost)
        assert np.isfinite(descent.trial).all()
    assert costs == sorted(costs, reverse=True)
    if scale >= 1e-10:
        np.testing.assert_allclose(descent.x, 1.0, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, [1.0, np.nan]])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match="give positive numbers"):
        Descent([1.0, 2.0], scale=scale)


def test_a_failed_decomposition_is_done_otherwise_or_said(monkeypatch):
    from scipy.linalg import lapack

    plain = levenberg_marquardt(batched(rosenbrock), [-1.2, 1.0])
    monkeypatch.setattr(lapack, "dgesdd", lambda a, **_: (a * np.nan, a[0] * np.nan, a * np.nan, 1))
    other = levenberg_marquardt(batched(rosenbrock), [-1.2, 1.0])
    assert other.outcomes == plain.outcomes
    np.testing.assert_allclose(other.x, plain.x, rtol=1e-9)
    monkeypatch.setattr(lapack, "dgesvd", lapack.dgesdd)
    broken = levenberg_marquardt(batched(rosenbrock), [-1.2, 1.0])
    assert broken.outcomes[0] is Outcome.BREAKDOWN
    assert not broken.outcomes[0].converged

"""Growing horizons and several searches pass by the wrong minima of time series."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worldline.solvers import GrowingHorizon, Outcome, Tolerances, find_minimum

TS = np.linspace(0.0, 20.0, 201)
SPREAD = 0.7
CHAOTIC = np.arange(25.0)


def evaluator(residuals):
    """Residuals and Jacobians of all searches; what lies after each horizon is spoiled, for none may look at it."""
    both = jax.jit(jax.vmap(lambda x: (residuals(x), jax.jacfwd(residuals)(x))))

    def evaluate(points, horizons, times=TS):
        r, J = map(np.array, both(jnp.asarray(points)))
        for row, (rj, Jj) in enumerate(zip(r, J, strict=True)):
            rj[times > horizons[row]] = np.nan
            Jj[times > horizons[row]] = 1e30
        return r, J

    return evaluate


def wave(noise=0.05, frequency=3.0):
    data = np.cos(frequency * TS) + noise * np.random.default_rng(4).standard_normal(TS.size)
    return evaluator(lambda x: x[1] * jnp.cos(jnp.exp(x[0]) * TS + x[2]) - data)


@pytest.mark.parametrize("factor", [0.3, 0.6, 1.1, 1.7, 2.5])
def test_a_frequency_counted_wrongly_is_put_right(factor):
    start = [np.log(3.0 * factor), 1.0, 0.1]
    found = find_minimum(wave(), start, TS, scale=[1.0, 1.0, 1.0], spread=SPREAD)
    assert found.outcome.converged
    assert found.confirmed
    np.testing.assert_allclose(np.exp(found.x[0]), 3.0, rtol=1e-3)
    np.testing.assert_allclose(found.cost, 201 * 0.05**2, rtol=0.2)


def test_a_plain_descent_alone_is_caught_in_a_wrong_minimum():
    start = [np.log(3.0 * 1.7), 1.0, 0.1]
    found = find_minimum(wave(), start, TS, spread=SPREAD)
    assert found.plain.cost > 10 * found.cost
    assert found.way == "a growing horizon from the start"
    assert found.agreeing >= 2


def test_a_good_start_is_not_searched_for_long():
    found = find_minimum(wave(), [np.log(3.02), 1.0, 0.0], TS, spread=SPREAD)
    assert found.way == "a plain descent from the start"
    assert found.confirmed
    assert found.calls < 15


def test_a_chaotic_record_is_followed_step_by_step():
    """The logistic map x -> a x (1 - x): errors grow by half at each of 25 steps."""
    rng = np.random.default_rng(0)

    def orbit(x):
        a = 4.0 / (1.0 + jnp.exp(-x[0]))
        return jax.lax.scan(lambda z, _: (a * z * (1 - z), z), x[1], CHAOTIC)[1]

    truth = jnp.array([np.log(3.8 / 0.2), 0.3])
    data = np.asarray(orbit(truth)) + 0.001 * rng.standard_normal(CHAOTIC.size)
    evaluate = evaluator(lambda x: orbit(x) - data)
    found = find_minimum(
        lambda x, h: evaluate(x, h, CHAOTIC), [2.5, 0.31], CHAOTIC, scale=[1.0, 0.1], spread=float(data.std())
    )
    np.testing.assert_allclose(found.x, truth, atol=2e-3)
    assert found.cost < 1.5 * CHAOTIC.size * 0.001**2
    assert found.way != "a plain descent from the start"


def test_a_start_that_fails_before_the_end_is_followed_as_far_as_it_goes():
    """y' = k y^2 from 1 is infinite at t = 1 / k; the data have k = 0.04, the start k = 0.5."""

    def residuals(x):
        gap = 1.0 - jnp.exp(x[0]) * TS
        return jnp.where(jnp.cumsum(gap <= 0) == 0, 1.0 / jnp.where(gap > 0, gap, 1.0), jnp.nan) - 1 / (1 - 0.04 * TS)

    found = find_minimum(evaluator(residuals), [np.log(0.5)], TS, spread=1.0)
    np.testing.assert_allclose(np.exp(found.x), 0.04, rtol=1e-6)
    assert found.plain.outcome is Outcome.START_FAILED
    assert np.isnan(found.plain.cost)


def test_nothing_that_runs_gives_nothing():
    def nowhere(points, horizons):
        return np.full((len(points), TS.size), np.nan), np.full((len(points), TS.size, 1), np.nan)

    assert find_minimum(nowhere, [1.0], TS) is None


def test_unknowns_the_data_never_see_stay_at_the_start():
    data = np.exp(-0.5 * TS)
    evaluate = evaluator(lambda x: jnp.exp(-jnp.exp(x[0]) * TS) - data + 0.0 * x[1])
    found = find_minimum(evaluate, [0.0, 7.0], TS, spread=0.2, starts=1)
    np.testing.assert_allclose(np.exp(found.x[0]), 0.5, rtol=1e-6)
    assert found.x[1] == 7.0


def test_bounds_hold_in_every_search():
    seen = []
    inner = wave()

    def evaluate(points, horizons):
        seen.append(points.copy())
        return inner(points, horizons)

    lower, upper = [np.log(2.0), 0.9, -0.2], [np.log(6.0), 0.95, 0.2]
    found = find_minimum(evaluate, [np.log(5.0), 0.92, 0.0], TS, spread=SPREAD, lower=lower, upper=upper)
    points = np.concatenate(seen)
    assert np.all((points >= lower) & (points <= upper))
    assert found.x[1] == 0.95
    np.testing.assert_allclose(np.exp(found.x[0]), 3.0, rtol=1e-3)


def test_the_number_of_starts_is_what_was_asked_and_calls_have_one_shape():
    shapes = set()
    inner = wave()

    def evaluate(points, horizons):
        shapes.add((points.shape, horizons.shape))
        return inner(points, horizons)

    found = find_minimum(evaluate, [np.log(3.02), 1.0, 0.0], TS, spread=SPREAD, starts=6, width=3)
    assert len(found.routes) == 7  # the first start is searched in two ways
    assert len({route.start.tobytes() for route in found.routes}) == 6
    assert shapes == {((3, 3), (3,))}


def test_a_callback_can_end_the_search():
    calls = []

    def callback(count, lowest):
        calls.append((count, lowest))
        return count == 5

    found = find_minimum(wave(), [np.log(5.0), 1.0, 0.0], TS, spread=SPREAD, callback=callback)
    assert [count for count, _ in calls] == [1, 2, 3, 4, 5]
    assert found.calls == 5
    assert not found.confirmed


def test_disagreement_draws_more_starts():
    """Noise about a mean has many minima: none explains much, so none is believed."""
    data = np.random.default_rng(8).standard_normal(TS.size)
    found = find_minimum(
        evaluator(lambda x: x[1] * jnp.cos(jnp.exp(x[0]) * TS) - data),
        [1.0, 1.0],
        TS,
        spread=1.0,
        tolerances=Tolerances(iterations=30),
    )
    assert len(found.routes) == 12
    assert not found.confirmed


def test_the_horizon_only_grows_while_all_is_well():
    search = GrowingHorizon([np.log(2.5), 1.0, 0.0], TS, scale=1.0, spread=SPREAD)
    evaluate, horizons = wave(), []
    while search.running:
        horizons.append(search.horizon)
        r, J = evaluate(search.trial[None], np.array([search.horizon]))
        search.tell(r[0], J[0])
    assert search.complete
    assert horizons[0] < 1.0
    assert horizons[-1] == TS[-1]
    assert search.descent.outcome.converged

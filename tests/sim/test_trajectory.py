"""`Trajectory`: reading states by number and by time, slices, columns, words."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import ball, decay, explosion, predator_prey

import worldline as wl


@pytest.fixture(scope="module")
def run():
    return wl.simulate(predator_prey(), [1.0, 1.0], ts=np.linspace(0.0, 4.0, 81))


def test_states_by_number(run):
    assert len(run) == 81
    np.testing.assert_array_equal(run[0], [1.0, 1.0])
    np.testing.assert_array_equal(run[-1], run.final)
    with pytest.raises(IndexError, match="state 81 of a run with 81 stored times"):
        run[81]
    with pytest.raises(TypeError, match="not by str"):
        run["y"]


def test_states_by_time(run):
    np.testing.assert_allclose(run.at(0.5), run.states[10], rtol=1e-12)
    np.testing.assert_array_equal(run[0.5], run.at(0.5))
    fine = wl.simulate(predator_prey(), [1.0, 1.0], ts=[0.0, 1.2345])
    # Between outputs 0.05 apart the cubic is good to the third power of that, times a few.
    np.testing.assert_allclose(run.at(1.2345), fine.final, rtol=1e-3)
    several = run.at([0.5, 4.0])
    assert several.shape == (2, 2)
    np.testing.assert_allclose(several, run.states[jnp.array([10, 80])], rtol=1e-12)
    with pytest.raises(ValueError, match="t=4.5 lies outside the run, which spans 0 to 4"):
        run.at(4.5)


def test_interpolation_is_of_third_order():
    fine = wl.simulate(decay(), 1.0, ts=np.linspace(0.0, 2.0, 41), rtol=1e-12, atol=1e-14, solver="tsit5")
    errors = []
    for run in (fine[::2], fine):
        middle = run.ts[:-1] + 0.4 * np.diff(run.ts)
        errors.append(np.abs(run.at(middle) - np.exp(-0.7 * middle))[2:-2].max())
    assert np.log2(errors[0] / errors[1]) > 2.7, errors


def test_what_counts_is_not_interpolated(run):
    counted = eqx.tree_at(lambda r: r.states, run, {"y": run.states, "n": jnp.arange(81, dtype=jnp.uint32)})
    assert counted.at(0.51)["n"].dtype == jnp.uint32
    assert counted.at(jnp.array([0.0, 0.51, run.ts[20], 4.0]))["n"].tolist() == [0, 10, 20, 80]


def test_slices_by_number_and_by_time(run):
    part = run[10:21]
    np.testing.assert_array_equal(part.ts, run.ts[10:21])
    np.testing.assert_array_equal(part.final, run.states[20])
    by_time = run[0.5:1.0]
    np.testing.assert_array_equal(by_time.ts, part.ts)
    np.testing.assert_array_equal(by_time.states, part.states)


@pytest.fixture(scope="module")
def fall():
    """A fall from a height of 10, ended by the ground between the last time but one and the last."""
    return wl.simulate(ball(), [10.0, 0.0], ts=np.linspace(0.0, 2.0, 11))


def height(t):
    return 10.0 - 0.5 * 9.81 * np.asarray(t) ** 2


def test_interpolation_up_to_an_event(fall):
    t = float(fall.event.t)
    # The parabola is within what a cubic with the slopes of parabolas through neighbours can follow, up to both ends,
    # where only the secant to one neighbour is known.
    inner = np.linspace(0.2, 1.2, 23)
    np.testing.assert_allclose(fall.at(inner)[:, 0], height(inner), atol=1e-5)
    last = np.linspace(1.2, t, 7)
    np.testing.assert_allclose(fall.at(last)[:, 0], height(last), atol=0.05)
    np.testing.assert_array_equal(fall.at(t), fall.final)
    np.testing.assert_array_equal(jax.jit(lambda r, t: r.at(t))(fall, t), fall.final)
    assert np.isnan(fall.at([t + 1e-9, 1.5, 1.6, 1.99, 2.0])).all()


def test_interpolation_where_the_event_is_a_stored_time(fall):
    t = float(fall.event.t)
    for ts in ([0.0, 0.7, t, 2.0], [0.0, t, 2.0], [0.0, 0.7, 2.0], [0.0, 2.0]):
        run = wl.simulate(ball(), [10.0, 0.0], ts=ts)
        np.testing.assert_allclose(run.at(run.event.t), run.final, atol=1e-6)
        assert np.isfinite(run.at(0.5 * t)).all()
        assert np.isnan(run.at([1.6, 2.0])).all()


def test_interpolation_up_to_a_failure():
    run = wl.simulate(explosion(), 1.0, ts=[0.0, 0.2, 0.4, 0.6, 1.5, 2.0], throw=False)
    assert run.status.failed
    between = np.array([0.1, 0.3, 0.45, 0.5, 0.6])
    np.testing.assert_allclose(run.at(between), 1.0 / (1.0 - between), rtol=0.05)
    assert run.at(0.6) == run.states[3]
    assert np.isnan(run.at([0.61, 1.5, 1.7, 2.0])).all()


def test_derivative_of_interpolation_next_to_a_failure():
    def between(rate):
        return wl.simulate(explosion().replace(rate=rate), 1.0, ts=[0.0, 0.3, 0.35, 0.4, 1.5, 2.0]).at(0.38)

    assert jax.grad(between)(1.0) == pytest.approx(0.38 / 0.62**2, rel=0.01)


def test_derivative_of_interpolation_next_to_an_event():
    def between(g):
        return wl.simulate(ball().replace(g=g), [10.0, 0.0], ts=np.linspace(0.0, 2.0, 41)).at(1.4)[0]

    assert jax.grad(between)(9.81) == pytest.approx(-0.5 * 1.4**2, rel=1e-2)


def test_a_part_of_a_failed_run_is_ok_up_to_the_failure():
    run = wl.simulate(explosion(), 1.0, ts=[0.0, 0.2, 0.4, 1.5, 2.0], throw=False)
    for part in (run[0:2], run[0.0:0.4], run[2::-1]):
        assert part.status.ok and repr(part.status) == "ok" and np.isfinite(part.final)
        assert np.isnan(part.status.t) and part.status.step == -1
    assert run[2::-1].final == run.states[2]
    for part in (run[:], run[1:4], run[3:]):
        assert repr(part.status) == repr(run.status) and np.isnan(part.final)
    assert jax.jit(lambda r: r[0:2].status.ok)(run)
    late = wl.simulate(wl.ode.System(lambda t, y, p: y / 0.0), 1.0, ts=[0.0, 1.0], throw=False)
    assert late[0:1].status.failed == bool(np.isnan(late.states[0]))


def test_a_part_of_a_run_that_an_event_ended(fall):
    before, whole = fall[0:5], fall[0.0:1.8]
    assert not before.event.happened and np.isnan(before.event.t)
    np.testing.assert_array_equal(before.final, fall.states[4])
    assert whole.event.happened and whole.event.t == fall.event.t
    np.testing.assert_array_equal(whole.final, fall.final)
    np.testing.assert_array_equal(whole.at(fall.event.t), fall.final)


def test_columns_and_tables():
    def field(t, y, p):
        return jax.tree.map(jnp.zeros_like, y)

    run = wl.simulate(wl.ode.System(field), {"q": 1.0, "v": [1.0, 2.0]}, ts=[0.0, 1.0])
    columns = run.columns()
    assert list(columns) == ["q", "v[0]", "v[1]"]
    np.testing.assert_array_equal(columns["v[1]"], [2.0, 2.0])
    table = run.to_pandas()
    assert list(table.columns) == list(columns) and table.index.name == "t"
    ts, states = run.to_numpy()
    assert isinstance(ts, np.ndarray) and isinstance(states["v"], np.ndarray)


def test_words(run):
    text = repr(run)
    assert "t = 0 to 4 at 81 times" in text and "status: ok" in text and "solver='tsit5'" in text
    assert run.stats["steps"] == run.stats.steps
    with pytest.raises(KeyError, match="no statistic named 'speed'; there are solver, steps"):
        run.stats["speed"]


def test_many_runs_are_not_read_as_one():
    many = jax.vmap(lambda b: wl.simulate(predator_prey().replace(birth=b), [1.0, 1.0], t1=1.0))(jnp.array([1.0, 1.5]))
    assert len(many) == 2 and "2 runs" in repr(many)
    with pytest.raises(ValueError, match=r"works on one run, but this holds \(2,\) of them"):
        many.at(0.5)


def test_a_run_is_a_pytree_that_transformations_take(run):
    doubled = jax.tree.map(lambda x: 2 * x, run)
    np.testing.assert_array_equal(doubled.final, 2 * run.final)
    at = jax.jit(lambda r: r.at(0.5))(run)
    np.testing.assert_allclose(at, run.states[10], rtol=1e-12)

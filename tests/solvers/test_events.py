"""Events: when a run ends, in which state, and how both depend on parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import GROUND, SPEED, UPWARDS, ball

import worldline as wl

HEIGHT, G = 10.0, 9.81
FALL = np.sqrt(2 * HEIGHT / G)
# Free fall is a polynomial of degree two, which both methods and their dense output solve without
# truncation error.
EXACT = 1e-12


def landing(g, gradient="auto", solver="tsit5"):
    run = wl.simulate(ball().replace(g=g), [HEIGHT, 0.0], t1=5.0, gradient=gradient, solver=solver)
    return jnp.stack([run.event.t, run.final[1]])


@pytest.mark.parametrize("solver", ["tsit5", pytest.param("rodas5p", marks=pytest.mark.slow)])
@pytest.mark.parametrize("gradient", ["forward", "reverse"])
def test_time_and_state_of_landing_and_their_derivatives(gradient, solver):
    @jax.jit
    def value_and_slopes(g):
        value, pull = jax.vjp(lambda g: landing(g, gradient, solver), g)
        return value, jax.vmap(lambda row: pull(row)[0])(jnp.eye(2))

    value, by_g = value_and_slopes(G)
    np.testing.assert_allclose(value, [FALL, -np.sqrt(2 * HEIGHT * G)], rtol=EXACT)
    np.testing.assert_allclose(by_g, [-0.5 * FALL / G, -np.sqrt(HEIGHT / (2 * G))], rtol=1e3 * EXACT)


@pytest.mark.slow
def test_higher_derivatives_of_the_time_of_landing():
    second = jax.jit(jax.grad(jax.grad(lambda g: landing(g)[0])))(G)
    assert second == pytest.approx(0.75 * FALL / G**2, rel=1e4 * EXACT)


def test_time_of_landing_by_initial_state_and_start():
    def time(y0, t0):
        return wl.simulate(ball(), y0, t0=t0, t1=7.0, solver="tsit5").event.t

    t, (by_state, by_start) = jax.jit(jax.value_and_grad(time, (0, 1)))(jnp.array([HEIGHT, 2.0]), 0.5)
    landing_speed = np.sqrt(4.0 + 2 * G * HEIGHT)
    assert t == pytest.approx(0.5 + (2.0 + landing_speed) / G, rel=EXACT)
    np.testing.assert_allclose(by_state, [1 / landing_speed, (1 + 2.0 / landing_speed) / G], rtol=1e3 * EXACT)
    assert by_start == pytest.approx(1.0, rel=1e3 * EXACT)


def test_rows_after_the_event_are_nan_and_final_is_the_state_at_it():
    ts = np.linspace(0.0, 3.0, 13)
    run = wl.simulate(ball(), [HEIGHT, 0.0], ts=ts)
    before = ts <= FALL
    np.testing.assert_allclose(run.states[before, 0], HEIGHT - 0.5 * G * ts[before] ** 2, rtol=1e-9)
    assert np.isnan(run.states[~before]).all()
    assert run.status.ok and run.event.happened and run.event.index == 0
    np.testing.assert_allclose(run.final, [0.0, -G * FALL], atol=1e-10)
    assert "ended by event 0 at t = 1.42784" in repr(run)


@pytest.mark.parametrize("gradient", ["forward", pytest.param("reverse", marks=pytest.mark.slow)])
def test_losses_that_leave_out_rows_after_the_event_have_finite_gradients(gradient):
    ts = np.linspace(0.0, 3.0, 13)

    def loss(g):
        heights = wl.simulate(ball().replace(g=g), [HEIGHT, 0.0], ts=ts, gradient=gradient, solver="tsit5").states[:, 0]
        return jnp.sum(jnp.where(jnp.isnan(heights), 0.0, heights))

    closed_form = -0.5 * np.sum(ts[ts <= FALL] ** 2)
    assert jax.jit(jax.grad(loss))(G) == pytest.approx(closed_form, rel=1e-9)


def test_a_run_without_its_event_goes_to_the_end():
    run = wl.simulate(ball(), [HEIGHT, 0.0], t1=1.0)
    assert run.status.ok and not run.event.happened and np.isnan(run.event.t) and run.event.index == -1
    assert run.final[0] == pytest.approx(HEIGHT - 0.5 * G, rel=EXACT)


def test_direction_and_a_start_on_the_event():
    # Thrown up from the ground: the start itself is no event, the return is one only downwards.
    down = wl.simulate(ball(GROUND), [0.0, 5.0], t1=3.0, solver="tsit5")
    assert down.event.t == pytest.approx(10.0 / G, rel=EXACT)
    up = wl.simulate(ball(UPWARDS), [0.0, 5.0], t1=3.0, solver="tsit5")
    assert not up.event.happened
    from_below = wl.simulate(ball(UPWARDS), [-1.0, 5.0], t1=3.0, solver="tsit5")
    assert from_below.event.t == pytest.approx((5.0 - np.sqrt(25.0 - 2 * G)) / G, rel=EXACT)


def test_the_earliest_of_several_events_ends_the_run():
    both = ball(GROUND, SPEED)
    first = wl.simulate(both, [HEIGHT, 0.0], t1=5.0, solver="tsit5")
    assert first.event.index == 1 and first.event.t == pytest.approx(9.0 / G, rel=EXACT)
    ground = wl.simulate(both.replace(limit=100.0), [HEIGHT, 0.0], t1=5.0, solver="tsit5")
    assert ground.event.index == 0 and ground.event.t == pytest.approx(FALL, rel=EXACT)


def test_under_vmap_and_jit_each_run_has_its_own_event():
    heights = jnp.array([0.5, 10.0, 1000.0])
    many = jax.jit(jax.vmap(lambda h: wl.simulate(ball(), wl.stack(h, 0.0), t1=5.0)))(heights)
    np.testing.assert_array_equal(many.event.happened, [True, True, False])
    np.testing.assert_allclose(many.event.t[:2], np.sqrt(2 * heights[:2] / G), rtol=EXACT)
    assert many.status.ok.all() and "2 ended by an event" in repr(many)
    np.testing.assert_allclose(many.final[2], [1000.0 - 12.5 * G, -5 * G], rtol=EXACT)


def test_a_direction_that_is_none():
    with pytest.raises(ValueError, match="direction=2.*-1, 0 or 1"):
        wl.ode.Event(lambda t, y, p: y[0], 2)

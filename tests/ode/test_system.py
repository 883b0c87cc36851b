"""`System`: what becomes a parameter, which functions get the control, and what is said of functions that do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import decay

import worldline as wl


def still(t, y, p):
    return jax.tree.map(jnp.zeros_like, y)


def test_every_number_is_a_parameter_and_arrays_keep_their_type():
    given = dict(
        a=1, b=2.5, c=np.int64(3), d=np.float32(4.0), e=[5, np.uint8(6)],
        table=np.array([1, 0]), rates=np.array([0.5, 0.25]), on=True, kind="linear", law=jnp.sin,
    )  # fmt: skip
    for system in (wl.ode.System(still, given), wl.ode.Separable(still, still, given)):
        found = {name: (x.dtype.name, np.asarray(x).tolist()) for name, x in system.parameters.items()}
        assert found == {
            "a": ("float64", 1.0), "b": ("float64", 2.5), "c": ("float64", 3.0), "d": ("float32", 4.0),
            "e[0]": ("float64", 5.0), "e[1]": ("float64", 6.0), "rates": ("float64", [0.5, 0.25]),
        }  # fmt: skip
        assert not any(x.weak_type for x in system.parameters.values())
        kept = system.parameters_
        assert kept["table"].dtype == np.int64 and kept["on"] is True and kept["kind"] == "linear"
        assert kept["law"] is jnp.sin


def test_a_whole_number_of_numpy_can_be_fitted_as_one_of_python_can():
    def end(value):
        def loss(rate):
            system = wl.ode.System(lambda t, y, p: -p["rate"] * y, {"rate": value})
            return wl.simulate(system.replace(rate=rate), 1.0, t1=1.0).final

        return jax.grad(loss)(1.0)

    assert end(np.int64(1)) == end(1) == pytest.approx(-np.exp(-1.0), rel=1e-5)


def driven(t, y, p, u):
    return u * jnp.ones_like(y)


def towards_sine(t, y, p):
    return -p["stiffness"] * (y - jnp.sin(t))


def towards_control(t, y, p, u):
    return -p["stiffness"] * (y - u)


def slope_of_sine(t, y, p, u):
    return jnp.cos(t) * jnp.ones_like(y)


@pytest.mark.parametrize(
    ("field", "implicit", "controls"),
    [(driven, towards_sine, jnp.cos), (slope_of_sine, towards_control, jnp.sin)],  # y = sin t both times
)
def test_the_implicit_part_gets_the_control_where_it_takes_one(field, implicit, controls):
    system = wl.ode.System(field, {"stiffness": 1e4}, implicit=implicit)
    for solver in ("kencarp4", "auto"):
        run = wl.simulate(system, [0.0], t1=2.0, controls=controls, solver=solver)
        np.testing.assert_allclose(run.final, [np.sin(2.0)], rtol=1e-4)


@pytest.mark.parametrize(
    "noise", [lambda t, y, p: 0.0, lambda t, y, p, u: jnp.zeros(2), lambda t, y, p, u=1.0: jnp.zeros(1)]
)
def test_noise_gets_the_control_where_it_takes_one(noise):
    system = wl.ode.System(driven, noise=noise)
    run = wl.simulate(system, [0.0, 1.0], t1=1.0, dt=0.1, controls=lambda t: 2.0, solver="euler", key=0)
    np.testing.assert_allclose(run.final, [2.0, 3.0], rtol=1e-12)


@pytest.mark.slow
def test_noise_in_proportion_to_the_control():
    system = wl.ode.System(driven, noise=lambda t, y, p, u: u)

    def end(u):
        return float(wl.simulate(system, 0.0, t1=1.0, dt=0.1, controls=lambda t: u, solver="euler", key=3).final)

    assert end(0.0) == 0.0 and end(2.0) == pytest.approx(2 * end(1.0), rel=1e-12)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"noise": lambda t, y, p, u: u}, "the noise '<lambda>' takes a control u, but none was given: pass controls="),
        ({"implicit": lambda t, y, p, u: u}, "the implicit part '<lambda>' takes a control u, but none was given"),
        ({"noise": lambda t, y, p: jnp.ones(3)}, r"the noise .* returned shape \(3,\), .* \(2,\): return one coefficient"),
        ({"noise": lambda t, y, p: (1.0, 2.0)}, "the noise .* returned a tuple of 2, but the state is an array"),
        ({"noise": lambda t, y, p: jnp.ones((1, 1, 1))}, r"returned shape \(1, 1, 1\)"),
        ({"implicit": lambda t, y, p: y[0]}, r"the implicit part .* returned shape \(\), .* return one derivative"),
        ({"implicit": lambda t, y, p: {"x": y}}, "the stiff part of dy/dt must have the structure of y"),
        ({"event": lambda t, y, p: y}, r"the event function '<lambda>' \(number 0\) returned an array of shape \(2,\)"),
        ({"event": [lambda t, y, p: y[0], lambda t, y, p: (y[0], y[1])]}, r"\(number 1\) returned a tuple of 2"),
    ],
)
def test_functions_that_do_not_fit_the_state_are_named(parts, message):
    with pytest.raises(ValueError, match=message):
        wl.simulate(wl.ode.System(still, **parts), [1.0, 2.0], t1=1.0, dt=0.1, solver="euler", key=0)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"event": 3}, r"an event got 3, but is a function g\(t, y, p\).*wl\.ode\.Event\(lambda t, y, p: y\[0\]\)"),
        ({"event": [3]}, "an event got 3"),
        ({"noise": 0.5}, r"noise has type float; it must be a function noise\(t, y, p\)"),
        ({"implicit": "fast"}, r"implicit has type str; it must be a function implicit\(t, y, p\)"),
    ],
)
def test_what_is_no_function_is_refused_at_once(parts, message):
    with pytest.raises(TypeError, match=message):
        wl.ode.System(still, **parts)


def test_other_refusals():
    with pytest.raises(TypeError, match="field has type NoneType"):
        wl.ode.System(None)
    with pytest.raises(TypeError, match=r"takes 2 arguments; the noise function is noise\(t, y, p\)"):
        wl.simulate(wl.ode.System(still, noise=lambda t, y: y), 1.0, t1=1.0, dt=0.1, solver="euler", key=0)
    with pytest.raises(ValueError, match="direction=2: an event's direction is -1, 0 or 1"):
        wl.ode.Event(still, 2)


def test_an_event_of_one_component_may_keep_its_axis():
    system = wl.ode.System(lambda t, y, p: -p["rate"] * y, decay().parameters, event=lambda t, y, p: y - 0.5)
    assert wl.simulate(system, [1.0], t1=2.0).event.t == pytest.approx(np.log(2.0) / 0.7, rel=1e-6)

"""Derivatives of whole runs, three ways: closed form, finite differences at several steps, forward against
reverse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import decay, explosion, predator_prey

import worldline as wl

TIGHT = {"rtol": 1e-10, "atol": 1e-12}
# The derivative of the discrete solution differs from that of the exact one by the error of the run, here
# 1e-9 or so.
RUN_ERROR = 1e-7
# Forward and reverse mode differentiate the same arithmetic in another order.
ROUNDING = 1e-10
RATE, START, T0, T1 = 0.7, 2.0, 0.3, 2.3
SPAN = T1 - T0
END = START * np.exp(-RATE * SPAN)
PREY_TS = np.linspace(0.0, 3.0, 7)


def end_of_decay(values, gradient="auto", solver="tsit5"):
    system = decay().replace(rate=values["rate"])
    run = wl.simulate(
        system, values["start"], t0=values["t0"], t1=values["t1"], gradient=gradient, solver=solver, **TIGHT
    )
    return run.final


DECAY_AT = {"rate": RATE, "start": START, "t0": T0, "t1": T1}
DECAY_SLOPES = {"rate": -SPAN * END, "start": END / START, "t0": RATE * END, "t1": -RATE * END}


def misfit(values, gradient="auto", solver="tsit5"):
    """Sum of squares of a run of Lotka-Volterra, as in a fit: by parameters, initial state and output
    times."""
    run = wl.simulate(
        predator_prey().replace(birth=values["birth"], death=values["death"]),
        values["y0"],
        ts=values["ts"],
        gradient=gradient,
        solver=solver,
        **TIGHT,
    )
    return jnp.sum((run.states - 0.8) ** 2)


MISFIT_AT = {
    "birth": jnp.asarray(1.5),
    "death": jnp.asarray(3.0),
    "y0": jnp.array([1.0, 1.0]),
    "ts": jnp.asarray(PREY_TS),
}


def close(ours, theirs, tolerance):
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=tolerance, atol=tolerance, err_msg=name)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("gradient", "solver"),
    [
        ("forward", "tsit5"),
        ("reverse", "tsit5"),
        ("forward", "rodas5p"),
        pytest.param("reverse", "rodas5p", marks=SLOW),
        pytest.param("forward", "kvaerno5", marks=SLOW),
        pytest.param("reverse", "kvaerno5", marks=SLOW),
    ],
)
def test_derivatives_by_parameter_state_and_times_against_the_closed_form(gradient, solver):
    slopes = jax.jit(jax.grad(lambda v: end_of_decay(v, gradient, solver)))(DECAY_AT)
    close(slopes, DECAY_SLOPES, RUN_ERROR)


def test_forward_mode_against_the_closed_form():
    push = jax.jit(lambda tangent: jax.jvp(end_of_decay, (DECAY_AT,), (tangent,))[1])
    for name, slope in DECAY_SLOPES.items():
        zeros = dict.fromkeys(DECAY_AT, 0.0)
        tangent = push({**zeros, name: 1.0})
        assert tangent == pytest.approx(slope, rel=RUN_ERROR), name


def by_rate(rate):
    return end_of_decay({**DECAY_AT, "rate": rate})


def test_gradient_of_a_gradient_against_the_closed_form():
    assert jax.jit(jax.grad(jax.grad(by_rate)))(RATE) == pytest.approx(SPAN**2 * END, rel=RUN_ERROR)


@SLOW
def test_third_derivative_against_the_closed_form():
    assert jax.jit(jax.jacfwd(jax.jacfwd(jax.jacfwd(by_rate))))(RATE) == pytest.approx(-(SPAN**3) * END, rel=RUN_ERROR)


def test_hessian_and_hessian_vector_product_against_the_closed_form():
    def end(x):
        return end_of_decay({"rate": x[0], "start": x[1], "t0": T0, "t1": x[2]})

    x = jnp.array([RATE, START, T1])
    expected = END * np.array(
        [
            [SPAN**2, -SPAN / START, RATE * SPAN - 1.0],
            [-SPAN / START, 0.0, -RATE / START],
            [RATE * SPAN - 1.0, -RATE / START, RATE**2],
        ]
    )
    np.testing.assert_allclose(wl.jit(wl.hessian(end))(x), expected, rtol=RUN_ERROR, atol=RUN_ERROR)
    v = jnp.array([0.3, -1.0, 0.5])
    np.testing.assert_allclose(
        wl.jit(wl.hessian_vector_product(end))(x, v), expected @ v, rtol=RUN_ERROR, atol=RUN_ERROR
    )


def test_gradient_against_finite_differences_at_several_steps():
    slopes = jax.jit(jax.grad(misfit))(MISFIT_AT)
    value = jax.jit(misfit)
    for name, index in [("birth", ()), ("death", ()), ("y0", (0,)), ("y0", (1,)), ("ts", (3,)), ("ts", (6,))]:
        errors = []
        for step in (1e-2, 1e-3, 1e-4):
            moved = [{**MISFIT_AT, name: MISFIT_AT[name].at[index].add(sign * step)} for sign in (1.0, -1.0)]
            difference = (value(moved[0]) - value(moved[1])) / (2 * step)
            errors.append(float(abs(difference - slopes[name][index]) / max(1.0, abs(difference))))
        # Central differences err by step^2 until the run's own error, divided by the step, takes over.
        assert errors[1] < 0.05 * errors[0] or errors[1] < 1e-6, (name, index, errors)
        assert min(errors) < 1e-5, (name, index, errors)


@pytest.mark.parametrize("solver", ["tsit5", pytest.param("auto", marks=SLOW)])
def test_forward_and_reverse_agree(solver):
    def slopes(gradient):
        return jax.jit(jax.grad(lambda v: misfit(v, gradient, solver)))(MISFIT_AT)

    close(slopes("forward"), slopes("reverse"), ROUNDING)


def test_under_vmap_and_jit():
    births = jnp.array([1.2, 1.5, 1.9])
    slope = jax.grad(lambda b: misfit({**MISFIT_AT, "birth": b}))
    together = jax.jit(jax.vmap(slope))(births)
    one = jax.jit(slope)
    np.testing.assert_allclose(together, [one(b) for b in births], rtol=ROUNDING)


def _linear(t, y, p):
    return p["matrix"] @ y


@SLOW
def test_many_parameters_are_differentiated_in_reverse_and_agree():
    matrix = jnp.asarray(np.random.default_rng(3).normal(size=(6, 6)) * 0.3)
    system = wl.ode.System(_linear, {"matrix": matrix})  # 36 numbers, above the 24 that go forward

    def last(m, gradient):
        return jnp.sum(
            wl.simulate(system.replace(matrix=m), jnp.ones(6), t1=1.0, gradient=gradient, solver="tsit5", **TIGHT).final
        )

    automatic, forward, reverse = (
        jax.jit(jax.grad(last), static_argnums=1)(matrix, g) for g in ("auto", "forward", "reverse")
    )
    np.testing.assert_allclose(forward, reverse, rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_array_equal(automatic, reverse)
    expected = jax.grad(lambda m: jnp.sum(jax.scipy.linalg.expm(m) @ jnp.ones(6)))(matrix)
    np.testing.assert_allclose(automatic, expected, rtol=RUN_ERROR, atol=RUN_ERROR)


@pytest.mark.parametrize("gradient", ["forward", pytest.param("reverse", marks=SLOW)])
def test_failed_runs_do_not_poison_the_gradients_of_others(gradient):
    def loss(rate):
        def one(start):
            run = wl.simulate(explosion().replace(rate=rate), start, t1=1.0, gradient=gradient, solver="tsit5")
            return jnp.where(run.status.ok, run.final, 0.0), run.status.ok

        finals, ok = jax.vmap(one)(jnp.array([0.5, 5.0]))  # y = y0 / (1 - rate y0 t): the second does not reach the end
        return jnp.sum(finals), ok

    slope, ok = jax.jit(jax.grad(loss, has_aux=True))(0.7)
    assert list(ok) == [True, False]
    assert slope == pytest.approx((0.5 / (1 - 0.7 * 0.5)) ** 2, rel=1e-4)


def test_a_gradient_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="gradient='backward'.*'auto', 'forward', 'reverse' or 'tangent'"):
        end_of_decay(DECAY_AT, "backward")


def _drain(t, y, p):
    return -jnp.sum(p["outflow"]) * jnp.sqrt(y)


@pytest.mark.parametrize(
    ("gradient", "count"), [("forward", 1), ("reverse", 1), pytest.param("auto", 30, marks=SLOW)]
)
def test_a_rejected_step_outside_the_domain_leaves_the_gradient_finite(gradient, count):
    """A tank drains, y = (1 - k t / 2)^2, almost to its ground; a step below it is a root of a negative number."""

    def level(outflow):
        system = wl.ode.System(_drain, {"outflow": outflow})
        return wl.simulate(system, 1.0, t1=1.9999, gradient=gradient, solver="tsit5", **TIGHT).final

    slope = jax.jit(jax.grad(level))(jnp.full(count, 1.0 / count))
    # The slope is a small difference there: a relative error of the run's times 1e4.
    np.testing.assert_allclose(slope, -(1 - 1.9999 / 2) * 1.9999, rtol=1e4 * RUN_ERROR)


@pytest.mark.parametrize("solver", ["tsit5", pytest.param("bosh3", marks=SLOW)])
def test_a_field_may_close_over_the_value_that_is_differentiated(solver):
    def end(rate):
        return wl.simulate(wl.ode.System(lambda t, y, p: -rate * y), START, t1=SPAN, solver=solver, **TIGHT).final

    slope = -SPAN * END
    assert jax.grad(end)(RATE) == pytest.approx(slope, rel=RUN_ERROR)
    assert jax.jvp(end, (RATE,), (1.0,))[1] == pytest.approx(slope, rel=RUN_ERROR)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(end)))(jnp.full(2, RATE)), slope, rtol=RUN_ERROR)

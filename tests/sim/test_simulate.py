"""`simulate`: states and times in every form, continuing runs, precision, and one clear error for each bad
input."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import decay, explosion, integrator, ornstein_uhlenbeck, predator_prey

import worldline as wl

END = np.exp(-0.7)
RUN_ERROR = 1e-5  # default rtol 1e-6, over a dozen steps


class Pair(eqx.Module):
    a: jax.Array
    b: jax.Array


def _tree_decay(t, y, p):
    return jax.tree.map(lambda x: -p["rate"] * x, y)


TREES = wl.ode.System(_tree_decay, {"rate": 0.7})


@pytest.mark.parametrize(
    "state",
    [
        1.0,
        3,
        np.float64(2.0),
        [1.0, 2.0],
        [1, 2],
        [jnp.asarray(1.0), 2.0],
        np.ones((2, 3)),
        (1.0, [2.0, 3.0]),
        {"q": 1.0, "p": [1.0, 2.0]},
        Pair(jnp.asarray(1.0), jnp.ones(2)),
    ],
    ids=lambda s: type(s).__name__,
)
def test_states_of_every_form_keep_their_structure(state):
    run = wl.simulate(TREES, state, ts=[0.0, 1.0], solver="tsit5")
    start = jax.tree.map(lambda x: np.asarray(x, float), state, is_leaf=lambda x: isinstance(x, list))
    assert jax.tree.structure(run.final) == jax.tree.structure(start)
    for end, first, all_times in zip(*map(jax.tree.leaves, (run.final, start, run.states))):
        assert end.dtype == np.float64 and all_times.shape == (2, *first.shape)
        np.testing.assert_allclose(end, first * END, rtol=RUN_ERROR)
        np.testing.assert_array_equal(all_times[0], first)


def test_times_in_every_form():
    expected = np.exp(-0.7 * np.array([0.0, 0.5, 1.0]))
    for ts in ([0.0, 0.5, 1.0], np.array([0.0, 0.5, 1.0]), jnp.array([0.0, 0.5, 1.0])):
        np.testing.assert_allclose(wl.simulate(decay(), 1.0, ts=ts).states, expected, rtol=RUN_ERROR)
    by_end = wl.simulate(decay(), 1.0, t1=1)
    np.testing.assert_array_equal(by_end.ts, [0.0, 1.0])
    np.testing.assert_allclose(by_end.states, expected[[0, 2]], rtol=RUN_ERROR)
    shifted = wl.simulate(decay(), 1.0, t0=3.0, t1=4.0)
    np.testing.assert_allclose(shifted.final, END, rtol=RUN_ERROR)
    by_steps = wl.simulate(decay(), 1.0, dt=0.25, steps=4)
    np.testing.assert_allclose(by_steps.ts, [0.0, 0.25, 0.5, 0.75, 1.0])
    assert by_steps.stats["steps"] == 4
    np.testing.assert_allclose(by_steps.final, END, rtol=RUN_ERROR)
    only_start = wl.simulate(decay(), 1.0, ts=[2.0])
    assert only_start.final == 1.0 and only_start.stats["steps"] == 0


def test_fixed_steps_of_any_rounding_number_as_many_as_asked():
    # 0.1 has no finite binary form: the sum of a thousand is not 100.
    run = wl.simulate(decay(), 1.0, dt=0.1, steps=1000)
    assert run.stats["steps"] == 1000
    np.testing.assert_allclose(run.states, np.exp(-0.7 * np.arange(1001) * 0.1), rtol=1e-4)


def test_continuing_from_final_equals_one_long_run():
    y0 = [1.0, 1.0]
    whole = wl.simulate(predator_prey(), y0, t1=4.0)
    first = wl.simulate(predator_prey(), y0, t1=2.0)
    rest = wl.simulate(predator_prey(), first.final, t0=2.0, t1=4.0)
    np.testing.assert_allclose(rest.final, whole.final, rtol=RUN_ERROR)


@pytest.mark.parametrize("dt", [0.01, 1 / 64])
@pytest.mark.parametrize("solver", ["tsit5", "rodas5p"])
def test_continuing_with_fixed_steps_gives_the_same_bits(solver, dt):
    y0 = [1.0, 1.0]
    whole = wl.simulate(predator_prey(), y0, dt=dt, steps=60, solver=solver)
    first = wl.simulate(predator_prey(), y0, dt=dt, steps=30, solver=solver)
    rest = wl.simulate(predator_prey(), first.final, dt=dt, steps=30, t0=first.ts[-1], solver=solver)
    np.testing.assert_array_equal(rest.final, whole.final)
    np.testing.assert_array_equal(rest.states, whole.states[30:])


def test_precision_follows_the_state():
    for dtype, tolerance in ((np.float32, 1e-3), (np.float64, RUN_ERROR)):
        run = wl.simulate(decay(), np.asarray(1.0, dtype), ts=[0.0, 1.0])
        assert run.final.dtype == run.states.dtype == run.ts.dtype == dtype
        assert abs(run.final - END) < tolerance


def test_without_float64_everything_is_float32():
    with jax.enable_x64(False):
        run = wl.simulate(decay(), 1.0, ts=[0.0, 1.0])
        assert run.final.dtype == np.float32 and abs(run.final - END) < 1e-3
        with pytest.raises(ValueError, match=r"rtol = 1e-10 is finer than float32.*wl\.use_float64\(\)"):
            wl.simulate(decay(), 1.0, t1=1.0, rtol=1e-10)


def test_failures_raise_from_plain_python_and_carry_what_was_computed():
    with pytest.raises(wl.SimulationError, match=r"at t = (1|0\.99).*end the run earlier") as caught:
        wl.simulate(explosion(), 1.0, ts=[0.0, 0.5, 2.0])
    run = caught.value.trajectory
    assert caught.value.status.failed
    np.testing.assert_allclose(run.states[:2], [1.0, 2.0], rtol=RUN_ERROR)
    assert np.isnan(run.states[2]) and np.isnan(run.final)


def test_a_step_limit_says_what_to_do():
    with pytest.raises(wl.SimulationError, match="step limit at t = .*, step 5.*Raise max_steps"):
        wl.simulate(decay(), 1.0, t1=100.0, max_steps=5)


def test_under_transformations_failures_are_data():
    def end(y0):
        run = wl.simulate(explosion(), y0, t1=0.5, solver="tsit5")
        return run.final, run.status

    final, status = jax.jit(end)(3.0)
    assert np.isnan(final) and status.failed
    finals, statuses = jax.vmap(end)(jnp.array([1.0, 3.0]))
    np.testing.assert_array_equal(statuses.ok, [True, False])
    assert finals[0] == pytest.approx(2.0, rel=RUN_ERROR)
    assert np.isfinite(jax.grad(lambda y: end(y)[0])(1.0))


def _two(t, y):
    return y


def _five(t, y, p, u, more):
    return y


def _wrong_shape(t, y, p):
    return jnp.stack([y, y])


def _wrong_structure(t, y, p):
    return [y["a"], y["b"]]


def _complex(t, y, p):
    return 1j * y


def _integers(t, y, p):
    return jnp.ones_like(y, int)


def _text(t, y, p):
    return {"a": "fast", "b": y["b"]}


def go(field, state=1.0, **options):
    return wl.simulate(wl.ode.System(field), state, **({"t1": 1.0} | options))


BAD = {
    "nan state": (lambda: go(_tree_decay, [1.0, np.nan]), ValueError, r"not finite: state\[1\] = nan"),
    "infinite state": (lambda: go(_tree_decay, {"a": np.inf}), ValueError, r"not finite: state\['a'\] = inf"),
    "empty state": (lambda: go(_tree_decay, ()), ValueError, "state is empty"),
    "text as state": (lambda: go(_tree_decay, "one"), TypeError, "not a number"),
    "complex state": (lambda: go(_tree_decay, 1j), TypeError, "complex.*real and imaginary"),
    "times that fall": (
        lambda: go(_tree_decay, t1=None, ts=[0.0, 2.0, 1.0]),
        ValueError,
        r"ts\[1\] = 2 is followed by ts\[2\] = 1",
    ),
    "times repeated": (lambda: go(_tree_decay, t1=None, ts=[0.0, 1.0, 1.0]), ValueError, "ts must increase"),
    "times that are nan": (
        lambda: go(_tree_decay, t1=None, ts=[0.0, np.nan]),
        ValueError,
        "NaN or infinite times",
    ),
    "a single time": (lambda: go(_tree_decay, t1=None, ts=3.0), ValueError, r"shape \(\).*pass t1"),
    "no times": (lambda: go(_tree_decay, t1=None), ValueError, "no times were given"),
    "two kinds of times": (lambda: go(_tree_decay, ts=[0.0, 1.0]), ValueError, "ts already says when to end"),
    "an end before the start": (
        lambda: go(_tree_decay, t0=2.0),
        ValueError,
        "t1=1 must lie after the start t0=2",
    ),
    "a start after an output": (
        lambda: go(_tree_decay, t1=None, t0=0.5, ts=[0.0, 1.0]),
        ValueError,
        "t0=0.5 lies after",
    ),
    "a negative step": (
        lambda: go(_tree_decay, dt=-0.1),
        ValueError,
        "dt=-0.1: a step must be a positive number",
    ),
    "no steps": (lambda: go(_tree_decay, t1=None, dt=0.1, steps=0), ValueError, "steps=0: at least one step"),
    "steps without dt": (lambda: go(_tree_decay, t1=None, steps=5), ValueError, "steps needs dt"),
    "no step allowed": (lambda: go(_tree_decay, max_steps=0), ValueError, "max_steps=0"),
    "field of two arguments": (lambda: go(_two), TypeError, r"'_two' takes 2 arguments.*field\(t, y, p\)"),
    "field of five arguments": (lambda: go(_five), (TypeError, ValueError), "_five"),
    "field of a wrong shape": (
        lambda: go(_wrong_shape),
        ValueError,
        r"'_wrong_shape' returned shape \(2,\).*has shape \(\)",
    ),
    "field of a wrong structure": (
        lambda: go(_wrong_structure, {"a": 1.0, "b": 2.0}),
        ValueError,
        "returned a list of 2, but the state is a dict with keys a, b",
    ),
    "complex field": (lambda: go(_complex), ValueError, "returned complex128.*real floating-point"),
    "field of integers": (lambda: go(_integers), ValueError, "returned int64.*real floating-point"),
    "field of words": (lambda: go(_text, {"a": 1.0, "b": 2.0}), ValueError, r"returned 'fast' for \['a'\]"),
    "field that is no function": (lambda: go(3.0), TypeError, "field has type float"),
    "unknown parameter": (lambda: decay().replace(rat=1.0), wl.UnknownParameter, "rate"),
    "negative tolerance": (lambda: go(_tree_decay, rtol=-1.0), ValueError, "rtol = -1.0"),
    "float32 with a fine tolerance": (
        lambda: go(_tree_decay, np.float32(1.0), rtol=1e-10),
        ValueError,
        r"finer than float32.*wl\.use_float64\(\)",
    ),
    "unknown solver": (
        lambda: go(_tree_decay, solver="tsit6"),
        ValueError,
        "no solver is named 'tsit6'; did you mean 'tsit5'",
    ),
    "unknown gradient": (lambda: go(_tree_decay, gradient="back"), ValueError, "gradient='back'"),
    "controls too short": (
        lambda: wl.simulate(integrator(), 0.0, t1=3.0, controls=wl.Sampled([0.0, 1.0], [1.0, 2.0])),
        ValueError,
        "known from t = 0 to 1",
    ),
    "key missing": (
        lambda: wl.simulate(ornstein_uhlenbeck(), 1.0, t1=1.0, dt=0.1, solver="euler"),
        ValueError,
        "pass key=",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_clear_error(case):
    call, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        call()


def _constants(t, y, p):
    return {"q": y["v"], "v": -9.81, "clock": 1}


def test_a_field_may_return_plain_numbers():
    run = wl.simulate(wl.ode.System(_constants), {"q": 0.0, "v": 2.0, "clock": 0.0}, t1=1.0)
    assert run.final["v"] == pytest.approx(2.0 - 9.81) and run.final["clock"] == pytest.approx(1.0)
    assert run.final["q"] == pytest.approx(2.0 - 9.81 / 2)


@pytest.mark.parametrize(
    "ts", [[0.0, 2.0, 1.0, 3.0], [0.0, 1.0, np.nan, 3.0], [0.5, 0.5, 1.0, 2.0], [-1.0, 1.0, 2.0, 3.0]]
)
def test_traced_times_that_make_no_sense_are_a_status(ts):
    run = jax.jit(lambda ts: wl.simulate(decay(), 1.0, t0=0.0, ts=ts, max_steps=100, throw=False))(jnp.asarray(ts))
    assert run.status.code == wl.core.Code.INVALID_TIMES
    assert np.isnan(run.states).all() and np.isnan(run.final)


def test_lanes_with_times_that_make_no_sense_are_a_status():
    signal = wl.Sampled([0.0, 2.0], [0.0, 0.0])
    driven = wl.ode.System(lambda t, y, p, u: -p["rate"] * y + u, {"rate": 0.7})
    runs = wl.ensemble(lambda t1: wl.simulate(driven, 1.0, t0=0.0, t1=t1, controls=signal))(jnp.array([-1.0, 1.0, 5.0]))
    assert list(runs.status.ok) == [False, True, False]  # the last leaves the controls behind
    assert runs.final[1] == pytest.approx(END, rel=RUN_ERROR) and np.isnan(runs.final[0])


@pytest.mark.parametrize("transform", [jax.jit, wl.jit, lambda f: lambda a: jax.vmap(f)(jnp.stack([a, a]))[0], jax.grad])
def test_a_run_of_constants_inside_a_transformation(transform):
    assert transform(lambda a: a * wl.simulate(decay(), 1.0, t1=1.0).final)(1.0) == pytest.approx(END, rel=RUN_ERROR)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"steps": 2.5, "dt": 0.1}, ValueError, "steps=2.5: at least one step is needed, and a whole number"),
        ({"t1": 1.0, "rtol": "fine"}, TypeError, "rtol='fine' is not a number"),
        ({"t1": 1.0, "atol": np.ones(2)}, ValueError, "atol has shape .2,.: it must be one number"),
        ({"t1": "end"}, TypeError, "t1='end' is not a number"),
        ({"t1": 1.0, "max_steps": 2.5}, ValueError, "max_steps=2.5: a whole number"),
    ],
)
def test_arguments_of_the_wrong_kind_are_named(arguments, error, words):
    with pytest.raises(error, match=words):
        wl.simulate(decay(), 1.0, **arguments)


def test_a_function_or_a_ragged_list_is_refused():
    with pytest.raises(TypeError, match=r"system has type function; pass a system, such as wl.ode.System\("):
        wl.simulate(lambda t, y, p: y, 1.0, t1=1.0)
    with pytest.raises(ValueError, match="entries differ in shape: pass a tuple or a dict"):
        wl.simulate(decay(), [[1.0], [2.0, 3.0]], t1=1.0)

"""Repeated runs with other numbers use the program compiled for the first."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import integrator, predator_prey

import worldline as wl

_compiled = []


def _note(name, *_, **__):
    if name.endswith("backend_compile_duration"):
        _compiled.append(name)


jax.monitoring.register_event_duration_secs_listener(_note)


@pytest.fixture
def compiled():
    """A function that tells how many programs were compiled since it was asked last."""

    def count():
        found = len(_compiled)
        _compiled.clear()
        return found

    count()
    return count


def test_the_count_counts(compiled):
    jax.jit(lambda x: 3.0 * x)(1.0)
    assert compiled() > 0


def go(birth=1.5, y0=(1.0, 1.0), ts=(0.0, 1.0, 2.0), **options):
    return wl.simulate(predator_prey().replace(birth=birth), list(y0), ts=np.array(ts), **options)


@pytest.mark.parametrize("solver", ["auto", "bosh3"])
def test_other_numbers_do_not_compile_again(compiled, solver):
    for kind in (
        float,
        np.float64,
        jnp.asarray,
    ):  # the conversions of numbers are small programs of their own
        go(kind(1.6), solver=solver)
    compiled()
    go(1.7, solver=solver)
    go(np.float64(1.8), solver=solver)
    go(jnp.asarray(1.9), solver=solver)
    go(y0=(2, 0.5), solver=solver)
    go(ts=(0.0, 0.7, 1.1), solver=solver)
    go(rtol=1e-5, atol=1e-7, solver=solver)
    assert compiled() == 0


def test_other_times_of_the_same_number_do_not_compile_again(compiled):
    go(ts=(0.0, 0.5, 1.0, 1.5))
    compiled()
    go(ts=(0.0, 0.5, 1.2, 1.3), birth=1.1)
    assert compiled() == 0


def test_samples_of_controls_do_not_compile_again(compiled):
    def run(values):
        return wl.simulate(integrator(), 0.0, t1=1.0, controls=wl.Sampled([0.0, 0.5, 2.0], values))

    run([1.0, 2.0, 3.0])
    compiled()
    run([3.0, -2.0, 1.0])
    assert compiled() == 0


def test_a_system_built_again_from_the_same_function_does_not_compile_again(compiled):
    go()
    compiled()
    wl.simulate(predator_prey(), [3.0, 1.0], ts=[0.0, 1.0, 3.0])
    assert compiled() == 0


def test_a_gradient_and_an_ensemble_that_are_kept_do_not_compile_again(compiled):
    slope = wl.jit(wl.grad(lambda b: jnp.sum(go(b).final)))
    many = wl.ensemble(lambda b: go(b).final)
    for births in (np.array([1.0, 1.5]), np.array([1.2, 1.9])):
        compiled()
        slope(float(births[0])), many(births)
    assert compiled() == 0

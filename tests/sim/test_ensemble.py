"""`ensemble`: many runs equal the single ones, in tiles and over devices; a failed lane is a status."""

import json
import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_systems import explosion, predator_prey

import worldline as wl

BIRTHS = jnp.linspace(1.0, 2.0, 7)
# A lane does the arithmetic of a single run, in a program that XLA arranges differently.
ROUNDING = 1e-12


def one(birth):
    return wl.simulate(predator_prey().replace(birth=birth), [1.0, 1.0], ts=[0.0, 1.0, 2.0])


@pytest.fixture(scope="module")
def many():
    return wl.ensemble(one)(BIRTHS)


def test_equals_single_runs(many):
    assert many.states.shape == (7, 3, 2) and many.status.ok.all()
    for lane, birth in enumerate(BIRTHS):
        single = one(birth)
        np.testing.assert_allclose(many.states[lane], single.states, rtol=ROUNDING)
        assert many.stats.steps[lane] == single.stats.steps


@pytest.mark.parametrize("tile", [1, 3, 7, 100])
def test_tiles_with_and_without_a_remainder(many, tile):
    tiled = wl.ensemble(one, tile=tile)(BIRTHS)
    assert tiled.states.shape == (7, 3, 2) and len(tiled.status.code) == 7
    np.testing.assert_allclose(tiled.states, many.states, rtol=ROUNDING)
    assert tiled.stats.solver == "tsit5"


def test_a_failed_lane_leaves_the_bits_of_the_others():
    run = wl.ensemble(lambda y0: wl.simulate(explosion(), y0, ts=[0.0, 0.25, 0.5]))
    good = run(jnp.array([0.1, 0.2, 0.3, 0.4]))
    mixed = run(jnp.array([0.1, 5.0, 0.3, 0.4]))
    assert repr(mixed.status).startswith("3 ok, 1 ")
    np.testing.assert_array_equal(mixed.status.ok, [True, False, True, True])
    for lane in (0, 2, 3):
        np.testing.assert_array_equal(mixed.states[lane], good.states[lane])
        assert mixed.stats.steps[lane] == good.stats.steps[lane]
    assert np.isnan(mixed.final[1]) and mixed.states[1, 0] == 5.0


def test_another_call_traces_nothing():
    """More lanes than run at once without a look at the size of their results, which is found by tracing too."""
    traces = []

    def counted(x):
        traces.append(1)
        return jnp.stack([x, 2 * x])

    run = wl.ensemble(counted)
    for factor in (1.0, 2.0, 3.0):
        np.testing.assert_array_equal(run(factor * jnp.arange(300.0))[:, 1], 2 * factor * np.arange(300.0))
        assert len(traces) == 2  # once for the size of the results, once for the program
    run(jnp.arange(301.0))
    assert len(traces) == 4


class Chain(wl.Parametrized):
    """A system with leaves of every kind."""

    stiffness: jax.Array
    links: int
    gravity: float
    law: object = jnp.sin
    name: str = "chain"

    def energy(self):
        return sum(self.law(self.stiffness * i) for i in range(self.links)) + self.gravity


@pytest.mark.parametrize("options", [{}, {"tile": 2}, {"devices": 1}])
def test_leaves_that_are_no_arrays_are_shared(options):
    chains = Chain(jnp.linspace(0.1, 1.0, 5), 3, 9.81)
    run = wl.ensemble(lambda chain, n: (chain.energy() + n, chain.links), **options)
    energies, links = run(chains, 7)
    np.testing.assert_allclose(energies, wl.vmap(lambda chain, n: chain.energy() + n)(chains, 7), rtol=1e-14)
    assert links == 3 and energies.shape == (5,)
    np.testing.assert_allclose(run(Chain(chains.stiffness, 3, 1.81), 7)[0], energies - 8.0, rtol=1e-13)
    assert run(Chain(chains.stiffness, 2, 9.81), 0)[1] == 2


@pytest.mark.parametrize("tile", [2, 5])
def test_random_keys_in_and_out(tile):
    keys = jax.random.split(jax.random.key(0), 5)
    first, second = wl.ensemble(lambda key: jax.random.split(key), tile=tile)(keys).T
    expected = jax.vmap(jax.random.split)(keys)
    np.testing.assert_array_equal(jax.random.key_data(first), jax.random.key_data(expected[:, 0]))
    np.testing.assert_array_equal(jax.random.key_data(second), jax.random.key_data(expected[:, 1]))
    many = wl.ensemble(lambda key: jax.random.fold_in(key, 1))(jax.random.split(jax.random.key(1), 300))
    assert many.shape == (300,)


def test_shared_and_structured_arguments(many):
    systems = wl.vmap(lambda b: predator_prey().replace(birth=b))(BIRTHS)
    run = wl.ensemble(lambda s, y0: wl.simulate(s, y0, ts=[0.0, 1.0, 2.0]), in_axes=(0, None))
    np.testing.assert_allclose(run(systems, jnp.ones(2)).states, many.states, rtol=ROUNDING)


def test_gradient_through_an_ensemble():
    def total(births):
        return jnp.sum(wl.ensemble(one, tile=2)(births).final)

    slopes = jax.jit(jax.grad(total))(BIRTHS)
    single = jax.grad(lambda b: jnp.sum(one(b).final))(BIRTHS[2])
    assert slopes.shape == (7,)
    assert slopes[2] == pytest.approx(float(single), rel=1e-10)


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        ((jnp.ones(3), jnp.ones(4)), {}, "argument 0 has 3 lanes, argument 1 has 4 lanes"),
        ((jnp.asarray(1.0), jnp.ones(4)), {}, "argument 0 holds a single number where lanes were expected"),
        ((1.0, 2), {}, "no argument has lanes"),
        ((jnp.ones(0), jnp.ones(0)), {}, "the ensemble has no lanes"),
        ((jnp.ones(3), jnp.ones(3)), {"in_axes": (None, None)}, "no argument has lanes"),
        ((jnp.ones(3), jnp.ones(3)), {"in_axes": (0,)}, "in_axes has 1 entries for 2 arguments"),
        ((jnp.ones(3), jnp.ones(3)), {"in_axes": 1}, "lanes of an ensemble lie along the first axis"),
        ((jnp.ones(3), jnp.ones(3)), {"tile": 0}, "tile=0: a tile holds a whole number of lanes, at least one"),
    ],
)
def test_arguments_without_sense(args, options, message):
    with pytest.raises(ValueError, match=message):
        wl.ensemble(lambda a, b: a + b, **options)(*args)


@pytest.mark.slow
def test_eight_devices_give_the_same_numbers(many):
    script = textwrap.dedent("""
        import json, jax, jax.numpy as jnp
        jax.config.update("jax_enable_x64", True)
        import worldline as wl
        from small_systems import predator_prey

        births = jnp.linspace(1.0, 2.0, 7)
        one = lambda b: wl.simulate(predator_prey().replace(birth=b), [1.0, 1.0], ts=[0.0, 1.0, 2.0])
        assert jax.device_count() == 8
        run = wl.ensemble(one, devices=8)(births)
        more = wl.ensemble(one, devices=8, tile=9)(jnp.tile(births, 3))
        print(json.dumps([run.states.tolist(), more.states.tolist(), run.status.ok.tolist()]))
    """)
    folder = os.path.dirname(sys.modules["small_systems"].__file__)
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")]),
    }
    out = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=900)
    assert out.returncode == 0, out.stderr
    states, more, ok = json.loads(out.stdout.splitlines()[-1])
    np.testing.assert_allclose(states, many.states, rtol=ROUNDING)  # 7 lanes on 8 devices
    np.testing.assert_allclose(more, np.tile(many.states, (3, 1, 1)), rtol=ROUNDING)  # 21 lanes in tiles of 9
    assert all(ok)


@pytest.mark.slow
def test_hundreds_of_runs_in_words():
    many = wl.ensemble(lambda y0: wl.simulate(explosion(), y0, t1=0.5))(jnp.linspace(0.1, 2.2, 300))
    assert "300 runs" in repr(many) and "ok, " in repr(many)
    assert many.status.count()[wl.core.Code.OK] == int(many.status.ok.sum()) < 300


def test_events_and_their_derivatives_in_native_lanes():
    """A ball that falls from h lands at sqrt(2 h / g), its derivative 1 / sqrt(2 h g)."""
    falling = wl.ode.System(
        lambda t, y, p: wl.stack(y[1], -p["g"]), {"g": 9.81}, event=wl.ode.Event(lambda t, y, p: y[0], -1)
    )
    landing = wl.ensemble(lambda h: wl.simulate(falling, wl.stack(h, 0.0), t1=5.0))
    heights = jnp.linspace(1.0, 10.0, 20)
    runs = landing(heights)
    assert (runs.stats.lanes > 0).all() and "in native lanes" in repr(runs)
    np.testing.assert_allclose(runs.event.t, np.sqrt(2 * heights / 9.81), rtol=1e-12)  # a parabola: exact but for rounding
    slope = jax.grad(lambda h: jnp.sum(landing(h).event.t))(heights)
    np.testing.assert_allclose(slope, 1 / np.sqrt(2 * heights * 9.81), rtol=1e-12)

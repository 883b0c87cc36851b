"""Correlations in time and transport: loops in NumPy, closed forms, running correlators."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl


def walk(length, particles, seed=0):
    """Unwrapped positions [t, n, 3] that go far, and masses."""
    random = np.random.default_rng(seed)
    return 5.0 + np.cumsum(random.normal(size=(length, particles, 3)), 0), random.uniform(1, 3, particles)


@pytest.mark.parametrize(("length", "blocks", "lags"), [(60, 5, None), (67, 4, 11), (20, 1, 20), (9, 1, 1)])
def test_displacements_are_those_of_all_origins(length, blocks, lags):
    x, _ = walk(length, 7)
    found = wl.md.mean_squared_displacement(x, 0.5, blocks=blocks, lags=lags)
    count = lags or length // blocks
    expected = [np.mean(np.sum((x[k:] - x[: length - k]) ** 2, -1)) for k in range(count)]
    np.testing.assert_allclose(found.time, 0.5 * np.arange(count))
    np.testing.assert_allclose(found.mean, expected, rtol=1e-10, atol=1e-10)


def test_velocities_are_those_of_all_origins():
    v, mass = walk(40, 6)
    found = wl.md.velocity_autocorrelation(v, 0.1, mass=mass, blocks=3)
    still = v - np.einsum("n,tnd->td", mass, v)[:, None] / mass.sum()
    expected = [np.mean(np.sum(still[k:] * still[: 40 - k], -1)) for k in range(13)]
    np.testing.assert_allclose(found.mean, expected, rtol=1e-10)


def test_many_particles_are_taken_some_at_a_time(monkeypatch):
    x, _ = walk(53, 30)
    module = sys.modules["worldline.physics.md.observables.correlation"]
    monkeypatch.setattr(module, "NUMBERS_AT_ONCE", 10 * 16 * 7)  # 90 columns are then twelve times seven and six
    found = wl.md.mean_squared_displacement(x, 1.0)
    expected = [np.mean(np.sum((x[k:] - x[: 53 - k]) ** 2, -1)) for k in range(5)]
    np.testing.assert_allclose(found.mean, expected, rtol=1e-10, atol=1e-10)


def test_drift_of_the_center_of_mass_is_left_out():
    x, mass = walk(40, 5)
    moving = x + 3.0 * np.arange(40)[:, None, None] * np.array([1.0, -2.0, 0.5])
    still = wl.md.mean_squared_displacement(x, 1.0, mass=mass)
    np.testing.assert_allclose(wl.md.mean_squared_displacement(moving, 1.0, mass=mass).mean, still.mean, rtol=1e-9, atol=1e-9)


def test_ballistic_particles():
    v = np.random.default_rng(0).normal(size=(20, 3))
    t = 0.2 * np.arange(50)
    found = wl.md.mean_squared_displacement(t[:, None, None] * v, 0.2, blocks=5)
    np.testing.assert_allclose(found.mean, np.mean(np.sum(v**2, 1)) * found.time**2, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(found.error, 0.0, atol=1e-10)


@pytest.mark.slow
def test_brownian_particles():
    """<|x|²> = 6 D t, and errors that fit."""
    diffusion, dt = 0.7, 0.1
    random = np.random.default_rng(1)
    pulls = []
    for _ in range(20):
        x = np.cumsum(np.sqrt(2 * diffusion * dt) * random.normal(size=(1000, 10, 3)), 0)
        msd = wl.md.mean_squared_displacement(x, dt, lags=20)
        found = wl.md.diffusion_from_displacement(msd, begin=dt, end=1.0)
        pulls.append((float(found.mean) - diffusion) / float(found.error))
    assert abs(np.mean(pulls)) < 4 / np.sqrt(20) * 1.2
    assert 0.6 < np.std(pulls) < 1.7


def test_velocities_of_a_harmonic_oscillator():
    """v = -a w sin(w t): C = (a w)² cos(w k) / 2 over whole periods of origins."""
    steps, periods, a, w = 64, 12, 1.3, 2.0
    dt = 2 * np.pi / (w * steps)
    t = dt * np.arange(steps * periods)
    v = -a * w * np.sin(w * t)[:, None, None] * np.array([1.0, 0.0, 0.0])
    found = wl.md.velocity_autocorrelation(v, dt, blocks=periods)
    np.testing.assert_allclose(found.blocks[:-1], (a * w) ** 2 * np.tile(np.cos(w * found.time), (periods - 1, 1)) / 2, atol=1e-11)


def ornstein_uhlenbeck(rate, dt, length, entries, seed=0):
    """Samples of dv = -rate v dt + noise of variance 1, [t, entries]."""
    from scipy.signal import lfilter

    random = np.random.default_rng(seed)
    keep = np.exp(-rate * dt)
    noise = random.normal(size=(length, entries)) * np.sqrt(1 - keep**2)
    noise[0] /= np.sqrt(1 - keep**2)
    return lfilter([1.0], [1.0, -keep], noise, axis=0)


def test_the_integral_of_a_known_correlation_is_exact():
    """By trapezoids of C = exp(-k): (dt / 2) coth(dt / 2) (1 - exp(-end))."""
    dt, time = 0.1, 0.1 * np.arange(200)
    known = wl.md.Correlation(jnp.asarray(time), jnp.exp(-time)[None], jnp.ones((1, 200)))
    expected = dt / 2 / np.tanh(dt / 2) * (1 - np.exp(-time))
    np.testing.assert_allclose(known.integral().mean, expected, rtol=1e-12, atol=1e-15)
    d = wl.md.diffusion_from_velocity(known, end=3.0)
    np.testing.assert_allclose(d.mean, expected[30] / 3, rtol=1e-12)
    eta = wl.md.viscosity_from_stress(known, volume=8.0, thermal_energy=2.0)
    np.testing.assert_allclose(eta.mean, 4 * expected[-1], rtol=1e-12)


def test_green_kubo_of_an_ornstein_uhlenbeck_process():
    """D = kT / (m rate) within the errors that are given, which are right on average."""
    dt, rate, runs = 0.1, 1.0, 30
    exact = dt / 2 / np.tanh(dt * rate / 2) * (1 - np.exp(-8.0))
    pulls = []
    for seed in range(runs):
        v = ornstein_uhlenbeck(rate, dt, 4000, 9, seed).reshape(-1, 3, 3)
        found = wl.md.diffusion_from_velocity(wl.md.velocity_autocorrelation(v, dt, lags=100), end=8.0)
        assert bool(found.enough)
        pulls.append((float(found.mean) - exact) / float(found.error))
    assert abs(np.mean(pulls)) < 4 * 1.2 / np.sqrt(runs)
    assert 0.7 < np.std(pulls) < 1.6


def test_shear_components_hold_half_the_square_of_the_traceless_tensor():
    t = np.random.default_rng(0).normal(size=(4, 3, 3))
    t = t + np.swapaxes(t, 1, 2)
    traceless = t - np.trace(t, axis1=1, axis2=2)[:, None, None] * np.eye(3) / 3
    np.testing.assert_allclose(np.sum(wl.md.shear_components(t) ** 2, -1), 0.5 * np.sum(traceless**2, (1, 2)), rtol=1e-12)
    with pytest.raises(ValueError, match=r"wl.md.stress"):
        wl.md.shear_components(np.zeros((4, 6)))


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (dict(lags=50), "1 to 10 lags"),
        (dict(blocks=80), "blocks=80"),
        (dict(dt=0.0), "dt=0.0"),
        (dict(mass=np.ones(3)), "mass has shape"),
    ],
)
def test_arguments_that_make_no_sense(arguments, fault):
    x, _ = walk(100, 4)
    with pytest.raises(ValueError, match=fault):
        wl.md.mean_squared_displacement(x, **{"dt": 1.0, **arguments})


def test_series_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\[t, n, 3\]"):
        wl.md.velocity_autocorrelation(np.zeros((10, 3)), 1.0)
    with pytest.raises(ValueError, match="fewer than two lags"):
        wl.md.mean_squared_displacement(walk(100, 2)[0], 1.0).slope(3.2, 3.9)
    with pytest.raises(ValueError, match="lags go up to 9"):
        wl.md.autocorrelation(np.zeros(100), 1.0).integral_to(40.0)


@pytest.mark.slow
def test_under_transformations_and_in_float32():
    x, mass = walk(100, 5)
    eager = wl.md.mean_squared_displacement(x, 0.1, mass=mass).mean
    msd = wl.jit(lambda x: wl.md.mean_squared_displacement(x, 0.1, mass=mass).mean)
    np.testing.assert_allclose(eager, msd(x), rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(wl.jit(jax.vmap(msd))(np.stack([x, 2 * x]))[1], 4 * msd(x), rtol=1e-11, atol=1e-9)
    single = msd(x.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, msd(x), rtol=1e-4, atol=1e-4 * np.max(msd(x)))
    way = np.random.default_rng(0).normal(size=x.shape)
    slope = wl.jit(wl.grad(lambda s: jnp.sum(msd(x + s * way))))(0.0)
    for h in (1e-4, 1e-5):
        np.testing.assert_allclose((msd(x + h * way) - msd(x - h * way)).sum() / (2 * h), slope, rtol=1e-6)


def coarse(series, lag, level):
    """<x(t) x(t + lag)> of averages over 2^level values, in NumPy."""
    width = 2**level
    blocks = series[: len(series) // width * width].reshape(-1, width, *series.shape[1:]).mean(1)
    k = lag // width
    return np.mean(blocks[k:] * blocks[: len(blocks) - k], 0)


def test_running_correlations_are_those_of_averaged_series():
    series = ornstein_uhlenbeck(0.05, 1.0, 1000, 3)
    running = wl.md.RunningCorrelation(3, longest=100, points=8)
    found = jax.jit(lambda r, s: r.extend(s[:333]).extend(s[333:]))(running, series).result(0.5)
    lags = np.round(np.asarray(found.time) / 0.5).astype(int)
    np.testing.assert_array_equal(lags[:16], [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28])
    assert lags[-1] >= 100
    for k, lag in enumerate(lags):
        level = 0 if k < 8 else (k - 4) // 4
        np.testing.assert_allclose(found.blocks[:, k], coarse(series, lag, level), rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_running_correlations_of_an_ornstein_uhlenbeck_process():
    series = ornstein_uhlenbeck(0.1, 1.0, 40000, 20, seed=3)
    found = wl.md.RunningCorrelation(20, longest=100).extend(series).result(1.0)
    assert np.max(np.abs(found.mean - np.exp(-0.1 * found.time)) / found.error) < 4.5
    whole = found.integral_to(80.0)
    assert abs(float(whole.mean) - 10 * (1 - np.exp(-8.0))) < 4 * float(whole.error) + 0.02


def test_lags_that_were_not_reached_are_unknown():
    found = wl.md.RunningCorrelation(2, longest=50).extend(np.ones((10, 2))).result(1.0)
    assert np.isfinite(found.mean[:10]).all() and np.isnan(found.mean[10:]).all()


@pytest.mark.parametrize(("arguments", "fault"), [(dict(longest=0), "longest=0"), (dict(longest=9, points=5), "points=5")])
def test_running_correlations_that_make_no_sense(arguments, fault):
    with pytest.raises(ValueError, match=fault):
        wl.md.RunningCorrelation(**arguments)


@pytest.mark.slow
def test_running_correlations_in_a_loop_over_runs():
    """What is gathered while running is what a recorded run gives."""
    position, box = wl.md.lattice("fcc", density=0.7, cells=2)
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 1.5, shape="force_shift"), {"Ar": len(position)})
    velocity = wl.md.thermal_velocities(system.masses, 1.0, jax.random.key(0))
    state = system.state(position, velocity, box)
    system, dt = system.sized(state), 0.005

    def chunk(carry, _):
        state, stresses, energy = carry
        measure = lambda system, state: (wl.md.stress(system, state), wl.md.total_energy(system, state))
        run = wl.simulate(system, state, dt=dt, steps=20, record=measure)
        stress, total = (x[1:] for x in run.states)
        return (run.final, stresses.extend(wl.md.shear_components(stress)), energy.extend(total)), None

    start = (state, wl.md.RunningCorrelation(5, longest=30), wl.md.RunningAverage())
    (_, stresses, energy), _ = wl.jit(lambda start: wl.scan(chunk, start, length=4))(start)
    stress = wl.simulate(system, state, dt=dt, steps=80, record=lambda s, y: wl.md.stress(s, y)).states[1:]
    expected = wl.md.autocorrelation(wl.md.shear_components(stress), dt, blocks=1)
    np.testing.assert_allclose(stresses.result(dt).mean[:16], expected.mean[:16], rtol=1e-6)
    assert int(energy.count) == 80
    assert abs(float(energy.result().error)) < 1e-2

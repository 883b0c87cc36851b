"""Pictures of runs, fits and ensembles: what is in them, and what is said when they cannot be drawn."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

NAMES = ["prey", "predators"]
PNG = b"\x89PNG"


def decay(t, y, p):
    return -p["rate"] * y


def falling_pair(t, y, p):
    return wl.stack(-p["rate"] * y[0], -0.1 * y[1])


@pytest.fixture(scope="module")
def system():
    return wl.ode.System(falling_pair, {"rate": 0.5})


@pytest.fixture(scope="module")
def run(system):
    return wl.simulate(system, [4.0, 2.0], ts=np.linspace(0.0, 5.0, 41))


@pytest.fixture(scope="module")
def data(system):
    """Counts at ten times, a tenth off the truth in turns, one of them missing."""
    ts = np.linspace(0.0, 5.0, 10)
    truth = np.column_stack([4.0 * np.exp(-0.5 * ts), 2.0 * np.exp(-0.1 * ts)])
    values = truth * np.where(np.arange(20).reshape(10, 2) % 2, 1.1, 0.9)
    values[3, 0] = np.nan
    return wl.Observations(ts, values, wl.LogNormal())


@pytest.fixture(scope="module")
def result(system, data):
    return wl.fit(system, data, free={"rate": wl.Positive(), "y0": wl.Positive()}, starts=1)


@pytest.fixture(scope="module")
def many(system):
    rates = jnp.linspace(0.3, 0.7, 21)
    return wl.ensemble(
        lambda r: wl.simulate(system.replace(rate=r), [4.0, 2.0], ts=np.linspace(0.0, 5.0, 11), throw=False)
    )(rates)


def y_labels(figure):
    return [axes.get_ylabel() for axes in figure.axes]


def line(axes, label):
    return next(one for one in axes.get_lines() if one.get_label() == label)


def test_components_of_similar_size_share_a_panel(run):
    figure = run.plot(names=NAMES, time_label="year")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "year"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == NAMES
    np.testing.assert_array_equal(line(axes, "prey").get_ydata(), run.states[:, 0])


def test_panels_are_asked_for_or_come_with_different_sizes(run):
    assert y_labels(run.plot(panels=True)) == ["y[0]", "y[1]"]
    scaled = jax.tree.map(lambda x: x * jnp.array([1.0, 1e-5]), run.states)
    apart = wl.Trajectory(run.ts, scaled, run.final, run.status, run.stats)
    assert y_labels(apart.plot(names=NAMES)) == NAMES


def test_one_component_has_no_legend(run):
    (axes,) = run.plot(components=["y[1]"]).axes
    assert axes.get_legend() is None and axes.get_ylabel() == "y[1]"


def test_data_and_logarithmic_axes(run, data):
    figure = run.plot(panels=True, data=data, log=True, log_time=True)
    assert all(axes.get_yscale() == axes.get_xscale() == "log" for axes in figure.axes)
    dots = figure.axes[0].get_lines()[1]
    assert len(dots.get_xdata()) == 9  # one value of ten is missing
    assert run.plot(log_time=True).axes[0].get_lines()[0].get_xdata()[0] > 0.0


def test_a_failed_run_is_drawn_as_far_as_it_got():
    explosion = wl.ode.System(lambda t, y, p: y * y)
    run = wl.simulate(explosion, 1.0, ts=np.linspace(0.0, 2.0, 41), throw=False)
    (axes,) = run.plot().axes
    assert "t = 1" in axes.get_title(loc="left")
    assert axes.get_lines()[1].get_marker() == "x"


def test_a_picture_is_saved(run, tmp_path):
    run.plot(path=tmp_path / "run.png", title="Two that fall")
    assert (tmp_path / "run.png").read_bytes().startswith(PNG)


def test_components_that_do_not_exist_or_are_too_many(run):
    with pytest.raises(ValueError, match=r"components has 'y\[7\]'; the state has y\[0\], y\[1\]"):
        run.plot(components=["y[7]"])
    with pytest.raises(ValueError, match="names has 1 entries, but there are 2 components"):
        run.plot(names=["prey"])
    wide = wl.simulate(wl.ode.System(decay, {"rate": 1.0}), jnp.ones(30), t1=1.0)
    with pytest.raises(ValueError, match="30 components.*choose some"):
        wide.plot()


def test_a_fit_is_drawn_on_a_fine_grid_with_residuals_below(result, data):
    figure = result.plot(names=NAMES)
    assert y_labels(figure) == ["prey", "log measured\n− log model", "predators", "log measured\n− log model"]
    upper, lower = figure.axes[:2]
    assert upper.get_yscale() == "log"
    assert len(line(upper, "fitted").get_xdata()) > 500
    assert len(line(upper, "measured").get_xdata()) == 9
    drawn = np.concatenate([figure.axes[i].get_lines()[1].get_ydata() for i in (1, 3)])
    # The drawn residuals are of a second run, at more times: it takes other steps.
    np.testing.assert_allclose(np.sort(drawn), np.sort(-result.residuals), atol=1e-5)


def test_residuals_are_in_sigmas_where_the_noise_is_known(system, data):
    known = wl.Observations(data.ts, data.values, wl.Normal(0.2))
    result = wl.fit(system, known, free=["rate"], starts=1)
    assert y_labels(result.plot()) == ["y[0]", "(measured\n− model) / σ", "y[1]", "(measured\n− model) / σ"]


def test_a_part_of_the_state_and_a_function_of_it_have_names(system, data):
    def total(y):
        return y[0] + y[1]

    ts = data.ts
    ones = np.ones(10)
    both = [wl.Observations(ts, ones, observe=1), wl.Observations(ts, 2.0 * ones, observe=total)]
    result = wl.fit(system, both, [4.0, 2.0], free=["rate"], starts=1)
    assert y_labels(result.plot()) == ["y[1]", "measured\n− model", "total", "measured\n− model"]


def test_a_fit_of_one_experiment_has_no_second(result):
    with pytest.raises(IndexError, match="experiment=1: this fit has 1"):
        result.plot(experiment=1)


def test_an_ensemble_is_drawn_as_a_band(many, data):
    figure = many.plot(names=NAMES, data=data, log=True)
    assert y_labels(figure) == NAMES
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["95 %", "50 %", "median", "measured"]
    # The rates are spread evenly, and the curves do not cross: the middle lane is the median.
    np.testing.assert_allclose(line(figure.axes[0], "median").get_ydata(), many.states[10, :, 0])


def test_failed_lanes_are_left_out_and_counted(many):
    holes = many.states.at[3, 5:].set(jnp.nan)
    figure = wl.Trajectory(many.ts, holes, many.final, many.status, many.stats).plot()
    assert figure.axes[0].get_title(loc="left") == "1 of 21 runs failed and are left out"
    with pytest.raises(ValueError, match="none of the 21 runs is finite"):
        wl.Trajectory(many.ts, holes * jnp.nan, many.final, many.status, many.stats).plot()


FALL = np.linspace(0.0, 5.0, 11)


def gathered(system, quantiles, fn=lambda run: run):
    rates = jnp.linspace(0.3, 0.7, 21)
    one = lambda r: fn(wl.simulate(system.replace(rate=r), [4.0, 2.0], ts=FALL, throw=False))
    return wl.ensemble(one, summary=wl.Summary(quantiles))(rates)


def legend_texts(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_statistics_are_drawn_as_a_band(system, many, data):
    figure = gathered(system, (0.975, 0.025, 0.25, 0.5, 0.75)).plot(names=NAMES, data=data, log=True, path=None)
    assert y_labels(figure) == NAMES
    assert legend_texts(figure) == ["95 %", "50 %", "median", "measured"]
    np.testing.assert_allclose(line(figure.axes[0], "median").get_ydata(), many.states[10, :, 0], rtol=1e-12)
    of_runs, of_statistics = many.plot(), gathered(system, (0.025, 0.25, 0.5, 0.75, 0.975)).plot()
    for kept, drawn in zip(of_runs.axes, of_statistics.axes, strict=True):
        for a, b in zip(kept.collections, drawn.collections, strict=True):
            np.testing.assert_allclose(a.get_paths()[0].vertices, b.get_paths()[0].vertices, rtol=1e-12)


def test_what_the_bands_of_statistics_are_called(system):
    assert legend_texts(gathered(system, ()).plot()) == ["mean ± standard deviation", "mean"]
    assert legend_texts(gathered(system, (0.0, 1.0)).plot()) == ["all runs", "mean"]
    assert legend_texts(gathered(system, (0.5,)).plot()) == ["median"]
    assert legend_texts(gathered(system, (0.1, 0.5, 0.95)).plot()) == ["10 to 95 %", "median"]


def test_the_legend_shows_the_colours_of_bands_on_top_of_each_other(system):
    (axes, _) = gathered(system, (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)).plot().axes
    through = np.cumprod([1.0 - band.get_alpha() for band in axes.collections])
    np.testing.assert_allclose([1.0 - patch.get_alpha() for patch in axes.patches], through)


def test_statistics_say_what_is_missing(system):
    explosion = wl.ode.System(lambda t, y, p: y * y)
    run = lambda y0: wl.simulate(explosion, y0, ts=[0.0, 0.25, 0.5])
    failed = wl.ensemble(run, summary=wl.Summary())(jnp.array([0.1, 0.2, 5.0]))
    assert failed.plot().axes[0].get_title(loc="left") == "1 of 3 runs failed and are left out"
    system = wl.ode.System(lambda t, y, p: -1.0 + 0 * y, event=wl.ode.Event(lambda t, y, p: y, -1))
    ended = wl.ensemble(lambda y0: wl.simulate(system, y0, ts=[0.0, 1.0]), summary=wl.Summary())(jnp.array([0.5, 2.0]))
    assert ended.plot().axes[0].get_title(loc="left") == "at some times 1 run only"


def test_statistics_of_other_values_need_times(system):
    many = gathered(system, (0.5,), lambda run: {"sum": run.states.sum(axis=1)})
    assert y_labels(many.plot(FALL)) == ["sum"]
    with pytest.raises(ValueError, match=r"no Trajectory but other values: .* plot\(ts\)"):
        many.plot()
    with pytest.raises(ValueError, match=r"arrays of shapes \(11,\) for ts of shape \(3,\)"):
        many.plot([0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="components has 'y'; the state has sum"):
        many.plot(FALL, components=["y"])
    ends = wl.ensemble(lambda t: wl.simulate(system, [4.0, 2.0], t1=t), summary=wl.Summary())(jnp.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="the times differ between the runs"):
        ends.plot()


def test_no_window_and_no_global_state_of_matplotlib(run):
    """Neither importing the library nor drawing loads pyplot; importing it does not even load matplotlib."""
    script = (
        "import sys, worldline as wl\n"
        "assert 'matplotlib' not in sys.modules\n"
        "wl.simulate(wl.ode.System(lambda t, y, p: -y), 1.0, t1=1.0).plot()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_matplotlib_the_error_says_how_to_get_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'worldline\[plot\]'"):
        run.plot()

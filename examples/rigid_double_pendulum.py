"""A real double pendulum with two motors: masses, distances, inertias and frictions from a record cut into seconds.

    python examples/rigid_double_pendulum.py path/to/trajectory.csv

The first half of the record is fitted, one simulation for each second, from the state measured at its beginning. The second
half shows how well motions are predicted. The model, with published values, is rigid_double_pendulum.xml, beside this
file. The record has the columns time, pos_meas1, pos_meas2, vel_meas1, vel_meas2, tau_meas1, tau_meas2 (s, rad,
N m; both angles are 0 when hanging). Without one, a record is made up with known parameters.
"""

import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import worldline as wl

wl.use_float64()

published = wl.rigid.load(Path(__file__).with_name("rigid_double_pendulum.xml"))
JOINTS = ("shoulder", "elbow")
SECOND = 500  # samples
EVERY = 5  # of them one is fitted: they are more alike than the model is true
SIGMA = 0.02  # rad, by which the model may be off within a second; the encoders are better than that
MASSES, SCALE = [0.608, 0.630], 0.02  # kg, known to so much


def made_up():
    """Ten seconds at 500 Hz of a double pendulum with known parameters, and noise of 0.002 rad."""
    time = np.arange(10 * SECOND) / SECOND
    torque = np.stack([0.5 * np.sin(9.0 * time), -0.6 * np.sin(9.0 * time + 0.5)], axis=1)
    true = published.replace({"shoulder.damping": 0.02, "elbow.dry_friction.loss": 0.1, "upper.inertia": [0.03] * 3})
    states = wl.simulate(true, true.state(), ts=time, controls=wl.Sampled(time, torque)).states
    noise = np.random.default_rng(1).normal(0.0, 0.002, torque.shape)
    return time, np.asarray(states.q) + noise, np.asarray(states.v), torque


def read(path):
    """Times [n], and positions, velocities and torques [n, 2]."""
    columns = np.genfromtxt(path, delimiter=",", names=True)
    pairs = [np.stack([columns[f"{kind}_meas{i}"] for i in (1, 2)], axis=1) for kind in ("pos", "vel", "tau")]
    return columns["time"], *pairs


time, position, velocity, torque = read(sys.argv[1]) if len(sys.argv) > 1 else made_up()
motors = wl.Sampled(time, torque)
half = len(time) // 2

# The first half in pieces of about a second, one experiment each.
seconds = []
length = half // round(half / SECOND)
for first in range(0, half - length + 1, length):
    rows = np.arange(first, first + length, EVERY)
    seen = wl.Observations(time[rows], position[rows], wl.Normal(SIGMA), observe="q")
    seconds.append(wl.Experiment(seen, published.state(position[first], velocity[first]), motors))


def masses(t, state, model):
    """What a scale would show, kg."""
    return wl.stack(model.bodies["upper"].mass, model.bodies["lower"].mass)


# The motion tells four numbers of the six masses, distances and inertias; that the masses are known tells the others.
weighed = wl.Experiment(wl.Observations([0.0], [MASSES], wl.Normal(SCALE), observe=masses), published.state())

free = {f"{body}.{name}": wl.Positive() for body in ("upper", "lower") for name in ("mass", "inertia[1]")}
free |= {f"{body}.center[2]": wl.Free() for body in ("upper", "lower")}
free |= {f"{joint}.{name}": wl.Bounded(lower=0.0) for joint in JOINTS for name in ("damping", "dry_friction.loss")}

# Dry friction makes the sum of squares rough at the smallest scale: a hundredth of a standard error is near enough.
result = wl.fit(published, [*seconds, weighed], free=free, starts=1, tolerance=0.01)
print(result)


def predict(model, rows):
    """Positions [k, n, 2] from the measured states at the first rows of each of [k, n]."""

    def run(ts, q, v):
        return wl.simulate(model, model.state(q, v), ts=ts, controls=motors).states.q

    return np.asarray(wl.ensemble(run)(jnp.asarray(time[rows]), position[rows[:, 0]], velocity[rows[:, 0]]))


# From every tenth of a second of the second half one second ahead.
starts = np.arange(half, len(time) - SECOND, SECOND // 10)
windows = starts[:, None] + np.arange(SECOND + 1)
models = {"published": published, "fitted": result.system}
off = {name: predict(model, windows) - position[windows] for name, model in models.items()}
print(f"\nroot mean square error over {len(windows)} predictions of one second, rad")
print(f"{'':12}{'both':>10}{'shoulder':>10}{'elbow':>10}{'at the end':>12}")
for name, error in off.items():
    columns = [error, error[..., 0], error[..., 1], error[:, -1]]
    numbers = [np.sqrt(np.mean(x**2)) for x in columns]
    print(f"{name:12}{numbers[0]:10.4f}{numbers[1]:10.4f}{numbers[2]:10.4f}{numbers[3]:12.4f}")


def picture(path):
    """Predictions second by second over the second half, and how their errors grow."""
    figure = Figure(figsize=(9.0, 7.5), dpi=150, layout="constrained")
    axes = figure.subplots(3, 1, height_ratios=[1.0, 1.0, 0.8])
    colours = {"published": "#D55E00", "fitted": "#0072B2"}
    pieces = windows[::10]
    for name, model in models.items():
        angles = predict(model, pieces)
        for joint, ax in enumerate(axes[:2]):
            # A gap after each second: the next prediction begins at what was measured.
            ts = np.pad(time[pieces], ((0, 0), (0, 1)), constant_values=np.nan).ravel()
            curve = np.pad(angles[..., joint], ((0, 0), (0, 1)), constant_values=np.nan).ravel()
            ax.plot(ts, curve, color=colours[name], linewidth=1.4, label=f"predicted, {name} values", zorder=3)
        grown = np.sqrt(np.mean(off[name] ** 2, axis=(0, 2)))
        axes[2].plot(time[: SECOND + 1] - time[0], grown, color=colours[name], linewidth=1.8, label=f"{name} values")
    for joint, ax in enumerate(axes[:2]):
        shown = slice(half, pieces[-1, -1] + 1)
        ax.plot(time[shown], position[shown, joint], color="#bbbbbb", linewidth=4.0, label="measured", zorder=1)
        ax.plot(time[pieces[:, 0]], position[pieces[:, 0], joint], "o", color="#333333", markersize=4.5, zorder=4)
        ax.set_ylabel(f"{JOINTS[joint]} (rad)")
        ax.set_xlabel("time (s)")
    axes[0].legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, frameon=False)
    axes[2].set_ylabel("error, root mean\nsquare (rad)")
    axes[2].set_xlabel("time since the measured state (s)")
    axes[2].set_ylim(bottom=0.0)
    axes[2].set_xlim(0.0, 1.0)
    axes[2].legend(loc="upper left", frameon=False)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color="#e6e6e6")
        ax.set_axisbelow(True)
    figure.savefig(path)


picture(path="rigid_double_pendulum.png")

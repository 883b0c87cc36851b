"""A real pendulum on a motor: masses and friction from its measured motion, in one simulation of the whole record.

    python examples/measured_pendulum.py path/to/measured.csv

The file has the columns time (s), position (rad, 0 is hanging), velocity (rad/s) and torque (N m). Without one, a
record is made up with known parameters, to be found again.
"""

import sys

import jax.numpy as jnp
import numpy as np

import worldline as wl

wl.use_float64()


def pendulum(t, y, p, torque):
    """inertia a = torque - weight sin(q) - viscous v - coulomb arctan(100 v) - offset."""
    angle, velocity = y
    friction = p["viscous"] * velocity + p["coulomb"] * jnp.arctan(100.0 * velocity)
    return wl.stack(velocity, (torque - p["weight"] * jnp.sin(angle) - friction - p["offset"]) / p["inertia"])


def made_up():
    """Four seconds at 100 Hz of a pendulum with known parameters, and noise of 0.01 rad."""
    time = np.linspace(0.0, 4.0, 401)
    torque = 0.8 * np.sin(4.0 * time)
    true = {"inertia": 0.08, "weight": 1.4, "viscous": 0.03, "coulomb": 0.1, "offset": 0.02}
    run = wl.simulate(wl.ode.System(pendulum, true), [0.0, 0.0], ts=time, controls=wl.Sampled(time, torque))
    noise = np.random.default_rng(1).normal(0.0, 0.01, len(time))
    return time, np.asarray(run.states[:, 0]) + noise, np.asarray(run.states[:, 1]), torque


columns = np.loadtxt(sys.argv[1], delimiter=",", skiprows=1).T if len(sys.argv) > 1 else made_up()
time, position, velocity, torque = columns

# Published values of the real device, identified from its accelerations.
published = {"inertia": 0.06259, "weight": 0.1022 * 9.81, "viscous": 0.04707, "coulomb": 0.1839, "offset": -0.07586}
system = wl.ode.System(pendulum, published)
motor = wl.Sampled(time, torque)
start = [position[0], velocity[0]]

result = wl.fit(
    system,
    wl.Observations(time, position, observe=0),
    start,
    controls=motor,
    free={
        "inertia": wl.Positive(),
        "weight": wl.Positive(),
        "viscous": wl.Bounded(lower=0.0),
        "coulomb": wl.Bounded(lower=0.0),
        "offset": wl.Free(),
    },
)
print(result)

before = wl.simulate(system, start, ts=time, controls=motor).states[:, 0]
print(f"\nposition error with published values: {np.sqrt(np.mean((before - position) ** 2)):.4f} rad")
print(f"position error with fitted values:    {np.sqrt(np.mean(result.residuals**2)):.4f} rad")
result.plot(names=["angle (rad)"], time_label="time (s)", path="measured_pendulum.png")

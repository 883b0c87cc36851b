"""A real pendulum on a motor as an MJCF model: mass, inertia and frictions of the joint from its measured motion.

    python examples/rigid_pendulum.py path/to/measured.csv

The model is rigid_pendulum.xml, beside this file. The record has the columns time (s), position (rad, 0 is hanging),
velocity (rad/s) and torque (N m). Without one, a record is made up with known parameters, to be found again.
"""

import sys
from pathlib import Path

import numpy as np

import worldline as wl

wl.use_float64()

# The file holds published values of the real device, identified from its accelerations; the others are a poor guess.
published = wl.rigid.load(Path(__file__).with_name("rigid_pendulum.xml"))
poor = published.replace(
    {
        "rod.mass": 1.0,
        "rod.inertia": [0.06, 0.06, 0.06],
        "pivot.damping": 0.02,
        "pivot.dry_friction.loss": 0.16,
        "motor.bias": [0.0, 0.0, 0.0],
    }
)
free = {
    "rod.mass": wl.Positive(),
    "rod.inertia[1]": wl.Positive(),
    "pivot.damping": wl.Bounded(lower=0.0),
    "pivot.dry_friction.loss": wl.Bounded(lower=0.0),
    "motor.bias[0]": wl.Free(),
}


def made_up():
    """Four seconds at 300 Hz of a pendulum with known parameters, and noise of 0.01 rad."""
    time = np.linspace(0.0, 4.0, 1201)
    torque = 1.5 * np.sin(4.0 * time)
    true = published.replace({"rod.mass": 0.7, "pivot.dry_friction.loss": 0.15})
    states = wl.simulate(true, true.state(), ts=time, controls=wl.Sampled(time, torque[:, None])).states
    noise = np.random.default_rng(1).normal(0.0, 0.01, len(time))
    return time, np.asarray(states.q[:, 0]) + noise, np.asarray(states.v[:, 0]), torque


time, position, velocity, torque = (
    np.loadtxt(sys.argv[1], delimiter=",", skiprows=1).T if len(sys.argv) > 1 else made_up()
)
start = published.state(position[:1], velocity[:1])
motor = wl.Sampled(time, torque[:, None])
data = wl.Observations(time, position[:, None], observe="q")


def error(model):
    """Root mean square of the position error of the whole run, rad."""
    run = wl.simulate(model, start, ts=time, controls=motor)
    return np.sqrt(np.mean((np.asarray(run.states.q[:, 0]) - position) ** 2))


results = {
    name: wl.fit(model, data, start, controls=motor, free=free)
    for name, model in (("published values", published), ("a poor guess", poor))
}
result = results["published values"]
print(result)

print(f"\nposition error with published values:           {error(published):.4f} rad")
for name, found in results.items():
    words = f"fitted from {name}:"
    print(f"position error {words:32} {error(found.system):.4f} rad, in {found.seconds:.1f} s")
distance = -float(published.bodies["rod"].center[2])
mass, inertia = result.values["rod.mass"], result.values["rod.inertia[1]"]
print(
    f"mass times distance {mass * distance:.4f} kg m, inertia about the pivot {inertia + mass * distance**2:.4f} kg m²"
)
result.plot(names=["angle (rad)"], time_label="time (s)", path="rigid_pendulum.png")

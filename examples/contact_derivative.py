"""Where the derivative of a step with contact is rough: a ball dropped from a height bounces once.

    python examples/contact_derivative.py

The height it reaches at the end is drawn over the height it falls from, with its derivative. A contact whose force begins at
once (the default, solimp from 0.9) is noticed at the first step that ends inside it, up to a step late: the height at the end
is a sawtooth, whose jumps no derivative sees. The derivative is that of the teeth, and smaller steps make the teeth smaller
and not flatter. A force that begins at zero (solimp from 0) has no jumps, and its derivative goes to that of exact motion.
"""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import worldline as wl

wl.use_float64()

r = wl.rigid
END = 0.32  # s
CONTACTS = {"force begins at once: solimp from 0.9": 0.9, "force begins at zero: solimp from 0": 0.0}
STEPS = {0.004: "#E69F00", 0.002: "#D55E00", 0.0005: "#0072B2"}  # s, and colours
FINE = 5e-5  # s, which stands for exact motion
heights = jnp.linspace(0.30, 0.32, 801)


def ball(first_impedance):
    """A ball of 1 kg, 0.2 m across, above a floor that is springy and damped."""
    numbers = dict(solref=(0.05, 0.3), solimp=(first_impedance, 0.95, 0.01, 0.5, 2.0), condim=1)
    shell = r.geom("shell", "sphere", (0.1,), **numbers)
    body = r.body("ball", mass=1.0, inertia=(0.004, 0.004, 0.004), joints=[r.slide("z", (0, 0, 1))], geoms=[shell])
    return r.build([body], ground=[r.geom("floor", "plane", (), **numbers)])


def ends(first_impedance):
    """A program for the heights at the end and their derivatives, of all heights at the start and one step."""
    model = ball(first_impedance)

    def end(height, dt):
        return wl.simulate(model, model.state(height[None]), t1=END, dt=dt).final.q[0]

    return jax.jit(wl.lanes(jax.value_and_grad(end), in_axes=(0, None)))


def draw(path):
    figure = Figure(figsize=(9.0, 6.0), dpi=150, layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey="row")
    x = 100 * np.asarray(heights)
    for (title, first_impedance), (upper, lower) in zip(CONTACTS.items(), axes.T):
        many = ends(first_impedance)
        exact = 100 * np.asarray(many(heights, FINE)[0])
        smooth = np.polyfit(x, exact, 1)
        upper.plot(x, exact, color="#bbbbbb", lw=5, label="exact motion")
        lower.axhline(smooth[0], color="#bbbbbb", lw=5)
        for dt, colour in STEPS.items():
            value, derivative = (np.asarray(y) for y in many(heights, dt))
            # Jumps are no lines: a gap where a step more or less is taken before the ball touches.
            jumps = np.append(np.abs(np.diff(100 * value)) > 5 * np.median(np.abs(np.diff(100 * value))) + 1e-3, False)
            upper.plot(x, np.where(jumps, np.nan, 100 * value), color=colour, lw=1.3, label=f"steps of {dt * 1e3:g} ms")
            lower.plot(x, derivative, color=colour, lw=1.3)
            rough = np.abs(100 * value - np.polyval(np.polyfit(x, 100 * value, 2), x)).max()
            print(f"{title}, steps of {dt * 1e3:g} ms: off the curve by {10 * rough:.3f} mm, derivative "
                  f"{derivative.mean():+.2f} on average, from {derivative.min():+.2f} to {derivative.max():+.2f}; "
                  f"exact {smooth[0]:+.2f}")  # fmt: skip
        upper.set_title(title, fontsize=11)
        lower.set_xlabel("height at the start (cm)")
        lower.set_ylim(-2.4, 1.6)
    axes[0, 0].set_ylabel("height at the end (cm)")
    axes[1, 0].set_ylabel("its derivative")
    axes[1, 0].annotate("exact motion", (30.05, 0.15), color="#777777", fontsize=9)
    axes[1, 0].annotate("derivative of the teeth: wrong at any step", (30.05, -0.55), fontsize=9)
    axes[1, 1].annotate("goes to the exact one with the step", (30.05, -1.65), fontsize=9)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color="#e6e6e6")
        ax.set_axisbelow(True)
    figure.savefig(path)


draw(path="contact_derivative.png")

"""Where the derivative of a step with contact is rough: a ball dropped from a height bounces once.

    python examples/contact_derivative.py

The height it reaches at the end is drawn over the height it falls from, with its derivative. A contact
whose force begins at once (the default, solimp from 0.9) makes a sawtooth of a step's length; one whose force begins at
zero (solimp from 0) does not.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import worldline as wl

wl.use_float64()

r = wl.rigid
END = 0.32  # s
CONTACTS = {"force begins at once": 0.9, "force begins at zero": 0.0}
heights = jnp.linspace(0.30, 0.32, 401)


def ball(first_impedance):
    """A ball of 1 kg, 0.1 m across the middle, above a floor that is springy and damped."""
    numbers = dict(solref=(0.05, 0.3), solimp=(first_impedance, 0.95, 0.01, 0.5, 2.0), condim=1)
    shell = r.geom("shell", "sphere", (0.1,), **numbers)
    body = r.body("ball", mass=1.0, inertia=(0.004, 0.004, 0.004), joints=[r.slide("z", (0, 0, 1))], geoms=[shell])
    return r.build([body], ground=[r.geom("floor", "plane", (), **numbers)])


def draw(path):
    figure, axes = plt.subplots(2, 2, sharex=True, sharey="row", figsize=(9, 5.5), layout="constrained")
    for column, (title, first_impedance) in enumerate(CONTACTS.items()):
        model = ball(first_impedance)

        def end(height, dt):
            return wl.simulate(model, model.state(height[None]), t1=END, dt=dt).final.q[0]

        many = jax.jit(wl.lanes(jax.value_and_grad(end), in_axes=(0, None)))
        exact = np.asarray(many(heights, 5e-5)[0])
        slope = np.polyfit(heights, exact, 1)[0]
        axes[0, column].plot(heights, exact, "k", lw=2.5, alpha=0.3, label="step 0.05 ms")
        axes[1, column].axhline(slope, color="k", lw=2.5, alpha=0.3, label="slope at step 0.05 ms")
        for dt in (0.008, 0.002, 0.0005):
            value, derivative = (np.asarray(x) for x in many(heights, dt))
            axes[0, column].plot(heights, value, lw=1, label=f"step {dt * 1000:g} ms")
            axes[1, column].plot(heights, derivative, lw=1, label=f"step {dt * 1000:g} ms")
            rough = np.abs(value - np.polyval(np.polyfit(heights, value, 2), heights)).max()
            print(f"{title}, step {dt * 1000:g} ms: teeth {rough * 1000:.3f} mm, mean derivative {derivative.mean():+.2f}, "
                  f"from {derivative.min():+.2f} to {derivative.max():+.2f}; slope of the curve {slope:+.2f}")  # fmt: skip
        axes[0, column].set_title(title)
        axes[1, column].set_xlabel("height at the start, m")
    axes[0, 0].set_ylabel("height at the end, m")
    axes[1, 0].set_ylabel("its derivative")
    axes[0, 1].legend(fontsize=8)
    figure.savefig(path, dpi=130)


draw(path="contact_derivative.png")

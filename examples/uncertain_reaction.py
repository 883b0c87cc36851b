"""A stiff reaction whose rates are uncertain: a thousand runs at once, and what the end depends on.

    python examples/uncertain_reaction.py

Robertson's three species react at speeds that differ by nine orders of magnitude. Each rate is known to a factor of
about 1.2; the runs show what that means for the species over ten decades of time, and a gradient says which rate
matters most.
"""

import jax
import jax.numpy as jnp
import numpy as np

import worldline as wl

wl.use_float64()


def reaction(t, y, p):
    """A -> B (slow), B + B -> C + B (fast), B + C -> A + C (medium)."""
    a, b, c = y
    slow, fast, medium = p["slow"] * a, p["fast"] * b * b, p["medium"] * b * c
    return wl.stack(medium - slow, slow - medium - fast, fast)


rates = {"slow": 0.04, "fast": 3e7, "medium": 1e4}
system = wl.ode.System(reaction, rates)
start = [1.0, 0.0, 0.0]
times = np.concatenate([[0.0], np.geomspace(1e-4, 1e6, 101)])


def run(rates):
    return wl.simulate(system.replace(rates), start, ts=times, atol=1e-12, throw=False)


one = run(rates)
print(one.stats)

factors = jnp.exp(0.2 * jax.random.normal(wl.streams(7, "rates")["rates"], (1000, 3)))
drawn = {name: value * factors[:, i] for i, (name, value) in enumerate(rates.items())}
many = wl.ensemble(run)(drawn)
print(many.status)

half = 0.5 * (np.quantile(many.states[:, -1, 0], 0.84) - np.quantile(many.states[:, -1, 0], 0.16))
print(f"A that is left at t = {times[-1]:.0e}: {float(one.states[-1, 0]):.3e}, give or take {half:.1e}")

slopes = wl.grad(lambda rates: jnp.log(run(rates).states[-1, 0]))({k: jnp.asarray(v) for k, v in rates.items()})
for name, slope in slopes.items():
    print(f"  one per cent more of {name:6} changes it by {float(slope) * rates[name]:+.2f} per cent")

many.plot(names=["A", "B", "C"], log_time=True, time_label="time (s)", path="uncertain_reaction.png")

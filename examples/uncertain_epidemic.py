"""An epidemic of which little is known: a hundred thousand runs, of which only the statistics are kept.

    python examples/uncertain_epidemic.py

First the rates of infection and recovery are known as ranges only. Then the infected of forty days are counted, the rates are
fitted, and the runs around the fit show how much of the uncertainty is gone.
"""

import numpy as np

import worldline as wl

wl.use_float64()


def epidemic(t, y, p):
    """Shares of the susceptible and the infected (Kermack and McKendrick 1927); rates a day."""
    susceptible, infected = y
    new = p["infection"] * susceptible * infected
    return wl.stack(-new, new - p["recovery"] * infected)


system = wl.ode.System(epidemic, {"infection": 0.4, "recovery": 0.15})
names = ["susceptible", "infected"]
days = np.linspace(0.0, 120.0, 121)
start = [0.999, 0.001]


def run(rates):
    return wl.simulate(system.replace(rates), start, ts=days)


ranges = {"infection": (0.2, 0.8, "log"), "recovery": (0.1, 0.2)}
before = wl.ensemble(run, summary=wl.Summary())(wl.samples.sobol(ranges, 2**17))
print(before)
before.plot(names=names, time_label="day", title="Rates known as ranges", path="uncertain_epidemic_before.png")

# What is counted on the first days, a fifth off in either direction.
counted = np.arange(1.0, 41.0)
noise = np.exp(0.2 * np.random.default_rng(1).normal(size=len(counted)))
cases = noise * wl.simulate(system, start, ts=[0.0, *counted]).states[1:, 1]
data = wl.Observations(counted, cases, wl.LogNormal(0.2), observe=1)
result = wl.fit(system, data, start, t0=0.0, free={name: wl.Bounded(*ranges[name][:2]) for name in ranges})
print(result)

after = wl.ensemble(run, summary=wl.Summary())(wl.samples.from_fit(result, 100_000))
print(after)
for name, statistics in (("before", before), ("after", after)):
    low, high = statistics.quantile(0.025).states[60, 1], statistics.quantile(0.975).states[60, 1]
    print(f"infected on day 60, {name:6} the counts: {low:.4f} to {high:.4f}")
after.plot(names=names, time_label="day", title="After forty days of counts", path="uncertain_epidemic_after.png")

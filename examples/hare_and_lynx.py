"""Predators and prey: the furs that Hudson's Bay Company bought from 1900 to 1920, and the equations behind them.

    python examples/hare_and_lynx.py

Fits birth, capture, death and growth rates and both initial numbers, prints the table, and draws the fit.
"""

import numpy as np

import worldline as wl

wl.use_float64()

years = np.arange(1900.0, 1921.0)
hare = [30.0, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22.0, 25.4, 27.1,
        40.3, 57.0, 76.6, 52.3, 19.5, 11.2, 7.6, 14.6, 16.2, 24.7]  # fmt: skip
lynx = [4.0, 6.1, 9.8, 35.2, 59.4, 41.7, 19.0, 13.0, 8.3, 9.1, 7.4,
        8.0, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6]  # fmt: skip


def predation(t, y, p):
    hare, lynx = y
    return wl.stack(
        p["birth"] * hare - p["capture"] * hare * lynx,
        p["growth"] * hare * lynx - p["death"] * lynx,
    )


system = wl.ode.System(predation, {"birth": 0.5, "capture": 0.03, "death": 0.8, "growth": 0.02})
counts = wl.Observations(years, np.column_stack([hare, lynx]), wl.LogNormal())
unknowns = ["birth", "capture", "death", "growth", "y0"]

result = wl.fit(system, counts, free={name: wl.Positive() for name in unknowns})
print(result)
result.plot(names=["hare (thousands)", "lynx (thousands)"], time_label="year", path="hare_and_lynx.png")

# Where the fitted equations go from here.
later = wl.simulate(result.system, result.state, ts=np.linspace(1900.0, 1940.0, 401))
print(f"\nmost hares after 1920: {float(later[1920.0:].states[:, 0].max()):.0f} thousand")

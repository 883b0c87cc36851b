"""A real motor-driven pendulum: parameters fitted to its whole trajectory, beside the published ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ..commands.failure import WrongInput
from ..physics.ode import zoo
from ..sim.fit import Bounded, FitResult, Free, Observations, Positive, fit
from ..sim.plot.style import QUIET, colour, dress, finish, legend_above, new_figure
from ..sim.simulate import simulate
from ..solvers.signals import Sampled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLACE = Path("shared") / "data" / "pendulum" / "measured.csv"
COLUMNS = ("time", "position", "velocity", "torque")
UNKNOWNS: dict[str, Any] = {
    "inertia": Positive(),
    "mass_length": Positive(),
    "viscous": Bounded(lower=0.0),
    "coulomb": Bounded(lower=0.0),
    "offset": Free(),
}
TARGET = 0.055  # rad, root mean square over the whole record


@dataclass(frozen=True)
class Record:
    """What was measured, at 300 Hz."""

    ts: Float[np.ndarray, " n"]  # s
    position: Float[np.ndarray, " n"]  # rad, 0 is hanging
    velocity: Float[np.ndarray, " n"]  # rad/s
    torque: Float[np.ndarray, " n"]  # N m

    @property
    def state(self) -> list[float]:
        """The state at the beginning."""
        return [float(self.position[0]), float(self.velocity[0])]


@dataclass(frozen=True)
class Comparison:
    """One simulation of the whole record with each set of parameters."""

    record: Record
    result: FitResult
    published: Float[np.ndarray, " n"]  # rad
    fitted: Float[np.ndarray, " n"]  # rad

    @property
    def published_error(self) -> float:
        """Root mean square, rad."""
        return _rms(self.published - self.record.position)

    @property
    def fitted_error(self) -> float:
        """Root mean square, rad."""
        return _rms(self.fitted - self.record.position)


def find_record() -> Path | None:
    """The measurements, in `shared/data` beside or above the current folder or the checkout; None where
    absent.
    """
    return next((folder / PLACE for folder in _folders() if (folder / PLACE).is_file()), None)


def _folders() -> Iterator[Path]:
    here, checkout = Path.cwd(), Path(__file__).resolve().parents[2]
    yield from (here, here.parent, checkout, checkout.parent)


def read_record(path: Path) -> Record:
    """The columns time, position, velocity and torque, in any order. **Raises** `WrongInput` where one is missing."""
    table = np.genfromtxt(path, delimiter=",", names=True)
    there = table.dtype.names or ()
    for name in COLUMNS:
        if name not in there:
            raise WrongInput(f"{path} has no column {name!r}; it has {', '.join(there)}")
    return Record(*(table[name] for name in COLUMNS))


def fit_pendulum(record: Record) -> Comparison:
    """Fit inertia, mass times length, friction and offset to the positions, starting from the published
    values.

    inertia a = torque - mass_length g sin(q) - viscous v - coulomb arctan(100 v) - offset
    """
    system = zoo.problem("driven_pendulum").system()
    controls = Sampled(record.ts, record.torque)
    before = simulate(system, record.state, ts=record.ts, controls=controls)
    result = fit(
        system,
        Observations(record.ts, record.position, observe=0),
        record.state,
        controls=controls,
        progress=False,
        free=UNKNOWNS,
    )
    return Comparison(
        record, result, np.asarray(before.states)[:, 0], np.asarray(result.trajectory.states)[:, 0]
    )


def draw(comparison: Comparison) -> Figure:
    """Position over time as measured and as simulated with both sets of parameters; below it, both errors."""
    record, ts = comparison.record, comparison.record.ts
    figure = new_figure(8.0, 5.0)
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [2.2, 1.0]})
    upper.plot(ts, record.position, color="#bdbdbd", linewidth=5, solid_capstyle="round", label="measured")
    upper.plot(
        ts, comparison.published, color=colour(1), linewidth=1.5, dashes=(4, 2), label="published parameters"
    )
    upper.plot(ts, comparison.fitted, color=colour(0), linewidth=1.8, label="fitted by worldline")
    dress(upper, y_label="angle (rad)")
    legend_above(upper)
    lower.axhline(0.0, color=QUIET, linewidth=0.9)
    lower.plot(
        ts,
        comparison.published - record.position,
        color=colour(1),
        linewidth=1.5,
        dashes=(4, 2),
        label=f"{comparison.published_error:.3f} rad rms",
    )
    lower.plot(
        ts,
        comparison.fitted - record.position,
        color=colour(0),
        linewidth=1.8,
        label=f"{comparison.fitted_error:.3f} rad rms",
    )
    dress(lower, x_label="time (s)", y_label="error (rad)")
    legend_above(lower)
    for axes in (upper, lower):
        axes.margins(x=0.01)
    figure.align_ylabels([upper, lower])
    return finish(figure, "One simulation of a real pendulum, driven by its measured torque", None)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))

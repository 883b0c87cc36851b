"""The steps of the demonstration, one after the other, and the files they leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ..commands.failure import Failed
from ..commands.output import Output
from ..sim.fit import FitResult
from ..sim.plot import plot_band, plot_fit
from ..validation.ode_vs_scipy import validate
from . import pelts, pendulum
from .narrator import Narrator
from .page import Section, page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Compared with SciPy here, which solves them within a second; `worldline validate ode` compares all problems.
SUBSET = ("lotka_volterra", "kepler", "logistic")


@dataclass
class Story:
    """What is told while it happens, and collected for the page and the files."""

    narrator: Narrator
    output: Output
    sections: list[Section] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)

    def picture(self, name: str, make: Callable[[], Figure]) -> str | None:
        """Draw and keep a picture; None, with a line that says so, where matplotlib is missing."""
        try:
            self.output.write_figure(name, make())
        except ImportError as error:
            self.narrator.say(f"    no picture {name}: {error}")
            return None
        return name


def demonstrate(folder: str) -> int:
    """Run everything, write into `folder`, and return the exit code.

    **Raises** `Failed` when a fit did not converge or a comparison failed; what was found is written all the
    same.
    """
    with Output(folder) as output:
        story = Story(Narrator(), output)
        story.narrator.say(
            f"worldline {metadata.version('worldline')} on {jax.default_backend()}, JAX {jax.__version__}, "
            f"{np.dtype(jax.numpy.result_type(float))}"
        )
        result = _pelts(story)
        _fan(story, result)
        _pendulum(story)
        _validation(story)
        title = "worldline demonstration"
        took = f"made in {story.narrator.seconds:.0f} s by worldline {metadata.version('worldline')}"
        output.write("index.html", page(title, story.sections, took))
        output.write("demo.json", json.dumps(story.numbers, indent=2, allow_nan=False) + "\n")
    story.narrator.say(f"{took}; open {output.folder / 'index.html'}")
    failed = [section.heading for section in story.sections if section.verdict is False]
    if failed:
        raise Failed(f"the demonstration failed in: {'; '.join(failed)}")
    return 0


def _pelts(story: Story) -> FitResult:
    with story.narrator.step("fit hare and lynx: 6 unknowns, 42 fur counts of 1900 to 1920"):
        result = pelts.fit_pelts()
        labels = [f"{name} (thousands)" for name in pelts.NAMES]
        picture = story.picture(
            "hare_lynx_fit.png",
            lambda: plot_fit(
                result, names=labels, time_label="year", title="Furs of Hudson Bay, and the fitted model"
            ),
        )
    story.narrator.say(f"{_indented(result.report())}")
    story.output.write("hare_lynx_fit.txt", result.report() + "\n")
    story.numbers["hare_lynx"] = result.to_dict()
    text = (
        f"Predators and prey, fitted to fur counts with log-normal noise: sum of squared log residuals "
        f"{result.sum_of_squares:.5f} with {len(result.names)} unknowns."
    )
    story.sections.append(
        Section("Hares and lynxes of Hudson Bay", text, result.success, picture, result.report())
    )
    return result


def _fan(story: Story, result: FitResult) -> None:
    with story.narrator.step(f"{pelts.LANES} runs with unknowns drawn from the fit's covariance"):
        fan = pelts.fan(result)
        failed = int(np.sum(np.asarray(fan.runs.status.failed)))
        title = f"How well the curve is known: {pelts.LANES:,} runs around the fit".replace(",", " ")
        picture = story.picture(
            "hare_lynx_band.png",
            lambda: plot_band(
                fan.ts,
                fan.runs.states,
                data=pelts.observations(),
                names=[f"{name} (thousands)" for name in pelts.NAMES],
                log=True,
                time_label="year",
                title=title,
            ),
        )
    steps = np.asarray(fan.runs.stats.steps)
    story.narrator.say(f"    {fan.runs.status.message()}; {steps.min()} to {steps.max()} steps a run")
    story.numbers["ensemble"] = {"runs": pelts.LANES, "failed": failed, "solver": fan.runs.stats.solver}
    text = (
        "The six unknowns are drawn from the normal distribution that the fit leaves for their "
        "logarithms. The bands hold "
        "half and 95 % of the curves: they say how well the curve is known, not where the next "
        "count will fall."
    )
    story.sections.append(Section(title, text, failed == 0, picture))


def _pendulum(story: Story) -> None:
    path = pendulum.find_record()
    if path is None:
        line = (
            f"the measured pendulum is left out: its data are not here ({pendulum.PLACE} beside the checkout)"
        )
        story.narrator.say(f"[-] {line}")
        story.sections.append(Section("A measured pendulum", line))
        return
    record = pendulum.read_record(path)
    with story.narrator.step(
        f"fit a measured pendulum: {len(pendulum.UNKNOWNS)} unknowns, {len(record.position)} positions, the whole "
        "record in one simulation"
    ):
        found = pendulum.fit_pendulum(record)
        picture = story.picture("pendulum_fit.png", lambda: pendulum.draw(found))
    result = found.result
    story.narrator.say(_indented(result.report()))
    line = (
        f"position error {found.fitted_error:.4f} rad rms over the whole record; with the published "
        "parameters "
        f"{found.published_error:.4f}"
    )
    story.narrator.say(f"    {line}")
    story.output.write("pendulum_fit.txt", f"{result.report()}\n\n{line}\n")
    story.numbers["pendulum"] = result.to_dict() | {
        "rms_rad": found.fitted_error,
        "published_rms_rad": found.published_error,
    }
    reached = result.success and found.fitted_error <= pendulum.TARGET
    text = f"A real pendulum, simulated from its first sample with the measured torque: {line}."
    story.sections.append(Section("A measured pendulum", text, reached, picture, result.report()))


def _validation(story: Story) -> None:
    with story.narrator.step(
        f"compare {len(SUBSET)} problems with SciPy (`worldline validate ode` compares all)"
    ):
        report = validate(SUBSET, progress=lambda row: story.narrator.say(f"    {row.name}: {row.verdict}"))
    story.output.write("validation_ode.txt", f"{report}\n")
    story.output.write("validation_ode.json", json.dumps(report.as_dict(), indent=1) + "\n")
    story.numbers["validation"] = {"passed": report.passed, "problems": list(SUBSET)}
    text = "States, derivatives by parameters, closed forms and invariants; a part of the whole validation."
    story.sections.append(Section("Compared with SciPy", text, report.passed, None, str(report)))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())

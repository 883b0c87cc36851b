"""`worldline fit`: a model's unknowns from the columns of a CSV file."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from .failure import Failed, WrongInput
from .model import complaint, find_model
from .numbers import number
from .output import Output
from .simulate import add_solver_options, solver_options
from .table import read_table
from .task import Task, task_of

EXAMPLE = """examples:
  worldline fit lotka_volterra pelts.csv --start birth=0.5 predation=0.03 --noise lognormal --positive
  worldline fit model.py:cooling cup.csv --start rate=0.1 room=20 --bounds rate 0 1
  worldline fit driven_pendulum swing.csv --control torque --free inertia viscous coulomb --positive inertia

The first line of the CSV file names its columns. Times are in t, time, year or the first column; others
are the components of the state of the same name (`worldline models MODEL` lists them), or in order those of
a file's model. Empty cells are missing values. Starts are the model's own values, and for the initial state
the first row. Options that take several names go after MODEL and DATA.
"""


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "fit",
        parents=[shared],
        help="find a model's unknowns from measurements",
        epilog=EXAMPLE,
        description="Find the parameters and the initial state with which a model matches measurements best.",
    )
    parser.add_argument("model", metavar="MODEL", help="a name from `worldline models`, or file.py:function")
    parser.add_argument("data", metavar="DATA", help="a CSV file, or - for standard input")
    columns = parser.add_argument_group("columns")
    columns.add_argument("--time", metavar="COLUMN", help="the column of times")
    columns.add_argument(
        "--columns",
        nargs="+",
        metavar="COLUMN",
        help="the columns of the state's components, in order; - for one that was not measured",
    )
    columns.add_argument(
        "--control", nargs="+", action="extend", metavar="COLUMN", help="columns of the control input"
    )
    columns.add_argument(
        "--hold", action="store_true", help="controls stay constant between samples (default: linear)"
    )
    columns.add_argument(
        "--ignore", nargs="+", action="extend", metavar="COLUMN", help="columns to leave out"
    )
    unknowns = parser.add_argument_group("unknowns")
    unknowns.add_argument(
        "--free",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="what to fit; y0 is the initial state, y0.NAME a part of it (default: everything)",
    )
    unknowns.add_argument(
        "--start",
        nargs="+",
        action="extend",
        metavar="NAME=VALUE",
        help="where to start; also values of what is not fitted",
    )
    unknowns.add_argument(
        "--positive",
        nargs="*",
        action="extend",
        metavar="NAME",
        help="unknowns greater than zero; without names, all of them",
    )
    unknowns.add_argument(
        "--bounds",
        nargs=3,
        action="append",
        metavar=("NAME", "LOW", "HIGH"),
        help="bounds of an unknown; -inf or inf for none",
    )
    unknowns.add_argument("--starts", type=int, metavar="N", help="how many starting points to try")
    noise = parser.add_argument_group("noise")
    noise.add_argument("--noise", choices=("normal", "lognormal"), default="normal", help="(default: normal)")
    noise.add_argument(
        "--sigma", nargs="+", metavar="X", help="its size, one for all or one a column (default: estimated)"
    )
    add_solver_options(parser)
    parser.add_argument(
        "--out", default="out", metavar="DIR", help="folder for fit.txt, fit.json, fit.png (default: out)"
    )
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Fit, write the report, print it."""
    from ..sim.fit import LogNormal, Normal, Observations

    model = find_model(given.model)
    task = task_of(model, read_table(given.data), given)
    kind = LogNormal if given.noise == "lognormal" else Normal
    observations = Observations(task.ts, task.values, kind(_sigma(given.sigma, task)), observe=task.observe)
    options = solver_options(given)
    if given.starts is not None and given.starts < 1:
        raise WrongInput(f"--starts {given.starts}: at least one start is needed")
    with Output(given.out) as output:
        unknowns, values = counted(len(task.free), "unknown"), counted(observations.count, "value")
        print(f"fitting {unknowns} to {values} ...", file=sys.stderr)
        result = _fit(task, observations, given.starts, options)
        report = (
            f"{model.name} fitted to {task.source}, columns {', '.join(task.measured)}\n\n{result.report()}\n"
        )
        output.write("fit.txt", report)
        output.write("fit.json", json.dumps(_as_json(task, result), indent=2) + "\n")
        try:
            figure = result.plot(
                names=task.measured,
                time_label=task.time_name,
                title=f"{model.name}: {Path(task.source).name}",
            )
            output.write_figure("fit.png", figure)
        except ImportError as error:
            print(f"no picture: {error}", file=sys.stderr)
    print(report, end="")
    print(f"wrote {', '.join(str(path) for path in output.written)}", file=sys.stderr)
    if not result.success:
        raise Failed(
            f"the fit did not converge: {result.message}; try other starts with --start, or --starts 20"
        )
    return 0


def _fit(task: Task, observations: Any, starts: int | None, options: dict[str, Any]) -> Any:
    """The result, with the names of this command. **Raises** what `main` explains."""
    import numpy as np

    from ..core.status import SimulationError
    from ..sim.fit import fit

    implied = task.observe is None and np.array_equal(task.state, task.values[0])
    try:
        result = fit(
            task.system,
            observations,
            None if implied else task.state,
            free=task.free,
            controls=task.controls,
            starts=starts,
            **options,
        )
    except SimulationError as error:
        raise Failed(
            f"the run at the start of the fit failed: {error.status.message()}; start from values "
            "with which the model can "
            "be simulated, --start NAME=VALUE"
        ) from error
    except Exception as error:
        raise WrongInput(complaint(error, task.model)) from error

    def renamed(text: str) -> str:
        for label, name in task.labels.items():
            text = text.replace(label, name)
        return text

    return replace(
        result,
        names=tuple(task.labels.get(name, name) for name in result.names),
        message=renamed(result.message),
        notes=tuple(renamed(note) for note in result.notes),
    )


def counted(number: int, noun: str) -> str:
    """A number of things in words: "1 unknown", "2 unknowns"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def _sigma(texts: list[str] | None, task: Task) -> Any:
    if texts is None:
        return None
    values = [number(text, "--sigma") for text in texts]
    if min(values) <= 0:
        raise WrongInput(f"--sigma {' '.join(texts)}: the size of noise is greater than zero")
    if len(values) not in (1, len(task.measured)):
        raise WrongInput(
            f"--sigma has {len(values)} values for {len(task.measured)} columns ({', '.join(task.measured)})"
        )
    return values[0] if len(values) == 1 else values


def _as_json(task: Task, result: Any) -> dict[str, Any]:
    where = {"model": task.model.name, "data": task.source, "columns": list(task.measured)}
    return where | result.to_dict()

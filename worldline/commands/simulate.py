"""`worldline simulate`: one run of a model, printed, drawn or stored."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .failure import Failed, WrongInput, near
from .model import Model, complaint, find_model
from .numbers import number, pairs
from .output import figure_bytes, write_file

FORMATS = (".csv", ".npz", ".png", ".pdf", ".svg")
EXAMPLE = """examples:
  worldline simulate lotka_volterra --set birth=1.2 --t1 30 --out run.png
  worldline simulate lorenz --y0 1 1 1 --t1 20 --points 2000 --out run.csv
  worldline simulate model.py:spring --set mass=2 stiffness=5 --y0 x=1 v=0 --t1 10

A file's model is a function field(t, y, p) written in jax.numpy; p holds what --set gives.
"""


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "simulate",
        parents=[shared],
        help="run a model",
        epilog=EXAMPLE,
        description="Run a model of `worldline models`, or a function in a file, and print a summary.",
    )
    parser.add_argument("model", metavar="MODEL", help="a name from `worldline models`, or file.py:function")
    parser.add_argument("--set", nargs="+", action="extend", metavar="NAME=VALUE", help="parameters")
    parser.add_argument(
        "--y0", nargs="+", metavar="VALUE", help="initial state: all values in order, or NAME=VALUE of some"
    )
    parser.add_argument("--t0", metavar="T", help="time of the initial state (default: the model's, or 0)")
    parser.add_argument("--t1", metavar="T", help="time at which to end (default: the model's)")
    parser.add_argument(
        "--points", type=int, default=500, metavar="N", help="stored times, ends included (default: 500)"
    )
    add_solver_options(parser)
    parser.add_argument("--out", metavar="FILE", help=f"write the run: {', '.join(FORMATS)}")
    parser.set_defaults(run=run)


def add_solver_options(parser: argparse.ArgumentParser) -> None:
    """How a run is solved, the same for every command."""
    parser.add_argument(
        "--solver", default="auto", metavar="NAME", help="auto (default), tsit5, rodas5p, kvaerno5, ..."
    )
    parser.add_argument("--rtol", metavar="X", help="relative tolerance of a step (default: 1e-6)")
    parser.add_argument("--atol", metavar="X", help="absolute tolerance of a step (default: 1e-9)")
    parser.add_argument("--max-steps", type=int, metavar="N", help="most steps of one run")


def solver_options(given: argparse.Namespace) -> dict[str, Any]:
    """The same as arguments of `wl.simulate`. **Raises** `WrongInput` for an unknown solver."""
    from ..solvers import choose_solver

    try:
        choose_solver(given.solver)
    except ValueError as error:
        raise WrongInput(f"--solver: {error}") from None
    options: dict[str, Any] = {"solver": given.solver}
    for name in ("rtol", "atol"):
        if getattr(given, name) is not None:
            options[name] = number(getattr(given, name), f"--{name}")
    if given.max_steps is not None:
        if given.max_steps < 1:
            raise WrongInput(f"--max-steps {given.max_steps}: at least one step is needed")
        options["max_steps"] = given.max_steps
    return options


def run(given: argparse.Namespace) -> int:
    """Simulate, write, print."""
    from ..core.status import SimulationError
    from ..sim.simulate import simulate

    model = find_model(given.model)
    _check_out(given.out)
    system = model.system(pairs(given.set, "--set"))
    state, names = initial_state(model, given.y0)
    ts = _times(model, given)
    options = solver_options(given)
    controls = None if model.problem is None else model.problem.controls
    if model.problem is None and model.takes_control:
        raise WrongInput(
            f"{model.name} takes a control, which this command cannot give: use "
            "wl.simulate(controls=...) in Python"
        )
    try:
        run = simulate(system, state, ts=ts, controls=controls, **options)
    except SimulationError as error:
        raise Failed(_advice(error)) from error
    except Exception as error:
        raise WrongInput(complaint(error, model)) from error
    if given.out is not None:
        _write(given.out, run, names, model)
    print(summary(run, names, model, system))
    if given.out is not None:
        print(f"wrote {given.out}", file=sys.stderr)
    return 0


def initial_state(model: Model, given: Sequence[str] | None) -> tuple[Any, tuple[str, ...]]:
    """The initial state and the names of its components, from the model and `--y0`."""
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    texts = list(given or ())
    by_name = bool(texts) and "=" in texts[0]
    if model.problem is None:
        if not texts:
            raise WrongInput(
                f"{model.name} needs an initial state: --y0 1 0, or --y0 x=1 v=0 to name the components"
            )
        if by_name:
            named = pairs(texts, "--y0")
            return jnp.asarray(list(named.values())), tuple(named)
        numbered = tuple(f"y{i}" for i in range(len(texts)))
        return jnp.asarray([number(text, "--y0") for text in texts]), numbered
    names = model.problem.names
    flat, restore = ravel_pytree(model.problem.initial())
    values = np.array(flat)
    if by_name:
        for name, value in pairs(texts, "--y0").items():
            if name not in names:
                raise WrongInput(
                    f"--y0 {name}: {model.name} has no such component; {near(name, names)}there are "
                    f"{', '.join(names)}"
                )
            values[names.index(name)] = value
    elif texts:
        if len(texts) != len(names):
            raise WrongInput(
                f"--y0 has {len(texts)} values, but {model.name} has {len(names)} components: "
                f"{', '.join(names)}"
            )
        values[:] = [number(text, "--y0") for text in texts]
    return restore(jnp.asarray(values)), names


def summary(run: Any, names: Sequence[str], model: Model, system: Any) -> str:
    """The run as text: times, work, and for each component its first and last value and range."""
    ts, stats = np.asarray(run.ts), run.stats
    work = f"{int(stats.steps)} steps, {int(stats.rejected)} rejected, solver {stats.solver}"
    if np.isfinite(float(stats.switched_at)):
        work += f", stiff from t = {float(stats.switched_at):.4g} on ({stats.stiff_solver})"
    lines = [
        f"{model.name}  t = {ts[0]:g} to {ts[-1]:g}, {len(ts)} times, {run.status.message()}",
        f"  {work}",
        "",
    ]
    rows: list[tuple[str, ...]] = [("component", "first", "last", "least", "greatest")]
    for name, (_, values) in zip(names, run.columns().items(), strict=True):
        rows.append((name, *(f"{x:.6g}" for x in (values[0], values[-1], values.min(), values.max()))))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines += ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    for name, function in (model.problem.invariants if model.problem is not None else {}).items():
        first, last = (float(function(run.ts[i], run[i], system)) for i in (0, -1))
        lines.append(f"  {name} is conserved: {first:.8g} became {last:.8g}")
    return "\n".join(lines)


def _times(model: Model, given: argparse.Namespace) -> Any:
    if given.points < 2:
        raise WrongInput(f"--points {given.points}: at least two, the first and the last time")
    problem = model.problem
    if problem is not None and given.t0 is None and given.t1 is None:
        return problem.times(given.points)
    if problem is None and given.t1 is None:
        raise WrongInput(f"{model.name} needs an end: --t1 10")
    t0 = number(given.t0, "--t0") if given.t0 is not None else problem.span[0] if problem is not None else 0.0
    t1 = number(given.t1, "--t1") if given.t1 is not None else problem.span[1] if problem is not None else 0.0
    if not t1 > t0:
        raise WrongInput(f"the run would end at t = {t1:g}, but it begins at {t0:g}: give --t1 above --t0")
    if problem is not None and problem.logarithmic:
        return np.concatenate([[t0], t0 + np.geomspace(1e-10 * (t1 - t0), t1 - t0, given.points - 1)])
    return np.linspace(t0, t1, given.points)


def _check_out(out: str | None) -> None:
    if out is not None and Path(out).suffix not in FORMATS:
        raise WrongInput(f"--out {out}: its ending must be one of {', '.join(FORMATS)}")


def _advice(error: Any) -> str:
    """The failure with what to try, in terms of this command."""
    from ..core.status import Code

    code = Code(int(error.status.code))
    advice = {
        Code.STEP_LIMIT: "raise --max-steps, loosen --rtol and --atol, "
        "or try --solver rodas5p for a stiff model",
        Code.STEP_TOO_SMALL: "the solution may become infinite there: "
        "end the run earlier with --t1, or change parameters",
        Code.NON_FINITE: "check the model and its parameters there, or end the run earlier with --t1",
    }.get(code, "check the model and its parameters")
    return f"the run failed: {error.status.message()}; {advice}"


def _write(out: str, run: Any, names: Sequence[str], model: Model) -> None:
    ts, columns = np.asarray(run.ts), list(run.columns().values())
    form = Path(out).suffix
    if form == ".csv":
        text = io.StringIO()
        text.write(",".join(["t", *names]) + "\n")
        np.savetxt(text, np.column_stack([ts, *columns]), fmt="%.17g", delimiter=",")
        write_file(out, text.getvalue())
    elif form == ".npz":
        buffer = io.BytesIO()
        np.savez(buffer, t=ts, **dict(zip(names, columns, strict=True)))  # type: ignore[arg-type]
        write_file(out, buffer.getvalue())
    else:
        logarithmic = model.problem is not None and model.problem.logarithmic
        try:
            figure = run.plot(names=names, log_time=logarithmic, title=model.name)
        except ImportError as error:
            raise Failed(str(error)) from None
        write_file(out, figure_bytes(figure, form.removeprefix(".")))

"""`worldline validate`: an engine against other programs and published numbers."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .failure import Failed, WrongInput, near
from .output import Output

MOLECULES = {
    "md": "md_published",
    "md-forces": "md_forces",
    "md-laws": "md_laws",
    "md-ensembles": "md_ensembles",
    "md-states": "md_states",
}
EXAMPLE = """examples:
  worldline validate ode --out out/validation
  worldline validate ode --only lorenz robertson
  worldline validate rigid --only ant humanoid
  worldline validate rigid-runs
  worldline validate rigid-laws
  worldline validate md
  worldline validate md-states --only "nve, density 0.84"
"""


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "validate",
        parents=[shared],
        help="check an engine against other programs",
        epilog=EXAMPLE,
        description="Compare an engine with other programs, closed forms, published numbers and invariants.",
    )
    parser.add_argument(
        "engine",
        choices=("ode", "rigid", "rigid-runs", "rigid-laws", *MOLECULES),
        help="differential equations beside SciPy; rigid bodies beside MuJoCo, their forces (rigid) and their motion with "
        "contact (rigid-runs); and beside conservation laws (rigid-laws); molecules beside published numbers (md), LAMMPS and "
        "OpenMM (md-forces), laws of motion (md-laws), distributions (md-ensembles), equations of state (md-states)",
    )
    parser.add_argument("--only", nargs="+", metavar="PROBLEM", help="these problems or models (default: all)")
    parser.add_argument(
        "--out", default="out", metavar="DIR", help="folder for validation_ENGINE.txt and .json (default: out)"
    )
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Validate, write the report, print it."""
    if given.float32:
        raise WrongInput("validation compares at tolerances that only double precision has: leave out --float32")
    validate, names, listed = _engine(given.engine)
    for name in given.only or ():
        if name not in names:
            raise WrongInput(f"--only {name}: there is no such problem; {near(name, names)}{listed}")
    with Output(given.out) as output:
        try:
            report = validate(
                given.only, progress=lambda row: print(f"{row.name}: {row.verdict}", file=sys.stderr, flush=True)
            )
        except ImportError as error:
            raise Failed(str(error)) from error
        output.write(f"validation_{given.engine}.txt", f"{report}\n")
        output.write(f"validation_{given.engine}.json", json.dumps(report.as_dict(), indent=1) + "\n")
    print(report)
    print(f"wrote {', '.join(str(path) for path in output.written)}", file=sys.stderr)
    if not report.passed:
        failed = [row.name for row in report.rows if not row.passed]
        raise Failed(f"the validation failed for {', '.join(failed)}; the table above says where")
    return 0


def _engine(name: str) -> tuple[Callable[..., Any], Sequence[str], str]:
    """How to validate an engine, the names of its problems, and who lists them."""
    if name in ("rigid", "rigid-runs"):
        from ..validation import rigid_runs_vs_mujoco, rigid_vs_mujoco

        chosen = rigid_vs_mujoco if name == "rigid" else rigid_runs_vs_mujoco
        return chosen.validate, rigid_vs_mujoco.MODELS, f"there are {', '.join(rigid_vs_mujoco.MODELS)}"
    if name in MOLECULES:
        module = importlib.import_module(f"..validation.{MOLECULES[name]}", __package__)
        return module.validate, module.PROBLEMS, f"there are {'; '.join(module.PROBLEMS)}"
    if name == "rigid-laws":
        from ..validation import rigid_laws

        return rigid_laws.validate, rigid_laws.PROBLEMS, f"there are {'; '.join(rigid_laws.PROBLEMS)}"
    from ..physics.ode import zoo
    from ..validation import ode_vs_scipy

    return ode_vs_scipy.validate, zoo.names(), "`worldline models` lists them"

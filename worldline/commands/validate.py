"""`worldline validate`: an engine against other programs and published numbers."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from .failure import Failed, WrongInput, near
from .output import Output

EXAMPLE = """examples:
  worldline validate ode --out out/validation
  worldline validate ode --only lorenz robertson
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
    parser.add_argument("engine", choices=("ode",), help="which engine")
    parser.add_argument("--only", nargs="+", metavar="PROBLEM", help="these problems (default: all)")
    parser.add_argument(
        "--out", default="out", metavar="DIR", help="folder for validation_ode.txt and .json (default: out)"
    )
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Validate, write the report, print it."""
    from ..physics.ode import zoo
    from ..validation.ode_vs_scipy import validate

    if given.float32:
        raise WrongInput(
            "validation compares at tolerances that only double precision has: leave out --float32"
        )
    for name in given.only or ():
        if name not in zoo.names():
            raise WrongInput(
                f"--only {name}: there is no such problem; {near(name, zoo.names())}`worldline "
                "models` lists them"
            )
    with Output(given.out) as output:
        report = validate(
            given.only, progress=lambda row: print(f"{row.name}: {row.verdict}", file=sys.stderr, flush=True)
        )
        output.write("validation_ode.txt", f"{report}\n")
        output.write("validation_ode.json", json.dumps(report.as_dict(), indent=1) + "\n")
    print(report)
    print(f"wrote {', '.join(str(path) for path in output.written)}", file=sys.stderr)
    if not report.passed:
        failed = [row.name for row in report.rows if not row.passed]
        raise Failed(f"the validation failed for {', '.join(failed)}; the table above says where")
    return 0

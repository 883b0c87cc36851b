"""`worldline demo`: the whole way on two measured systems, with a page of results."""

from __future__ import annotations

import argparse
from typing import Any

from .failure import WrongInput

EXAMPLE = """example:
  worldline demo --out out      then open out/index.html
"""


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "demo",
        parents=[shared],
        help="fit, uncertainty and validation on measured data, in a minute or two",
        epilog=EXAMPLE,
        description="Fit the hares and lynxes of Hudson Bay, draw 10 000 runs around the fit, fit a measured "
        "pendulum where its data are there, compare with SciPy, and write a page with all of it.",
    )
    parser.add_argument("--out", default="out", metavar="DIR", help="folder to write to (default: out)")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Run the demonstration."""
    if given.float32:
        raise WrongInput("the demonstration compares with SciPy in double precision: leave out --float32")
    from ..demo import demonstrate

    return demonstrate(given.out)

"""`worldline models`: what is in the zoo."""

from __future__ import annotations

import argparse
from typing import Any

from .model import find_model

EXAMPLE = """examples:
  worldline models                  one line for each
  worldline models lotka_volterra   its parameters, components and source
"""


def add(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "models",
        parents=[shared],
        help="list the models that can be named",
        epilog=EXAMPLE,
        description="List the models that `simulate` and `fit` know by name, or describe one of them.",
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="describe this one")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Print the list, or one description."""
    if given.model is not None:
        print(describe(given.model))
        return 0
    from ..physics.ode import zoo

    width = max(map(len, zoo.names()))
    for name in zoo.names():
        print(f"{name:{width}}  {zoo.problem(name).summary}")
    return 0


def describe(name: str) -> str:
    """A model's parameters, components, time span and source as text."""
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    from ..core.parameters import parameters

    problem = find_model(name).problem
    if problem is None:
        return f"{name}: a model of your own; its parameters and components are named on the command line"
    state = ravel_pytree(problem.initial())[0]
    named = [
        f"{key}={float(value):g}"
        for key, value in parameters(problem.system()).items()
        if jnp.ndim(value) == 0
    ]
    lines = [
        f"{problem.name}: {problem.summary}",
        f"  parameters  {' '.join(named)}",
        "  components  "
        f"{' '.join(f'{key}={value:g}' for key, value in zip(problem.names, state.tolist(), strict=True))}",
        f"  times       {problem.span[0]:g} to {problem.span[1]:g}{', stiff' if problem.stiff else ''}",
        f"  source      {problem.source}",
    ]
    if problem.controls is not None:
        lines.insert(4, f"  control     {(problem.controls.__doc__ or 'one').strip().splitlines()[0]}")
    return "\n".join(lines)

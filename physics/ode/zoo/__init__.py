"""The zoo: initial value problems with known answers, one file each, found by listing this folder."""

import difflib
import importlib
import pkgutil

from .definition import EndPoint, Problem

__all__ = ["EndPoint", "Problem", "names", "problem"]


def names() -> list[str]:
    """Return the names of all problems, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "definition")


def problem(name: str) -> Problem:
    """Return the problem of that name, for example `problem("lorenz")`.

    Raises:
        LookupError: there is no such problem; the message gives the nearest names.
    """
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise LookupError(f"zoo.problem(name={name!r}): no such problem; {hint}there are {', '.join(known)}.")
    found = importlib.import_module(f".{name}", __name__).problem
    if not isinstance(found, Problem):
        raise TypeError(f"zoo file {name}.py: `problem` must be a Problem, got {type(found).__name__}")
    return found

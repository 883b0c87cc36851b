"""From what a user calls a solver to the solver."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import diffrax as dfx

from .adaptive import METHODS, Adaptive
from .diffrax_bridge import Diffrax, diffrax_solvers
from .problems import Solver
from .symplectic import SCHEMES, Symplectic


def names() -> dict[str, str]:
    """Every solver that can be named, with what it is for."""
    own = {
        "auto": "explicit Tsit5, handing over to Rodas5P when the problem proves stiff (default)",
        "tsit5": "explicit Runge-Kutta 5(4), adaptive or fixed step",
        "dopri5": "explicit Runge-Kutta 5(4) of Dormand and Prince, adaptive or fixed step",
        "dopri8": "explicit Runge-Kutta 8(5,3) of Dormand and Prince, for tight tolerances, adaptive or fixed step",
        "rk4": "the classical explicit Runge-Kutta method, fixed step",
        "rodas5p": "Rosenbrock 5(4) for stiff problems",
    }
    symplectic = dict.fromkeys(SCHEMES, "symplectic, fixed step, for wl.ode.Separable")
    return own | symplectic | {name: f"diffrax.{kind.__name__}" for name, kind in diffrax_solvers().items()}


def choose_solver(solver: str | Solver | dfx.AbstractSolver, own: Mapping[str, Solver | str] | None = None) -> Solver:
    """The solver of this name (any case), or the solver itself; a diffrax solver is wrapped.

    `own` are the solvers that the system to be solved means by some names, each by itself or, if it has numbers of its
    own, by what is to be written for it.

    **Raises** `ValueError` for an unknown name, listing the near ones; `TypeError` for what is no solver.
    """
    if isinstance(solver, Solver):
        return solver
    if isinstance(solver, dfx.AbstractSolver):
        return Diffrax(solver)
    if not isinstance(solver, str):
        raise TypeError(
            f"solver has type {type(solver).__name__}; name one ('auto', 'tsit5', ...) or pass a solver object."
        )
    name = solver.lower()
    meant = (own or {}).get(name)
    if isinstance(meant, str):
        raise ValueError(f"solver={solver!r} has numbers of its own: write solver={meant}.")
    if meant is not None:
        return meant
    if name in METHODS:
        return Adaptive(name)
    if name in SCHEMES:
        return Symplectic(name)
    if name in diffrax_solvers():
        return Diffrax(diffrax_solvers()[name](), name)
    near = difflib.get_close_matches(name, [*(own or ()), *names()], n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(map(repr, near))}?" if near else "wl.solvers.names() lists them all."
    raise ValueError(f"no solver is named {solver!r}; {hint}")

"""How equations are solved: steppers, control of their error, derivatives of whole runs, least squares.

A solver is named (`"auto"`, `"tsit5"`, `"kvaerno5"`, ...; `names()` lists all) or given as an object.
"""

from .chi_square import chi_square
from .choice import choose_solver, names
from .contact import ContactProblem, ContactSolution, solve_contact
from .continuation import GrowingHorizon
from .covariance import covariance
from .least_squares import Descent, Outcome, Tolerances, levenberg_marquardt
from .multistart import find_minimum
from .problems import InitialValueProblem, Options, Solution, Solver, Stats
from .signals import FunctionSignal, Sampled, Signal

__all__ = [
    "ContactProblem",
    "ContactSolution",
    "Descent",
    "FunctionSignal",
    "GrowingHorizon",
    "InitialValueProblem",
    "Options",
    "Outcome",
    "Sampled",
    "Signal",
    "Solution",
    "Solver",
    "Stats",
    "Tolerances",
    "chi_square",
    "choose_solver",
    "covariance",
    "find_minimum",
    "levenberg_marquardt",
    "names",
    "solve_contact",
]

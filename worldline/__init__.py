"""Differentiable simulation: whole trajectories as values, simulated, fitted and validated with JAX.

    import worldline as wl

    run = wl.simulate(system, state, ts=times)                 # one run, a Trajectory
    many = wl.ensemble(lambda b: wl.simulate(system.replace(birth=b), state, ts=times))(births)
    result = wl.fit(system, wl.Observations(times, counts), free={"birth": wl.Positive()})

Names are loaded when first used, so that the command line answers `--help` without waiting for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import core as core
    from . import solvers as solvers
    from . import validation as validation
    from .core import Parametrized as Parametrized
    from .core import SimulationError as SimulationError
    from .core import Status as Status
    from .core import UnknownParameter as UnknownParameter
    from .core import fori_loop as fori_loop
    from .core import grad as grad
    from .core import hessian as hessian
    from .core import hessian_vector_product as hessian_vector_product
    from .core import jacobian as jacobian
    from .core import jit as jit
    from .core import parameters as parameters
    from .core import replace as replace
    from .core import scan as scan
    from .core import stack as stack
    from .core import streams as streams
    from .core import use_float64 as use_float64
    from .core import value_and_grad as value_and_grad
    from .core import vmap as vmap
    from .core import while_loop as while_loop
    from .core.lanes import lanes as lanes
    from .physics import md as md
    from .physics import ode as ode
    from .physics import rigid as rigid
    from .sim import Bounded as Bounded
    from .sim import Experiment as Experiment
    from .sim import FitResult as FitResult
    from .sim import Free as Free
    from .sim import LogNormal as LogNormal
    from .sim import Minimum as Minimum
    from .sim import Normal as Normal
    from .sim import Observations as Observations
    from .sim import Positive as Positive
    from .sim import Statistics as Statistics
    from .sim import Summary as Summary
    from .sim import Trajectory as Trajectory
    from .sim import ensemble as ensemble
    from .sim import fit as fit
    from .sim import minimise as minimise
    from .sim import samples as samples
    from .sim import simulate as simulate
    from .solvers import Sampled as Sampled

_NAMES = {
    "core": "Parametrized SimulationError Status UnknownParameter fori_loop grad hessian hessian_vector_product "
    "jacobian jit parameters replace scan stack streams use_float64 value_and_grad vmap while_loop",
    "core.lanes": "lanes",
    "sim": "Bounded Experiment FitResult Free LogNormal Minimum Normal Observations Positive Statistics Summary "
    "Trajectory ensemble fit minimise simulate",
    "solvers": "Sampled",
}
_WHERE = {name: folder for folder, names in _NAMES.items() for name in names.split()}
_MODULES = {
    "core": ".core",
    "md": ".physics.md",
    "ode": ".physics.ode",
    "rigid": ".physics.rigid",
    "samples": ".sim.samples",
    "solvers": ".solvers",
    "validation": ".validation",
}

__all__ = sorted([*_WHERE, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = importlib.import_module(_MODULES[name], __name__)
    elif name in _WHERE:
        value = getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
    else:
        raise _unknown(name)
    globals()[name] = value
    return value


def _unknown(name: str) -> AttributeError:
    if name.startswith("_"):  # asked for by Python and its tools, which must not wait for JAX
        return AttributeError(f"worldline has no name {name!r}.")
    from .core.names import unknown_name

    written = {known: f"wl.{known}" for known in __all__}
    for engine in ("md", "ode", "rigid"):
        inside = importlib.import_module(_MODULES[engine], __name__).__all__
        written = {known: f"wl.{engine}.{known}" for known in inside} | written
    return unknown_name("worldline", name, written)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

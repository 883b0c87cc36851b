"""Transformations on arrays and pytrees: derivatives, memory-bounded loops, status, named parameters."""

from .arrays import floats_to_arrays, stack
from .loops import fori_loop, scan, while_loop
from .parameters import Parametrized, UnknownParameter, parameters, replace
from .precision import check_tolerances, default_float, default_tolerances, use_float64
from .random import streams
from .sharding import shard_lanes
from .status import Code, SimulationError, Status, raise_if_failed
from .transforms import grad, hessian, hessian_vector_product, jacobian, jit, value_and_grad, vmap

__all__ = [
    "Code",
    "Parametrized",
    "SimulationError",
    "Status",
    "UnknownParameter",
    "check_tolerances",
    "default_float",
    "default_tolerances",
    "floats_to_arrays",
    "fori_loop",
    "grad",
    "hessian",
    "hessian_vector_product",
    "jacobian",
    "jit",
    "parameters",
    "raise_if_failed",
    "replace",
    "scan",
    "shard_lanes",
    "stack",
    "streams",
    "use_float64",
    "value_and_grad",
    "vmap",
    "while_loop",
]

"""A program's own view of how it runs: the number of lanes that one group of native code computes, and what they share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir
from jaxtyping import Array, Bool, Int

lane_width_p = Primitive("lane_width")


def lane_width() -> Int[Array, ""]:
    """Lanes in a group where this program runs as native code of `lanes`; 0 where it runs on XLA."""
    return lane_width_p.bind()


@lane_width_p.def_impl
def _outside() -> Int[Array, ""]:
    return jnp.asarray(0, jnp.int32)


@lane_width_p.def_abstract_eval
def _shape() -> Any:
    return jax.typeof(np.zeros((), np.int32))


batching.primitive_batchers[lane_width_p] = lambda operands, axes: (lane_width_p.bind(), batching.not_mapped)
mlir.register_lowering(lane_width_p, mlir.lower_fun(lambda: jnp.asarray(0, jnp.int32), multiple_results=False))


def native_or_xla(native: Callable[..., Any], xla: Callable[..., Any], *args: Any) -> Any:
    """`native(*args)` in native code of `lanes`, `xla(*args)` elsewhere: two ways of writing one function of arrays.

    XLA never sees the native way. Results agree to rounding, in structure, shapes and types exactly.
    """
    return lax.platform_dependent(*args, default=xla, lanes=native)


_within: ContextVar[bool] = ContextVar("within_lanes", default=False)


def within_lanes() -> bool:
    """Whether the program of a lane is being traced."""
    return _within.get()


@contextlib.contextmanager
def tracing_a_lane() -> Iterator[None]:
    """What is traced inside is part of the program of a lane."""
    before = _within.set(True)
    try:
        yield
    finally:
        _within.reset(before)


any_lane_p = Primitive("any_lane")


def any_lane(condition: Bool[Array, "..."]) -> Bool[Array, "..."]:
    """`condition`; in native code of `lanes` whether it holds for any lane of the group, so that all take one way.

    Only for work that changes nothing where `condition` does not hold: results must be the same either way.
    """
    return any_lane_p.bind(condition)


any_lane_p.def_impl(lambda condition: condition)
any_lane_p.def_abstract_eval(lambda condition: condition)
batching.primitive_batchers[any_lane_p] = lambda operands, axes: (any_lane_p.bind(*operands), axes[0])
mlir.register_lowering(any_lane_p, mlir.lower_fun(lambda condition: condition, multiple_results=False))

"""A program's own view of how it runs: the number of lanes that one group of native code computes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir
from jaxtyping import Array, Int

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

"""A program of one run as native code of one lane, where that is likely to be faster than XLA."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..pytrees import Rest, is_array, merge, split

# Measured by Lorenz's model of 1996 with n places, one solve, first call and later ones, native and on XLA: n = 4 (3200
# operations with a stiff method at hand) 0.6 s and 0.018 ms, 1.5 s and 0.43 ms; n = 20 (6400, explicit) 0.5 s and 0.07
# ms, 1.1 s and 0.84 ms; n = 60 (18500) 2.3 s and 0.37 ms, 0.9 s and 0.65 ms.
MOST_OPERATIONS = 10_000


def one_lane(fn: Callable[..., Any], most_operations: int = MOST_OPERATIONS) -> Callable[..., Any]:
    """`fn` run as native code; on XLA when that has none, or for more than so many operations.

    For programs of many small steps, where XLA spends its time between operations. Under `vmap` the runs become the
    lanes of one program, within `lanes` the program is part of that of a lane. `lane_width()` inside `fn` is 1.
    """

    @functools.wraps(fn, updated=())
    def run(*args: Any) -> Any:
        from .keys import kind_of, to_data, to_keys
        from .primitive import bind_one, trace

        arrays, rest = split(args, is_array)
        operands = [to_data(jnp.asarray(x), has_lanes=False) for x in arrays]
        kept: list[tuple[list[Any], Rest]] = []

        def one(*leaves: Any) -> list[Any]:
            given = merge([to_keys(leaf, kind_of(x)) for leaf, x in zip(leaves, arrays, strict=True)], rest)
            results, results_rest = split(fn(*given), is_array)
            kept[:] = [([kind_of(y) for y in results], results_rest)]
            return [to_data(y, has_lanes=False) for y in results]

        program, constants = trace(one, [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in operands])
        kinds, results_rest = kept[0]
        results = bind_one(program, [*constants, *operands], most_operations)
        return merge([to_keys(y, kind) for y, kind in zip(results, kinds, strict=True)], results_rest)

    return run

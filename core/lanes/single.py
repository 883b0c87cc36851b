"""A program of one run as native code of one lane, where that is likely to be faster than XLA."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from ..pytrees import Rest, is_array, merge, split

# Measured by Lorenz's model of 1996 with n places, one solve, first call and later ones, native and on XLA: n = 4 (1600
# operations on numbers, explicit method) 0.5 s and 0.018 ms, 1.3 s and 0.40 ms; n = 20 (6400) 0.5 s and 0.07 ms, 1.1 s
# and 0.84 ms; n = 60 (18500) 2.3 s and 0.37 ms, 0.9 s and 0.65 ms; n = 200 (60800) 1.9 s and 1.4 ms, 1.0 s and 1.6 ms.
# XLA takes long to compile many operations, native code many numbers. So programs of many operations, such as steps of
# robots, are native whatever their arrays: a chain of 20 links above a floor takes 5 s natively, more than 140 s on XLA.
MOST_NUMBERS_IN_AN_OPERATION = 16  # on average
MOST_NUMBERS = 100_000
MANY_OPERATIONS = 3000


def one_lane(fn: Callable[..., Any], *, always: bool = False) -> Callable[..., Any]:
    """`fn` run as native code; on XLA where that has none, and, unless `always`, where its arrays are large.

    For programs of many small steps, where XLA spends its time between operations. Under `vmap` the runs become the
    lanes of one program, within `lanes` the program is part of that of a lane. `lane_width()` inside `fn` is 1.
    """

    @functools.wraps(fn, updated=())
    def run(*args: Any) -> Any:
        from .keys import kind_of, to_data, to_keys
        from .primitive import trace_lane

        arrays, rest = split(args, is_array)
        operands = [to_data(jnp.asarray(x), has_lanes=False) for x in arrays]
        kept: list[tuple[list[Any], Rest]] = []

        def one(*leaves: Any) -> list[Any]:
            given = merge([to_keys(leaf, kind_of(x)) for leaf, x in zip(leaves, arrays, strict=True)], rest)
            results, results_rest = split(fn(*given), is_array)
            kept[:] = [([kind_of(y) for y in results], results_rest)]
            return [to_data(y, has_lanes=False) for y in results]

        program, operands, _ = trace_lane(one, operands, [False] * len(operands))
        kinds, results_rest = kept[0]
        results = _run(program, operands, always)
        return merge([to_keys(y, kind) for y, kind in zip(results, kinds, strict=True)], results_rest)

    return run


def _run(program: ClosedJaxpr, operands: Sequence[Any], always: bool) -> list[Any]:
    from .lowering import count_operations
    from .primitive import bind

    operations, numbers = count_operations(program)
    large = operations < MANY_OPERATIONS and numbers > min(MOST_NUMBERS, MOST_NUMBERS_IN_AN_OPERATION * operations)
    if (large and not always) or program.effects or not operands:
        return jaxpr_as_fun(program)(*operands)
    lanes_of_one = [x[..., None] for x in operands]
    return [y[..., 0] for y in bind(program, [True] * len(operands), lanes_of_one, quiet=True, alone=True)]

"""`lanes`: what `vmap` means, compiled so that every SIMD lane runs its own copy of the whole program."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from ..pytrees import Rest, is_array, merge, split
from ..transforms.batching import mapped_axes


def lanes(
    fn: Callable[..., Any], in_axes: Any = -1, out_axes: Any = -1, *, quiet: bool = False
) -> Callable[..., Any]:
    """`fn`, written for one lane, run for many: the results of `jax.vmap(fn, in_axes, out_axes)`, computed otherwise.

    `vmap` makes each operation work on all lanes and then goes to the next; a loop goes on until the last of all lanes
    is done. Here the program of one lane, its loops inside, becomes native code in which each element of a vector
    register is a lane: what the loops carry stays in registers, and a group of 4 to 32 lanes ends with its own last.

    `in_axes` and `out_axes` as in `vmap`: an axis for all, one for each argument, or a pytree that begins like them;
    None for arguments that all lanes share. The last axis costs nothing, others are moved there. What `fn` closes over
    is shared. Leaves that are no arrays are shared, and come back as they are.

    Works under `jit`, `vmap`, `grad`, `jvp`, `vjp`, `jacobian` and `scan`, and on functions that use them. Derivatives
    are those of the one-lane program. A lane never changes another. Results agree with those of `vmap` to rounding;
    entries of constant arrays that are zero count as structure, so that their products with NaN and infinity are zero.

    On processors other than CPUs, and for functions that use what has no native code yet (a warning names it, unless
    `quiet`), it is `vmap` on XLA. `wl.lanes.explain` says which; `lane_width()` inside `fn` is 0 there.
    `wl.lanes.ptx` gives the code for NVIDIA's GPUs, which docs/ensembles.md tells how to switch on.

    Raises `ValueError` for axes that do not exist, or sizes that do not agree.
    """

    @functools.wraps(fn, updated=())
    def mapped(*args: Any, **kwargs: Any) -> Any:
        # The compiler takes a while to import, and is needed only now.
        from .keys import kind_of, to_data, to_keys
        from .primitive import bind, trace_lane
        from .uniformity import varying_results

        inputs = (args, kwargs)
        axes = mapped_axes("lanes", fn, in_axes, inputs, keyword_axis=-1)
        arrays, rest = split(inputs, is_array)
        operands = [
            to_data(jnp.asarray(x) if axis is None else jnp.moveaxis(jnp.asarray(x), axis, -1), axis is not None)
            for x, axis in zip(arrays, axes)
        ]
        laned = [axis is not None for axis in axes]
        kept: list[tuple[list[Any], Rest]] = []

        def one(*leaves: Any) -> list[Any]:
            args, kwargs = merge([to_keys(leaf, kind_of(x)) for leaf, x in zip(leaves, arrays)], rest)
            outputs, outputs_rest = split(fn(*args, **kwargs), is_array)
            kept[:] = [([kind_of(y) for y in outputs], outputs_rest)]
            return [to_data(y, has_lanes=False) for y in outputs]

        one.__name__ = getattr(fn, "__name__", "fn")  # in JAX's messages
        program, operands, flags = trace_lane(one, operands, laned)
        results = bind(program, flags, operands, quiet)
        kinds, outputs_rest = kept[0]
        results = [to_keys(y, kind, has_lanes=True) for y, kind in zip(results, kinds)]
        return merge(_moved(results, varying_results(program, flags), outputs_rest, out_axes), outputs_rest)

    return mapped


def _moved(results: list[Any], varies: list[bool], rest: Rest, out_axes: Any) -> list[Any]:
    """Results with their lanes on the axes asked for."""
    from ..transforms.batching import spread_axes

    numbered = merge(range(len(results)), rest._replace(others=(None,) * len(rest.others)))
    axes = spread_axes("lanes", out_axes, numbered, "out_axes")
    if any(axis is None and v for axis, v in zip(axes, varies)):
        raise ValueError("lanes: out_axes is None for a result that differs between lanes; give it an axis")
    return [y[..., -1] if axis is None else jnp.moveaxis(y, -1, axis) for y, axis in zip(results, axes)]

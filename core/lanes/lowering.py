"""How a call of lanes is lowered: to a native kernel on the device it runs on, or to `vmap` on XLA."""

from __future__ import annotations

import sys
import warnings
import weakref
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun, jaxprs_in_params

from .arrays import Unsupported
from .collector import paused
from .emitter import emit_group
from .kernel import Kernel, call, compile_kernel
from .keys import without_keys
from .target import Target, host
from .uniformity import open_jaxpr

# Short programs wait for their own results: two vectors of lanes side by side fill the time. Measured with AVX-512 on
# one thread: Lorenz by Tsit5, 1500 operations, 1.6 times as fast, chains of 2, 4 and 7 links (1400, 3000 and 5800
# operations) 1.7, 1.0 and 0.8 times. Four vectors gain little more, and twice the code takes longer to compile.
MOST_OPERATIONS_FOR_TWO_VECTORS = 2500

# Longer programs run on XLA. Seen: 87 thousand lines take LLVM 4 s, and long functions more than in proportion. And a value that
# waits in a vector of 64 bytes has a line that makes it and one that reads it, so that what does not fit into registers
# stays below 6.4 MB, of a stack of 8 that a thread has.
MOST_LINES = 200_000

_NOT_THE_USERS = ("worldline", "jax", "equinox", "functools", "contextlib")


def warn(reason: Any, quiet: bool) -> None:
    """One warning for each place in the user's code that this comes from, as Python's filters have it."""
    if quiet:
        return
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _NOT_THE_USERS:
        level, frame = level + 1, frame.f_back
    warnings.warn(f"lanes: no native code yet for {reason}: this function runs by vmap on XLA.", stacklevel=level)


def count_lanes(laned: Sequence[bool], operands: Sequence[Any]) -> int:
    """The number of lanes."""
    return next(x.shape[-1] for x, has_lanes in zip(operands, laned, strict=True) if has_lanes)


# What programs in use were compiled to; a kernel lives as long as its program, or what XLA made of it.
_kernels: weakref.WeakKeyDictionary[ClosedJaxpr, dict[tuple, Kernel]] = weakref.WeakKeyDictionary()


def compiled(jaxpr: ClosedJaxpr, laned: tuple[bool, ...], target: Target) -> Kernel:
    """The native code of a program, compiled once however many calls of it are lowered.

    **Raises** `Unsupported` where a primitive has none.
    """
    known = _kernels.setdefault(jaxpr, {})
    kernel = known.get((laned, target))
    if kernel is None:
        kernel = known[laned, target] = _compiled(without_keys(jaxpr), laned, target)
    return kernel


def _compiled(jaxpr: ClosedJaxpr, laned: tuple[bool, ...], target: Target) -> Kernel:
    vectors = 2 if count_operations(jaxpr)[1] <= MOST_OPERATIONS_FOR_TWO_VECTORS else 1
    width = target.width(widest(jaxpr), vectors)
    with paused():
        text, workspace = emit_group(jaxpr, laned, width)
    lines = text.count("\n")
    if lines > MOST_LINES:
        raise Unsupported(f"a program of {lines} operations on numbers, more than {MOST_LINES}")
    return compile_kernel(
        text, operands=len(laned), results=len(jaxpr.jaxpr.outvars), laned=laned, width=width, workspace=workspace,
        target=target,
    )  # fmt: skip


def widest(jaxpr: ClosedJaxpr) -> int:
    """Bytes of the widest numbers that a program works on: floats if it has any."""
    body = jaxpr.jaxpr
    kinds = [v.aval.dtype for v in (*body.invars, *body.outvars)]
    floats = [d.itemsize for d in kinds if np.dtype(d).kind == "f"]
    return max(floats or [d.itemsize for d in kinds] or [4]) or 4  # float0 has none, and no native code


def count_operations(jaxpr: Any) -> tuple[int, int]:
    """Operations on arrays and on single numbers that a program and those inside it are written with, loops once."""
    operations = numbers = 0
    for equation in open_jaxpr(jaxpr)[0].eqns:
        inner = [count_operations(j) for j in jaxprs_in_params(equation.params)]
        inner = inner or [(1, sum(int(np.prod(v.aval.shape)) for v in equation.outvars if hasattr(v.aval, "shape")))]
        operations, numbers = operations + sum(n for n, _ in inner), numbers + sum(n for _, n in inner)
    return operations, numbers


def by_vmap(*operands: Any, jaxpr: ClosedJaxpr, laned: tuple[bool, ...]) -> list[Any]:
    """What `lanes` means, on XLA."""
    if count_lanes(laned, operands) == 1:
        results = jaxpr_as_fun(jaxpr)(*(x[..., 0] if has_lanes else x for x, has_lanes in zip(operands, laned)))
        return [y[..., None] for y in results]
    axes = [-1 if has_lanes else None for has_lanes in laned]
    return jax.vmap(jaxpr_as_fun(jaxpr), in_axes=axes, out_axes=-1)(*operands)


def on_cpu(*operands: Any, jaxpr: ClosedJaxpr, laned: tuple[bool, ...], quiet: bool, alone: bool) -> list[Any]:
    """Natively, with lanes added up to the width of a vector; on XLA, with a warning, what native code cannot do."""
    count = count_lanes(laned, operands)
    try:
        kernel = compiled(jaxpr, laned, host(alone))
    except Unsupported as reason:
        warn(reason, quiet)
        return by_vmap(*operands, jaxpr=jaxpr, laned=laned)
    missing = max(kernel.width - count, 0) if count else 0
    if missing:
        operands = tuple(_padded(x, missing) if has_lanes else x for x, has_lanes in zip(operands, laned))
    shapes = [jax.ShapeDtypeStruct((*v.aval.shape, count + missing), v.aval.dtype) for v in jaxpr.jaxpr.outvars]
    results = call(kernel, shapes, *operands)
    return [y[..., :count] for y in results] if missing else results


def _padded(x: Any, missing: int) -> Any:
    return jnp.concatenate([x, jnp.repeat(x[..., -1:], missing, axis=-1)], axis=-1)


def on_any(*operands: Any, jaxpr: ClosedJaxpr, laned: tuple[bool, ...], quiet: bool, alone: bool) -> list[Any]:
    """On XLA, on processors that have no native lanes."""
    del quiet, alone
    return by_vmap(*operands, jaxpr=jaxpr, laned=laned)


def on_gpu(*operands: Any, jaxpr: ClosedJaxpr, laned: tuple[bool, ...], quiet: bool, alone: bool) -> list[Any]:
    """Natively where the switch is on, see `launch`."""
    from . import launch

    processor = launch.processor()
    if processor is None:
        return on_any(*operands, jaxpr=jaxpr, laned=laned, quiet=quiet, alone=alone)
    try:
        return launch.run(jaxpr, laned, processor, count_lanes(laned, operands), operands)
    except Unsupported as reason:
        warn(reason, quiet)
        return by_vmap(*operands, jaxpr=jaxpr, laned=laned)



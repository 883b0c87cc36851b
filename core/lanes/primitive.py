"""The JAX primitive behind `lanes`: one program, run in many lanes; differentiated as the program of one lane.

Operands have an axis of lanes, the last, or are shared by all lanes; results all have it. Derivatives are
programs of one lane again: the tangents of a call are another call, linear in its last operands, whose transpose
is a third one. So a reverse pass is one compiled program too, which computes forward, and then backward, without
leaving the lane.
"""

from __future__ import annotations

import functools
import sys
import warnings
import weakref
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun, jaxprs_in_params
from jax.interpreters import ad, batching, mlir

from . import manual
from .arrays import Unsupported
from .collector import paused
from .emitter import emit_group
from .kernel import Kernel, call, compile_kernel
from .keys import is_key, kind_of, to_data, to_keys, without_keys
from .target import Target, host
from .uniformity import open_jaxpr

EMBEDDED_ELEMENTS = 4096  # constant arrays up to this size are part of the program
# Short programs wait for their own results: two vectors of lanes side by side fill the time. Measured with AVX-512 on
# one thread: Lorenz by Tsit5, 1500 operations, 1.6 times as fast, chains of 2, 4 and 7 links (1400, 3000 and 5800
# operations) 1.7, 1.0 and 0.8 times. Four vectors gain little more, and twice the code takes longer to compile.
MOST_OPERATIONS_FOR_TWO_VECTORS = 2500

# Longer programs run on XLA. Seen: 90 thousand lines take LLVM 24 s, 300 thousand more than 3 minutes. And a value that
# waits in a vector of 64 bytes has a line that makes it and one that reads it, so that what does not fit into registers
# stays below 6.4 MB, of a stack of 8 that a thread has.
MOST_LINES = 200_000

_NOT_THE_USERS = ("worldline", "jax", "equinox", "functools", "contextlib")

lanes_p = Primitive("lanes")
lanes_p.multiple_results = True
# Programs with operations of `jax.experimental.hijax` need not be rewritten: the emitter looks through them.
lanes_p.is_high = lambda *_, **__: False  # type: ignore[method-assign]


def bind(
    jaxpr: ClosedJaxpr, laned: Sequence[bool], operands: Sequence[Any], quiet: bool = False, alone: bool = False
) -> list[Any]:
    """The results of a one-lane program for operands of which `laned` says whether they have an axis of lanes.

    `quiet`: no warning where the program has no native code. `alone`: the only lane runs without vectors, which round
    otherwise.
    """
    if not jaxpr.jaxpr.outvars and not jaxpr.effects:
        return []
    if jaxpr.effects:  # a program that does something is not one that may be left out, run twice, or run by a kernel
        _warn(f"{effectful(jaxpr)} (an effect)", quiet)
        return by_vmap(*operands, jaxpr=jaxpr, laned=tuple(laned))
    return lanes_p.bind(*operands, jaxpr=jaxpr, laned=tuple(laned), quiet=quiet, alone=alone)


def effectful(jaxpr: Any) -> str:
    """The name of the first primitive of a program that has an effect, such as printing."""
    for equation in open_jaxpr(jaxpr)[0].eqns:
        if equation.effects:
            inner = [j for j in jaxprs_in_params(equation.params) if j.effects]
            return effectful(inner[0]) if inner else equation.primitive.name
    return "a primitive"


def _warn(reason: Any, quiet: bool) -> None:
    """One warning for each place in the user's code that this comes from, as Python's filters have it."""
    if quiet:
        return
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _NOT_THE_USERS:
        level, frame = level + 1, frame.f_back
    warnings.warn(f"lanes: no native code yet for {reason}: this function runs by vmap on XLA.", stacklevel=level)


def trace(function: Any, avals: Sequence[Any]) -> tuple[ClosedJaxpr, list[Any]]:
    """The program of a function of arrays, with the traced and the large arrays that it closes over as its first
    arguments, and these. Small constants stay in the program, so that their zeros and ones can be folded."""
    with paused():
        program = jax.make_jaxpr(function)(*avals)
    loose = [
        isinstance(c, jax.core.Tracer) or np.size(c) > EMBEDDED_ELEMENTS or is_key(jnp.asarray(c))
        for c in program.consts
    ]
    if not any(loose):
        return program, []
    closed_over = [jnp.asarray(c) for c, flag in zip(program.consts, loose) if flag]
    kinds = [kind_of(c) for c in closed_over]
    constants = [to_data(c, has_lanes=False) for c in closed_over]

    def opened(*values: Any) -> list[Any]:
        given = iter(to_keys(x, kind) for x, kind in zip(values[: len(constants)], kinds))
        consts = [next(given) if flag else c for c, flag in zip(program.consts, loose)]
        return jaxpr_as_fun(ClosedJaxpr(program.jaxpr, consts))(*values[len(constants) :])

    shapes = [manual.one_lane(c) for c in constants]
    return jax.make_jaxpr(opened)(*shapes, *avals), constants


def trace_lane(
    function: Any, operands: Sequence[Any], laned: Sequence[bool]
) -> tuple[ClosedJaxpr, list[Any], list[bool]]:
    """The program of a function of one lane of these operands, its operands, and which of them have lanes."""
    operands = manual.alike(operands)
    lanes = lambda: [manual.one_lane(x, has_lanes=flag) for x, flag in zip(operands, laned)]
    program, constants = trace(function, lanes())
    if manual.mixed(constants, operands):
        operands = manual.alike(operands, constants)
        program, constants = trace(function, lanes())
    return program, [*constants, *operands], [*(False for _ in constants), *laned]


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


def _on_cpu(*operands: Any, jaxpr: ClosedJaxpr, laned: tuple[bool, ...], quiet: bool, alone: bool) -> list[Any]:
    count = count_lanes(laned, operands)
    try:
        kernel = compiled(jaxpr, laned, host(alone))
    except Unsupported as reason:
        _warn(reason, quiet)
        return by_vmap(*operands, jaxpr=jaxpr, laned=laned)
    missing = max(kernel.width - count, 0) if count else 0
    if missing:
        operands = tuple(_padded(x, missing) if has_lanes else x for x, has_lanes in zip(operands, laned))
    shapes = [jax.ShapeDtypeStruct((*v.aval.shape, count + missing), v.aval.dtype) for v in jaxpr.jaxpr.outvars]
    results = call(kernel, shapes, *operands)
    return [y[..., :count] for y in results] if missing else results


def _padded(x: Any, missing: int) -> Any:
    return jnp.concatenate([x, jnp.repeat(x[..., -1:], missing, axis=-1)], axis=-1)


def _on_any(*operands: Any, jaxpr: ClosedJaxpr, laned: tuple[bool, ...], quiet: bool, alone: bool) -> list[Any]:
    del quiet, alone
    return by_vmap(*operands, jaxpr=jaxpr, laned=laned)


def _on_gpu(*operands: Any, jaxpr: ClosedJaxpr, laned: tuple[bool, ...], quiet: bool, alone: bool) -> list[Any]:
    """Natively where the switch is on, see `launch`."""
    from . import launch

    processor = launch.processor()
    if processor is None:
        return _on_any(*operands, jaxpr=jaxpr, laned=laned, quiet=quiet, alone=alone)
    try:
        return launch.run(jaxpr, laned, processor, count_lanes(laned, operands), operands)
    except Unsupported as reason:
        _warn(reason, quiet)
        return by_vmap(*operands, jaxpr=jaxpr, laned=laned)


@functools.lru_cache(maxsize=32)  # each holds a loaded program of XLA, of a megabyte or more
def _program(jaxpr: ClosedJaxpr, laned: tuple[bool, ...], quiet: bool, alone: bool) -> Any:
    return jax.jit(lambda *operands: lanes_p.bind(*operands, jaxpr=jaxpr, laned=laned, quiet=quiet, alone=alone))


@lanes_p.def_impl
def _run(*operands: Any, jaxpr: ClosedJaxpr, laned: tuple[bool, ...], quiet: bool, alone: bool) -> list[Any]:
    if jax.config.jax_disable_jit or jax.config.jax_debug_nans or jax.config.jax_debug_infs:
        return by_vmap(*operands, jaxpr=jaxpr, laned=laned)  # one operation after the other, for who looks for a fault
    return _program(jaxpr, laned, quiet, alone)(*operands)


@lanes_p.def_abstract_eval
def _shapes(*operands: Any, jaxpr: ClosedJaxpr, laned: tuple[bool, ...], quiet: bool, alone: bool) -> list[Any]:
    count = count_lanes(laned, operands)
    return [v.aval.update(shape=(*v.aval.shape, count)) for v in jaxpr.jaxpr.outvars]


@functools.lru_cache(maxsize=512)
def _tangent_program(jaxpr: ClosedJaxpr, active: tuple[bool, ...]) -> tuple[ClosedJaxpr, tuple[bool, ...]]:
    """The program of (operands, tangents of the active ones) whose results are the tangents of the float results."""
    function = jaxpr_as_fun(jaxpr)
    avals = [v.aval for v in jaxpr.jaxpr.invars]
    is_float = tuple(jnp.issubdtype(v.aval.dtype, jnp.inexact) for v in jaxpr.jaxpr.outvars)

    def push(*values: Any) -> list[Any]:
        primals, tangents = values[: len(avals)], values[len(avals) :]

        def along(*moved: Any) -> list[Any]:
            rest = iter(moved)
            results = function(*(next(rest) if a else x for a, x in zip(active, primals)))
            return [y for y, keep in zip(results, is_float) if keep]

        return jax.jvp(along, [x for a, x in zip(active, primals) if a], list(tangents))[1]

    program, constants = trace(push, [*avals, *(a for a, flag in zip(avals, active) if flag)])
    assert not constants
    return program, is_float


def _jvp(primals, tangents, *, jaxpr, laned, quiet, alone):
    active = tuple(type(t) is not ad.Zero for t in tangents)
    results = lanes_p.bind(*primals, jaxpr=jaxpr, laned=laned, quiet=quiet, alone=alone)
    program, is_float = _tangent_program(jaxpr, active)
    if not any(is_float):
        return results, [ad.Zero(jax.typeof(y).to_tangent_aval()) for y in results]
    moved = [t for t, a in zip(tangents, active) if a]
    flags = (*laned, *(flag for flag, a in zip(laned, active) if a))
    pushed = iter(lanes_p.bind(*primals, *moved, jaxpr=program, laned=flags, quiet=quiet, alone=alone))
    return results, [next(pushed) if f else ad.Zero(jax.typeof(y).to_tangent_aval()) for f, y in zip(is_float, results)]


@functools.lru_cache(maxsize=512)
def _transposed_program(jaxpr: ClosedJaxpr, unknown: tuple[bool, ...]) -> ClosedJaxpr:
    """The program of (known operands, cotangents of the results) whose results are those of the unknown operands."""
    function = jaxpr_as_fun(jaxpr)
    avals = [v.aval for v in jaxpr.jaxpr.invars]
    known = [a for a, flag in zip(avals, unknown) if not flag]
    moved = [a for a, flag in zip(avals, unknown) if flag]

    def pull(*values: Any) -> Any:
        def along(*linear: Any) -> list[Any]:
            fixed, rest = iter(values), iter(linear)
            return function(*(next(rest) if flag else next(fixed) for flag in unknown))

        return jax.linear_transpose(along, *moved)(list(values[len(known) :]))

    program, constants = trace(pull, [*known, *(v.aval for v in jaxpr.jaxpr.outvars)])
    assert not constants
    return program


def _transpose(cotangents, *operands, jaxpr, laned, quiet, alone):
    """The program is linear in the operands that are unknown; a tangent that is known adds a constant at most."""
    unknown = tuple(ad.is_undefined_primal(x) for x in operands)
    known = [x for x, flag in zip(operands, unknown) if not flag]
    # Without lanes among the known operands, their number comes from the cotangents, which all have them.
    cotangents = [ad.instantiate_zeros(c) for c in cotangents]
    program = _transposed_program(jaxpr, unknown)
    flags = (*(has_lanes for has_lanes, flag in zip(laned, unknown) if not flag), *(True,) * len(cotangents))
    pulled = iter(lanes_p.bind(*known, *cotangents, jaxpr=program, laned=flags, quiet=quiet, alone=alone))
    pairs = [(next(pulled), has_lanes) if flag else None for has_lanes, flag in zip(laned, unknown)]
    return [None if pair is None else pair[0] if pair[1] else jnp.sum(pair[0], -1) for pair in pairs]


def _batch(operands, axes, *, jaxpr, laned, quiet, alone):
    size = next(x.shape[a] for x, a in zip(operands, axes) if a is not None)
    shapes = [x.shape if a is None else x.shape[:a] + x.shape[a + 1 :] for x, a in zip(operands, axes)]
    count = next(shape[-1] for shape, has_lanes in zip(shapes, laned) if has_lanes)
    together, flags = [], []
    for x, axis, has_lanes in zip(operands, axes, laned):
        if axis is None and (not has_lanes or alone):
            together.append(x[..., 0] if has_lanes else x)
            flags.append(False)
            continue
        if axis is not None:
            x = jnp.moveaxis(x, axis, -2 if has_lanes else -1)
            x = x if has_lanes else x[..., None]
        else:
            x = x[..., None, :]
        shape = x.shape[:-2]
        together.append(jnp.broadcast_to(x, (*shape, size, count)).reshape(*shape, size * count))
        flags.append(True)
    results = lanes_p.bind(*together, jaxpr=jaxpr, laned=tuple(flags), quiet=quiet, alone=False)
    return [y.reshape(*y.shape[:-1], size, count) for y in results], [y.ndim - 1 for y in results]


ad.primitive_jvps[lanes_p] = _jvp
ad.primitive_transposes[lanes_p] = _transpose
batching.primitive_batchers[lanes_p] = _batch
mlir.register_lowering(lanes_p, mlir.lower_fun(_on_any, multiple_results=True))
mlir.register_lowering(lanes_p, mlir.lower_fun(_on_cpu, multiple_results=True), platform="cpu")
mlir.register_lowering(lanes_p, mlir.lower_fun(_on_gpu, multiple_results=True), platform="cuda")

"""The JAX primitive behind `lanes`: one program, run in many lanes; differentiated as the program of one lane.

Operands have an axis of lanes, the last, or are shared by all lanes; results all have it. Derivatives are
programs of one lane again: the tangents of a call are another call, linear in its last operands, whose transpose
is a third one. So a reverse pass is one compiled program too, which computes forward, and then backward, without
leaving the lane.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun, jaxprs_in_params
from jax.interpreters import ad, batching, mlir

from . import manual
from .collector import paused
from .keys import is_key, kind_of, to_data, to_keys
from .lowering import by_vmap, count_lanes, on_any, on_cpu, on_gpu, warn
from .uniformity import open_jaxpr
from .width import tracing_a_lane

EMBEDDED_ELEMENTS = 4096  # constant arrays up to this size are part of the program
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
        warn(f"{effectful(jaxpr)} (an effect)", quiet)
        return by_vmap(*operands, jaxpr=jaxpr, laned=tuple(laned))
    return lanes_p.bind(*operands, jaxpr=jaxpr, laned=tuple(laned), quiet=quiet, alone=alone)


def effectful(jaxpr: Any) -> str:
    """The name of the first primitive of a program that has an effect, such as printing."""
    for equation in open_jaxpr(jaxpr)[0].eqns:
        if equation.effects:
            inner = [j for j in jaxprs_in_params(equation.params) if j.effects]
            return effectful(inner[0]) if inner else equation.primitive.name
    return "a primitive"


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
    with tracing_a_lane():
        program, constants = trace(function, lanes())
        if manual.mixed(constants, operands):
            operands = manual.alike(operands, constants)
            program, constants = trace(function, lanes())
    return program, [*constants, *operands], [*(False for _ in constants), *laned]


@functools.lru_cache(maxsize=32)  # each holds a loaded program of XLA, of a megabyte or more
def _program(jaxpr: ClosedJaxpr, laned: tuple[bool, ...], quiet: bool, alone: bool) -> Any:
    return jax.jit(lambda *operands: lanes_p.bind(*operands, jaxpr=jaxpr, laned=laned, quiet=quiet, alone=alone))


@lanes_p.def_impl
def _run(*operands: Any, jaxpr: ClosedJaxpr, laned: tuple[bool, ...], quiet: bool, alone: bool) -> list[Any]:
    debugging = ("jax_disable_jit", "jax_debug_nans", "jax_debug_infs")
    if any(getattr(jax.config, switch) for switch in debugging):
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
mlir.register_lowering(lanes_p, mlir.lower_fun(on_any, multiple_results=True))
mlir.register_lowering(lanes_p, mlir.lower_fun(on_cpu, multiple_results=True), platform="cpu")
mlir.register_lowering(lanes_p, mlir.lower_fun(on_gpu, multiple_results=True), platform="cuda")

"""The function of one pair on many pairs at once, for XLA: each number of its small arrays becomes an array of all pairs.

Under `vmap` vectors of many pairs are arrays [..., 3], and the innermost loops of the code that XLA writes for CPUs go over
three numbers. Without these axes they fill the processor's vectors: Lennard-Jones forces take about a third of the time.

What differs between pairs is held as `Numbers`: a NumPy array of objects, an array [*many] in each place.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun
from jaxtyping import Array

from ....core.lanes.arithmetic import RULES
from ....core.lanes.uniformity import inner_jaxpr, open_jaxpr

Numbers = np.ndarray
ELEMENTWISE = (frozenset(RULES) | {"select_n"}) - {"bitcast_convert_type"}
MOST_NUMBERS = 16  # in an array that is taken apart; programs with larger ones, such as learned potentials, are mapped
MOST_PRODUCTS = 64  # of numbers, in a product of matrices that is taken apart


def on_many(program: ClosedJaxpr, many: tuple[int, ...], arguments: Sequence[Any]) -> list[Numbers]:
    """The results of a program; its arguments are `Numbers` where they differ between pairs, otherwise arrays."""
    if _largest(program) <= MOST_NUMBERS:
        results = _run(program, many, arguments)
    else:
        results = [apart(y, len(many)) for y in _mapped(jaxpr_as_fun(program), many, arguments)]
    return [_widened(y, aval.shape, many) for y, aval in zip(results, program.out_avals, strict=True)]


def each(fn: Callable[[Any], Any], x: Numbers) -> Numbers:
    """A function of the arrays in all places."""
    out = np.empty(x.shape, object)
    for place in np.ndindex(x.shape):
        out[place] = fn(x[place])
    return out


def apart(x: Array, axes: int = 1) -> Numbers:
    """The numbers of an array [..., *many] whose last `axes` are those of the many."""
    out = np.empty(x.shape[: x.ndim - axes], object)
    for place in np.ndindex(out.shape):
        out[place] = x[place]
    return out


def together(x: Numbers, axis: int) -> Array:
    """One array, in which the places come first (axis 0) or last (axis -1)."""
    flat = jnp.stack(list(x.reshape(-1)), axis)
    return flat.reshape(*x.shape, *flat.shape[1:]) if axis == 0 else flat.reshape(*flat.shape[:-1], *x.shape)


def _largest(program: Any) -> int:
    """The most numbers in an array that a program computes."""
    jaxpr, _ = open_jaxpr(program)
    sizes = [int(np.prod(v.aval.shape)) for e in jaxpr.eqns for v in e.outvars]
    inner = [inner_jaxpr(e.primitive.name, e.params) for e in jaxpr.eqns]
    return max([0, *sizes, *(_largest(p) for p in inner if p is not None)])


def _run(program: Any, many: tuple[int, ...], arguments: Sequence[Any]) -> list[Any]:
    jaxpr, constants = open_jaxpr(program)
    known: dict[Any, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *arguments), strict=True))

    def read(v: Any) -> Any:
        dtype = v.aval.dtype
        return jnp.asarray(v.val, dtype) if isinstance(v, Literal) else known[v]

    for equation in jaxpr.eqns:
        known.update(zip(equation.outvars, _step(equation, many, [read(v) for v in equation.invars]), strict=True))
    return [read(v) for v in jaxpr.outvars]


def _step(equation: Any, many: tuple[int, ...], given: list[Any]) -> list[Any]:
    """The results of one equation."""
    name, params, shape = equation.primitive.name, equation.params, equation.outvars[0].aval.shape
    inner = inner_jaxpr(name, params)
    if inner is not None and len(open_jaxpr(inner)[0].invars) == len(given):
        return _run(inner, many, given)
    call = functools.partial(equation.primitive.bind, **params)
    differs = any(_differs(x) for x in given)
    if differs and name in ELEMENTWISE:
        operands = [_widened(x, shape, many) for x in given]
        out = np.empty(shape, object)
        for place in np.ndindex(shape):
            out[place] = call(*(x[place] for x in operands))
        return [out]
    if differs and name in STRUCTURAL and (name != "dot_general" or _is_short(params, equation)):
        operands = [_widened(x, v.aval.shape, many) for x, v in zip(given, equation.invars)]
        moved = STRUCTURAL[name](params, shape, *operands)
        return [moved if _differs(moved) else _single(moved)]
    results = _mapped(call, many, given) if differs else call(*given)
    results = list(results) if equation.primitive.multiple_results else [results]
    return [apart(y, len(many)) for y in results] if differs else results


def _broadcast(params: dict, shape: tuple[int, ...], x: Numbers) -> Numbers:
    wide = [1] * len(shape)
    for place, size in zip(params["broadcast_dimensions"], x.shape):
        wide[place] = size
    return np.broadcast_to(x.reshape(wide), shape)


def _slice(params: dict, shape: tuple[int, ...], x: Numbers) -> Numbers:
    strides = params["strides"] or (1,) * x.ndim
    return x[tuple(slice(a, b, s) for a, b, s in zip(params["start_indices"], params["limit_indices"], strides))]


def _is_short(params: dict, equation: Any) -> bool:
    """Whether a product is of few numbers, and none of its axes are counted along by both factors."""
    (axes, _), batch = params["dimension_numbers"]
    left, out = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    return not batch[0] and np.prod([left[k] for k in axes]) * np.prod(out) <= MOST_PRODUCTS


STRUCTURAL: dict[str, Any] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda params, shape, *xs: np.concatenate(xs, params["dimension"]),
    "dot_general": lambda params, shape, a, b: np.tensordot(a, b, params["dimension_numbers"][0]),
    "reduce_sum": lambda params, shape, x: np.add.reduce(x, params["axes"]) if params["axes"] else x,
    "reshape": lambda params, shape, x: x.reshape(shape),
    "slice": _slice,
    "squeeze": lambda params, shape, x: x.reshape(shape),
    "transpose": lambda params, shape, x: x.transpose(params["permutation"]),
}


def _differs(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == object


def _single(x: Any) -> Numbers:
    """What NumPy took out of an array without axes, in such an array."""
    out = np.empty((), object)
    out[()] = x
    return out


def _widened(x: Any, shape: tuple[int, ...], many: tuple[int, ...]) -> Numbers:
    """Numbers of this shape, also from a single one, or from an array that is the same for all pairs."""
    if _differs(x):
        return np.broadcast_to(x, shape)
    return each(lambda y: jnp.broadcast_to(y, many), apart(jnp.broadcast_to(x, shape), 0))


def _mapped(call: Callable, many: tuple[int, ...], given: Sequence[Any]) -> Any:
    """The results of a function of arrays, with the axes of the many last."""
    axes = tuple(-1 if _differs(x) else None for x in given)
    for _ in many:
        call = jax.vmap(call, axes, -1)
    return call(*(together(x, 0) if _differs(x) else x for x in given))

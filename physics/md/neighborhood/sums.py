"""Sums over the neighbors of each particle, as one operation of JAX that is closed under differentiation.

    S_i = sum over neighbors j of f(d_ij, own data of i, other data of j, shared numbers),    0 < |d_ij| < cutoff

Neighbors come in full: where j is one of i, i is one of j, at the opposite displacement. So the derivative of such a sum
in any of its arguments is a sum of the same kind, without a scatter: what particle p receives as somebody's neighbor it
finds by going through its own neighbors with the roles exchanged. Tangents and cotangents of f are taken by JAX on the
function of one pair; the rules here only say what is summed.

Displacements d_k = x_k[j] - x_k[i] + e h_k, of which there may be several (positions first, then their tangents), share the
whole-numbered lattice shifts e of the first. `parity` is s where f(-d, j, i) = s f(d, i, j): then both roles come from one
evaluation, f's derivative against c_i + s c_j. How particles are found and in which order pairs are visited is the matter
of a `structure` (`all_pairs`, `rows`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, PyTree

from ....core.lanes.decompositions import OPERATIONS
from ....core.lanes.primitive import trace
from ....core.lanes.width import within_lanes
from ..box import inverse_edges
from .pair_programs import Signature, constants_last, only, tangent_program, transposed_program


class Structure(Protocol):
    """Who is whose neighbor: a hashable description of arrays `lists`, which it reads."""

    def evaluate(
        self, pair: Callable, lists: Sequence[Array], signature: Signature, cutoff: float, operands: Sequence[Array]
    ) -> list[Array]:
        """The sums of a function of one pair."""
        ...

    def at_once(
        self, pair: Callable, lists: Sequence[Array], signature: Signature, cutoff: float, operands: Sequence[Array]
    ) -> list[Array] | None:
        """The same in a form for `vmap`; None where many sums are better made one after the other."""
        ...


def sum_over_neighbors(
    structure: Structure, lists: Sequence[Array], cutoff: float, position: Array, vectors: Array, fn: Callable,
    data: PyTree, shared: PyTree, parity: int, total: bool,
) -> PyTree:  # fmt: skip
    """The sums of `fn(d, own, other, shared)`, a pytree of arrays; [n, ...] each, or one of all particles if `total`."""
    data_leaves, data_structure = jax.tree.flatten(data)
    shared_leaves, shared_structure = jax.tree.flatten(shared)
    data_leaves, shared_leaves = [jnp.asarray(x) for x in data_leaves], [jnp.asarray(x) for x in shared_leaves]
    kept: list[Any] = []

    def pair(d: Array, *values: Array) -> list[Array]:
        n = len(data_leaves)
        own, other, rest = values[:n], values[n : 2 * n], values[2 * n :]
        unflatten = lambda structure, leaves: jax.tree.unflatten(structure, leaves)
        out = fn(d, unflatten(data_structure, own), unflatten(data_structure, other), unflatten(shared_structure, rest))
        leaves, out_structure = jax.tree.flatten(out)
        kept[:] = [out_structure]
        return [jnp.asarray(y, position.dtype) for y in leaves]

    each = [jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in data_leaves]
    one = jax.ShapeDtypeStruct((3,), position.dtype)
    program, constants = trace(pair, [one, *each, *each, *(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in shared_leaves)])
    program = constants_last(program, len(constants))
    results = len(program.jaxpr.outvars)
    signature = Signature(1, len(each), len(shared_leaves) + len(constants), (total,) * results, (parity,) * results)
    out = sum_p.bind(
        *lists, position, vectors, *data_leaves, *shared_leaves, *constants, program=program, signature=signature,
        structure=structure, cutoff=cutoff,
    )  # fmt: skip
    return jax.tree.unflatten(kept[0], out)


sum_p = Primitive("sum_over_neighbors")
sum_p.multiple_results = True
sum_p.is_high = lambda *_, **__: False  # type: ignore[method-assign]


def _count_lists(operands: Sequence[Any], signature: Signature) -> int:
    return len(operands) - 2 * signature.displacements - signature.data - signature.shared


def _evaluate(*operands: Array, program, signature, structure, cutoff) -> list[Array]:
    begin = _count_lists(operands, signature)
    return structure.evaluate(jaxpr_as_fun(program), operands[:begin], signature, cutoff, operands[begin:])


@functools.lru_cache(maxsize=64)
def _compiled(program, signature, structure, cutoff) -> Callable:
    return jax.jit(
        lambda *operands: sum_p.bind(*operands, program=program, signature=signature, structure=structure, cutoff=cutoff)
    )


@sum_p.def_impl
def _run(*operands: Array, program, signature, structure, cutoff) -> list[Array]:
    return _compiled(program, signature, structure, cutoff)(*operands)


@sum_p.def_abstract_eval
def _shapes(*operands: Any, program, signature, structure, cutoff) -> list[Any]:
    position = operands[_count_lists(operands, signature)]
    shapes = []
    for v, total in zip(program.jaxpr.outvars, signature.totals):
        shape = v.aval.shape if total else (position.shape[0], *v.aval.shape)
        shapes.append(v.aval.update(shape=shape))
    return shapes


def _jvp(primals, tangents, *, program, signature, structure, cutoff):
    out = sum_p.bind(*primals, program=program, signature=signature, structure=structure, cutoff=cutoff)
    begin = _count_lists(primals, signature)
    given = tangents[begin:]
    xs, hs, data, shared = signature.operands([type(t) is not ad.Zero for t in given])
    pairs = [x or h for x, h in zip(xs, hs)]
    active = (tuple(pairs), tuple(data), tuple(shared))
    dx, dh, ddata, dshared = signature.operands(given)
    px, ph, pdata, pshared = signature.operands(primals[begin:])
    moved = [y for x, h, a in zip(dx, dh, pairs) if a for y in (ad.instantiate_zeros(x), ad.instantiate_zeros(h))]
    pushing, further = tangent_program(program, signature, active)
    pushed = sum_p.bind(
        *primals[:begin], *(y for x, h in zip(px, ph) for y in (x, h)), *moved, *pdata, *only(ddata, data), *pshared,
        *only(dshared, shared), program=pushing, signature=further, structure=structure, cutoff=cutoff,
    )  # fmt: skip
    return out, pushed


def _transpose(cotangents, *operands, program, signature, structure, cutoff):
    begin = _count_lists(operands, signature)
    lists, given = operands[:begin], operands[begin:]
    xs, hs, data, shared = signature.operands(given)
    unknown = signature.operands([ad.is_undefined_primal(x) for x in given])
    linear = (tuple(x or h for x, h in zip(*unknown[:2])), tuple(unknown[2]), tuple(unknown[3]))
    needs_edges = tuple(only(unknown[1], linear[0]))
    used = tuple(type(c) is not ad.Zero for c in cotangents)
    pull, further = transposed_program(program, signature, linear, needs_edges, used)
    rows = [c for c, u, total in zip(cotangents, used, signature.totals) if u and not total]
    sums = [c for c, u, total in zip(cotangents, used, signature.totals) if u and total]
    known = lambda values, flags: [value for value, flag in zip(values, flags) if not flag]
    pairs = [y for x, h, flag in zip(xs, hs, linear[0]) if not flag for y in (x, h)]
    pulled = iter(
        sum_p.bind(
            *lists, *pairs, *known(data, linear[1]), *rows, *known(shared, linear[2]), *sums, program=pull,
            signature=further, structure=structure, cutoff=cutoff,
        )  # fmt: skip
    )
    out_x, out_h = [], []
    moved = [next(pulled) for flag in linear[0] if flag]
    strained = [next(pulled) for flag in needs_edges if flag]
    edges = _edges(xs[0], hs[0], only(moved, needs_edges), strained) if strained else []
    places, corners = iter(moved), iter(edges)
    for flag, x_unknown, h_unknown in zip(linear[0], *unknown[:2]):
        x = next(places) if flag else None
        out_x.append(x if x_unknown else None)
        out_h.append(next(corners) if h_unknown else None)
    out_data = [next(pulled) if flag else None for flag in linear[1]]
    out_shared = [next(pulled) if flag else None for flag in linear[2]]
    return [*(None for _ in lists), *(y for x, h in zip(out_x, out_h) for y in (x, h)), *out_data, *out_shared]


def _edges(x: Array, h: Array, moved: Sequence[Array], strained: Sequence[Array]) -> list[Array]:
    """Cotangents of box edges from those of positions and of strains.

    With e = (d_0 - x_j + x_i) h_0^-1 the sum of e (x) q over pairs is h_0^-T (sum of d_0 (x) q - sum of x_p (x) xbar_p).
    """
    inverse = inverse_edges(h)
    return [inverse.T @ (strain - x.T @ place) for place, strain in zip(moved, strained)]


def _batch(operands, axes, *, program, signature, structure, cutoff):
    bind = functools.partial(sum_p.bind, program=program, signature=signature, structure=structure, cutoff=cutoff)
    begin = _count_lists(operands, signature)

    def mapped(*operands: Array) -> list[Array] | None:
        return structure.at_once(jaxpr_as_fun(program), operands[:begin], signature, cutoff, operands[begin:])

    # In native code a loop over sums is as fast, and they stay what they are.
    out = None if within_lanes() else jax.vmap(mapped, in_axes=axes)(*operands)
    if out is not None:
        return out, [0] * len(out)
    moved = [x if axis is None else jnp.moveaxis(x, axis, 0) for x, axis in zip(operands, axes)]

    def one(batched: list[Array]) -> list[Array]:
        rest = iter(batched)
        return bind(*(x if axis is None else next(rest) for x, axis in zip(moved, axes)))

    out = jax.lax.map(one, [x for x, axis in zip(moved, axes) if axis is not None])
    return out, [0] * len(out)


ad.primitive_jvps[sum_p] = _jvp
ad.primitive_transposes[sum_p] = _transpose
batching.primitive_batchers[sum_p] = _batch
mlir.register_lowering(sum_p, mlir.lower_fun(_evaluate, multiple_results=True))
OPERATIONS["sum_over_neighbors"] = _evaluate

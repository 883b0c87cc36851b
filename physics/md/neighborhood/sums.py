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
from dataclasses import dataclass, replace
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, PyTree

from ....core.lanes.decompositions import DECOMPOSED
from ....core.lanes.primitive import trace
from ....core.lanes.width import within_lanes
from ..box import inverse_edges


@dataclass(frozen=True)
class Signature:
    """What the arguments of a pair function are, in order, and its results.

    Arguments: `displacements` vectors [3], `data` of the particle itself, the same of the other one, `shared` numbers.
    """

    displacements: int
    data: int
    shared: int
    totals: tuple[bool, ...]  # which results are summed over all particles too
    parities: tuple[int, ...]  # of the results: +1, -1, 0 for none

    def split(self, values: Sequence[Any]) -> tuple[list, list, list, list]:
        """Arguments of the pair function by what they are: displacements, own data, other data, shared."""
        a, b = self.displacements, self.data
        return list(values[:a]), list(values[a : a + b]), list(values[a + b : a + 2 * b]), list(values[a + 2 * b :])

    def operands(self, values: Sequence[Any]) -> tuple[list, list, list, list]:
        """Operands of the sum by what they are: positions [n, 3], edges of the box [3, 3], data [n, ...], shared."""
        a, b = 2 * self.displacements, self.data
        return list(values[:a:2]), list(values[1:a:2]), list(values[a : a + b]), list(values[a + b :])


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
    program = _constants_last(program, len(constants))
    results = len(program.jaxpr.outvars)
    signature = Signature(1, len(each), len(shared_leaves) + len(constants), (total,) * results, (parity,) * results)
    out = sum_p.bind(
        *lists, position, vectors, *data_leaves, *shared_leaves, *constants, program=program, signature=signature,
        structure=structure, cutoff=cutoff,
    )  # fmt: skip
    return jax.tree.unflatten(kept[0], out)


@functools.lru_cache(maxsize=512)
def _constants_last(program: ClosedJaxpr, count: int) -> ClosedJaxpr:
    """A program with its first `count` arguments after the others."""
    if not count:
        return program
    avals = [v.aval for v in program.jaxpr.invars]
    call = jaxpr_as_fun(program)
    split = len(avals) - count
    return jax.make_jaxpr(lambda *v: call(*v[split:], *v[:split]))(*avals[count:], *avals[:count])


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
    tangent_program, further = _tangent_program(program, signature, active)
    pushed = sum_p.bind(
        *primals[:begin], *(y for x, h in zip(px, ph) for y in (x, h)), *moved, *pdata, *_only(ddata, data), *pshared,
        *_only(dshared, shared), program=tangent_program, signature=further, structure=structure, cutoff=cutoff,
    )  # fmt: skip
    return out, pushed


def _only(values: Sequence[Any], chosen: Sequence[bool]) -> list[Any]:
    return [value for value, flag in zip(values, chosen) if flag]


@functools.lru_cache(maxsize=512)
def _tangent_program(
    program: ClosedJaxpr, signature: Signature, active: tuple[tuple[bool, ...], ...]
) -> tuple[ClosedJaxpr, Signature]:
    """The pair function of the tangents; tangents follow the primal arguments of their kind."""
    moving, changing, tuned = active
    flags = [*moving, *changing, *changing, *tuned]
    further = replace(
        signature, displacements=signature.displacements + sum(moving), data=signature.data + sum(changing),
        shared=signature.shared + sum(tuned),
    )  # fmt: skip
    sizes = (signature.displacements, signature.data, signature.data, signature.shared)

    def push(*values: Array) -> list[Array]:
        groups = further.split(values)
        primals = [x for group, size in zip(groups, sizes) for x in group[:size]]
        tangents = iter([x for group, size in zip(groups, sizes) for x in group[size:]])

        def along(*moved: Array) -> list[Array]:
            rest = iter(moved)
            return jaxpr_as_fun(program)(*(next(rest) if flag else x for x, flag in zip(primals, flags)))

        return jax.jvp(along, _only(primals, flags), list(tangents))[1]

    avals = signature.split([v.aval for v in program.jaxpr.invars])
    chosen = (moving, changing, changing, tuned)
    inputs = [aval for group, flags_ in zip(avals, chosen) for aval in (*group, *_only(group, flags_))]
    return jax.make_jaxpr(push)(*inputs), further


def _transpose(cotangents, *operands, program, signature, structure, cutoff):
    begin = _count_lists(operands, signature)
    lists, given = operands[:begin], operands[begin:]
    xs, hs, data, shared = signature.operands(given)
    unknown = signature.operands([ad.is_undefined_primal(x) for x in given])
    linear = (tuple(x or h for x, h in zip(*unknown[:2])), tuple(unknown[2]), tuple(unknown[3]))
    needs_edges = tuple(_only(unknown[1], linear[0]))
    used = tuple(type(c) is not ad.Zero for c in cotangents)
    pull, further = _transposed_program(program, signature, linear, needs_edges, used)
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
    edges = _edges(xs[0], hs[0], _only(moved, needs_edges), strained) if strained else []
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


@functools.lru_cache(maxsize=512)
def _transposed_program(
    program: ClosedJaxpr, signature: Signature, linear: tuple[tuple[bool, ...], ...], needs_edges: tuple[bool, ...],
    used: tuple[bool, ...],
) -> tuple[ClosedJaxpr, Signature]:  # fmt: skip
    """The pair function of what its linear arguments receive, by both roles of a particle.

    Cotangents c of rows are data, those of totals are shared. Results: for each linear displacement what the position
    receives, the strain d_0 (x) q for those whose box edges ask for it, then linear data, then linear shared numbers.
    """
    moving, changing, tuned = linear
    avals = signature.split([v.aval for v in program.jaxpr.invars])
    flags = [*moving, *changing, *changing, *tuned]
    targets = [v.aval for v, u in zip(program.jaxpr.outvars, used) if u]
    totals, parities = _only(signature.totals, used), _only(signature.parities, used)
    in_rows, in_sums = _chosen(targets, totals, False), _chosen(targets, totals, True)
    fixed = [[a for a, f in zip(group, fl) if not f] for group, fl in zip(avals, (moving, changing, changing, tuned))]
    further_in = (len(fixed[0]), len(fixed[1]) + len(in_rows), len(fixed[3]) + len(in_sums))

    def transposed(known: Sequence[Array], c: Sequence[Array]) -> list[list[Array]]:
        """What displacements, own data, other data and shared numbers receive from one pair."""

        def along(*moved: Array) -> list[Array]:
            rest, firm = iter(moved), iter(known)
            results = jaxpr_as_fun(program)(*(next(rest) if flag else next(firm) for flag in flags))
            return _only(results, used)

        received = jax.linear_transpose(along, *_only([a for g in avals for a in g], flags))(list(c))
        sizes = (sum(moving), sum(changing), sum(changing), sum(tuned))
        starts = [sum(sizes[:k]) for k in range(5)]
        return [list(received[a:b]) for a, b in zip(starts, starts[1:])]

    def pull(*values: Array) -> list[Array]:
        d, own, other, rest = replace(
            signature, displacements=further_in[0], data=further_in[1], shared=further_in[2]
        ).split(values)
        n, m = len(fixed[1]), len(fixed[3])
        c_own, c_other = _cotangents(totals, own[n:], other[n:], rest[m:])
        here = [*d, *own[:n], *other[:n], *rest[:m]]
        both = [a if s == 0 else a + s * b for a, b, s in zip(c_own, c_other, parities)]
        q, own_got, _, shared_got = transposed(here, both)
        back = [jnp.zeros_like(x) for x in q]
        shared_back = [jnp.zeros_like(x) for x in shared_got]
        if 0 in parities:
            there = [*(-x for x in d), *other[:n], *own[:n], *rest[:m]]
            without = [jnp.zeros_like(b) if s else b for b, s in zip(c_other, parities)]
            back, _, other_got, shared_back = transposed(there, without)
            own_got = [a + b for a, b in zip(own_got, other_got)]
        place = [b - a for a, b in zip(q, back)]
        strain = [0.5 * d[0][:, None] * (a - b)[None, :] for a, b in zip(_only(q, needs_edges), _only(back, needs_edges))]
        return [*place, *strain, *own_got, *(0.5 * (a + b) for a, b in zip(shared_got, shared_back))]

    inputs = [*fixed[0], *fixed[1], *in_rows, *fixed[2], *in_rows, *fixed[3], *in_sums]
    strains = sum(needs_edges)
    further = Signature(
        *further_in,
        totals=(False,) * sum(moving) + (True,) * strains + (False,) * sum(changing) + (True,) * sum(tuned),
        parities=(-1,) * sum(moving) + (1,) * strains + (0,) * sum(changing) + (1,) * sum(tuned),
    )
    return jax.make_jaxpr(pull)(*inputs), further


def _chosen(avals: Sequence[Any], totals: Sequence[bool], total: bool) -> list[Any]:
    """Those of the results that are totals, or those that are not."""
    return [a for a, t in zip(avals, totals) if t == total]


def _cotangents(totals: Sequence[bool], own: Sequence, other: Sequence, sums: Sequence) -> tuple[list, list]:
    """Cotangents of the results as the particle has them and as the other one has them, in the order of the results."""
    a, b, c = iter(own), iter(other), iter(sums)
    pairs = [(shared, shared) if total else (next(a), next(b)) for total in totals for shared in [next(c) if total else None]]
    return [x for x, _ in pairs], [y for _, y in pairs]


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
DECOMPOSED["sum_over_neighbors"] = _evaluate

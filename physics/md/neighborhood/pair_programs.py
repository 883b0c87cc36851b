"""The function of one pair behind a sum over neighbors, and what becomes of it: its tangents, and its transpose.

A pair function is a traced program of displacements [3], data of the particle itself, the same data of the other one, and
shared numbers, in this order, as its `Signature` says.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jaxtyping import Array


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


@functools.lru_cache(maxsize=512)
def constants_last(program: ClosedJaxpr, count: int) -> ClosedJaxpr:
    """A program with its first `count` arguments after the others."""
    if not count:
        return program
    avals = [v.aval for v in program.jaxpr.invars]
    call = jaxpr_as_fun(program)
    split = len(avals) - count
    return jax.make_jaxpr(lambda *v: call(*v[split:], *v[:split]))(*avals[count:], *avals[:count])


@functools.lru_cache(maxsize=512)
def tangent_program(
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

        return jax.jvp(along, only(primals, flags), list(tangents))[1]

    avals = signature.split([v.aval for v in program.jaxpr.invars])
    chosen = (moving, changing, changing, tuned)
    inputs = [aval for group, flags_ in zip(avals, chosen) for aval in (*group, *only(group, flags_))]
    return jax.make_jaxpr(push)(*inputs), further


@functools.lru_cache(maxsize=512)
def transposed_program(
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
    totals, parities = only(signature.totals, used), only(signature.parities, used)
    in_rows, in_sums = _chosen(targets, totals, False), _chosen(targets, totals, True)
    fixed = [[a for a, f in zip(group, fl) if not f] for group, fl in zip(avals, (moving, changing, changing, tuned))]
    further_in = (len(fixed[0]), len(fixed[1]) + len(in_rows), len(fixed[3]) + len(in_sums))

    def transposed(known: Sequence[Array], c: Sequence[Array]) -> list[list[Array]]:
        """What displacements, own data, other data and shared numbers receive from one pair."""

        def along(*moved: Array) -> list[Array]:
            rest, firm = iter(moved), iter(known)
            results = jaxpr_as_fun(program)(*(next(rest) if flag else next(firm) for flag in flags))
            return only(results, used)

        received = jax.linear_transpose(along, *only([a for g in avals for a in g], flags))(list(c))
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
        strain = [0.5 * d[0][:, None] * (a - b)[None, :] for a, b in zip(only(q, needs_edges), only(back, needs_edges))]
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


def only(values: Sequence[Any], chosen: Sequence[bool]) -> list[Any]:
    """The values that are flagged."""
    return [value for value, flag in zip(values, chosen) if flag]

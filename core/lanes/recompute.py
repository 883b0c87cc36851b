"""Rows that one loop leaves for another: computed again where they are read, instead of being stored.

Reverse mode makes two loops of one. The first keeps almost every number of every round, and the second reads them
backwards. A vector that goes to memory and back takes longer than the operation or two that it comes from, and thousands
of them a round take LLVM longer still. So where that pays, the first loop keeps what it carries and no more, and the
second runs the round again beside its own: in registers, where zeros and ones of the structure are still seen.

`Emitter.run` asks `rows_computed_again` which rows, `control.scan` makes them `Again` and reads them by `rows_at`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jax.extend.core import Literal

from .arrays import Memory, Value
from .builder import Register
from .decompositions import DECOMPOSED, OPERATIONS
from .mathematics import SUPPORTED
from .uniformity import inner_jaxpr, open_jaxpr, scan_counts

if TYPE_CHECKING:
    from .emitter import Emitter

# Operations that one stored element may save. The links of a chain of joints have 5 to 8, stages of a Runge-Kutta method 2.
WORTH = 16
_FUNCTION = 16  # operations that a sine or a logarithm counts for
_MOVING = frozenset(
    "broadcast_in_dim reshape squeeze expand_dims transpose slice rev concatenate stack unstack pad iota split copy "
    "convert_element_type gather dynamic_slice".split()
)


@dataclass(frozen=True, slots=True, eq=False)
class Rounds:
    """What it takes to run a loop's rounds again: the body, what it reads, and what was carried into each round."""

    body: Any
    constants: list[Value]
    carried: list[Memory]
    rows: list[Memory | Again]


@dataclass(frozen=True, slots=True, eq=False)
class Again:
    """Rows that are not there: in round k, this result of the body."""

    rounds: Rounds
    result: int
    uniform: bool


def memories(x: Value | Again) -> list[Memory]:
    """The memory that must stay as it is for a value to be read."""
    if isinstance(x, Again):
        return [m for y in (*x.rounds.constants, *x.rounds.carried, *x.rounds.rows) for m in memories(y)]
    return [x] if isinstance(x, Memory) else []


def row(emitter: Emitter, x: Memory, k: Register, shape: tuple[int, ...]) -> Memory:
    """Row k of a stacked array, where it stands."""
    place = emitter.b.pure("i64", True, f"mul i64 {k.name}, {math.prod(shape)}")
    return Memory(emitter.store.address(x, place), shape, x.dtype, x.stride, x.uniform)


def rows_at(emitter: Emitter, xs: Sequence[Memory | Again], k: Register) -> list[Value]:
    """Row k of each of these: read, or computed again, together where they come from the same loop."""
    results: dict[int, list[Value]] = {}
    for x in xs:
        if isinstance(x, Again) and id(x.rounds) not in results:
            own, body = x.rounds, open_jaxpr(x.rounds.body)[0]
            wanted = {y.result for y in xs if isinstance(y, Again) and y.rounds is own}
            given = [*own.constants, *rows_at(emitter, [*own.carried, *own.rows], k)]
            results[id(own)] = emitter.run(own.body, given, wanted=[n in wanted for n in range(len(body.outvars))])
    return [
        results[id(x.rounds)][x.result]
        if isinstance(x, Again)
        else emitter.store.settled(row(emitter, x, k, x.shape[1:]))
        for x in xs
    ]


def rows_computed_again(body: Any, equations: Sequence[Any]) -> dict[int, list[bool]]:
    """For the scans among the equations of a jaxpr that leave such rows, by place: which of their stacked results."""
    read: set[Any] = set()
    stored = {v for v in body.outvars if not isinstance(v, Literal)}
    for equation in equations:
        fixed = sum(scan_counts(equation.params)) if _is_loop(equation) else len(equation.invars)
        for place, v in enumerate(equation.invars):
            if not isinstance(v, Literal):
                (stored if place < fixed else read).add(v)
    found = {}
    for k, equation in enumerate(equations):
        if not _is_loop(equation):
            continue
        carries = scan_counts(equation.params)[1]
        stacked = equation.outvars[carries:]
        flags = [v in read and v not in stored for v in stacked]
        if any(flags) and _pays(equation, carries, flags):
            found[k] = flags
    return found


def _is_loop(equation: Any) -> bool:
    """Whether an equation is a scan that is written as a loop, with rows as its last operands."""
    return equation.primitive.name == "scan" and equation.params["length"] > 1


def _pays(equation: Any, carries: int, flags: Sequence[bool]) -> bool:
    body, _ = open_jaxpr(equation.params["jaxpr"])
    sizes = [math.prod(v.aval.shape) for v in body.outvars]
    saved = sum(n for n, flag in zip(sizes[carries:], flags, strict=True) if flag)
    return saved > 2 * sum(sizes[:carries]) and _operations(body) <= WORTH * saved


def _operations(jaxpr: Any) -> float:
    """About how many operations a program takes for one lane; infinitely many when it has loops."""
    return sum(map(_of_equation, open_jaxpr(jaxpr)[0].eqns))


def _of_equation(equation: Any) -> float:
    name, params = equation.primitive.name, equation.params
    size = sum(math.prod(v.aval.shape) for v in equation.outvars)
    if name in ("scan", "while", "custom_linear_solve") or name in OPERATIONS:
        return math.inf
    if name == "cond":
        return sum(map(_operations, params["branches"]))
    inner = inner_jaxpr(name, params)
    if inner is not None:
        return _operations(inner)
    if name in _MOVING:
        return 0
    if name in DECOMPOSED:
        return size * _FUNCTION
    if name == "dot_general":
        (along, _), _ = params["dimension_numbers"]
        return size * math.prod(equation.invars[0].aval.shape[d] for d in along)
    if name in SUPPORTED and name not in ("abs", "sign", "sqrt", "floor", "ceil", "round"):
        return size * _FUNCTION
    reads = sum(math.prod(v.aval.shape) for v in equation.invars)
    return max(size, reads) if name.startswith(("reduce", "cum", "arg")) else size

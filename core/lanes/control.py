"""Control flow of the one-lane program: loops that run until their last lane is done, branches that lanes share.

What a loop carries stands in stack slots, which LLVM turns into registers. A lane that is done keeps its values while
others go on; nothing it computes meanwhile is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from .arithmetic import choose, compare, is_uniform, maximum, minimum, number
from .arrays import Memory, Registers, Value, scalar_of
from .builder import Element
from .indexing import both, same_for_all
from .keys import without_keys
from .recompute import Again, Rounds, row, rows_at
from .structure import broadcast_in_dim, elementwise, reduction, reshape
from .uniformity import open_jaxpr, scan_counts, scan_varies, varying_results, while_varies

if TYPE_CHECKING:
    from .emitter import Emitter


class Slots:
    """Memory for values that change from round to round, and their copies for the next one where they are large."""

    def __init__(self, emitter: Emitter, shapes: Sequence[Any], varying: Sequence[bool]):
        self.store = emitter.store
        self.now = [self.store.memory(a.shape, a.dtype, uniform=not v) for a, v in zip(shapes, varying, strict=True)]
        emitter.slots.update({m.address.name: emitter.mask for m in self.now})

    def set(self, values: Sequence[Value], where: Element | None = None) -> None:
        """Store the values, only in lanes where `where` holds when it is given."""
        safe = [self._apart(v, slot) for v, slot in zip(values, self.now, strict=True)]
        for value, slot in zip(safe, self.now, strict=True):
            if isinstance(value, Memory) and value.address is slot.address:
                continue  # unchanged, or changed where it stands
            if where is None:
                self.store.copy(value, slot)
            else:
                self._merge(value, slot, where)

    def _apart(self, value: Value, slot: Memory) -> Value:
        """A value that storing into other slots cannot change: large ones may stand in a slot themselves."""
        if not isinstance(value, Memory) or value.address is slot.address:
            return value
        if all(value.address.name != other.address.name for other in self.now):
            return value
        copy = self.store.memory(value.shape, value.dtype, value.uniform)
        self.store.copy(value, copy)
        return copy

    def _merge(self, value: Value, slot: Memory, where: Element) -> None:
        b, scalar = self.store.b, scalar_of(slot.dtype)
        if isinstance(value, Registers):
            for k, e in enumerate(value.data.reshape(-1)):
                self.store.write(slot, k, choose(b, scalar, where, e, self.store.read(slot, k)))
            return
        with b.loop(value.size) as place:
            old, new = self.store.read(slot, place), self.store.read(value, place)
            self.store.write(slot, place, choose(b, scalar, where, new, old))

    def get(self) -> list[Value]:
        """The values as they are now, small ones in registers."""
        return [self.store.settled(slot) for slot in self.now]


def scan(
    emitter: Emitter, params: dict, xs: list[Any], wanted: Sequence[bool], again: Sequence[bool] | None
) -> list[Any]:
    """`lax.scan`: the body in a loop, rows read from and written to memory.

    Stacked results that are not `wanted` are not written; neither are those marked in `again`, which are `Again` instead.
    """
    store, length = emitter.store, params["length"]
    nc, nk = scan_counts(params)
    body, _ = open_jaxpr(params["jaxpr"])
    consts, carry, rows = xs[:nc], xs[nc : nc + nk], xs[nc + nk :]
    if length == 1:
        first = [reshape(store, x, x.shape[1:]) for x in rows]
        once = emitter.run(params["jaxpr"], [*consts, *carry, *first], wanted)
        return [*once[:nk], *(reshape(store, y, (1, *y.shape)) if w else y for y, w in zip(once[nk:], wanted[nk:]))]
    varying = scan_varies(params, [not (x.uniform if isinstance(x, Again) else same_for_all(x)) for x in xs])
    slots = Slots(emitter, [v.aval for v in body.outvars[:nk]], varying[:nk])
    slots.set(carry)
    stacked = [x if isinstance(x, Again) else store.in_memory(x) for x in rows]

    def memory_of_rows(k: int) -> Memory:
        aval = body.outvars[k].aval
        return store.memory((length, *aval.shape), aval.dtype, uniform=not varying[k])

    again = again or [False] * (len(wanted) - nk)
    written = [w and not a for w, a in zip(wanted[nk:], again, strict=True)]
    outs = {k: memory_of_rows(k) for k, flag in enumerate(written, nk) if flag}
    carried = {k: memory_of_rows(k) for k in range(nk) if any(again)}
    with emitter.b.loop(length, reverse=params["reverse"]) as k, emitter.kept([*consts, *stacked]):
        now = slots.get()
        for place, m in carried.items():
            store.copy(now[place], row(emitter, m, k, m.shape[1:]))
        given = [*consts, *now, *rows_at(emitter, stacked, k)]
        results = emitter.run(params["jaxpr"], given, [True] * nk + written)
        for place, m in outs.items():
            store.copy(results[place], row(emitter, m, k, m.shape[1:]))
        slots.set(results[:nk])
    rounds = Rounds(params["jaxpr"], consts, list(carried.values()), stacked)
    return [
        *slots.get(),
        *(
            Again(rounds, place, not varying[place]) if flag else store.settled(outs[place]) if place in outs else None
            for place, flag in enumerate(again, nk)
        ),
    ]


def while_loop(emitter: Emitter, params: dict, xs: list[Value]) -> list[Value]:
    """`lax.while_loop`: goes on while any active lane does; lanes that are done keep their values.

    Under `vmap` the condition is an array: the loop goes on while any of it holds, and rows that are done stay.
    """
    nc, nb, b = params["cond_nconsts"], params["body_nconsts"], emitter.b
    body, _ = open_jaxpr(params["body_jaxpr"])
    varying = while_varies(params, [not same_for_all(x) for x in xs])
    slots = Slots(emitter, [v.aval for v in body.outvars], varying)
    slots.set(xs[nc + nb :])
    head, inside, end = b.label("while"), b.label("body"), b.label("done")
    b.go(head)
    b.begin(head)
    with b.scope():
        state = slots.get()
        with emitter.kept([*xs[:nc], *state]):
            goes_on = emitter.run(params["cond_jaxpr"], [*xs[:nc], *state])[0]
        rows = goes_on.shape
        active = emitter.store.element(reduction("or")(emitter.store, {"axes": range(len(rows))}, goes_on), 0)
        each = None
        if not is_uniform(active):
            each = active if emitter.mask is None else both(emitter.store, active, emitter.mask)
        b.branch(b.any(active if each is None else each), inside, end)
        b.begin(inside)
        before, emitter.mask = emitter.mask, emitter.mask if each is None else each
        with emitter.kept([*xs[: nc + nb], *(state if rows else [])]):
            after = emitter.run(params["body_jaxpr"], [*xs[nc : nc + nb], *state])
            if rows:
                after = [_by_rows(emitter, goes_on, new, old) for new, old in zip(after, state, strict=True)]
        emitter.mask = before
        slots.set(after, each)
        b.go(head)
    b.begin(end)
    return slots.get()


def _by_rows(emitter: Emitter, which: Value, new: Value, old: Value) -> Value:
    """The new value in the rows (along the first axes) for which a condition holds, the old one in others."""
    store, scalar = emitter.store, scalar_of(new.dtype)
    wide = broadcast_in_dim(store, {"shape": new.shape, "broadcast_dimensions": range(len(which.shape))}, which)
    rule = lambda w, yes, no: choose(store.b, scalar, w, yes, no)
    return elementwise(store, new.shape, new.dtype, rule, [wide, new, old])


def cond(emitter: Emitter, params: dict, xs: list[Value]) -> list[Value]:
    """`lax.cond` and `lax.switch`: each branch runs when any active lane takes it, and only those lanes keep it."""
    branches, b, store = params["branches"], emitter.b, emitter.store
    index, arguments = store.element(xs[0], 0), xs[1:]
    last, kind = len(branches) - 1, xs[0].dtype
    if number(index):
        return emitter.run(branches[min(max(int(index), 0), last)], arguments)  # type: ignore[arg-type]
    if kind.kind != "b":
        index = minimum(b, {}, kind, maximum(b, {}, kind, index, 0), last)
    flags = [not same_for_all(x) for x in arguments]
    each = [varying_results(branch, flags) for branch in branches]
    varies = [not is_uniform(index) or any(e[k] for e in each) for k in range(len(each[0]))]
    slots = Slots(emitter, [v.aval for v in open_jaxpr(branches[0])[0].outvars], varies)
    for k, branch in enumerate(branches):
        taken = (index if k else _not(emitter, index)) if kind.kind == "b" else compare(b, "eq", kind, index, k)
        alone = is_uniform(taken)
        if not alone and emitter.mask is not None:
            taken = both(store, taken, emitter.mask)
        with b.when(b.any(taken)):
            before = emitter.mask
            emitter.mask = before if alone else taken
            results = emitter.run(branch, arguments)
            emitter.mask = before
            slots.set(results, None if alone else taken)
    return slots.get()


def _not(emitter: Emitter, x: Element) -> Element:
    from .arithmetic import RULES as ARITHMETIC

    return ARITHMETIC["not"](emitter.b, {}, np.dtype(bool), x)


def linear_solve(emitter: Emitter, params: dict, xs: list[Value]) -> list[Value]:
    """`lax.custom_linear_solve`: its own solver, on the constants that belong to it and the right-hand sides."""
    lengths = params["const_lengths"]
    begin = lengths.matvec + lengths.vecmat
    end = begin + lengths.solve
    return emitter.run(params["jaxprs"].solve, [*xs[begin:end], *xs[end + lengths.transpose_solve :]])


def lanes_within(emitter: Emitter, params: dict, xs: list[Value]) -> list[Value]:
    """Lanes within a lane: one is part of its program, several are the program that `vmap` makes of them."""
    from .lowering import by_vmap, count_lanes

    jaxpr, laned = params["jaxpr"], params["laned"]
    if count_lanes(laned, xs) > 1:
        shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in xs]
        return emitter.run(jax.make_jaxpr(lambda *a: by_vmap(*a, jaxpr=jaxpr, laned=laned))(*shapes), xs)
    store = emitter.store
    inner = [reshape(store, x, x.shape[:-1]) if has_lanes else x for x, has_lanes in zip(xs, laned)]
    return [reshape(store, y, (*y.shape, 1)) for y in emitter.run(without_keys(jaxpr), inner)]


def any_lane(emitter: Emitter, params: dict, xs: list[Value]) -> list[Value]:
    """Conditions that hold in any active lane, as uniform ones."""
    (x,), store = xs, emitter.store
    if same_for_all(x):
        return [x]

    def shared(e: Element) -> Element:
        if is_uniform(e):
            return e
        return emitter.b.any(e if emitter.mask is None else both(store, e, emitter.mask))

    if isinstance(x, Registers):
        data = np.empty(x.size, object)
        data[:] = [shared(e) for e in x.data.flat]
        return [Registers(data.reshape(x.shape), x.dtype)]
    m = store.memory(x.shape, x.dtype, uniform=True)
    with emitter.b.loop(m.size) as k:
        store.write(m, k, shared(store.read(x, k)))
    return [m]


RULES: dict[str, Callable] = {
    "any_lane": any_lane, "lanes": lanes_within, "scan": scan, "while": while_loop, "cond": cond,
    "custom_linear_solve": linear_solve,
}  # fmt: skip

"""Operations that move elements or reduce them, on arrays in registers and in memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arithmetic import RULES, add, choose, compare, convert, is_uniform, maximum, minimum, mul, number
from .arrays import Memory, Registers, Store, Value, Zero, is_small, scalar_of
from .builder import Element, Register
from .indexing import both, every, flat, same_for_all, strides_of


def affine(store: Store, x: Value, shape: tuple[int, ...], steps: Sequence[int], start: int = 0) -> Value:
    """The array whose element i is `x` at the flat place start + i . steps: transposed, sliced, reversed, repeated."""
    if isinstance(x, Registers):
        if is_small(shape):
            flat_data = x.data.reshape(-1)
            data = np.empty(shape, object)
            for index in np.ndindex(*shape):
                data[index] = flat_data[start + sum(i * s for i, s in zip(index, steps))]
            return Registers(data, x.dtype)
        x = store.in_memory(x)
    m = store.memory(shape, x.dtype, x.uniform)
    place_affine(store, x, m, shape, (steps, start), (strides_of(shape), 0))
    return store.settled(m)


def place_affine(store: Store, x: Value, target: Memory, shape: Sequence[int], source: tuple, goal: tuple) -> None:
    """Copy x[start + i . steps] to target[start' + i . steps'] for every multi-index i of `shape`."""
    for index in every(store, shape, isinstance(x, Registers)):
        e = store.element(x, flat(store, index, source[0], source[1]))
        store.write(target, flat(store, index, goal[0], goal[1]), e)


def broadcast_in_dim(store: Store, params: dict, x: Value, *_: Value) -> Value:
    """`x` with its axes at the places given, repeated along the others."""
    own = strides_of(x.shape)
    steps = [0] * len(params["shape"])
    for d, axis in enumerate(params["broadcast_dimensions"]):
        steps[axis] = own[d] if x.shape[d] != 1 else 0
    result = affine(store, x, tuple(params["shape"]), steps)
    if isinstance(result, Registers) and result.dtype.kind == "f" and x.size == 1:
        for k, e in enumerate(result.data.flat):  # jnp.zeros(n) is written so
            if number(e) and e == 0.0 and math.copysign(1.0, e) > 0:  # type: ignore[arg-type]
                result.data.flat[k] = Zero(0.0)
    return result


def reshape(store: Store, x: Value, shape: Sequence[int]) -> Value:
    """The same elements in another shape."""
    if isinstance(x, Memory):
        return x.reshaped(tuple(shape))
    return Registers(x.data.reshape(tuple(shape)), x.dtype)


def transpose(store: Store, params: dict, x: Value) -> Value:
    """`x` with its axes in another order."""
    order, own = params["permutation"], strides_of(x.shape)
    return affine(store, x, tuple(x.shape[d] for d in order), [own[d] for d in order])


def take_slice(store: Store, params: dict, x: Value) -> Value:
    """`x[start : limit : stride]` along every axis."""
    starts, limits = params["start_indices"], params["limit_indices"]
    strides = params["strides"] or (1,) * len(starts)
    shape = tuple(-(-(high - low) // s) for low, high, s in zip(starts, limits, strides))
    own = strides_of(x.shape)
    return affine(store, x, shape, [n * s for n, s in zip(own, strides)], sum(n * low for n, low in zip(own, starts)))


def reverse(store: Store, params: dict, x: Value) -> Value:
    """`x` backwards along some axes."""
    own, back = strides_of(x.shape), params["dimensions"]
    steps = [-n if d in back else n for d, n in enumerate(own)]
    return affine(store, x, x.shape, steps, sum(own[d] * (x.shape[d] - 1) for d in back))


def concatenate(store: Store, params: dict, *xs: Value) -> Value:
    """Arrays joined along an axis."""
    axis = params["dimension"]
    shape = list(xs[0].shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    if is_small(tuple(shape)):
        return Registers(np.concatenate([store.in_registers(x).data for x in xs], axis), xs[0].dtype)
    known = [_numbers(x) for x in xs]
    if all(k is not None for k in known):
        return store.table(np.concatenate(known, axis))  # type: ignore[arg-type]
    m = store.memory(tuple(shape), xs[0].dtype, uniform=all(map(same_for_all, xs)))
    goal, begin = strides_of(shape), 0
    for x in xs:
        place_affine(store, x, m, x.shape, (strides_of(x.shape), 0), (goal, begin * goal[axis]))
        begin += x.shape[axis]
    return m


def _numbers(x: Value) -> np.ndarray | None:
    """The array where all of it is known when the program is compiled."""
    if isinstance(x, Memory) or any(type(e) is Register for e in x.data.reshape(-1)):
        return None
    elements = [float(e) if isinstance(e, float) else e for e in x.data.reshape(-1)]
    return np.array(elements, x.dtype).reshape(x.shape)


def pad(store: Store, params: dict, x: Value, filler: Value) -> Value:
    """`x` with the filler around it and between its elements; negative widths cut."""
    config = params["padding_config"]
    shape = tuple(lo + hi + n + max(n - 1, 0) * inner for (lo, hi, inner), n in zip(config, x.shape))
    fill = store.element(filler, 0)
    if number(fill) and filler.dtype.kind == "f" and fill == 0.0:
        fill = Zero(0.0)
    sources = []  # along each axis the elements of x that stay, and where they go
    for (lo, _, inner), n, size in zip(config, x.shape, shape):
        sources.append([(k, lo + k * (inner + 1)) for k in range(n) if 0 <= lo + k * (inner + 1) < size])
    if is_small(shape) and is_small(x.shape):
        data = np.empty(shape, object)
        data[...] = fill
        held = store.in_registers(x).data
        for pairs in itertools.product(*sources):
            data[tuple(p[1] for p in pairs)] = held[tuple(p[0] for p in pairs)]
        return Registers(data, x.dtype)
    m = store.memory(shape, x.dtype)
    with store.b.loop(m.size) as k:
        store.write(m, k, fill)
    if all(sources):
        own, goal = strides_of(x.shape), strides_of(shape)
        start = sum(n * s[0][0] for n, s in zip(own, sources))
        begin = sum(n * s[0][1] for n, s in zip(goal, sources))
        steps = [n * (inner + 1) for n, (_, _, inner) in zip(goal, config)]
        place_affine(store, store.in_memory(x), m, [len(s) for s in sources], (own, start), (steps, begin))
    return store.settled(m)


def iota(store: Store, params: dict) -> Value:
    """0, 1, 2, ... along an axis."""
    values = np.arange(params["shape"][params["dimension"]], dtype=params["dtype"])
    wide = [1] * len(params["shape"])
    wide[params["dimension"]] = -1
    return store.constant(np.broadcast_to(values.reshape(wide), params["shape"]), structural=False)


def split(store: Store, params: dict, x: Value) -> list[Value]:
    """An array cut along an axis."""
    axis, parts, begin = params["axis"], [], 0
    for size in params["sizes"]:
        starts = [begin if d == axis else 0 for d in range(len(x.shape))]
        limits = [begin + size if d == axis else n for d, n in enumerate(x.shape)]
        parts.append(take_slice(store, {"start_indices": starts, "limit_indices": limits, "strides": None}, x))
        begin += size
    return parts


def _folded(store: Store, x: Value, axes: Sequence[int], step: Callable, first: Sequence[Element]) -> list[Value]:
    """Elements along `axes` taken in one after the other: `state = step(state, element, place along the axes)`."""
    kept = [d for d in range(len(x.shape)) if d not in axes]
    shape, own = tuple(x.shape[d] for d in kept), strides_of(x.shape)
    lengths = [x.shape[d] for d in axes]
    kinds = [np.dtype(d) for d in step.dtypes]  # type: ignore[attr-defined]
    unrolled = is_small(x.shape)
    if unrolled:
        held = store.in_registers(x)
        data = [np.empty(shape, object) for _ in kinds]
        for index in np.ndindex(*shape):
            state: list[Element] = list(first)
            for count, at in enumerate(itertools.product(*(range(n) for n in lengths))):
                whole = dict(zip(kept, index)) | dict(zip(axes, at))
                state = step(state, held.data[tuple(whole[d] for d in range(len(x.shape)))], count)
            for part, s in zip(data, state):
                part[index] = s
        return [Registers(d, kind) for d, kind in zip(data, kinds)]
    x = store.in_memory(x)
    results = [store.memory(shape, kind) for kind in kinds]
    for outer in every(store, shape, unrolled=False):
        slots = [store.memory((), kind) for kind in kinds]
        for slot, e in zip(slots, first):
            store.write(slot, 0, e)
        base = flat(store, outer, [own[d] for d in kept])
        for along in every(store, lengths, unrolled=False):
            e = store.read(x, flat(store, along, [own[d] for d in axes], base))
            place = flat(store, along, strides_of(lengths))
            for slot, new in zip(slots, step([store.read(slot, 0) for slot in slots], e, place)):
                store.write(slot, 0, new)
        for out, slot in zip(results, slots):
            store.write(out, flat(store, outer, strides_of(shape)), store.read(slot, 0))
    return [store.settled(r) for r in results]


def _limit(dtype: np.dtype, largest: bool) -> Element:
    if dtype.kind == "f":
        return math.inf if largest else -math.inf
    if dtype.kind == "b":
        return largest
    return int(np.iinfo(dtype).max if largest else np.iinfo(dtype).min)


def reduction(name: str) -> Callable:
    """The rule of `reduce_sum`, `reduce_max` and the like."""

    def rule(store: Store, params: dict, x: Value) -> Value:
        first: dict[str, Element] = {
            "sum": 0.0 if x.dtype.kind == "f" else 0, "prod": 1.0 if x.dtype.kind == "f" else 1,
            "max": _limit(x.dtype, False), "min": _limit(x.dtype, True), "and": _limit(x.dtype, True), "or": 0, "xor": 0,
        }  # fmt: skip
        if name == "and" and x.dtype.kind != "b":
            first["and"] = -1
        start = Zero(0.0) if name == "sum" and x.dtype.kind == "f" else first[name]
        combine = RULES[{"sum": "add", "prod": "mul"}.get(name, name)]

        def step(state: list, e: Element, place: Element) -> list:
            return [combine(store.b, {}, x.dtype, state[0], e)]

        step.dtypes = [x.dtype]  # type: ignore[attr-defined]
        return _folded(store, x, params["axes"], step, [start])[0]

    return rule


def arg_extreme(name: str) -> Callable:
    """The rule of `argmax` and `argmin`: the first place of the extreme, or of the first NaN."""

    def rule(store: Store, params: dict, x: Value) -> Value:
        index_dtype, b = np.dtype(params["index_dtype"]), store.b
        scalar = scalar_of(x.dtype)

        def step(state: list, e: Element, place: Element) -> list:
            better: Element = compare(b, "gt" if name == "argmax" else "lt", x.dtype, e, state[0])
            if x.dtype.kind == "f":
                first_nan = both(store, compare(b, "ne", x.dtype, e, e), compare(b, "eq", x.dtype, state[0], state[0]))
                better = RULES["or"](b, {}, np.dtype(bool), better, first_nan)
                held_nan = compare(b, "eq", x.dtype, state[0], state[0])
                better = both(store, better, held_nan)
            if number(place) and place == 0:
                better = True
            elif not number(place):
                better = RULES["or"](b, {}, np.dtype(bool), better, compare(b, "eq", np.dtype("int64"), place, 0))
            chosen = choose(b, scalar_of(index_dtype), better, convert(b, place, np.int64, index_dtype), state[1])
            return [choose(b, scalar, better, e, state[0]), chosen]

        step.dtypes = [x.dtype, index_dtype]  # type: ignore[attr-defined]
        return _folded(store, x, params["axes"], step, [_limit(x.dtype, name == "argmin"), 0])[1]

    return rule


def cumulative(name: str) -> Callable:
    """The rule of `cumsum`, `cumprod`, `cummax`, `cummin`."""
    combine = {"cumsum": add, "cumprod": mul, "cummax": maximum, "cummin": minimum}[name]

    def rule(store: Store, params: dict, x: Value) -> Value:
        axis, n = params["axis"], x.shape[params["axis"]]
        if is_small(x.shape):
            data = store.in_registers(x).data.copy()
            moved = np.moveaxis(data, axis, 0)
            order = range(n - 2, -1, -1) if params["reverse"] else range(1, n)
            for k in order:
                before = k + 1 if params["reverse"] else k - 1
                for index in np.ndindex(*moved.shape[1:]):
                    moved[(k, *index)] = combine(store.b, {}, x.dtype, moved[(before, *index)], moved[(k, *index)])
            return Registers(data, x.dtype)
        x, own = store.in_memory(x), strides_of(x.shape)
        m = store.memory(x.shape, x.dtype, x.uniform)
        store.copy(x, m)
        others = [d for d in range(len(x.shape)) if d != axis]
        for index in every(store, [x.shape[d] for d in others], unrolled=False):
            base = flat(store, index, [own[d] for d in others])
            if n > 1:
                with store.b.loop(n - 1, reverse=params["reverse"]) as step:
                    here = flat(store, [step], [own[axis]], flat(store, [0 if params["reverse"] else 1], [own[axis]], base))
                    there = flat(store, [step], [own[axis]], flat(store, [1 if params["reverse"] else 0], [own[axis]], base))
                    store.write(m, here, combine(store.b, {}, x.dtype, store.read(m, there), store.read(m, here)))
        return m

    return rule


def elementwise(store: Store, shape: tuple[int, ...], dtype: Any, rule: Callable, xs: Sequence[Value]) -> Value:
    """`rule(elements)` for each element; arrays of shape () go with all."""
    if is_small(shape):
        data = [np.broadcast_to(store.in_registers(x).data, shape).ravel().tolist() for x in xs]
        out = np.empty(math.prod(shape), object)
        for place, elements in enumerate(zip(*data, strict=True)):
            out[place] = rule(*elements)
        return Registers(out.reshape(shape), np.dtype(dtype))
    xs = [x if x.size == 1 or x.shape == shape else _spread(store, x, shape) for x in xs]
    single = [store.element(x, 0) if x.size == 1 else None for x in xs]
    uniform = all(x.uniform if isinstance(x, Memory) else is_uniform(*x.data.flat) for x in xs)
    held = [x if e is not None else store.in_memory(x) for x, e in zip(xs, single)]
    m = store.memory(shape, dtype, uniform)
    with store.b.loop(m.size) as k:
        store.write(m, k, rule(*(store.read(x, k) if e is None else e for x, e in zip(held, single))))  # type: ignore[arg-type]
    return m


def _spread(store: Store, x: Value, shape: tuple[int, ...]) -> Value:
    """`x` repeated along the axes on which it has one element only."""
    steps = [n if size != 1 else 0 for n, size in zip(strides_of(x.shape), x.shape, strict=True)]
    return affine(store, x, shape, steps)

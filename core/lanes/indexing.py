"""Reading and writing at places known only when the program runs: slices, gather and scatter.

An index is a constant, the same for all lanes, or one for each lane; the last kind reads lane by lane. No index ever
leads outside its array: it is clamped, as JAX's modes say, before anything is read.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from .arithmetic import add, binary, choose, compare, convert, is_uniform, maximum, minimum, mul, number
from .arrays import Memory, Registers, Store, Value, is_small, scalar_of
from .builder import Element, Register
from .runs import pieces, read_piece, readable_as_runs

INDEX, UNSIGNED = np.dtype("int64"), np.dtype("uint64")
SELECT_ELEMENTS = 16  # an array up to this size is searched by selection instead of being written to memory


def strides_of(shape: Sequence[int]) -> list[int]:
    """Elements between neighbours along each axis of a row-major array."""
    return [math.prod(shape[d + 1 :]) for d in range(len(shape))]


def every(store: Store, shape: Sequence[int], unrolled: bool) -> Iterator[tuple[Element, ...]]:
    """The multi-indices of an array: constants one after the other, or registers in nested loops of the program."""
    if unrolled:
        yield from itertools.product(*(range(n) for n in shape))
        return
    with ExitStack() as stack:
        yield tuple(0 if n == 1 else stack.enter_context(store.b.loop(n)) for n in shape)


def flat(store: Store, index: Sequence[Element], strides: Sequence[int], offset: Element = 0) -> Element:
    """The sum of offset and index times strides, as a constant or an i64."""
    total = offset
    for i, stride in zip(index, strides, strict=True):
        if number(i) and number(total):
            total = int(total) + int(i) * stride  # type: ignore[arg-type]
        elif not (number(i) and int(i) * stride == 0):  # type: ignore[arg-type]
            total = add(store.b, {}, INDEX, total, mul(store.b, {}, INDEX, i, stride))
    return total


def pick(store: Store, x: Value, place: Element) -> Element:
    """The element of `x` at a flat place that is known to lie inside."""
    if number(place):
        return store.element(x, int(place))  # type: ignore[arg-type]
    if isinstance(x, Registers):
        if x.size <= SELECT_ELEMENTS:
            elements = x.data.reshape(-1)
            chosen = elements[-1]
            for k in reversed(range(x.size - 1)):
                chosen = choose(store.b, scalar_of(x.dtype), compare(store.b, "eq", INDEX, place, k), elements[k], chosen)
            return chosen
        x = store.in_memory(x)
    if is_uniform(place):
        return store.read(x, place)
    assert isinstance(place, Register)
    return _lane_by_lane(store, x, place)


def _lane_addresses(store: Store, x: Memory, place: Register) -> Iterator[tuple[int, Register]]:
    """Where the element at each lane's own place stands."""
    b = store.b
    itemsize = max(x.dtype.itemsize, 1)
    for lane in range(b.width):
        own = place
        if b.width > 1:
            own = b.pure("i64", True, f"extractelement {b.type('i64')} {place.name}, i64 {lane}")
        own = Register(own.name, "i64", True)
        address = store.address(x, own)
        yield lane, b.offset(address, 0 if x.uniform else lane, itemsize)


def _lane_by_lane(store: Store, x: Memory, place: Register) -> Element:
    b, scalar = store.b, scalar_of(x.dtype)
    stored = "i8" if scalar == "i1" else scalar
    kind = b.type(stored)
    text = "poison"
    result: Register | None = None
    for lane, address in _lane_addresses(store, x, place):
        one = b.load(address, stored, True, x.dtype.itemsize)
        if b.width == 1:
            result = Register(one.name, stored)
        else:
            result = b.set(stored, False, f"insertelement {kind} {text}, {stored} {one.name}, i64 {lane}")
            text = result.name
    assert result is not None
    return compare(b, "ne", np.dtype("int8"), result, 0) if scalar == "i1" else result


def put(store: Store, x: Memory, place: Element, element: Element, where: Element = True) -> None:
    """Set the element of `x` (memory of this program, one value a lane) at a flat place, in lanes where `where` holds."""
    b, scalar = store.b, scalar_of(x.dtype)
    if is_uniform(place):
        if not number(where) or not where:
            element = choose(b, scalar, where, element, store.read(x, place))
        store.write(x, place, element)
        return
    assert isinstance(place, Register)
    value = b.operand(element, scalar)
    if scalar == "i1":
        value = b.pure("i8", False, f"zext {b.type('i1')} {value} to {b.type('i8')}").name
    stored = "i8" if scalar == "i1" else scalar
    unused = b.alloca(f"[{x.dtype.itemsize} x i8]")
    mask = b.operand(where, "i1")
    for lane, address in _lane_addresses(store, x, place):
        one, allowed = value, mask
        if b.width > 1:
            one = b.set(stored, True, f"extractelement {b.type(stored)} {value}, i64 {lane}").name
            allowed = b.set("i1", True, f"extractelement {b.type('i1')} {mask}, i64 {lane}").name
        target = b.set("ptr", True, f"select i1 {allowed}, ptr {address.name}, ptr {unused.name}")
        b.do(f"store {stored} {one}, ptr {target.name}, align {x.dtype.itemsize}")


def both(store: Store, p: Element, q: Element) -> Element:
    """Whether two conditions hold."""
    if number(p):
        return q if p else False
    if number(q):
        return p if q else False
    return binary(store.b, "and", "i1", p, q)


def _as_index(store: Store, x: Element, dtype: Any) -> Element:
    return convert(store.b, x, dtype, INDEX)


def _as_start(store: Store, x: Element, dtype: Any) -> Element:
    """An index; one beyond the largest signed number is that number, not a negative one."""
    if np.dtype(dtype) == UNSIGNED:
        x = minimum(store.b, {}, UNSIGNED, x, int(np.iinfo(INDEX).max))
    return _as_index(store, x, dtype)


def _clamped(store: Store, x: Element, largest: int) -> Element:
    if number(x):
        return min(max(int(x), 0), largest)  # type: ignore[arg-type]
    if largest == 0:
        return 0
    return minimum(store.b, {}, INDEX, maximum(store.b, {}, INDEX, x, 0), largest)


def _starts(store: Store, operand: Value, sizes: Sequence[int], starts: Sequence[Value]) -> Element:
    """The flat place of a dynamic slice: starts count from the end where negative no more (JAX did that), clamped."""
    elements = [_as_start(store, store.element(s, 0), s.dtype) for s in starts]
    inside = [_clamped(store, i, n - size) for i, n, size in zip(elements, operand.shape, sizes, strict=True)]
    return flat(store, inside, strides_of(operand.shape))


def dynamic_slice(store: Store, params: dict, operand: Value, *starts: Value) -> Value:
    """`operand[start : start + size]` along every axis, the starts clamped so that it lies inside."""
    sizes = params["slice_sizes"]
    base, strides = _starts(store, operand, sizes, starts), strides_of(operand.shape)
    contiguous = is_uniform(base) and isinstance(operand, Memory) and _is_contiguous(sizes, operand.shape)
    if contiguous:
        view = Memory(store.address(operand, base), tuple(sizes), operand.dtype, operand.stride, operand.uniform)  # type: ignore[arg-type, union-attr]
        return store.settled(view) if is_small(view.shape) else _copied(store, view)
    if _is_contiguous(sizes, operand.shape) and is_small(tuple(sizes)):
        return Registers(np.array(_run(store, operand, base, math.prod(sizes)), object).reshape(sizes), operand.dtype)
    return _collected(
        store, tuple(sizes), operand.dtype, lambda index: pick(store, operand, flat(store, index, strides, base))
    )


def _run(store: Store, x: Value, place: Element, count: int) -> list[Element]:
    """`count` elements one after the other from a flat place on, all known to lie inside."""
    if not readable_as_runs(store, x, place):
        return [pick(store, x, flat(store, [k], [1], place)) for k in range(count)]
    found: list[Element] = []
    for start, length in pieces(store.b, count):
        at = flat(store, [start], [1], place)
        found += [pick(store, x, at)] if length == 1 else read_piece(store, x, at, length)  # type: ignore[arg-type]
    return found


def _is_contiguous(sizes: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether a slice of these sizes is one run of elements."""
    k = 0
    while k < len(sizes) and sizes[k] == 1:
        k += 1
    return all(sizes[d] == shape[d] for d in range(k + 1, len(shape)))


def _copied(store: Store, x: Memory) -> Memory:
    m = store.memory(x.shape, x.dtype, x.uniform)
    store.copy(x, m)
    return m


def _collected(store: Store, shape: tuple[int, ...], dtype: Any, element: Callable[[tuple], Element]) -> Value:
    """An array from a function of the multi-index: in registers where it is small, otherwise in memory by loops."""
    if is_small(shape):
        data = np.empty(shape, object)
        for index in np.ndindex(*shape):
            data[index] = element(index)
        return Registers(data, np.dtype(dtype))
    m = store.memory(shape, dtype)
    for index in every(store, shape, unrolled=False):
        store.write(m, flat(store, index, strides_of(shape)), element(index))
    return m


def to_change(store: Store, x: Value, others: Sequence[Value]) -> tuple[Memory, Element]:
    """Memory with the values of `x` that may be written to, and in which lanes: `x` itself where nothing else needs it,
    otherwise a copy. `others` is what the change is made of."""
    if isinstance(x, Memory):
        free, where = store.claim(x, others)
        if free:
            return x, where
    m = store.memory(x.shape, x.dtype, uniform=all(map(same_for_all, (x, *others))))
    store.copy(x, m)
    return m, True


def same_for_all(x: Value) -> bool:
    """Whether a value is the same for all lanes."""
    return x.uniform if isinstance(x, Memory) else is_uniform(*x.data.flat)


def dynamic_update_slice(store: Store, params: dict, operand: Value, update: Value, *starts: Value) -> Value:
    """`operand` with `update` in the place of a slice, the starts clamped so that it lies inside."""
    base, strides = _starts(store, operand, update.shape, starts), strides_of(operand.shape)
    if isinstance(operand, Registers) and isinstance(update, Registers):
        data = operand.data.copy().reshape(-1)
        scalar = scalar_of(operand.dtype)
        own: list[tuple[Element, Any]] = [
            (flat(store, i, strides), update.data[i]) for i in np.ndindex(*update.shape)
        ]
        if number(base):
            for k, e in own:
                data[int(base) + int(k)] = e  # type: ignore[arg-type]
            return Registers(data.reshape(operand.shape), operand.dtype)
        if operand.size * update.size <= SELECT_ELEMENTS**2:
            for k, e in own:
                place = add(store.b, {}, INDEX, base, k)
                for p in range(operand.size):
                    data[p] = choose(store.b, scalar, compare(store.b, "eq", INDEX, place, p), e, data[p])
            return Registers(data.reshape(operand.shape), operand.dtype)
    m, where = to_change(store, operand, [update, *starts])
    for index in every(store, update.shape, isinstance(update, Registers)):
        one = store.element(update, flat(store, index, strides_of(update.shape)))
        put(store, m, flat(store, index, strides, base), one, where)
    return store.settled(m)


def gather(store: Store, params: dict, operand: Value, indices: Value) -> Value:
    """`lax.gather`: slices of `operand` that begin where the vectors along the last axis of `indices` say."""
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    mode, fill = str(params["mode"]), params["fill_value"]
    batch_shape = indices.shape[:-1]
    kept = [d for d in range(len(operand.shape)) if d not in (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)]
    rank = len(batch_shape) + len(kept)
    batch_axes = [d for d in range(rank) if d not in numbers.offset_dims]
    shape = [0] * rank
    for axis, n in zip(batch_axes, batch_shape, strict=True):
        shape[axis] = n
    for axis, d in zip(numbers.offset_dims, kept, strict=True):
        shape[axis] = sizes[d]
    strides = strides_of(operand.shape)
    small = is_small(tuple(shape))
    if not small:  # loops count with registers, which only memory can be read by
        indices = store.in_memory(indices)
    runs: dict[tuple, list[Element]] | None = {} if small and _is_contiguous(sizes, operand.shape) else None
    own_strides = strides_of([sizes[d] for d in kept])

    def element(index: tuple) -> Element:
        batch = [index[axis] for axis in batch_axes]
        place, inside = _window(store, operand.shape, indices, batch, numbers, sizes, mode)
        own = [index[axis] for axis in numbers.offset_dims]
        if runs is None:
            value = pick(store, operand, flat(store, own, [strides[d] for d in kept], place))
        else:
            if tuple(batch) not in runs:
                runs[tuple(batch)] = _run(store, operand, place, math.prod(sizes))
            value = runs[tuple(batch)][int(flat(store, own, own_strides))]  # type: ignore[arg-type]
        if number(inside) and inside:
            return value
        return choose(store.b, scalar_of(operand.dtype), inside, value, _filler(operand.dtype, fill))

    return _collected(store, tuple(shape), operand.dtype, element)


def _window(store, shape, indices, batch, numbers, sizes, mode) -> tuple[Element, Element]:
    """The flat place where a window begins, clamped inside, and whether it lay inside (True unless the mode asks)."""
    index_strides, strides = strides_of(indices.shape), strides_of(shape)
    dims: Any = getattr(numbers, "start_index_map", None) or getattr(numbers, "scatter_dims_to_operand_dims", ())
    place: Element = 0
    inside: Element = True
    for k, d in enumerate(dims):
        raw = _as_index(store, pick(store, indices, flat(store, [*batch, k], index_strides)), indices.dtype)
        largest = shape[d] - sizes[d]
        if "FILL" in mode:  # compared as unsigned numbers, of which negative ones are large
            known = not isinstance(raw, Register)
            fits = 0 <= raw <= largest if known else compare(store.b, "le", UNSIGNED, raw, largest)  # type: ignore[operator]
            inside = both(store, inside, fits)
        place = flat(store, [_clamped(store, raw, largest)], [strides[d]], place)
    mine = getattr(numbers, "start_indices_batching_dims", None)
    mine = numbers.scatter_indices_batching_dims if mine is None else mine
    for d, axis in zip(numbers.operand_batching_dims, mine, strict=True):
        place = flat(store, [batch[axis]], [strides[d]], place)
    return place, inside


def _filler(dtype: np.dtype, fill: Any) -> Element:
    if fill is not None:
        return np.asarray(fill).item()
    if dtype.kind == "f":
        return math.nan
    if dtype.kind == "b":
        return True
    return int(np.iinfo(dtype).max if dtype.kind == "u" else np.iinfo(dtype).min)


def scatter(store: Store, params: dict, combine: Callable | None, operand: Value, indices: Value, updates: Value) -> Value:
    """`lax.scatter` and its kin: `updates` written into, or combined with, windows of `operand`, one after the other."""
    numbers, mode = params["dimension_numbers"], str(params["mode"])
    rank = len(operand.shape)
    window = [d for d in range(rank) if d not in (*numbers.inserted_window_dims, *numbers.operand_batching_dims)]
    batch_axes = [d for d in range(len(updates.shape)) if d not in numbers.update_window_dims]
    sizes = [1] * rank
    for axis, d in zip(numbers.update_window_dims, window, strict=True):
        sizes[d] = updates.shape[axis]
    strides = strides_of(operand.shape)
    mode = "CLIP" if "CLIP" in mode else "FILL"  # all but clip drop what lies outside; promised inside is no harm

    unrolled = is_small(updates.shape) and is_small(operand.shape) and is_small(indices.shape)
    if unrolled:
        known = all(number(e) for e in store.in_registers(indices).data.flat)
        unrolled = known or math.prod(updates.shape) * math.prod(operand.shape) <= 4 * SELECT_ELEMENTS**2
    operand_now = _Registers(store, operand) if unrolled else _InMemory(store, operand, [indices, updates])
    if not unrolled:
        indices, updates = store.in_memory(indices), store.in_memory(updates)
    else:
        indices, updates = store.settled(indices), store.settled(updates)
    for index in every(store, updates.shape, unrolled):
        place, inside = _window(store, operand.shape, indices, [index[a] for a in batch_axes], numbers, sizes, mode)
        place = flat(store, [index[a] for a in numbers.update_window_dims], [strides[d] for d in window], place)
        update = pick(store, updates, flat(store, index, strides_of(updates.shape)))
        operand_now.change(place, inside, update, combine)
    return operand_now.result()


class _Registers:
    """An array in registers while windows of it are changed."""

    def __init__(self, store: Store, x: Value):
        registers = store.in_registers(x)
        self.store, self.dtype, self.shape = store, x.dtype, x.shape
        self.data = registers.data.copy().reshape(-1)

    def change(self, place: Element, inside: Element, update: Element, combine: Callable | None) -> None:
        """Set or combine the element at a place, where `inside` holds."""
        b, scalar = self.store.b, scalar_of(self.dtype)
        for k in range(self.data.size) if not number(place) else [int(place)]:  # type: ignore[arg-type]
            new = update if combine is None else combine(b, {}, self.dtype, self.data[k], update)
            here = True if number(place) else compare(b, "eq", INDEX, place, k)
            self.data[k] = choose(b, scalar, both(self.store, here, inside), new, self.data[k])

    def result(self) -> Value:
        """The array as it is now."""
        return Registers(self.data.reshape(self.shape), self.dtype)


class _InMemory:
    """An array in memory while windows of it are changed."""

    def __init__(self, store: Store, x: Value, others: Sequence[Value]):
        self.store = store
        self.memory, self.where = to_change(store, x, others)

    def change(self, place: Element, inside: Element, update: Element, combine: Callable | None) -> None:
        """Set or combine the element at a place, where `inside` holds."""
        if combine is not None:
            update = combine(self.store.b, {}, self.memory.dtype, pick(self.store, self.memory, place), update)
        put(self.store, self.memory, place, update, both(self.store, inside, self.where))

    def result(self) -> Value:
        """The array as it is now."""
        return self.memory

"""Products of matrices and tensors: written out for small arrays, loops over memory for others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from .arithmetic import add, convert, mul
from .arrays import Registers, Store, Unsupported, Value, Zero, is_small
from .builder import Element
from .indexing import every, flat, strides_of

UNROLLED = 2048  # a product with so many multiplications is written out


def dot_general(store: Store, params: dict, x: Value, y: Value) -> Value:
    """Sums of products over contracted axes, for each batch."""
    (cx, cy), (bx, by) = params["dimension_numbers"]
    result = np.dtype(params["preferred_element_type"] or x.dtype)
    if result.kind not in "fiu" or x.dtype != y.dtype:
        raise Unsupported(f"dot_general of {x.dtype} and {y.dtype}")
    fx = [d for d in range(len(x.shape)) if d not in (*cx, *bx)]
    fy = [d for d in range(len(y.shape)) if d not in (*cy, *by)]
    batch, rows, columns = ([x.shape[d] for d in bx], [x.shape[d] for d in fx], [y.shape[d] for d in fy])
    inner = [x.shape[d] for d in cx]
    shape = (*batch, *rows, *columns)
    small = math.prod(shape) * math.prod(inner) <= UNROLLED and is_small(shape)
    if small and is_small(x.shape) and is_small(y.shape):
        count, along = math.prod(batch), math.prod(inner)
        left = store.in_registers(x).data.transpose((*bx, *fx, *cx)).reshape(count, math.prod(rows), along)
        right = store.in_registers(y).data.transpose((*by, *fy, *cy)).reshape(count, math.prod(columns), along)
        return Registers(_written_out(store, left, right, x.dtype, result).reshape(shape), result)
    sx, sy = strides_of(x.shape), strides_of(y.shape)
    steps = ([sx[d] for d in (*bx, *fx)], [sy[d] for d in (*by, *fy)], [sx[d] for d in cx], [sy[d] for d in cy])
    nb, nr = len(batch), len(rows)

    def term(index: Sequence[Element], within: Sequence[Element]) -> Element:
        px = flat(store, within, steps[2], flat(store, index[: nb + nr], steps[0]))
        py = flat(store, within, steps[3], flat(store, (*index[:nb], *index[nb + nr :]), steps[1]))
        return _product(store, store.element(x, px), store.element(y, py), x.dtype, result)

    zero: Element = Zero(0.0) if result.kind == "f" else 0
    if small:
        data = np.empty(shape, object)
        for index in np.ndindex(*shape):
            total = zero
            for within in itertools.product(*(range(n) for n in inner)):
                total = add(store.b, {}, result, total, term(index, within))
            data[index] = total
        return Registers(data, result)
    x, y = store.in_memory(x), store.in_memory(y)
    m = store.memory(shape, result, x.uniform and y.uniform)
    slot = store.memory((), result, m.uniform)
    for place in every(store, shape, unrolled=False):
        store.write(slot, 0, zero)
        for one in every(store, inner, unrolled=False):
            store.write(slot, 0, add(store.b, {}, result, store.read(slot, 0), term(place, one)))
        store.write(m, flat(store, place, strides_of(shape)), store.read(slot, 0))
    return store.settled(m)


def _product(store: Store, p: Element, q: Element, given: np.dtype, result: np.dtype) -> Element:
    if given != result:
        p, q = convert(store.b, p, given, result), convert(store.b, q, given, result)
    return mul(store.b, {}, result, p, q)


def _written_out(store: Store, left: np.ndarray, right: np.ndarray, given: np.dtype, result: np.dtype) -> np.ndarray:
    """`[n, i, k]` and `[n, j, k]` multiplied to `[n, i, j]`; most of the work for programs of rigid bodies, whose
    matrices are half zeros of the structure, so these are passed over first."""
    (n, rows, _), columns = left.shape, right.shape[1]
    data = np.empty((n, rows, columns), object)
    for batch in range(n):
        others = right[batch].tolist()
        for i, row in enumerate(left[batch].tolist()):
            present = [(k, p) for k, p in enumerate(row) if type(p) is not Zero]
            for j, column in enumerate(others):
                total: Element = Zero(0.0) if result.kind == "f" else 0
                for k, p in present:
                    q = column[k]
                    if type(q) is not Zero:
                        total = add(store.b, {}, result, total, _product(store, p, q, given, result))
                data[batch, i, j] = total
    return data

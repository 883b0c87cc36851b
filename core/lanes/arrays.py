"""Arrays of the one-lane program while it is compiled: in registers, element by element, or in memory.

A small array is a NumPy array of elements (constants and registers), so that reshaping, slicing and joining it emits
no code. A larger one stands in memory: its element k, of all lanes, begins `k * stride` bytes after `address`.
`Store` makes memory, moves arrays between the two, and knows when an array is small.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .builder import Builder, Element, Register

REGISTER_ELEMENTS = 128  # arrays up to this size are in registers: 6 x 6 matrices and their products are
STACK_BYTES = 4096  # a memory array up to this size is on the stack, a larger one in the workspace
STACK_TOTAL = 262_144  # and all that is on the stack together stays within this
THREAD_STACK_BYTES = 1024  # the same two for the thread of a GPU, whose stack is its share of the device's memory
THREAD_STACK_TOTAL = 32_768

_SCALARS = {"bool": "i1", "float32": "float", "float64": "double"} | {
    f"{sign}int{bits}": f"i{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


class Unsupported(Exception):
    """What cannot be compiled, in words that begin with the primitive's name."""


@functools.cache  # asked for every element
def scalar_of(dtype: Any) -> str:
    """The LLVM type of one number of a NumPy type. **Raises** `Unsupported` for complex and short floats."""
    name = np.dtype(dtype).name
    if name not in _SCALARS:
        raise Unsupported(f"numbers of type {name}")
    return _SCALARS[name]


class Zero(float):
    """A zero that is part of the program's structure: an entry of a constant array, a padding. Products with it vanish.

    A zero that the user multiplies with, as in `0.0 * x`, is an ordinary number and keeps NaN and infinity.
    """


@dataclass(frozen=True, slots=True)
class Registers:
    """A small array: `data` is a NumPy array of elements."""

    data: np.ndarray
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, of one lane."""
        return self.data.shape

    @property
    def size(self) -> int:
        """Its number of elements."""
        return self.data.size


@dataclass(frozen=True, slots=True)
class Memory:
    """An array in memory, row-major in units of `stride` bytes; `uniform` when it is the same for all lanes."""

    address: Register
    shape: tuple[int, ...]
    dtype: np.dtype
    stride: Register | int
    uniform: bool = False

    @property
    def size(self) -> int:
        """Its number of elements."""
        return math.prod(self.shape)

    def reshaped(self, shape: tuple[int, ...]) -> Memory:
        """The same elements in another shape."""
        return replace(self, shape=tuple(shape))


Value = Registers | Memory


def is_small(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape is held in registers."""
    return math.prod(shape) <= REGISTER_ELEMENTS


class Store:
    """Makes memory for the arrays of one program and reads and writes it."""

    def __init__(self, b: Builder, threads: bool = False):
        self.b = b
        self.threads = threads  # whether a lane is a thread: threads share one workspace, their elements side by side
        self.workspace = 0  # bytes asked for, all large arrays of the program together
        self._stack = 0
        self._tables: dict[tuple, Memory] = {}
        # Says whether an array may be written to, because nothing reads it as it was, and in which lanes; the emitter,
        # which knows what is still to be read, puts its own function here.
        self.claim: Callable[[Memory, Sequence[Value]], tuple[bool, Element]] = lambda x, others: (False, True)

    def memory(self, shape: tuple[int, ...], dtype: Any, uniform: bool = False) -> Memory:
        """A new array in memory, its contents undefined."""
        itemsize = max(np.dtype(dtype).itemsize, 1)
        stride = itemsize if uniform else itemsize * self.b.width
        size = max(math.prod(shape), 1) * stride
        most, total = (THREAD_STACK_BYTES, THREAD_STACK_TOTAL) if self.threads else (STACK_BYTES, STACK_TOTAL)
        if size <= most and self._stack + size <= total:
            self._stack += size
            return Memory(self.b.alloca(f"[{size} x i8]"), tuple(shape), np.dtype(dtype), stride, uniform)
        begin, self.workspace = self.workspace, self.workspace + (size + 63) // 64 * 64
        if self.threads:
            return self._beside(begin, shape, np.dtype(dtype), itemsize, uniform)
        place = self.b.new("ptr", True)
        self.b.entry.append(f"{place.name} = getelementptr i8, ptr %workspace, i64 {begin}")
        return Memory(place, tuple(shape), np.dtype(dtype), stride, uniform)

    def _beside(self, begin: int, shape: tuple[int, ...], dtype: np.dtype, itemsize: int, uniform: bool) -> Memory:
        """Memory in the workspace of all threads: element k of neighbouring threads at neighbouring places, so that a
        GPU reads them at once."""
        names = [self.b.new("i64", True) for _ in range(3)]
        array, own, stride = (register.name for register in names)
        base, place = self.b.new("ptr", True), self.b.new("ptr", True)
        self.b.entry += [
            f"{array} = mul i64 %threads, {begin}", f"{own} = mul i64 %thread, {itemsize}",
            f"{stride} = mul i64 %threads, {itemsize}",
            f"{base.name} = getelementptr i8, ptr %workspace, i64 {array}",
            f"{place.name} = getelementptr i8, ptr {base.name}, i64 {own}",
        ]  # fmt: skip
        return Memory(place, tuple(shape), dtype, names[2], uniform)

    def table(self, values: np.ndarray) -> Memory:
        """A constant array as a table in the program, the same for all lanes."""
        values = np.ascontiguousarray(values)
        key = (values.shape, values.dtype.name, values.tobytes())
        if key not in self._tables:
            name = f"@table{len(self._tables)}"
            raw = values.tobytes()
            text = "".join(f"\\{byte:02X}" for byte in raw)
            self.b.globals.append(f'{name} = private unnamed_addr constant [{len(raw)} x i8] c"{text}", align 64')
            self._tables[key] = Memory(
                Register(name, "ptr", True), values.shape, values.dtype, values.dtype.itemsize, uniform=True
            )
        return self._tables[key]

    def constant(self, value: Any, structural: bool = True) -> Value:
        """A constant array, in registers or as a table; its zeros are structural."""
        value = np.asarray(value)
        scalar_of(value.dtype)
        if not is_small(value.shape):
            return self.table(value)
        data = np.empty(value.shape, object)
        kind = value.dtype.kind
        for index in np.ndindex(*value.shape):
            x = value[index].item()
            data[index] = Zero(0.0) if structural and kind == "f" and x == 0.0 and math.copysign(1.0, x) > 0 else x
        return Registers(data, value.dtype)

    def address(self, m: Memory, k: Element) -> Register:
        """Where element k (uniform) begins."""
        if isinstance(m.stride, int):
            return self.b.offset(m.address, k, m.stride)
        count = k.name if isinstance(k, Register) else str(int(k))
        bytes_ = self.b.pure("i64", True, f"mul i64 {count}, {m.stride.name}")
        return self.b.offset(m.address, bytes_, 1)

    def read(self, m: Memory, k: Element) -> Element:
        """Element k, uniform."""
        scalar = scalar_of(m.dtype)
        stored = "i8" if scalar == "i1" else scalar
        align = m.dtype.itemsize
        loaded = self.b.load(self.address(m, k), stored, m.uniform, align)
        if scalar != "i1":
            return loaded
        zero = "0" if m.uniform or self.b.width == 1 else "zeroinitializer"
        return self.b.pure("i1", m.uniform, f"icmp ne {self.b.type('i8', m.uniform)} {loaded.name}, {zero}")

    def write(self, m: Memory, k: Element, x: Element) -> None:
        """Set element k, uniform."""
        scalar = scalar_of(m.dtype)
        align = m.dtype.itemsize
        if scalar == "i1":
            text = f"zext {self.b.type('i1', m.uniform)} {self.b.operand(x, 'i1', m.uniform)} to {self.b.type('i8', m.uniform)}"
            x, scalar = self.b.pure("i8", m.uniform, text), "i8"
        self.b.store(x, self.address(m, k), scalar, m.uniform, align)

    def element(self, x: Value, k: Element) -> Element:
        """Element k in row-major order; k must be a number for an array in registers."""
        return self.read(x, k) if isinstance(x, Memory) else x.data.reshape(-1)[int(k)]  # type: ignore[arg-type]

    def in_registers(self, x: Value) -> Registers:
        """The array in registers, whatever its size."""
        if isinstance(x, Registers):
            return x
        data = np.empty(x.size, object)
        for k in range(x.size):
            data[k] = self.read(x, k)
        return Registers(data.reshape(x.shape), x.dtype)

    def settled(self, x: Value) -> Value:
        """The array in registers where it is small, otherwise as it is."""
        return self.in_registers(x) if isinstance(x, Memory) and is_small(x.shape) else x

    def in_memory(self, x: Value) -> Memory:
        """The array in memory; one in registers is written out."""
        if isinstance(x, Memory):
            return x
        elements = x.data.reshape(-1)
        if all(type(e) is not Register for e in elements):
            return self.table(np.array([float(e) if isinstance(e, float) else e for e in elements], x.dtype).reshape(x.shape))
        uniform = all(type(e) is not Register or e.uniform for e in elements)
        m = self.memory(x.shape, x.dtype, uniform)
        for k, e in enumerate(elements):
            self.write(m, k, e)
        return m

    def copy(self, source: Value, target: Memory) -> None:
        """Write an array into memory made for it, element by element."""
        if isinstance(source, Registers):
            for k, e in enumerate(source.data.reshape(-1)):
                self.write(target, k, e)
            return
        with self.b.loop(source.size) as place:
            self.write(target, place, self.read(source, place))

"""LLVM assembly written a line at a time: registers that hold one value for all lanes or one for each.

An *element* is a Python number (a constant), or a `Register`. A register is *uniform* (a scalar, the same for all
lanes) or holds `width` lanes as a vector; with width 1, as on a GPU where a lane is a thread, vectors are scalars.
Equal pure expressions are written once. Everything that emits code goes through `Builder`.
"""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Register:
    """A value of the program being written: its name, the LLVM type of one lane (`double`, `i32`, `i1`, `ptr`)."""

    name: str
    scalar: str
    uniform: bool = False


Element = Register | float | int | bool

FLOATS = ("float", "double")


class Builder:
    """The body of one function. `lines` are instructions, `entry` what must stand at its beginning (stack slots)."""

    def __init__(self, width: int):
        self.width = width
        self.lines: list[str] = []
        self.entry: list[str] = []
        self.declarations: dict[str, str] = {}
        self.globals: list[str] = []
        self._count = 0
        self._scopes: list[dict[Any, Register]] = [{}]

    # Types and operands

    def type(self, scalar: str, uniform: bool = False) -> str:
        """The LLVM type of a register."""
        return scalar if uniform or self.width == 1 else f"<{self.width} x {scalar}>"

    def mangled(self, scalar: str, uniform: bool = False) -> str:
        """The suffix by which intrinsics name a type: `v8f64`, `f64`, `v8i32`."""
        short = {"float": "f32", "double": "f64", "ptr": "p0"}.get(scalar, scalar)
        return short if uniform or self.width == 1 else f"v{self.width}{short}"

    def operand(self, x: Element, scalar: str, uniform: bool = False) -> str:
        """The text of an operand: a register's name, spread to all lanes where that is wanted, or a constant."""
        if type(x) is Register:
            if x.uniform == uniform or self.width == 1:
                return x.name
            return self.first(x).name if uniform else self.splat(x).name
        text = constant(x, scalar)
        if uniform or self.width == 1:
            return text
        return "zeroinitializer" if text in ("0", "false", "0x0000000000000000") else f"splat ({scalar} {text})"

    def splat(self, x: Register) -> Register:
        """A uniform register spread to all lanes."""
        if not x.uniform or self.width == 1:
            return x
        vector = f"<{self.width} x {x.scalar}>"
        first = self.pure(x.scalar, False, f"insertelement {vector} poison, {x.scalar} {x.name}, i64 0")
        return self.pure(
            x.scalar, False, f"shufflevector {vector} {first.name}, {vector} poison, <{self.width} x i32> zeroinitializer"
        )

    def first(self, x: Register) -> Register:
        """The first lane of a register whose lanes are known to be the same, although it was not written as uniform."""
        return self.pure(x.scalar, True, f"extractelement <{self.width} x {x.scalar}> {x.name}, i64 0")

    # Instructions

    def new(self, scalar: str, uniform: bool = False) -> Register:
        """A register not used before."""
        self._count += 1
        return Register(f"%v{self._count}", scalar, uniform)

    def pure(self, scalar: str, uniform: bool, text: str) -> Register:
        """A register set by an instruction without side effects; the one that already holds it, if any does."""
        for scope in reversed(self._scopes):
            found = scope.get(text)
            if found is not None:
                return found
        register = self.new(scalar, uniform)
        self.lines.append(f"{register.name} = {text}")
        self._scopes[-1][text] = register
        return register

    def set(self, scalar: str, uniform: bool, text: str) -> Register:
        """A register set by an instruction that must be executed here, such as a load."""
        register = self.new(scalar, uniform)
        self.lines.append(f"{register.name} = {text}")
        return register

    def do(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append(text)

    def call(self, function: str, scalar: str, arguments: Sequence[tuple[Element, str]], uniform: bool = False) -> Register:
        """A call of a pure function or intrinsic on (element, scalar type) pairs; it is declared on the way."""
        types = [self.type(kind, uniform) for _, kind in arguments]
        result = self.type(scalar, uniform)
        self.declare(function, f"declare {result} @{function}({', '.join(types)})")
        given = ", ".join(f"{t} {self.operand(x, kind, uniform)}" for t, (x, kind) in zip(types, arguments))
        return self.pure(scalar, uniform, f"call {result} @{function}({given})")

    def declare(self, function: str, text: str) -> None:
        """Note an external function; once."""
        self.declarations.setdefault(function, text)

    # Memory

    def alloca(self, text: str, align: int = 64) -> Register:
        """A slot of the stack, at the beginning of the function; `text` is its type, such as `[9 x <8 x double>]`."""
        slot = self.new("ptr", True)
        self.entry.append(f"{slot.name} = alloca {text}, align {align}")
        return slot

    def offset(self, base: Register, count: Element, size: int) -> Register:
        """The address `count * size` bytes after `base`; all uniform."""
        if type(count) is not Register and count == 0:
            return base
        if isinstance(count, Register):
            scaled = self.pure("i64", True, f"mul i64 {count.name}, {size}") if size != 1 else count
            bytes_ = scaled.name
        else:
            bytes_ = str(int(count) * size)
        return self.pure("ptr", True, f"getelementptr i8, ptr {base.name}, i64 {bytes_}")

    def load(self, address: Register, scalar: str, uniform: bool = False, align: int = 1) -> Register:
        """What stands at an address, as one value or as one for each lane."""
        return self.set(scalar, uniform, f"load {self.type(scalar, uniform)}, ptr {address.name}, align {align}")

    def store(self, x: Element, address: Register, scalar: str, uniform: bool = False, align: int = 1) -> None:
        """Write one value, or one for each lane, to an address."""
        self.do(f"store {self.type(scalar, uniform)} {self.operand(x, scalar, uniform)}, ptr {address.name}, align {align}")

    # Control flow

    def label(self, hint: str) -> str:
        """A name for a block not used before."""
        self._count += 1
        return f"{hint}{self._count}"

    def begin(self, label: str) -> None:
        """Start a block."""
        self.lines.append(f"{label}:")

    def go(self, label: str) -> None:
        """End the block by going to another."""
        self.do(f"br label %{label}")

    def branch(self, condition: Register, yes: str, no: str) -> None:
        """End the block by going to one of two others, by a uniform condition."""
        self.do(f"br i1 {condition.name}, label %{yes}, label %{no}")

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Expressions written within are forgotten afterwards: later blocks need not be reached through these."""
        self._scopes.append({})
        try:
            yield
        finally:
            self._scopes.pop()

    @contextlib.contextmanager
    def loop(self, count: int | Register, reverse: bool = False) -> Iterator[Register]:
        """Code for each i in 0 ... count - 1 (backwards if `reverse`); gives i, a uniform `i64`."""
        slot = self.alloca("i64", 8)
        total = count.name if isinstance(count, Register) else str(int(count))
        head, body, end = self.label("head"), self.label("body"), self.label("end")
        self.do(f"store i64 0, ptr {slot.name}, align 8")
        self.go(head)
        self.begin(head)
        with self.scope():
            k = self.set("i64", True, f"load i64, ptr {slot.name}, align 8")
            goes_on = self.set("i1", True, f"icmp slt i64 {k.name}, {total}")
            self.branch(goes_on, body, end)
            self.begin(body)
            i = k
            if reverse:
                last = self.pure("i64", True, f"sub i64 {total}, 1")
                i = self.pure("i64", True, f"sub i64 {last.name}, {k.name}")
            yield i
            following = self.set("i64", True, f"add i64 {k.name}, 1")
            self.do(f"store i64 {following.name}, ptr {slot.name}, align 8")
            self.go(head)
        self.begin(end)

    @contextlib.contextmanager
    def when(self, condition: Register) -> Iterator[None]:
        """Code that runs only where a uniform condition holds."""
        yes, end = self.label("yes"), self.label("end")
        self.branch(condition, yes, end)
        self.begin(yes)
        with self.scope():
            yield
        self.go(end)
        self.begin(end)

    def any(self, mask: Element) -> Register:
        """Whether a condition holds in any lane, as a uniform register."""
        if type(mask) is not Register:
            return self.pure("i1", True, f"or i1 false, {constant(mask, 'i1')}")
        if mask.uniform or self.width == 1:
            return Register(mask.name, "i1", True)
        name = f"llvm.vector.reduce.or.{self.mangled('i1')}"
        vector = self.type("i1")
        self.declare(name, f"declare i1 @{name}({vector})")
        return self.pure("i1", True, f"call i1 @{name}({vector} {mask.name})")

    def function(self, signature: str) -> str:
        """The text of the whole function, after `define `."""
        body = "\n  ".join([*self.entry, *self.lines])
        return f"define {signature} {{\nentry:\n  {body}\n}}\n"


def constant(x: Any, scalar: str) -> str:
    """A number as LLVM writes it: floats by the bits of a double, so that nothing is rounded."""
    if scalar in FLOATS:
        value = float(x)
        if scalar == "float" and math.isfinite(value):
            try:
                value = struct.unpack("<f", struct.pack("<f", value))[0]
            except OverflowError:
                value = math.copysign(math.inf, value)
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    if scalar == "i1":
        return "true" if x else "false"
    return str(int(x))

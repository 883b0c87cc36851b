"""Arithmetic on floats written a call at a time, in which `mathematics.py` and `mathematics_special.py` are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .builder import Builder, Element, Register

Emit = Callable[["Writer", str, Sequence[Element]], Register]


class Writer:
    """Arithmetic on elements of one float type, written to a builder: all lanes, or one value for all of them."""

    def __init__(self, b: Builder, scalar: str, uniform: bool, vector_bytes: int, libdevice: bool, emit: Emit):
        self.b, self.scalar, self.uniform = b, scalar, uniform
        self.vector_bytes, self.libdevice = vector_bytes, libdevice
        self._emit = emit
        self.type = b.type(scalar, uniform)
        self.integer = "i32" if scalar == "float" else "i64"

    def text(self, x: Element, scalar: str | None = None) -> str:
        """An operand of this writer's type."""
        return self.b.operand(x, scalar or self.scalar, self.uniform)

    def binary(self, operation: str, x: Element, y: Element, scalar: str | None = None) -> Register:
        """Any instruction of two operands of one type."""
        scalar = scalar or self.scalar
        kind = self.b.type(scalar, self.uniform)
        text = f"{operation} {kind} {self.text(x, scalar)}, {self.text(y, scalar)}"
        return self.b.pure(scalar, self.uniform, text)

    def add(self, x: Element, y: Element) -> Register:
        """x + y, not fused."""
        return self.binary("fadd", x, y)

    def sub(self, x: Element, y: Element) -> Register:
        """x - y, not fused."""
        return self.binary("fsub", x, y)

    def mul(self, x: Element, y: Element) -> Register:
        """x y, not fused."""
        return self.binary("fmul", x, y)

    def div(self, x: Element, y: Element) -> Register:
        """x / y."""
        return self.binary("fdiv", x, y)

    def neg(self, x: Element) -> Register:
        """-x."""
        return self.b.pure(self.scalar, self.uniform, f"fneg {self.type} {self.text(x)}")

    def compare(self, condition: str, x: Element, y: Element) -> Register:
        """A comparison of floats: `olt`, `oeq`, `uno`, …"""
        text = f"fcmp {condition} {self.type} {self.text(x)}, {self.text(y)}"
        return self.b.pure("i1", self.uniform, text)

    def select(self, condition: Register, x: Element, y: Element, scalar: str | None = None) -> Register:
        """x where the condition holds, else y."""
        scalar = scalar or self.scalar
        kind = self.b.type(scalar, self.uniform)
        mask = f"{self.b.type('i1', self.uniform)} {self.text(condition, 'i1')}"
        text = f"select {mask}, {kind} {self.text(x, scalar)}, {kind} {self.text(y, scalar)}"
        return self.b.pure(scalar, self.uniform, text)

    def convert(self, operation: str, x: Element, source: str, target: str) -> Register:
        """A conversion between types of one lane: `fpext`, `bitcast`, `sitofp`, …"""
        text = f"{operation} {self.b.type(source, self.uniform)} {self.text(x, source)}"
        return self.b.pure(target, self.uniform, f"{text} to {self.b.type(target, self.uniform)}")

    def intrinsic(self, name: str, *args: Element) -> Register:
        """An LLVM intrinsic all of whose operands are of this type."""
        name = f"llvm.{name}.{self.b.mangled(self.scalar, self.uniform)}"
        return self.b.call(name, self.scalar, [(x, self.scalar) for x in args], self.uniform)

    def fma(self, x: Element, y: Element, z: Element) -> Register:
        """x y + z, rounded once where the processor has an instruction for that."""
        return self.intrinsic("fmuladd", x, y, z)

    def polynomial(self, x: Element, coefficients: Sequence[float]) -> Element:
        """The sum of c[k] x^k, by Horner's scheme."""
        total: Element = coefficients[-1]
        for c in coefficients[-2::-1]:
            total = self.fma(total, x, c)
        return total

    def math(self, primitive: str, *args: Element) -> Register:
        """Another primitive, of the same type."""
        return self._emit(self, primitive, args)

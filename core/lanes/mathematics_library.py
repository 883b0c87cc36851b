"""Calls of mathematical libraries from lanes: glibc's vector functions where there are any, else one call a lane.

`call` is used by `mathematics.py`, which says which functions exist. Three libraries are known:

- libmvec (glibc on x86-64 Linux, nearly complete since 2.35): `_ZGVeN8v_sin` takes 8 doubles in one AVX-512 register;
- libm (every platform): `sin`, `sinf`, one lane at a time;
- libdevice (NVIDIA's bitcode for GPUs): `__nv_sin`, `__nv_sinf`, where a lane is a thread and the width is 1.

A function that passes 64-byte vectors must carry the attributes `"prefer-vector-width"="512"` and
`"min-legal-vector-width"="512"`, or LLVM passes halves.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from .builder import Builder, Element, Register
from .target import has_symbol

# The letter by which libmvec names a register of so many bytes: SSE, AVX2, AVX-512.
ISA = {16: "b", 32: "d", 64: "e"}
BYTES = {"float": 4, "double": 8}

# Pure: so that LLVM may move and merge calls, and need not think that they write to memory (`errno` is not looked at).
PURE = "nounwind willreturn memory(none)"


@functools.cache
def vector_symbol(function: str, arity: int, scalar: str, width: int, vector_bytes: int) -> tuple[str, int] | None:
    """The vector function for `width` lanes and how many lanes it takes: the narrowest that fits all, or the widest.

    None where there is none: the names of libmvec are those of x86-64, so that other processors have none of them.
    """
    best = None
    for size in sorted(ISA):
        lanes = size // BYTES[scalar]
        name = f"_ZGV{ISA[size]}N{lanes}{'v' * arity}_{function}{suffix(scalar)}"
        if size > vector_bytes or not has_symbol(name):
            continue
        best = name, lanes
        if lanes >= width:
            break
    return best


def suffix(scalar: str) -> str:
    """What C appends to a function's name for a type."""
    return "f" if scalar == "float" else ""


def call(
    b: Builder,
    function: str,
    args: Sequence[Element],
    scalar: str,
    uniform: bool,
    vector_bytes: int,
    libdevice: bool = False,
) -> Register:
    """A library function of one value for all lanes (`uniform`), or of each lane's own."""
    name = f"__nv_{function}{suffix(scalar)}" if libdevice else f"{function}{suffix(scalar)}"
    b.declare(name, f"declare {scalar} @{name}({', '.join([scalar] * len(args))}) {PURE}")
    if uniform or b.width == 1:
        return b.call(name, scalar, [(x, scalar) for x in args], uniform)
    found = vector_symbol(function, len(args), scalar, b.width, vector_bytes)
    if found is not None:
        return _by_vectors(b, *found, [b.operand(x, scalar) for x in args], scalar)
    return _by_lanes(b, name, [b.operand(x, scalar) for x in args], scalar)


def _by_lanes(b: Builder, name: str, args: Sequence[str], scalar: str) -> Register:
    """Take the vectors apart, call the function on each lane, and put the results together."""
    vector = b.type(scalar)
    whole = "poison"
    for lane in range(b.width):
        parts = [b.pure(scalar, True, f"extractelement {vector} {x}, i64 {lane}").name for x in args]
        one = b.pure(scalar, True, f"call {scalar} @{name}({', '.join(f'{scalar} {x}' for x in parts)})")
        result = b.pure(scalar, False, f"insertelement {vector} {whole}, {scalar} {one.name}, i64 {lane}")
        whole = result.name
    return result


def _by_vectors(b: Builder, name: str, lanes: int, args: Sequence[str], scalar: str) -> Register:
    """Call a function of `lanes` lanes on pieces of the vectors. A short piece is filled with lanes it holds already:
    anything else could be an argument for which the library leaves its fast path."""
    chunk = f"<{lanes} x {scalar}>"
    b.declare(name, f"declare {chunk} @{name}({', '.join([chunk] * len(args))}) {PURE}")
    pieces = []
    for start in range(0, b.width, lanes):
        used = min(lanes, b.width - start)
        parts = [_shuffle(b, x, b.width, [start + k % used for k in range(lanes)], scalar) for x in args]
        pieces.append(b.pure(scalar, False, f"call {chunk} @{name}({', '.join(f'{chunk} {x}' for x in parts)})"))
    whole, size = pieces[0], lanes
    for piece in pieces[1:]:
        # A shuffle joins vectors of one size only: widen the piece to that of what is already there.
        wide = _shuffle(b, piece.name, lanes, [min(k, lanes - 1) for k in range(size)], scalar)
        joined = _mask(range(size + lanes))
        vector = f"<{size} x {scalar}>"
        whole = b.pure(scalar, False, f"shufflevector {vector} {whole.name}, {vector} {wide}, {joined}")
        size += lanes
    return Register(_shuffle(b, whole.name, size, list(range(b.width)), scalar), scalar)


def _shuffle(b: Builder, x: str, size: int, lanes: list[int], scalar: str) -> str:
    """Some lanes of a vector of `size` lanes."""
    if lanes == list(range(size)):
        return x
    vector = f"<{size} x {scalar}>"
    return b.pure(scalar, False, f"shufflevector {vector} {x}, {vector} poison, {_mask(lanes)}").name


def _mask(lanes: Sequence[int]) -> str:
    return f"<{len(lanes)} x i32> <{', '.join(f'i32 {k}' for k in lanes)}>"

"""Mathematical functions of real numbers in lanes: the LLVM code of JAX's primitives `sin`, `exp`, `pow`, `round`, …

`emit_math` writes the code of one primitive; `HOW` says by which means. An *instruction* is an LLVM intrinsic for
which processors have an instruction; a *library* function is a call of libmvec, libm or libdevice
(`mathematics_library.py`); a *composition* is written here, or in `mathematics_special.py`, from the other two.
Results differ from the true ones by at most 4 units in the last place (digamma of negative numbers: of the larger of
the two terms that it is a difference of), and NaN, infinities, signed zeros and
subnormal numbers mean what IEEE 754 and C say; `tests/core/lanes/test_mathematics.py` measures it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from . import mathematics_library as library
from .builder import Builder, Element, Register
from .mathematics_special import SPECIAL
from .mathematics_writer import Writer
from .target import host

INSTRUCTIONS = {"sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "abs": "fabs"}

# JAX's names and C's.
LIBRARY = {
    **{name: name for name in "sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh".split()},
    **{name: name for name in "exp exp2 expm1 log log1p cbrt erf erfc lgamma pow atan2".split()},
}

AWAY_FROM_ZERO, TO_NEAREST_EVEN = 0, 1  # the values of `jax.lax.RoundingMethod`


def emit_math(
    b: Builder,
    primitive: str,
    args: Sequence[Element],
    scalar: str,
    *,
    rounding_method: int = AWAY_FROM_ZERO,
    unsigned: bool = False,
    vector_bytes: int | None = None,
    libdevice: bool = False,
) -> Register:
    """Write the code of JAX's primitive of that name on floats of type `scalar` and return its result: the same for all
    lanes if all arguments are, and of type `i1` for `is_finite`. `unsigned`: integer exponents of powers have no sign.

    `vector_bytes` is the width of the registers that library functions may take: 64, 32, 16, 0 for scalar calls only;
    by default what this machine has. `libdevice` calls NVIDIA's functions for GPUs instead; the width must be 1 then.
    """
    if primitive not in SUPPORTED:
        raise NotImplementedError(f"no lane code for the primitive {primitive!r}; there is for {sorted(SUPPORTED)}")
    uniform = all(type(x) is not Register or x.uniform for x in args)
    if vector_bytes is None:
        vector_bytes = 0 if libdevice or b.width == 1 else host().vector_bytes
    w = Writer(b, scalar, uniform, vector_bytes, libdevice, _emit)
    if primitive == "round":
        return w.intrinsic("roundeven" if int(rounding_method) == TO_NEAREST_EVEN else "round", args[0])
    if primitive == "pow":
        return _pow(w, args[0], args[1], unsigned)
    return _emit(w, primitive, args)


def _emit(w: Writer, primitive: str, args: Sequence[Element]) -> Register:
    if primitive in COMPOSITIONS:
        return COMPOSITIONS[primitive](w, *args)
    if primitive in INSTRUCTIONS:
        return w.intrinsic(INSTRUCTIONS[primitive], *args)
    return library.call(w.b, LIBRARY[primitive], args, w.scalar, w.uniform, w.vector_bytes, w.libdevice)


def _sign(w: Writer, x: Element) -> Register:
    """±1, but ±0 and NaN are their own sign."""
    has_sign = w.compare("one", x, 0.0)
    return w.select(has_sign, w.intrinsic("copysign", 1.0, x), x)


def _is_finite(w: Writer, x: Element) -> Register:
    return w.compare("olt", w.intrinsic("fabs", x), math.inf)


def _square(w: Writer, x: Element) -> Register:
    return w.mul(x, x)


def _rsqrt(w: Writer, x: Element) -> Register:
    return w.div(1.0, w.intrinsic("sqrt", x))


def _logistic(w: Writer, x: Element) -> Register:
    """1 / (1 + exp(-x)), written with exp(-|x|), which does not overflow where the result is small."""
    e = w.math("exp", w.neg(w.intrinsic("fabs", x)))
    return w.div(w.select(w.compare("olt", x, 0.0), e, 1.0), w.add(e, 1.0))


def _nextafter(w: Writer, x: Element, y: Element) -> Register:
    """The next number from x towards y, found by counting in the bits: numbers of one sign are ordered as integers."""
    bits = w.convert("bitcast", x, w.scalar, w.integer)
    up = w.b.pure(
        "i1", w.uniform, f"xor {w.b.type('i1', w.uniform)} {w.compare('olt', x, y).name}, {w.compare('olt', x, 0.0).name}"
    )
    moved = w.binary("add", bits, w.select(up, 1, -1, w.integer), w.integer)
    tiny = 2.0**-149 if w.scalar == "float" else 2.0**-1074
    result = w.convert("bitcast", moved, w.integer, w.scalar)
    result = w.select(w.compare("oeq", x, 0.0), w.intrinsic("copysign", tiny, y), result)
    result = w.select(w.compare("oeq", x, y), y, result)
    return w.select(w.compare("uno", x, y), math.nan, result)


def _pow(w: Writer, x: Element, y: Element, unsigned: bool = False) -> Register:
    """x^y, also for an integer y; a few constant exponents need no library."""
    if type(y) is Register and y.scalar.startswith("i"):
        exponent = w.convert("uitofp" if unsigned else "sitofp", y, y.scalar, "double")
        if w.scalar == "double":
            return w.math("pow", x, exponent)
        # Not every i32 is a float, and whether an exponent is odd matters.
        wide = Writer(w.b, "double", w.uniform, w.vector_bytes, w.libdevice, _emit)
        power = wide.math("pow", w.convert("fpext", x, "float", "double"), exponent)
        return w.convert("fptrunc", power, "double", "float")
    if not isinstance(y, Register) and float(y) in POWERS:
        return POWERS[float(y)](w, x)
    return library.call(w.b, "pow", [x, y], w.scalar, w.uniform, w.vector_bytes, w.libdevice)


def _root(w: Writer, x: Element, result: Register, at_minus_infinity: float) -> Register:
    """A power made with a square root: the power of -inf is that of inf, its square root is not."""
    return w.select(w.compare("oeq", x, -math.inf), at_minus_infinity, result)


POWERS: dict[float, Callable[[Writer, Element], Register]] = {
    2.0: _square,
    3.0: lambda w, x: w.mul(w.mul(x, x), x),
    4.0: lambda w, x: _square(w, _square(w, x)),
    -1.0: lambda w, x: w.div(1.0, x),
    -2.0: lambda w, x: _square(w, w.div(1.0, x)),
    0.5: lambda w, x: _root(w, x, w.add(w.math("sqrt", x), 0.0), math.inf),  # + 0 because the power of -0 is +0
    -0.5: lambda w, x: _root(w, x, w.div(1.0, w.add(w.math("sqrt", x), 0.0)), 0.0),
    1.5: lambda w, x: _root(w, x, w.mul(x, w.math("sqrt", x)), math.inf),
    -1.5: lambda w, x: _root(w, x, w.div(w.div(1.0, x), w.math("sqrt", x)), 0.0),
}

def _log(w: Writer, x: Element) -> Register:
    """Where processors take numbers below the normal ones for zero, as in XLA's threads, libraries have wrong ones."""
    y = library.call(w.b, LIBRARY["log"], [x], w.scalar, w.uniform, w.vector_bytes, w.libdevice)
    return w.select(w.compare("oeq", x, 0.0), -math.inf, y)


COMPOSITIONS: dict[str, Callable[..., Register]] = {
    "sign": _sign,
    "is_finite": _is_finite,
    "square": _square,
    "rsqrt": _rsqrt,
    "logistic": _logistic,
    "nextafter": _nextafter,
    "log": _log,
    "pow": _pow,
    **SPECIAL,
}

# How each primitive is emitted, for the documentation: the word before the colon says by which means.
HOW: dict[str, str] = {
    **dict.fromkeys(COMPOSITIONS, "composition"),
    "round": "instruction: llvm.round or llvm.roundeven",
    **{name: f"instruction: llvm.{intrinsic}" for name, intrinsic in INSTRUCTIONS.items()},
    **{name: f"library: {function} of libmvec, libm or libdevice" for name, function in LIBRARY.items()},
    "lgamma": "library: lgamma of libm, one lane at a time, or libdevice",
}

SUPPORTED: frozenset[str] = frozenset(HOW)

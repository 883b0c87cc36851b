"""Exponentials, logarithms, powers, hyperbolic functions and cube roots out of arithmetic alone; see `freestanding`.

The reductions are those of W. Cody and W. Waite, Software Manual for the Elementary Functions (1980). Functions that
come from others call them through `Writer.math`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from . import freestanding_tables as tables
from .builder import Element, Register
from .mathematics_special import fitted
from .mathematics_writer import Writer

Pair = tuple[Element, Element]  # a number as the sum of two

# For each type: the bits of its fraction, the bias of its exponent, its smallest normal number.
FRACTION = {"float": 23, "double": 52}
BIAS = {"float": 127, "double": 1023}
TINY = {"float": 2.0**-126, "double": 2.0**-1022}
# log(2) as the nearest number and the rest, and as a number short enough that its products with exponents are exact.
LOG_2 = {
    "float": (0.6931471824645996, -1.9046542121259336e-09),
    "double": (0.6931471805599453, 2.3190468138462996e-17),
}
SHORT_LOG_2 = {
    "float": (0.693145751953125, 1.428606765330187e-06),
    "double": (0.693147180559663, 2.8235290563031577e-13),
}
EXPONENTS = {"float": (-105.0, 89.0), "double": (-746.0, 710.0)}  # beyond these exp is zero or infinite


def bits(w: Writer, x: Element) -> Register:
    """The bits of a number as an integer."""
    return w.convert("bitcast", x, w.scalar, w.integer)


def from_bits(w: Writer, n: Element) -> Register:
    """The number that has these bits."""
    return w.convert("bitcast", n, w.integer, w.scalar)


def whole(w: Writer, x: Element) -> Register:
    """A whole number as an integer; NaN as 0."""
    name = f"llvm.fptosi.sat.{w.b.mangled(w.integer, w.uniform)}.{w.b.mangled(w.scalar, w.uniform)}"
    result = w.b.type(w.integer, w.uniform)
    w.b.declare(name, f"declare {result} @{name}({w.type})")
    return w.b.pure(w.integer, w.uniform, f"call {result} @{name}({w.type} {w.text(x)})")


def limited(w: Writer, x: Element, low: float, high: float) -> Register:
    """x within an interval; NaN stays."""
    x = w.select(w.compare("olt", x, low), low, x)
    return w.select(w.compare("ogt", x, high), high, x)


def signed(w: Writer, size: Element, x: Element) -> Register:
    """A number with the sign of x."""
    return w.intrinsic("copysign", size, x)


def exactly(w: Writer, x: Element, y: Element, z: Element) -> Register:
    """x y + z, rounded once on every processor."""
    return w.intrinsic("fma", x, y, z)


def sum_of(w: Writer, x: Element, y: Element) -> Pair:
    """x + y and its rounding error (Knuth)."""
    total = w.add(x, y)
    part = w.sub(total, x)
    return total, w.add(w.sub(x, w.sub(total, part)), w.sub(y, part))


def product_of(w: Writer, x: Element, y: Element) -> Pair:
    """x y and its rounding error."""
    product = w.mul(x, y)
    return product, exactly(w, x, y, w.neg(product))


def scaled(w: Writer, x: Element, n: Element) -> Register:
    """x 2^n, in two steps, so that subnormal results are rounded once."""
    half = w.binary("ashr", n, 1, w.integer)
    for part in (half, w.binary("sub", n, half, w.integer)):
        exponent = w.binary("add", part, BIAS[w.scalar], w.integer)
        x = w.mul(x, from_bits(w, w.binary("shl", exponent, FRACTION[w.scalar], w.integer)))
    return x  # type: ignore[return-value]


def reduced(w: Writer, x: Element, rest: Element = 0.0) -> tuple[Register, Register, Register]:
    """r, exp(r) - 1 and n with exp(x + rest) = exp(r) 2^n; x lies within `EXPONENTS`."""
    count = w.intrinsic("rint", w.mul(x, 1.0 / math.log(2.0)))
    high, low = LOG_2[w.scalar]
    back = w.neg(count)
    r = w.add(exactly(w, back, low, exactly(w, back, high, x)), rest)
    return r, w.fma(w.mul(r, r), fitted(w, tables.EXPONENTIAL, r, -0.35, 0.35), r), whole(w, count)


def exponential(w: Writer, x: Element, shift: int = 0) -> Register:
    """exp(x) 2^shift, which may be finite where exp(x) is not."""
    _, less, n = reduced(w, limited(w, x, EXPONENTS[w.scalar][0], EXPONENTS[w.scalar][1] - shift))
    return scaled(w, w.add(less, 1.0), w.binary("add", n, shift, w.integer))


def exp2(w: Writer, x: Element) -> Register:
    """2^x."""
    x = limited(w, x, -1080.0, 1030.0)
    count = w.intrinsic("rint", x)
    r = w.mul(w.sub(x, count), math.log(2.0))
    less = w.fma(w.mul(r, r), fitted(w, tables.EXPONENTIAL, r, -0.35, 0.35), r)
    return scaled(w, w.add(less, 1.0), limited_exponent(w, whole(w, count)))


def limited_exponent(w: Writer, n: Element) -> Register:
    """An exponent of two within what `scaled` takes."""
    low, high = {"float": (-200, 200), "double": (-1100, 1100)}[w.scalar]
    for name, bound in (("smax", low), ("smin", high)):
        n = w.b.call(f"llvm.{name}.{w.integer}", w.integer, [(n, w.integer), (bound, w.integer)], w.uniform)
    return n  # type: ignore[return-value]


def expm1(w: Writer, x: Element) -> Register:
    """exp(x) - 1."""
    _, less, n = reduced(w, limited(w, x, -80.0, EXPONENTS[w.scalar][1]))
    half = scaled(w, 0.5, n)  # half of the power, which is finite wherever the result is
    result = w.mul(exactly(w, half, less, w.sub(half, 0.5)), 2.0)
    return w.select(w.compare("oeq", x, 0.0), x, result)


def _exponent_and_fraction(w: Writer, x: Element) -> tuple[Register, Register]:
    """k and f with x = 2^k (1 + f), where 1 + f lies between the square roots of 1/2 and 2."""
    small = w.compare("olt", x, TINY[w.scalar])
    x = w.select(small, w.mul(x, 2.0**54), x)
    place, integer = FRACTION[w.scalar], w.integer
    root = {"float": 0x3F3504F3, "double": 0x3FE6A09E667F3BCC}[w.scalar]
    k = w.binary("ashr", w.binary("sub", bits(w, x), root, integer), place, integer)
    f = w.sub(from_bits(w, w.binary("sub", bits(w, x), w.binary("shl", k, place, integer), integer)), 1.0)
    k = w.binary("sub", k, w.select(small, 54, 0, integer), integer)
    return w.convert("sitofp", k, integer, w.scalar), f


def _positive_or_not(w: Writer, x: Element, result: Element) -> Register:
    """The logarithm of x where it is none of a finite positive number's."""
    result = w.select(w.compare("olt", x, math.inf), result, x)  # infinity and NaN
    result = w.select(w.compare("olt", x, 0.0), math.nan, result)
    return w.select(w.compare("oeq", x, 0.0), -math.inf, result)


def log(w: Writer, x: Element) -> Register:
    """The natural logarithm: f - f²/2 + s (f²/2 + R) with s = f / (2 + f), where R is what 2 artanh(s) / s has beyond 2."""
    k, f = _exponent_and_fraction(w, x)
    s = w.div(f, w.add(f, 2.0))
    z = w.mul(s, s)
    series = w.fma(z, fitted(w, tables.LOGARITHM, z, 0.0, 0.0295), 2.0 / 3.0)
    half = w.mul(w.mul(f, f), 0.5)
    high, low = SHORT_LOG_2[w.scalar]
    tail = w.fma(s, w.fma(z, series, half), w.mul(k, low))
    return _positive_or_not(w, x, w.add(w.mul(k, high), w.sub(f, w.sub(half, tail))))


def log1p(w: Writer, x: Element) -> Register:
    """log(1 + x): the logarithm of the rounded sum, and the rounding error."""
    total, error = sum_of(w, 1.0, x)
    above = w.math("log", total)
    usual = w.compare("one", w.mul(above, 0.0), math.inf)  # neither infinite nor NaN
    result = w.select(usual, w.add(above, w.div(error, total)), above)
    return w.select(w.compare("oeq", x, 0.0), x, result)


def _logarithm(w: Writer, x: Element) -> Pair:
    """log(x) of a finite positive number to 64 bits."""
    k, f = _exponent_and_fraction(w, x)
    d, d_low = sum_of(w, 2.0, f)
    s = w.div(f, d)
    s_low = w.div(w.sub(exactly(w, w.neg(s), d, f), w.mul(s, d_low)), d)
    z, z_low = product_of(w, s, s)
    z_low = w.fma(w.mul(s, 2.0), s_low, z_low)
    third, third_low = 2.0 / 3.0, 3.700743415417188e-17
    c, c_low = sum_of(w, third, w.mul(z, fitted(w, tables.LOGARITHM, z, 0.0, 0.0295)))
    c_low = w.add(c_low, third_low)
    p, p_low = product_of(w, s, z)
    p_low = w.add(p_low, w.fma(s, z_low, w.mul(s_low, z)))
    u, u_low = product_of(w, p, c)
    u_low = w.add(u_low, w.fma(p, c_low, w.mul(p_low, c)))
    total, error = sum_of(w, w.mul(s, 2.0), u)
    error = w.add(error, w.fma(s_low, 2.0, u_low))
    high, low = SHORT_LOG_2[w.scalar]
    whole_, rounded = sum_of(w, w.mul(k, high), total)
    return whole_, w.add(rounded, w.fma(k, low, error))


def _positive_power(w: Writer, x: Element, y: Element) -> Register:
    """x^y of a finite positive x and a finite y."""
    high, low = _logarithm(w, x)
    e, e_low = product_of(w, y, high)
    e_low = w.fma(y, low, e_low)
    e_low = w.select(w.compare("olt", w.intrinsic("fabs", e), 1000.0), e_low, 0.0)
    _, less, n = reduced(w, limited(w, e, *EXPONENTS["double"]), e_low)
    return scaled(w, w.add(less, 1.0), n)


def power(w: Writer, x: Element, y: Element) -> Register:
    """x^y, with the special values of C."""
    if w.scalar == "float":
        wide = [w.convert("fpext", v, "float", "double") for v in (x, y)]
        return w.convert(
            "fptrunc", Writer(w.b, "double", w.uniform, 0, False, w._emit).math("pow", *wide), "double", "float"
        )
    size, zero = w.intrinsic("fabs", x), w.compare("oeq", x, 0.0)
    result = _positive_power(w, size, y)
    falls = w.binary("xor", w.compare("olt", y, 0.0), w.compare("olt", size, 1.0), "i1")
    extreme = w.select(falls, 0.0, math.inf)  # to an infinite power, or of an infinite number
    infinite = w.compare("oeq", w.intrinsic("fabs", y), math.inf)
    result = w.select(w.binary("or", infinite, w.compare("oeq", size, math.inf), "i1"), extreme, result)
    result = w.select(zero, w.select(w.compare("olt", y, 0.0), math.inf, 0.0), result)
    is_whole = w.compare("oeq", w.intrinsic("trunc", y), y)
    half = w.mul(y, 0.5)
    odd = w.binary("and", is_whole, w.compare("one", w.intrinsic("trunc", half), half), "i1")
    result = w.select(odd, signed(w, result, x), result)
    broken = w.binary("and", w.compare("olt", x, 0.0), w.compare("ogt", x, -math.inf), "i1")
    broken = w.binary("and", broken, w.compare("one", w.intrinsic("trunc", y), y), "i1")
    result = w.select(w.binary("or", broken, w.compare("uno", x, y), "i1"), math.nan, result)
    one = w.binary("or", w.compare("oeq", x, 1.0), w.compare("oeq", y, 0.0), "i1")
    to_infinity = w.binary("and", infinite, w.compare("oeq", size, 1.0), "i1")
    return w.select(w.binary("or", one, to_infinity, "i1"), 1.0, result)


def cosh(w: Writer, x: Element) -> Register:
    """(e + 1 / e) / 2 with e = exp(|x|); e / 2 is finite wherever the result is."""
    half = exponential(w, w.intrinsic("fabs", x), -1)
    return w.add(half, w.div(0.25, half))


def sinh(w: Writer, x: Element) -> Register:
    """(e - 1 / e) / 2, and by exp(|x|) - 1 where that cancels."""
    size = w.intrinsic("fabs", x)
    less, half = w.math("expm1", size), exponential(w, size, -1)
    small = w.mul(w.add(less, w.div(less, w.add(less, 1.0))), 0.5)
    return signed(w, w.select(w.compare("olt", size, 1.0), small, w.sub(half, w.div(0.25, half))), x)


def tanh(w: Writer, x: Element) -> Register:
    """e / (e + 2) with e = exp(2 |x|) - 1."""
    size = w.intrinsic("fabs", x)
    e = w.math("expm1", w.add(size, size))
    return signed(w, w.select(w.compare("ogt", size, 22.0), 1.0, w.div(e, w.add(e, 2.0))), x)


def asinh(w: Writer, x: Element) -> Register:
    """log(|x| + sqrt(x² + 1)) as log1p, which keeps small numbers."""
    size = w.intrinsic("fabs", x)
    square = w.mul(size, size)
    small = w.math("log1p", w.add(size, w.div(square, w.add(w.math("sqrt", w.add(square, 1.0)), 1.0))))
    large = w.add(w.math("log", size), math.log(2.0))
    return signed(w, w.select(w.compare("ogt", size, 1e8), large, small), x)


def acosh(w: Writer, x: Element) -> Register:
    """log(x + sqrt(x² - 1)) as log1p of what exceeds one."""
    more = w.sub(x, 1.0)
    small = w.math("log1p", w.add(more, w.math("sqrt", w.mul(more, w.add(more, 2.0)))))
    large = w.add(w.math("log", x), math.log(2.0))
    return w.select(w.compare("olt", x, 1.0), math.nan, w.select(w.compare("ogt", x, 1e8), large, small))


def atanh(w: Writer, x: Element) -> Register:
    """log((1 + x) / (1 - x)) / 2 as log1p."""
    size = w.intrinsic("fabs", x)
    return signed(w, w.mul(w.math("log1p", w.div(w.add(size, size), w.sub(1.0, size))), 0.5), x)


def cbrt(w: Writer, x: Element) -> Register:
    """The cube root: a third of the bits as a guess, two steps of Halley's method, and one of Newton's, whose residual
    is exact. Numbers are moved away from the ends of the range first."""
    size = w.intrinsic("fabs", x)
    large = w.compare("ogt", size, 1.0)
    a = w.mul(size, w.select(large, 2.0**-54, 2.0**54))
    guess = {"float": 709958130, "double": 715094163 << 32}[w.scalar]
    t: Element = from_bits(w, w.binary("add", w.binary("udiv", bits(w, a), 3, w.integer), guess, w.integer))
    for _ in range(2):
        cube = w.mul(w.mul(t, t), t)
        t = w.mul(t, w.div(w.add(cube, w.add(a, a)), w.add(w.add(cube, cube), a)))
    square, square_low = product_of(w, t, t)
    residual = w.fma(square_low, t, exactly(w, square, t, w.neg(a)))
    t = w.sub(t, w.div(residual, w.mul(square, 3.0)))
    result = signed(w, w.mul(t, w.select(large, 2.0**18, 2.0**-18)), x)
    usual = w.binary("and", w.compare("ogt", size, 0.0), w.compare("olt", size, math.inf), "i1")
    return w.select(usual, result, x)


EXPONENTIALS: dict[str, Callable[..., Register]] = {
    "exp": exponential,
    "exp2": exp2,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "pow": power,
    "sinh": sinh,
    "cosh": cosh,
    "tanh": tanh,
    "asinh": asinh,
    "acosh": acosh,
    "atanh": atanh,
    "cbrt": cbrt,
}

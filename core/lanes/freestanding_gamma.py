"""The error functions, the logarithm of the gamma function and the remainder out of arithmetic alone; see `freestanding`."""

from __future__ import annotations

import math
from collections.abc import Callable

from . import freestanding_tables as tables
from .builder import Element, Register
from .freestanding_exponentials import exactly, limited, product_of, reduced, scaled, signed
from .mathematics_special import fitted
from .mathematics_writer import Writer


def _small_error(w: Writer, x: Element) -> Register:
    """erf(x) up to 1."""
    return w.mul(x, fitted(w, tables.ERROR, w.mul(x, x), 0.0, 1.0))


def _tail(w: Writer, size: Element) -> Register:
    """erfc(x) from 1/2: exp(-x²) times a function that hardly changes, with the rounding error of x² in the exponent."""
    x = limited(w, size, 0.5, 28.0)
    square, rest = product_of(w, x, x)
    ratio = w.div(w.sub(x, 3.0), w.add(x, 3.0))
    factor = fitted(w, tables.ERROR_TAIL, ratio, -2.5 / 3.5, 25.0 / 31.0)
    low = {"float": -150.0, "double": -800.0}[w.scalar]
    _, less, n = reduced(w, limited(w, w.neg(square), low, 0.0), w.neg(rest))
    return scaled(w, w.div(w.mul(w.add(less, 1.0), factor), w.fma(x, 2.0, 1.0)), n)


def erf(w: Writer, x: Element) -> Register:
    """The error function."""
    size = w.intrinsic("fabs", x)
    far = signed(w, w.sub(1.0, _tail(w, size)), x)
    return w.select(w.compare("ogt", size, 1.0), far, _small_error(w, x))


def erfc(w: Writer, x: Element) -> Register:
    """1 - erf(x)."""
    size = w.intrinsic("fabs", x)
    tail = _tail(w, size)
    far = w.select(w.compare("olt", x, 0.0), w.sub(2.0, tail), tail)
    near = w.binary("and", w.compare("ogt", x, -1.0), w.compare("olt", x, 0.5), "i1")
    return w.select(near, w.sub(1.0, _small_error(w, x)), far)


def _positive_lgamma(w: Writer, x: Element) -> Register:
    """log(gamma(x)) of a positive number."""
    low = w.compare("olt", x, 1.0)
    u = w.select(low, x, w.sub(x, 1.0))
    centre = w.mul(w.mul(u, w.sub(u, 1.0)), fitted(w, tables.GAMMA_CENTRE, u, 0.0, 1.0))
    logarithm = w.math("log", x)
    below = w.select(low, w.sub(centre, logarithm), centre)  # gamma(x) = gamma(x + 1) / x
    v = w.sub(x, 2.0)
    between = w.mul(v, fitted(w, tables.GAMMA_TWO, v, 0.0, 1.0))
    inverse = w.div(1.0, x)
    tail = w.mul(inverse, fitted(w, tables.GAMMA_TAIL, w.mul(inverse, inverse), 0.0, 1.0 / 9.0))
    # Stirling's series, so arranged that nothing large cancels.
    rest = w.add(0.5 * math.log(2.0 * math.pi) - 0.5, tail)
    above = w.add(w.mul(w.sub(x, 0.5), w.sub(logarithm, 1.0)), rest)
    result = w.select(w.compare("olt", x, 2.0), below, w.select(w.compare("olt", x, 3.0), between, above))
    return w.add(result, 0.0)  # of 1 and 2 it is +0


def lgamma(w: Writer, x: Element) -> Register:
    """log(|gamma(x)|); for negative numbers from gamma(-x) by Euler's reflection. Near the zeros between negative whole
    numbers the error is small only beside the two terms that cancel there, as with `digamma`."""
    size = w.intrinsic("fabs", x)
    here = _positive_lgamma(w, size)
    tiny = w.compare("olt", size, 2.0**-60)
    part = w.sub(size, w.intrinsic("rint", size))
    sine = w.intrinsic("fabs", w.math("sin", w.mul(part, math.pi)))
    mirrored = w.sub(w.math("log", w.div(math.pi, w.mul(size, sine))), here)
    result = w.select(w.compare("olt", x, 0.0), mirrored, here)
    result = w.select(tiny, w.neg(w.math("log", size)), result)
    pole = w.binary("and", w.compare("ole", x, 0.0), w.compare("oeq", sine, 0.0), "i1")
    return w.select(w.binary("or", pole, w.compare("oeq", size, math.inf), "i1"), math.inf, result)


def _exponent(w: Writer, x: Element) -> tuple[Register, Register]:
    """A positive number, and the exponent of it; subnormal numbers are scaled for that."""
    small = w.compare("olt", x, 2.0**-960)
    normal = w.select(small, w.mul(x, 2.0**60), x)
    bits = w.binary("lshr", w.convert("bitcast", normal, "double", "i64"), 52, "i64")
    return normal, w.binary("sub", bits, w.select(small, 60, 0, "i64"), "i64")


def remainder(w: Writer, x: Element, y: Element) -> Register:
    """x - n y with the whole number n towards zero, exactly: multiples of y are taken away, 52 digits of n at a time."""
    if w.scalar == "float":
        wide = [w.convert("fpext", v, "float", "double") for v in (x, y)]
        return w.convert(
            "fptrunc", remainder(Writer(w.b, "double", w.uniform, 0, False, w._emit), *wide), "double", "float"
        )
    b, size = w.b, w.intrinsic("fabs", y)
    slot = b.alloca("double", 8)
    b.store(w.intrinsic("fabs", x), slot, "double", align=8)
    finite = w.compare("olt", w.intrinsic("fabs", x), math.inf)
    usual = w.binary(
        "and", finite, w.binary("and", w.compare("ogt", size, 0.0), w.compare("olt", size, math.inf), "i1"), "i1"
    )
    head, body, end = b.label("head"), b.label("body"), b.label("end")
    b.go(head)
    b.begin(head)
    with b.scope():
        left = b.load(slot, "double", align=8)
        b.branch(w.binary("and", usual, w.compare("oge", left, size), "i1"), body, end)
        b.begin(body)
        apart = w.binary("sub", _exponent(w, left)[1], _exponent(w, size)[1], "i64")
        b.declare("llvm.smax.i64", "declare i64 @llvm.smax.i64(i64, i64)")
        step = w.binary("sub", apart, 52, "i64")
        step = b.pure("i64", w.uniform, f"call i64 @llvm.smax.i64(i64 {step.name}, i64 0)")
        multiple = scaled(w, size, step)
        count = w.intrinsic("trunc", w.div(left, multiple))
        rest = exactly(w, w.neg(count), multiple, left)
        b.store(w.select(w.compare("olt", rest, 0.0), w.add(rest, multiple), rest), slot, "double", align=8)
        b.go(head)
    b.begin(end)
    result = signed(w, b.load(slot, "double", align=8), x)
    result = w.select(w.binary("or", usual, w.compare("oeq", size, math.inf), "i1"), result, math.nan)
    return w.select(w.binary("and", finite, w.compare("ord", x, y), "i1"), result, math.nan)


GAMMA: dict[str, Callable[..., Register]] = {"erf": erf, "erfc": erfc, "lgamma": lgamma, "fmod": remainder}

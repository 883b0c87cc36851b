"""The functions that neither processors nor libraries have: erf_inv, digamma and the scaled Bessel functions I0, I1.

Every lane computes all pieces of a function and selects its own. `mathematics.py` calls what `SPECIAL` holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from . import mathematics_tables as tables
from .builder import Element, Register
from .mathematics_writer import Writer

Fit = dict[str, list[float]]  # a table of `mathematics_tables`


def fitted(w: Writer, table: Fit, x: Element, low: float, high: float) -> Element:
    """A polynomial of the tables, on its interval from `low` to `high`."""
    t = w.fma(x, 2.0 / (high - low), -(high + low) / (high - low))
    return w.polynomial(t, table[w.scalar])


def erf_inv(w: Writer, x: Element) -> Register:
    """x times a function of -log(1 - x²), as Giles does."""
    depth = w.neg(w.math("log", w.mul(w.sub(1.0, x), w.add(1.0, x))))
    root = w.math("sqrt", depth)
    p = fitted(w, tables.ERF_INV_TAIL, root, 2.5, 4.0)
    if w.scalar == "double":
        p = w.select(w.compare("ogt", root, 4.0), fitted(w, tables.ERF_INV_FAR, root, 4.0, 6.125), p)
    p = w.select(w.compare("olt", depth, 6.25), fitted(w, tables.ERF_INV_CENTRE, depth, 0.0, 6.25), p)
    p = w.select(w.compare("oeq", depth, math.inf), math.inf, p)
    return w.mul(x, p)


# The positive root of digamma, as the sum of two numbers of either type.
DIGAMMA_ROOT = {
    "float": (1.4616321325302124, 1.2438149938918909542e-8),
    "double": (1.4616321449683622, 9.5499954299656977e-17),
}


def digamma(w: Writer, x: Element) -> Register:
    """Polynomials from 1 up, the recurrence below, and the reflection for negative numbers.

    At the roots between negative integers the error is small only beside the two terms that cancel there. At zero it is
    infinite, on the side that the sign of the zero says.
    """
    reflected, small = w.compare("olt", x, 0.0), w.compare("olt", x, 1.0)
    size = w.intrinsic("fabs", x)
    a = w.select(small, w.add(size, 1.0), x)  # 1 - x of negative numbers, x + 1 of others below 1
    lost = w.select(small, w.sub(size, w.sub(a, 1.0)), 0.0)  # by rounding; it counts beside the root

    high, low = DIGAMMA_ROOT[w.scalar]
    distance = w.add(w.sub(a, high), w.sub(lost, low))
    centre = w.mul(distance, fitted(w, tables.DIGAMMA_CENTRE, a, 1.0, 2.0))
    inverse = w.div(1.0, a)
    z = w.mul(inverse, inverse)
    tail = w.fma(z, fitted(w, tables.DIGAMMA_TAIL, z, 0.0, 0.25), w.mul(inverse, 0.5))
    y = w.select(w.compare("olt", a, 2.0), centre, w.sub(w.math("log", a), tail))
    recurred = w.sub(y, w.div(1.0, x))

    # digamma(1 - x) - digamma(x) = pi / tan(pi x); the tangent has the period 1, so that whole numbers are exact. Beyond
    # a quarter it is the inverse of that of the complement, which is exact too, where rounding pi x would cost digits.
    fraction = w.sub(x, w.intrinsic("roundeven", x))
    part = w.intrinsic("fabs", fraction)
    far = w.compare("ogt", part, 0.25)
    tangent = w.math("tan", w.mul(w.select(far, w.sub(0.5, part), part), math.pi))
    cotangent = w.intrinsic("copysign", w.select(far, w.mul(math.pi, tangent), w.div(math.pi, tangent)), fraction)
    y = w.select(reflected, w.sub(y, cotangent), w.select(small, recurred, y))
    whole = w.compare("oeq", fraction, 0.0)  # false for -inf, where the fraction and so the result is NaN
    none = w.b.pure("i1", w.uniform, f"and {w.b.type('i1', w.uniform)} {whole.name}, {reflected.name}")
    return w.select(none, math.nan, y)


def _bessel_ie(w: Writer, x: Element, small: Fit, middle: Fit, tail: Fit) -> tuple[Register, Element]:
    """exp(-|x|) I_n(x) from 2 up; below, what the table `small` holds."""
    size = w.intrinsic("fabs", x)
    inverse = w.div(1.0, size)
    large = w.compare("ogt", size, 8.0)
    fit = w.select(large, fitted(w, tail, inverse, 0.0, 0.125), fitted(w, middle, inverse, 0.125, 0.5))
    return w.div(fit, w.math("sqrt", size)), w.polynomial(w.sub(size, 1.0), small[w.scalar])


def bessel_i0e(w: Writer, x: Element) -> Register:
    """exp(-|x|) I0(x)."""
    above, below = _bessel_ie(w, x, tables.BESSEL_I0E_SMALL, tables.BESSEL_I0E_MIDDLE, tables.BESSEL_I0E_TAIL)
    return w.select(w.compare("olt", w.intrinsic("fabs", x), 2.0), below, above)


def bessel_i1e(w: Writer, x: Element) -> Register:
    """exp(-|x|) I1(x)."""
    above, below = _bessel_ie(w, x, tables.BESSEL_I1E_SMALL, tables.BESSEL_I1E_MIDDLE, tables.BESSEL_I1E_TAIL)
    return w.select(w.compare("olt", w.intrinsic("fabs", x), 2.0), w.mul(below, x), w.intrinsic("copysign", above, x))


SPECIAL: dict[str, Callable[..., Register]] = {
    "erf_inv": erf_inv,
    "digamma": digamma,
    "bessel_i0e": bessel_i0e,
    "bessel_i1e": bessel_i1e,
}

"""The functions that neither processors nor libraries have: erf_inv, digamma and the scaled Bessel functions I0, I1.

Every lane computes all pieces of a function and selects its own. `mathematics.py` calls what `SPECIAL` holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from . import mathematics_tables as tables
from .builder import Element, Register
from .mathematics_writer import Writer


def _fitted(w: Writer, table: dict[str, list[float]], x: Element, low: float, high: float) -> Element:
    """A polynomial of the tables, on its interval from `low` to `high`."""
    t = w.fma(x, 2.0 / (high - low), -(high + low) / (high - low))
    return w.polynomial(t, table[w.scalar])


def erf_inv(w: Writer, x: Element) -> Register:
    """x times a function of -log(1 - x²), as Giles does."""
    depth = w.neg(w.math("log", w.mul(w.sub(1.0, x), w.add(1.0, x))))
    root = w.math("sqrt", depth)
    p = _fitted(w, tables.ERF_INV_TAIL, root, 2.5, 4.0)
    if w.scalar == "double":
        p = w.select(w.compare("ogt", root, 4.0), _fitted(w, tables.ERF_INV_FAR, root, 4.0, 6.125), p)
    p = w.select(w.compare("olt", depth, 6.25), _fitted(w, tables.ERF_INV_CENTRE, depth, 0.0, 6.25), p)
    p = w.select(w.compare("oeq", depth, math.inf), math.inf, p)
    return w.mul(x, p)


# The positive root of digamma, as the sum of two numbers of either type.
DIGAMMA_ROOT = {
    "float": (1.4616321325302124, 1.2438149938918909542e-8),
    "double": (1.4616321449683622, 9.5499954299656977e-17),
}


def digamma(w: Writer, x: Element) -> Register:
    """Polynomials from 1 up, the recurrence below, and the reflection for negative numbers.

    At the roots between negative integers the error is small only beside the two terms that cancel there.
    """
    reflected = w.compare("olt", x, 0.0)
    positive = w.select(reflected, w.sub(1.0, x), x)
    small = w.compare("olt", positive, 1.0)
    a = w.select(small, w.add(positive, 1.0), positive)

    high, low = DIGAMMA_ROOT[w.scalar]
    centre = w.mul(w.sub(w.sub(a, high), low), _fitted(w, tables.DIGAMMA_CENTRE, a, 1.0, 2.0))
    inverse = w.div(1.0, a)
    z = w.mul(inverse, inverse)
    tail = w.fma(z, _fitted(w, tables.DIGAMMA_TAIL, z, 0.0, 0.25), w.mul(inverse, 0.5))
    y = w.select(w.compare("olt", a, 2.0), centre, w.sub(w.math("log", a), tail))
    y = w.select(small, w.sub(y, w.div(1.0, positive)), y)

    # digamma(1 - x) - digamma(x) = pi / tan(pi x); the tangent has the period 1, so that whole numbers are exact.
    fraction = w.sub(x, w.intrinsic("roundeven", x))
    y = w.select(reflected, w.sub(y, w.div(math.pi, w.math("tan", w.mul(fraction, math.pi)))), y)
    whole = w.compare("oeq", fraction, 0.0)  # false for -inf, where the fraction and so the result is NaN
    none = w.b.pure("i1", w.uniform, f"and {w.b.type('i1', w.uniform)} {whole.name}, {w.compare('ole', x, 0.0).name}")
    return w.select(none, math.nan, y)


def _bessel_ie(w: Writer, x: Element, order: int, table: dict[str, list[float]]) -> Register:
    """exp(-|x|) I_n(x) for n = 0 or 1: the power series, all of whose terms are positive, up to 8, a fit beyond."""
    size = w.intrinsic("fabs", x)
    half = w.mul(size, 0.5)
    z = w.mul(half, half)
    # Abramowitz and Stegun 9.6.10; terms that are negligible at x = 8, where z = 16, are left out.
    terms = [1.0 / (math.factorial(k) * math.factorial(k + order)) for k in range(40)]
    negligible = (2.0**-28 if w.scalar == "float" else 2.0**-57) * sum(c * 16.0**k for k, c in enumerate(terms))
    series = w.polynomial(z, [c for k, c in enumerate(terms) if k < 4 or c * 16.0**k > negligible])
    series = w.mul(series, w.math("exp", w.neg(size)))
    beyond = w.div(_fitted(w, table, w.div(1.0, size), 0.0, 0.125), w.math("sqrt", size))
    if order == 1:
        series = w.mul(series, half)
    y = w.select(w.compare("olt", size, 8.0), series, beyond)
    return y if order == 0 else w.intrinsic("copysign", y, x)


def bessel_i0e(w: Writer, x: Element) -> Register:
    """exp(-|x|) I0(x)."""
    return _bessel_ie(w, x, 0, tables.BESSEL_I0E_TAIL)


def bessel_i1e(w: Writer, x: Element) -> Register:
    """exp(-|x|) I1(x)."""
    return _bessel_ie(w, x, 1, tables.BESSEL_I1E_TAIL)


SPECIAL: dict[str, Callable[..., Register]] = {
    "erf_inv": erf_inv,
    "digamma": digamma,
    "bessel_i0e": bessel_i0e,
    "bessel_i1e": bessel_i1e,
}

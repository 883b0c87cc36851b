"""Sines, cosines, tangents and their inverses out of arithmetic alone; see `freestanding`.

Angles of any size are reduced: up to about 10^5 by three parts of pi / 2 (Cody and Waite), beyond by the product with
as many digits of 2 / pi as matter (M. Payne and R. Hanek, Radian reduction for trigonometric functions, ACM SIGNUM
Newsletter 18, 1983).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from . import freestanding_tables as tables
from .builder import Element, Register
from .freestanding_exponentials import exactly, product_of, signed, sum_of, whole
from .mathematics_special import fitted
from .mathematics_writer import Writer

# pi / 2 as the sum of three numbers.
HALF_PI = {
    "float": (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
    "double": (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
}
# Beyond these angles the three parts do not hold enough digits.
LARGE = {"float": 2.0**13, "double": 2.0**20}

# The binary digits of 2 / pi in words of 64, after one word of zeros before the point.
TWO_OVER_PI = (
    "0000000000000000 a2f9836e4e441529 fc2757d1f534ddc0 db6295993c439041 fe5163abdebbc561 b7246e3a424dd2e0 "
    "06492eea09d1921c fe1deb1cb129a73e e88235f52ebb4484 e99c7026b45f7e41 3991d639835339f4 9c845f8bbdf9283b "
    "1ff897ffde05980f ef2f118b5a0a6d1f 6d367ecf27cb09b7 4f463f669e5fea2d 7527bac7ebe5f17b 3d0739f78a5292ea "
    "6bfb5fb11f8d5d08 56033046fc7b6bab"
)

Reduced = tuple[Register, Element, Element]  # quarters of a turn as an integer, and the angle left over as a sum


def _reduced(w: Writer, x: Element) -> Reduced:
    """x = q pi / 2 + r with r within pi / 4 of zero, for angles that are not large."""
    first, second, third = HALF_PI[w.scalar]
    count = w.intrinsic("rint", w.mul(x, 2.0 / math.pi))
    back = w.neg(count)
    near = exactly(w, back, first, x)  # exact, since the digits that differ cancel
    part, part_low = product_of(w, back, second)
    r, low = sum_of(w, near, part)
    return whole(w, count), r, w.add(low, w.fma(back, third, part_low))


def _digits(w: Writer, exponent: Element) -> list[Register]:
    """Three words of 2 / pi, of which the first begins with the digit of weight 2^(1 - exponent)."""
    b = w.b
    words = TWO_OVER_PI.split()
    line = (
        f"@two_over_pi = private unnamed_addr constant [{len(words)} x i64] [{', '.join(f'i64 u0x{x}' for x in words)}]"
    )
    if line not in b.globals:
        b.globals.append(line)
    begin = w.binary("add", exponent, 62, "i64")  # the digit of weight 1/2 is number 64
    word, turn = w.binary("lshr", begin, 6, "i64"), w.binary("and", begin, 63, "i64")
    table = Register("@two_over_pi", "ptr", True)
    place = b.offset(table, Register(word.name, "i64", True), 8)
    held = [b.load(b.offset(place, k, 8), "i64", True, align=8) for k in range(4)]
    b.declare("llvm.fshl.i64", "declare i64 @llvm.fshl.i64(i64, i64, i64)")
    shifted = (
        b.pure("i64", True, f"call i64 @llvm.fshl.i64(i64 {x.name}, i64 {y.name}, i64 {turn.name})")
        for x, y in zip(held[:-1], held[1:], strict=True)
    )
    return list(shifted)


def _reduced_by_digits(w: Writer, x: Element) -> Reduced:
    """The same for large angles, of doubles. x = m 2^e with a whole number m, whose product with 2 / pi is wanted in
    units of a quarter turn, modulo 4: digits of weight 4 and more are left out, those below 2^-137 add nothing."""
    size = w.convert("bitcast", w.intrinsic("fabs", x), "double", "i64")
    exponent = w.binary("sub", w.binary("lshr", size, 52, "i64"), 1075, "i64")
    m = w.binary("or", w.binary("and", size, 2**52 - 1, "i64"), 2**52, "i64")
    digits = [w.convert("zext", d, "i64", "i128") for d in _digits(w, exponent)]
    wide = w.convert("zext", m, "i64", "i128")
    second, third = (w.binary("mul", wide, d, "i128") for d in digits[1:])
    second = w.binary("add", second, w.binary("lshr", third, 64, "i128"), "i128")
    first = w.binary("mul", m, w.convert("trunc", digits[0], "i128", "i64"), "i64")
    high = w.binary("add", first, w.convert("trunc", w.binary("lshr", second, 64, "i128"), "i128", "i64"), "i64")
    low = w.convert("trunc", second, "i128", "i64")
    quarter = w.binary("lshr", w.binary("add", high, 2**61, "i64"), 62, "i64")
    rest = w.binary("sub", high, w.binary("shl", quarter, 62, "i64"), "i64")
    # The 126 digits after the point as four numbers, each exact.
    halves = [
        (w.binary("ashr", rest, 32, "i64"), "sitofp", 2.0**-30), (w.binary("and", rest, 2**32 - 1, "i64"), "uitofp", 2.0**-62),
        (w.binary("lshr", low, 32, "i64"), "uitofp", 2.0**-94), (w.binary("and", low, 2**32 - 1, "i64"), "uitofp", 2.0**-126),
    ]  # fmt: skip
    parts = [w.mul(w.convert(how, n, "i64", "double"), unit) for n, how, unit in halves]
    total, error = sum_of(w, parts[0], parts[1])
    total, error = sum_of(w, total, w.add(error, w.add(parts[2], parts[3])))
    first_part, second_part, _ = HALF_PI["double"]
    r, r_low = product_of(w, total, first_part)
    r_low = w.add(r_low, w.fma(total, second_part, w.mul(error, first_part)))
    negative = w.compare("olt", x, 0.0)
    turned = w.select(negative, w.binary("sub", 0, quarter, "i64"), quarter, "i64")
    return turned, w.select(negative, w.neg(r), r), w.select(negative, w.neg(r_low), r_low)


def _angle(w: Writer, x: Element) -> Reduced:
    """Any angle reduced; large ones in a branch of their own."""
    b = w.b
    q, r, low = _reduced(w, x)
    slots = [(b.alloca(kind, 8), kind) for kind in (w.integer, w.scalar, w.scalar)]
    for (slot, kind), value in zip(slots, (q, r, low), strict=True):
        b.store(value, slot, kind, w.uniform, align=4)
    large = w.compare("oge", w.intrinsic("fabs", x), LARGE[w.scalar])
    with b.when(large):
        double = w.scalar == "double"
        wide = w if double else Writer(b, "double", w.uniform, 0, False, w._emit)
        q, r, low = _reduced_by_digits(wide, x if double else w.convert("fpext", x, "float", "double"))
        if not double:
            short = w.convert("fptrunc", r, "double", "float")
            low = w.convert("fptrunc", wide.sub(r, w.convert("fpext", short, "float", "double")), "double", "float")
            q, r = w.convert("trunc", q, "i64", "i32"), short
        for (slot, kind), value in zip(slots, (q, r, low), strict=True):
            b.store(value, slot, kind, w.uniform, align=4)
    q, r, low = (b.load(slot, kind, w.uniform, align=4) for slot, kind in slots)
    return q, w.select(w.compare("olt", w.intrinsic("fabs", x), math.inf), r, math.nan), low


def _sine(w: Writer, r: Element, low: Element) -> Register:
    """sin(r + low) for angles within pi / 4 of zero."""
    z = w.mul(r, r)
    return w.add(r, w.fma(w.mul(r, z), fitted(w, tables.SINE, z, 0.0, 0.617), low))


def _cosine(w: Writer, r: Element, low: Element) -> Register:
    """cos(r + low) for angles within pi / 4 of zero."""
    z = w.mul(r, r)
    half = w.mul(z, 0.5)
    most = w.sub(1.0, half)
    rest = w.sub(w.mul(w.mul(z, z), fitted(w, tables.COSINE, z, 0.0, 0.617)), w.mul(r, low))
    return w.add(most, w.add(w.sub(w.sub(1.0, most), half), rest))


def _is_odd(w: Writer, q: Element, bit: int = 1) -> Register:
    zero = w.text(0, w.integer)
    return w.b.pure(
        "i1", w.uniform, f"icmp ne {w.b.type(w.integer, w.uniform)} {w.binary('and', q, bit, w.integer).name}, {zero}"
    )


def _turned(w: Writer, x: Element, quarters: int) -> Register:
    """The sine of x and some quarters of a turn."""
    q, r, low = _angle(w, x)
    q = w.binary("add", q, quarters, w.integer)
    y = w.select(_is_odd(w, q), _cosine(w, r, low), _sine(w, r, low))
    return w.select(_is_odd(w, q, 2), w.neg(y), y)


def sin(w: Writer, x: Element) -> Register:
    """sin(x); that of -0 is -0."""
    return w.select(w.compare("oeq", x, 0.0), x, _turned(w, x, 0))


def cos(w: Writer, x: Element) -> Register:
    """cos(x)."""
    return _turned(w, x, 1)


def tan(w: Writer, x: Element) -> Register:
    """tan(x), and a quarter turn on -1 / tan(x)."""
    q, r, low = _angle(w, x)
    s, c, odd = _sine(w, r, low), _cosine(w, r, low), _is_odd(w, q)
    y = w.div(w.select(odd, w.neg(c), s), w.select(odd, s, c))
    return w.select(w.compare("oeq", x, 0.0), x, y)


def _arc_tangent(w: Writer, y: Element, x: Element) -> Register:
    """The angle of the point (x, y), neither negative: that of a ratio below sqrt(2) - 1, turned by what was left out."""
    first, second, _ = HALF_PI[w.scalar]
    steep = w.compare("ogt", y, x)
    small, large = w.select(steep, x, y), w.select(steep, y, x)
    far = w.compare("ogt", large, 2.0**100)  # so that their sum is finite
    small, large = (w.select(far, w.mul(v, 2.0**-60), v) for v in (small, large))
    middle = w.compare("ogt", small, w.mul(large, math.sqrt(2.0) - 1.0))
    t = w.div(w.select(middle, w.sub(small, large), small), w.select(middle, w.add(small, large), large))
    z = w.mul(t, t)
    angle = w.fma(w.mul(t, z), fitted(w, tables.ARC_TANGENT, z, 0.0, 0.1717), t)
    angle = w.select(middle, w.add(w.add(angle, 0.5 * second), 0.5 * first), angle)
    return w.select(steep, w.add(w.sub(first, angle), second), angle)


def atan(w: Writer, x: Element) -> Register:
    """arctan(x)."""
    size = w.intrinsic("fabs", x)
    infinite = w.compare("oeq", size, math.inf)
    angle = _arc_tangent(w, size, 1.0)
    return signed(w, w.select(infinite, HALF_PI[w.scalar][0], angle), x)


def atan2(w: Writer, y: Element, x: Element) -> Register:
    """The angle of the point (x, y), with the special values of C."""
    first, second, _ = HALF_PI[w.scalar]
    a, b = w.intrinsic("fabs", y), w.intrinsic("fabs", x)
    for_infinity = [w.select(w.compare("oeq", v, math.inf), 1.0, 0.0) for v in (a, b)]
    infinite = w.binary("or", w.compare("oeq", a, math.inf), w.compare("oeq", b, math.inf), "i1")
    up, along = (w.select(infinite, new, old) for new, old in zip(for_infinity, (a, b), strict=True))
    angle = w.select(w.compare("oeq", up, 0.0), 0.0, _arc_tangent(w, up, along))
    left = w.compare("olt", signed(w, 1.0, x), 0.0)
    angle = w.select(left, w.add(w.sub(2.0 * first, angle), 2.0 * second), angle)
    return w.select(w.compare("uno", x, y), math.nan, signed(w, angle, y))


def _arc_sine(w: Writer, x: Element, z: Element) -> Register:
    """arcsin(x) up to 1/2; z is x²."""
    return w.fma(w.mul(x, z), fitted(w, tables.ARC_SINE, z, 0.0, 0.25), x)


def _half_complement(w: Writer, x: Element) -> tuple[Register, Register]:
    """s and s² with arccos(|x|) = 2 arcsin(s)."""
    z = w.mul(w.sub(1.0, w.intrinsic("fabs", x)), 0.5)
    return w.intrinsic("sqrt", z), z


def asin(w: Writer, x: Element) -> Register:
    """arcsin(x)."""
    first, second, _ = HALF_PI[w.scalar]
    size = w.intrinsic("fabs", x)
    outer = _arc_sine(w, *_half_complement(w, x))
    far = w.add(w.sub(first, w.add(outer, outer)), second)
    near = _arc_sine(w, size, w.mul(size, size))
    return signed(w, w.select(w.compare("ogt", size, 0.5), far, near), x)


def acos(w: Writer, x: Element) -> Register:
    """arccos(x)."""
    first, second, _ = HALF_PI[w.scalar]
    outer = _arc_sine(w, *_half_complement(w, x))
    twice = w.add(outer, outer)
    near = w.add(w.sub(first, _arc_sine(w, x, w.mul(x, x))), second)
    far = w.select(w.compare("olt", x, 0.0), w.add(w.sub(2.0 * first, twice), 2.0 * second), twice)
    return w.select(w.compare("olt", w.intrinsic("fabs", x), 0.5), near, far)


ANGLES: dict[str, Callable[..., Register]] = {
    "sin": sin,
    "cos": cos,
    "tan": tan,
    "asin": asin,
    "acos": acos,
    "atan": atan,
    "atan2": atan2,
}

"""Arithmetic on elements: floats, integers, comparisons, selection, conversions between types.

Each rule takes the builder, the equation's parameters, the NumPy type of its first operand and the elements, and gives
the element that results. `RULES` maps the names of JAX's primitives to them; transcendental functions are in
`mathematics`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import Unsupported, Zero, scalar_of
from .builder import FLOATS, Builder, Element, Register
from .mathematics import SUPPORTED, emit_math

Rule = Callable[..., Element]

# Multiplication and addition may be fused; nothing else about floats is relaxed.
FUSED = "contract "


def is_uniform(*xs: Element) -> bool:
    """Whether all of these are the same for all lanes."""
    return all(type(x) is not Register or x.uniform for x in xs)


def number(x: Element) -> bool:
    """Whether an element is a constant."""
    return type(x) is not Register


def binary(b: Builder, operation: str, scalar: str, x: Element, y: Element, result: str | None = None) -> Register:
    """`operation` (such as `fadd contract`) on two elements of one type."""
    uniform = is_uniform(x, y)
    text = f"{operation} {b.type(scalar, uniform)} {b.operand(x, scalar, uniform)}, {b.operand(y, scalar, uniform)}"
    return b.pure(result or scalar, uniform, text)


def _sign(dtype: np.dtype) -> str:
    return "u" if np.dtype(dtype).kind in "ub" else "s"


def wrapped(x: int, dtype: Any) -> int:
    """An integer as a type holds it: 2^32 - 1 is -1 in int32, and the other way in uint32."""
    if np.dtype(dtype).kind == "b":
        return bool(x & 1)
    info = np.iinfo(dtype)
    return (x - int(info.min)) % (int(info.max) - int(info.min) + 1) + int(info.min)


def _integers(dtype: np.dtype, f: Callable, *xs: Element) -> int | None:
    """f of constant integers; None if one is none."""
    return wrapped(f(*(int(x) for x in xs)), dtype) if all(number(x) for x in xs) else None  # type: ignore[arg-type]


def _rounded(x: float, dtype: np.dtype) -> float:
    return float(np.dtype(dtype).type(x))


def add(b: Builder, params: dict, dtype: np.dtype, x: Element, y: Element) -> Element:
    """x + y; a structural zero adds nothing."""
    scalar = scalar_of(dtype)
    if type(x) is Zero:
        return y
    if type(y) is Zero:
        return x
    if scalar == "i1":
        return binary(b, "or", scalar, x, y)
    if scalar not in FLOATS:
        known = _integers(dtype, lambda p, q: p + q, x, y)
        return binary(b, "add", scalar, x, y) if known is None else known
    if number(x) and number(y):
        return _rounded(np.dtype(dtype).type(x) + np.dtype(dtype).type(y), dtype)  # type: ignore[operator]
    return binary(b, f"fadd {FUSED}".strip(), scalar, x, y)


def sub(b: Builder, params: dict, dtype: np.dtype, x: Element, y: Element) -> Element:
    """x - y."""
    scalar = scalar_of(dtype)
    if type(y) is Zero:
        return x
    if type(x) is Zero:
        return neg(b, params, dtype, y) if number(y) else binary(b, f"fsub {FUSED}".strip(), scalar, 0.0, y)
    if scalar not in FLOATS:
        known = _integers(dtype, lambda p, q: p - q, x, y)
        return binary(b, "sub", scalar, x, y) if known is None else known
    if number(x) and number(y):
        return _rounded(np.dtype(dtype).type(x) - np.dtype(dtype).type(y), dtype)  # type: ignore[operator]
    return binary(b, f"fsub {FUSED}".strip(), scalar, x, y)


def mul(b: Builder, params: dict, dtype: np.dtype, x: Element, y: Element) -> Element:
    """x y; a structural zero takes everything with it, a one nothing."""
    scalar = scalar_of(dtype)
    if type(x) is Zero or type(y) is Zero:
        return Zero(0.0)
    if scalar == "i1":
        return binary(b, "and", scalar, x, y)
    if number(x) and x == 1:
        return y
    if number(y) and y == 1:
        return x
    if scalar not in FLOATS:
        known = _integers(dtype, lambda p, q: p * q, x, y)
        return binary(b, "mul", scalar, x, y) if known is None else known
    if number(x) and number(y):
        return _rounded(np.dtype(dtype).type(x) * np.dtype(dtype).type(y), dtype)  # type: ignore[operator]
    return binary(b, f"fmul {FUSED}".strip(), scalar, x, y)


def neg(b: Builder, params: dict, dtype: np.dtype, x: Element) -> Element:
    """-x."""
    scalar = scalar_of(dtype)
    if type(x) is Zero:
        return x
    if scalar in FLOATS:
        if number(x):
            return -float(x)  # type: ignore[arg-type]
        return b.pure(scalar, x.uniform, f"fneg {b.type(scalar, x.uniform)} {x.name}")  # type: ignore[union-attr]
    known = _integers(dtype, lambda p: -p, x)
    return binary(b, "sub", scalar, 0, x) if known is None else known


def div(b: Builder, params: dict, dtype: np.dtype, x: Element, y: Element) -> Element:
    """x / y; integers towards zero, and -1 (all bits) where y is zero, as XLA has it."""
    scalar = scalar_of(dtype)
    if scalar in FLOATS:
        if number(y) and y == 1:
            return x
        if type(x) is Zero and number(y) and y != 0:
            return x
        return binary(b, f"fdiv {FUSED}".strip(), scalar, x, y)
    quotient = _safe_division(b, "div", dtype, x, y)
    return choose(b, scalar, compare(b, "eq", dtype, y, 0), wrapped(-1, dtype), quotient)


def rem(b: Builder, params: dict, dtype: np.dtype, x: Element, y: Element) -> Element:
    """The remainder with the sign of x; integers: x where y is zero."""
    scalar = scalar_of(dtype)
    if scalar in FLOATS:
        return binary(b, "frem", scalar, x, y)
    return choose(b, scalar, compare(b, "eq", dtype, y, 0), x, _safe_division(b, "rem", dtype, x, y))


def _safe_division(b: Builder, operation: str, dtype: np.dtype, x: Element, y: Element) -> Element:
    """An integer division that never traps: by zero or, where the result does not fit, by one instead."""
    scalar, sign = scalar_of(dtype), _sign(dtype)
    bad: Element = compare(b, "eq", dtype, y, 0)
    overflows: Element = False
    if sign == "s":
        smallest = int(np.iinfo(dtype).min)
        overflows = binary(b, "and", "i1", compare(b, "eq", dtype, x, smallest), compare(b, "eq", dtype, y, -1))
        bad = binary(b, "or", "i1", bad, overflows)
    result = binary(b, f"{sign}{operation}", scalar, x, choose(b, scalar, bad, 1, y))
    return result  # where it overflows, x / -1 wraps to x = x / 1, and the remainder by one is zero: both as XLA has it


def compare(b: Builder, how: str, dtype: np.dtype, x: Element, y: Element) -> Element:
    """x < y and the like, by JAX's names `eq ne lt le gt ge`; with NaN only `ne` holds."""
    scalar = scalar_of(dtype)
    if number(x) and number(y):
        names: dict[str, Callable] = {
            "eq": lambda p, q: p == q, "ne": lambda p, q: p != q, "lt": lambda p, q: p < q,
            "le": lambda p, q: p <= q, "gt": lambda p, q: p > q, "ge": lambda p, q: p >= q,
        }
        return bool(names[how](x, y))
    if scalar in FLOATS:
        return binary(b, "fcmp " + ("une" if how == "ne" else f"o{how}"), scalar, x, y, "i1")
    code = how if how in ("eq", "ne") else f"{_sign(dtype)}{how}"
    return binary(b, f"icmp {code}", scalar, x, y, "i1")


def choose(b: Builder, scalar: str, condition: Element, yes: Element, no: Element) -> Element:
    """`yes` where the condition holds, `no` elsewhere."""
    if number(condition):
        return yes if condition else no
    if yes is no or (number(yes) and number(no) and type(yes) is type(no) and yes == no and str(yes) == str(no)):
        return yes
    uniform = is_uniform(condition, yes, no)
    kind = b.type(scalar, uniform)
    text = (
        f"select {b.type('i1', uniform)} {b.operand(condition, 'i1', uniform)}, "
        f"{kind} {b.operand(yes, scalar, uniform)}, {kind} {b.operand(no, scalar, uniform)}"
    )
    return b.pure(scalar, uniform, text)


def _select_n(b: Builder, params: dict, dtype: np.dtype, which: Element, *cases: Element, value: np.dtype) -> Element:
    scalar = scalar_of(value)
    if scalar_of(dtype) == "i1":
        return choose(b, scalar, which, cases[1], cases[0]) if len(cases) == 2 else cases[0]
    result = cases[0]
    for k, case in enumerate(cases[1:], 1):
        result = choose(b, scalar, compare(b, "ge", dtype, which, k), case, result)
    return result


def _extreme(name: str) -> Rule:
    def rule(b: Builder, params: dict, dtype: np.dtype, x: Element, y: Element) -> Element:
        scalar = scalar_of(dtype)
        if scalar == "i1":
            return binary(b, "or" if name == "max" else "and", scalar, x, y)
        uniform = is_uniform(x, y)
        if scalar in FLOATS:  # NaN if either is
            return b.call(f"llvm.{name}imum.{b.mangled(scalar, uniform)}", scalar, [(x, scalar), (y, scalar)], uniform)
        intrinsic = f"llvm.{_sign(dtype)}{name}.{b.mangled(scalar, uniform)}"
        return b.call(intrinsic, scalar, [(x, scalar), (y, scalar)], uniform)

    return rule


maximum, minimum = _extreme("max"), _extreme("min")


def _clamp(b: Builder, params: dict, dtype: np.dtype, low: Element, x: Element, high: Element) -> Element:
    return minimum(b, {}, dtype, maximum(b, {}, dtype, x, low), high)


def _integer_pow(b: Builder, params: dict, dtype: np.dtype, x: Element) -> Element:
    n, factor, result = abs(params["y"]), x, None
    while n:
        if n & 1:
            result = factor if result is None else mul(b, {}, dtype, result, factor)
        n >>= 1
        factor = mul(b, {}, dtype, factor, factor) if n else factor
    if result is None:
        return 1.0 if scalar_of(dtype) in FLOATS else 1
    return div(b, {}, dtype, 1.0, result) if params["y"] < 0 else result


def _bits(operation: str, known: Callable) -> Rule:
    def rule(b: Builder, params: dict, dtype: np.dtype, x: Element, y: Element) -> Element:
        result = _integers(dtype, known, x, y)
        return binary(b, operation, scalar_of(dtype), x, y) if result is None else result

    return rule


def _abs(b: Builder, params: dict, dtype: np.dtype, x: Element) -> Element:
    if scalar_of(dtype) in FLOATS:
        return emit_math(b, "abs", [x], scalar_of(dtype))
    return maximum(b, {}, dtype, x, neg(b, {}, dtype, x)) if _sign(dtype) == "s" else x


def _sign_of(b: Builder, params: dict, dtype: np.dtype, x: Element) -> Element:
    if scalar_of(dtype) in FLOATS:
        return emit_math(b, "sign", [x], scalar_of(dtype))
    return minimum(b, {}, dtype, 1, x if _sign(dtype) == "u" else maximum(b, {}, dtype, -1, x))


def _not(b: Builder, params: dict, dtype: np.dtype, x: Element) -> Element:
    known = _integers(dtype, lambda p: ~p, x)
    if known is not None:
        return known
    return binary(b, "xor", scalar_of(dtype), x, True if scalar_of(dtype) == "i1" else -1)


def _shift(operation: str, beyond: str) -> Rule:
    def rule(b: Builder, params: dict, dtype: np.dtype, x: Element, y: Element) -> Element:
        scalar, width = scalar_of(dtype), np.dtype(dtype).itemsize * 8
        unsigned = np.dtype(f"uint{width}")
        inside = compare(b, "lt", unsigned, wrapped(int(y), unsigned) if number(y) else y, width)  # type: ignore[arg-type]
        amount = choose(b, scalar, inside, y, 0 if beyond == "zero" else width - 1)
        shifted = binary(b, operation, scalar, x, amount)
        return choose(b, scalar, inside, shifted, 0) if beyond == "zero" else shifted

    return rule


def _counted(intrinsic: str, flag: bool) -> Rule:
    def rule(b: Builder, params: dict, dtype: np.dtype, x: Element) -> Element:
        scalar, uniform = scalar_of(dtype), is_uniform(x)
        name, kind = f"llvm.{intrinsic}.{b.mangled(scalar, uniform)}", b.type(scalar, uniform)
        b.declare(name, f"declare {kind} @{name}({kind}{', i1' if flag else ''})")
        return b.pure(
            scalar, uniform, f"call {kind} @{name}({kind} {b.operand(x, scalar, uniform)}{', i1 false' if flag else ''})"
        )

    return rule


def convert(b: Builder, x: Element, old: Any, new: Any) -> Element:
    """A number in another type; floats to integers stop at the largest, NaN is 0."""
    old, new = np.dtype(old), np.dtype(new)
    source, target = scalar_of(old), scalar_of(new)
    if not isinstance(x, Register):
        if target in FLOATS:
            return x if type(x) is Zero else _rounded(float(x), new)
        if target == "i1":
            return bool(x)
        if math.isfinite(float(x)) and old.kind in "biu":
            return int(np.asarray(int(x)).astype(new))
    if source == target:
        return x
    uniform = is_uniform(x)
    given = f"{b.type(source, uniform)} {b.operand(x, source, uniform)}"
    wanted = b.type(target, uniform)
    if target == "i1":
        return compare(b, "ne", old, x, 0)
    if source in FLOATS and target in FLOATS:
        operation = "fpext" if target == "double" else "fptrunc"
    elif source in FLOATS:
        name = f"llvm.fpto{'u' if new.kind == 'u' else 's'}i.sat.{b.mangled(target, uniform)}.{b.mangled(source, uniform)}"
        b.declare(name, f"declare {wanted} @{name}({b.type(source, uniform)})")
        return b.pure(target, uniform, f"call {wanted} @{name}({given})")
    elif target in FLOATS:
        operation = "sitofp" if old.kind == "i" else "uitofp"
    elif old.kind != "b" and old.itemsize > new.itemsize:
        operation = "trunc"
    else:
        operation = "sext" if old.kind == "i" else "zext"
    return b.pure(target, uniform, f"{operation} {given} to {wanted}")


def _bitcast(b: Builder, params: dict, dtype: np.dtype, x: Element) -> Element:
    source, target, new = scalar_of(dtype), scalar_of(params["new_dtype"]), np.dtype(params["new_dtype"])
    if np.dtype(dtype).itemsize != new.itemsize or "b" in (np.dtype(dtype).kind, new.kind) and source != target:
        raise Unsupported(f"from {np.dtype(dtype).name} to {new.name}")
    if number(x):
        return np.asarray(x, dtype).view(new)[()].item()
    if source == target:
        return x
    uniform = is_uniform(x)
    given = f"{b.type(source, uniform)} {b.operand(x, source, uniform)}"
    return b.pure(target, uniform, f"bitcast {given} to {b.type(target, uniform)}")


def _in_total_order(b: Builder, how: str, dtype: np.dtype, x: Element, y: Element) -> Element:
    """Comparison of floats by their bits: -NaN, -inf, ..., -0, +0, ..., inf, NaN."""
    if scalar_of(dtype) not in FLOATS:
        return compare(b, how, dtype, x, y)
    kind = np.dtype(f"int{8 * np.dtype(dtype).itemsize}")

    def order(e: Element) -> Element:
        bits, scalar = _bitcast(b, {"new_dtype": kind}, dtype, e), scalar_of(kind)
        sign = binary(b, "ashr", scalar, bits, 8 * kind.itemsize - 1)
        return binary(b, "xor", scalar, bits, binary(b, "and", scalar, sign, int(np.iinfo(kind).max)))

    return compare(b, how, kind, order(x), order(y))


RULES: dict[str, Rule] = {
    "add": add, "add_any": add, "sub": sub, "mul": mul, "neg": neg, "div": div, "rem": rem,
    "max": maximum, "min": minimum, "clamp": _clamp, "integer_pow": _integer_pow,
    "and": _bits("and", operator.and_), "or": _bits("or", operator.or_), "xor": _bits("xor", operator.xor), "not": _not,
    "shift_left": _shift("shl", "zero"),
    "shift_right_logical": _shift("lshr", "zero"),
    "shift_right_arithmetic": _shift("ashr", "sign"),
    "population_count": _counted("ctpop", False), "clz": _counted("ctlz", True),
    "bitcast_convert_type": _bitcast,
    "convert_element_type": lambda b, params, dtype, x: convert(b, x, dtype, params["new_dtype"]),
    "abs": _abs, "sign": _sign_of,
    "square": lambda b, params, dtype, x: mul(b, {}, dtype, x, x),
    "copy": lambda b, params, dtype, x: x, "copy_p": lambda b, params, dtype, x: x,
    "stop_gradient": lambda b, params, dtype, x: x, "name": lambda b, params, dtype, x: x,
    "pvary": lambda b, params, dtype, x: x,
}
for _how in ("eq", "ne", "lt", "le", "gt", "ge"):
    RULES[_how] = lambda b, params, dtype, x, y, how=_how: compare(b, how, dtype, x, y)
for _name in SUPPORTED - set(RULES):
    RULES[_name] = lambda b, params, dtype, *xs, name=_name: emit_math(b, name, xs, scalar_of(dtype), **_options(name, params))


for _how in ("eq", "lt", "le"):
    RULES[f"{_how}_to"] = lambda b, params, dtype, x, y, how=_how: _in_total_order(b, how, dtype, x, y)


def _options(name: str, params: dict) -> dict:
    if name == "pow":
        return {"unsigned": params.get("unsigned", False)}
    return {"rounding_method": params["rounding_method"]} if name == "round" else {}

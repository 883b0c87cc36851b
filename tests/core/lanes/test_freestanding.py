"""Mathematics without a library, as GPUs run it: every function against references of more digits, and C's special values."""

import ctypes
import functools
import math

import numpy as np
import pytest
from mathematical_references import DTYPES, TWO, arguments, errors, samples

from worldline.core.lanes.freestanding import FUNCTIONS, linked
from worldline.core.lanes.target import host, optimise_and_compile

special = pytest.importorskip("scipy.special")

ULPS = 4.0  # what the module promises; it is mostly 1


@functools.cache
def compiled(name, scalar):
    """The function, in a loop over arrays."""
    symbol, both = name + ("f" if scalar == "float" else ""), name in TWO or name == "fmod"
    text = f"""
declare {scalar} @{symbol}({scalar}{f", {scalar}" if both else ""})
define void @run(ptr %a0, ptr %a1, ptr %a2, i64 %count) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %x.at = getelementptr {scalar}, ptr %a0, i64 %i
  %y.at = getelementptr {scalar}, ptr %a1, i64 %i
  %z.at = getelementptr {scalar}, ptr %a2, i64 %i
  %x = load {scalar}, ptr %x.at
  %y = load {scalar}, ptr %y.at
  %z = call {scalar} @{symbol}({scalar} %x{f", {scalar} %y" if both else ""})
  store {scalar} %z, ptr %z.at
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %loop, label %end
end:
  ret void
}}"""
    code = optimise_and_compile(linked(text), "run", host())
    run = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)(code.address)

    def call(x, y=None):
        x, y = (np.ascontiguousarray(v, DTYPES[scalar]) for v in (x, x if y is None else y))
        out = np.empty_like(x)
        run(x.ctypes.data, y.ctypes.data, out.ctypes.data, x.size)
        return out

    return call


@pytest.mark.parametrize("scalar", DTYPES)
@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"fmod"}))
def test_within_four_units_of_the_exact_result(name, scalar):
    args = arguments(scalar, name, 40)
    found = compiled(name, scalar)(*args)
    off = errors(name, scalar, found, *args)
    if name == "lgamma":
        # Between negative whole numbers two terms cancel: what counts is the precision of the larger one.
        x = args[0].astype(float)
        with np.errstate(all="ignore"):
            terms = np.abs(special.gammaln(np.abs(x))) + np.abs(np.log(np.abs(x)))
            kind = DTYPES[scalar]
            scale = np.spacing(np.abs(found)) / np.maximum(np.spacing(terms.astype(kind)), np.spacing(np.abs(found)))
            # The distance to the next whole number, with which the result grows, is known to a unit too.
            off = np.where((x < 0) & (np.abs(x) < 1e3), off * scale, off)
    worst = np.nanargmax(off)
    assert off[worst] <= ULPS, f"{off[worst]} units at {[a[worst] for a in args]}, which gave {found[worst]}"


def logarithm_of_gamma(x):
    """As C has it; Python raises at poles, and where the result is too large."""
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):
        return math.inf


REFERENCES = {
    "pow": np.power, "atan2": np.arctan2, "fmod": np.fmod, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log,
    "log1p": np.log1p, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "cbrt": np.cbrt, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "erf": special.erf, "erfc": special.erfc, "lgamma": np.vectorize(lambda x: logarithm_of_gamma(float(x))),
}  # fmt: skip


@pytest.mark.parametrize("scalar", DTYPES)
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_special_values_are_those_of_c(name, scalar):
    """NaN, infinities and signs of zeros where the C library has them."""
    args = arguments(scalar, "pow" if name == "fmod" else name, 60)
    with np.errstate(all="ignore"):
        expected = REFERENCES[name](*args).astype(DTYPES[scalar])
    found = compiled(name, scalar)(*args)
    largest = np.finfo(found.dtype).max * (1 - 1e-6)  # and infinity may be a unit apart
    inside = ~(np.isfinite(expected) & (np.abs(expected) > largest))
    for kind in (np.isnan, np.isposinf, np.isneginf):
        odd = inside & (kind(found) != kind(expected))
        assert not odd.any(), [(*(float(x[k]) for x in args), found[k], expected[k]) for k in np.nonzero(odd)[0][:5]]
    zero = (found == 0) & (expected == 0)
    assert (np.signbit(found) == np.signbit(expected))[zero].all()


@pytest.mark.parametrize("scalar", DTYPES)
def test_remainders_are_exact(scalar):
    x = samples(scalar)
    y = np.random.default_rng(0).permutation(x)
    with np.errstate(all="ignore"):
        expected = np.fmod(x, y)
    found = compiled("fmod", scalar)(x, y)
    np.testing.assert_array_equal(found, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[number]), np.signbit(expected[number]))


def test_angles_of_any_size():
    """Nearest to a multiple of pi / 2 of all doubles is 6381956970095103 2^797, which leaves 4.7e-19."""
    x = np.array([1e22, 1e300, math.ldexp(6381956970095103, 797), 2.0**1023, 1e6])
    mp = pytest.importorskip("mpmath").mp
    with mp.workdps(400):
        sines, cosines = ([float(f(mp.mpf(float(v)))) for v in x] for f in (mp.sin, mp.cos))
    np.testing.assert_allclose(compiled("sin", "double")(x), sines, rtol=4e-16)
    np.testing.assert_allclose(compiled("cos", "double")(x), cosines, rtol=4e-16)
    np.testing.assert_allclose(compiled("sin", "double")(-x), -np.array(sines), rtol=4e-16)


def test_nothing_is_left_to_be_linked():
    calls = "\n".join(f"declare double @{name}(double)" for name in FUNCTIONS)
    text = linked(f"{calls}\ndefine double @f(double %x) {{\n  %y = call double @erfc(double %x)\n  %z = call double "
                  "@asinh(double %y)\n  %r = frem double %z, %y\n  ret double %r\n}")  # fmt: skip
    outside = [line for line in text.splitlines() if line.startswith("declare") and "@llvm." not in line]
    assert not outside
    assert text.count("define internal double @lanes_log(") == 1
    assert "@lanes_sin(" not in text

"""References of many digits for mathematical functions, and the numbers at which to compare: for tests of the lanes."""

import math

import numpy as np
import pytest

special = pytest.importorskip("scipy.special")

TWO = {"atan2", "pow", "nextafter"}  # the functions of two arguments
DTYPES = {"float": np.float32, "double": np.float64}


def exact(primitive, *x):
    """The value by mpmath, which takes numbers of any size; None where it has none to compare."""
    mp = pytest.importorskip("mpmath").mp
    with mp.workdps(60):
        x = [mp.mpf(float(v)) for v in x]
        try:
            y = EXACT[primitive](mp, *x)
        except (ZeroDivisionError, ValueError, mp.NoConvergence):
            return None
        return y if isinstance(y, mp.mpf) and mp.isfinite(y) else None


def _exact_log1p(mp, x):
    return mp.log(1 + x) if abs(x) > 1e-30 else x - x * x / 2


def _exact_erf_inv(mp, x):
    """Newton's method from scipy's value; in the tail by the complement, which is exact there."""
    if abs(x) >= 1:
        return None
    if abs(x) < 1e-25:
        return mp.sqrt(mp.pi) / 2 * x
    y, q = mp.mpf(float(special.erfinv(float(x)))), 1 - abs(x)
    for _ in range(3):
        miss = mp.sign(x) * (q - mp.erfc(abs(y)))
        y -= miss * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
    return y


def _exact_pow(mp, x, y):
    if x == 0 or (x < 0 and y != int(y)):
        return None
    # Far out of range; mpmath would compute every digit of it.
    return None if abs(y * mp.log(abs(x))) > 2000 else x**y


def _bounded(function, limit):
    """Left out where the result over- or underflows by far: mpmath computes it nevertheless, slowly."""
    return lambda mp, x: None if abs(x) > limit else function(mp, x)


EXACT = {
    **{n: (lambda mp, x, n=n: getattr(mp, n)(x)) for n in "sin cos tan asin acos atan asinh acosh atanh".split()},
    **{n: _bounded(lambda mp, x, n=n: getattr(mp, n)(x), 2000) for n in "sinh cosh exp".split()},
    "tanh": lambda mp, x: mp.tanh(x) if abs(x) < 100 else mp.sign(x),
    "exp2": _bounded(lambda mp, x: mp.mpf(2) ** x, 2000),
    "expm1": _bounded(lambda mp, x: mp.expm1(x) if x > -200 else mp.mpf(-1), 2000),
    "log": lambda mp, x: mp.log(x) if x > 0 else None,
    "log1p": lambda mp, x: _exact_log1p(mp, x) if x > -1 else None,
    "sqrt": lambda mp, x: mp.sqrt(x) if x >= 0 else None,
    "rsqrt": lambda mp, x: 1 / mp.sqrt(x) if x > 0 else None,
    "cbrt": lambda mp, x: mp.sign(x) * mp.cbrt(abs(x)),
    "logistic": _bounded(lambda mp, x: 1 / (1 + mp.exp(-x)), 2000),
    "erf": lambda mp, x: mp.erf(x) if abs(x) < 10 else mp.sign(x),
    "erfc": lambda mp, x: mp.erfc(x) if abs(x) < 30 else (None if x > 0 else mp.mpf(2)),
    "erf_inv": _exact_erf_inv,
    "lgamma": lambda mp, x: mp.log(abs(mp.gamma(x))) if 0 < abs(x) < 1e3 else (mp.loggamma(x) if x > 0 else None),
    "digamma": lambda mp, x: mp.digamma(x) if x > -1e15 and x != 0 else None,
    "bessel_i0e": lambda mp, x: mp.besseli(0, x) * mp.exp(-abs(x)) if abs(x) < 1e30 else 1 / mp.sqrt(2 * mp.pi * abs(x)),
    "bessel_i1e": lambda mp, x: mp.besseli(1, x) * mp.exp(-abs(x))
    if abs(x) < 1e30
    else mp.sign(x) / mp.sqrt(2 * mp.pi * abs(x)),
    "pow": _exact_pow,
    "atan2": lambda mp, x, y: mp.atan2(x, y) if x and y else None,
    "square": lambda mp, x: x * x,
}


def samples(scalar, count=400, seed=0):
    """Numbers of every size and sign, denser around one, and the values at which functions are special."""
    random = np.random.default_rng(seed)
    info = np.finfo(DTYPES[scalar])
    low, high = math.log2(float(info.smallest_subnormal)), math.log2(float(info.max))
    sign = lambda n: random.choice([-1.0, 1.0], n)
    near = random.normal(0, 1, count)
    parts = [
        sign(count) * np.exp2(random.uniform(low, high, count)),
        sign(count) * np.exp2(random.uniform(-12, 12, count)),
        near,
        random.uniform(-1, 1, count),
        sign(count) * (1 - np.exp2(random.uniform(-52, -1, count))),
        random.uniform(-120, 120, count),
        random.uniform(-800, 800, count),
        np.arange(-20, 21) * (math.pi / 4),
        np.arange(-6, 12) / 2.0,
    ]
    with np.errstate(over="ignore"):
        return np.concatenate([*parts, SPECIAL]).astype(DTYPES[scalar])


SPECIAL = np.array(
    [0.0, 1.0, 2.0, 3.0, 0.5, 1.5, 5e-324, 1e-310, 2.3e-308, 1e-45, 1e-40, 1.2e-38, 1e22, 1e300, 3.4e38, 1.7e308, 709.78]
    + [710.0, 745.2, 88.72, 89.0, 103.98, 1024.0, 128.0, 1 - 2**-53, 1 - 2**-24, 1 + 2**-52, 1 + 2**-23, 0.49999999999999994]
    + [0.49999997, 2.5, 4.5, 2.0**52 + 1, 2.0**23 + 1, 2.0**53, math.inf, math.nan]
)
SPECIAL = np.concatenate([SPECIAL, -SPECIAL])


def arguments(scalar, primitive, count=400, multiple=16):
    """One array for each argument, of a length that all widths divide."""
    x = samples(scalar, count)
    if primitive not in TWO:
        return [np.resize(x, -(-x.size // multiple) * multiple)]
    random = np.random.default_rng(1)
    y = random.permutation(x)
    if primitive == "pow":
        # Most pairs of numbers overflow: add some that do not.
        tame = np.exp2(random.uniform(-20, 20, x.size)), random.uniform(-30, 30, x.size)
        x, y = np.concatenate([x, tame[0], -tame[0]]), np.concatenate([y, tame[1], np.round(tame[1])])
    with np.errstate(over="ignore"):
        corners = np.array(np.meshgrid(SPECIAL, SPECIAL)).reshape(2, -1).astype(DTYPES[scalar])
    x, y = np.concatenate([x, corners[0]]), np.concatenate([y, corners[1]])
    size = -(-x.size // multiple) * multiple
    return [np.resize(v, size).astype(DTYPES[scalar]) for v in (x, y)]


def errors(primitive, scalar, found, *x):
    """How far results are from the exact ones, in units in the last place of those; NaN where nothing is known."""
    info = np.finfo(DTYPES[scalar])
    out = np.full(found.shape, np.nan)
    mp = pytest.importorskip("mpmath").mp
    for k, row in enumerate(zip(found, *x)):
        true = exact(primitive, *row[1:]) if np.all(np.isfinite(row[1:])) else None
        if true is None:
            continue
        with mp.workdps(60):
            largest = mp.mpf(float(info.max))
            exponent = max(mp.frexp(true)[1] - 1 if true else info.minexp, info.minexp)
            unit = mp.ldexp(1, int(min(exponent, info.maxexp - 1)) - info.nmant)
            # Infinity stands for the number after the largest, for all that is beyond it and for what rounds to it.
            y = mp.mpf(float(row[0])) if np.isfinite(row[0]) else math.copysign(1, row[0]) * (largest + unit)
            true = mp.sign(true) * min(abs(true), largest + unit)
            out[k] = math.inf if np.isnan(row[0]) else float(abs(y - true) / unit)
    return out

"""Every primitive that has native code, one by one, against `vmap` on XLA and against one lane at a time.

The lanes of a case hold random numbers and special values: zeros of both signs, ones, extremes, infinities and NaN.
Arrays of 3 elements are held in registers, arrays of 150 in memory.
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import worldline as wl

LANES = 21  # no multiple of a vector's width
SMALL, LARGE = (3,), (150,)
FLOATS, INTEGERS, EVERY = "f4 f8".split(), "i4 u4".split(), "f4 f8 i4 u4".split()

# The library functions of lanes and those of XLA are each within 4 units in the last place of the truth; XLA's own
# functions of float32 are worse for some (tan, lgamma, digamma, erf_inv), and a compiled power costs 10 and more.
ULP = 16
LOOSE_ULP = 400


def numbers(shape, dtype, seed=0, special=True):
    """Lanes of random numbers, in some places special ones."""
    rng, dtype = np.random.default_rng(seed), np.dtype(dtype)
    full = (*shape, LANES)
    if dtype.kind == "b":
        return rng.random(full) < 0.5
    if dtype.kind == "f":
        x = rng.normal(size=full) * np.exp(rng.normal(size=full))
        values = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, np.inf, -np.inf, np.nan, 1e-3, 33.0, -7.5]
    else:
        info = np.iinfo(dtype)
        x = rng.integers(max(info.min, -50), 50, size=full)
        values = [0, 0, 1, max(info.min, -1), info.max, info.min, 31, 32, 33, 7]
    if special:
        x = np.where(rng.random(full) < 0.4, rng.choice(np.array(values, dtype), full), x)
    return x.astype(dtype)


def agree(actual, expected, ulp, size=None):
    """NaN and infinities in the same places, integers equal, floats to so many units in the last place
    (of numbers of a size, where what is compared comes from sums of such)."""
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected):
        a, e = np.asarray(a), np.asarray(e)
        assert (a.shape, a.dtype) == (e.shape, e.dtype)
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, e)
            continue
        np.testing.assert_array_equal(np.isnan(a), np.isnan(e))
        finite = np.isfinite(e)
        np.testing.assert_array_equal(np.where(finite, 0, a), np.where(finite, 0, e))
        info = np.finfo(a.dtype)  # XLA flushes subnormal numbers of some functions to zero
        np.testing.assert_allclose(
            a[finite], e[finite], rtol=ulp * info.eps, atol=ulp * (info.eps * size if size else info.tiny)
        )


def compare(function, *arrays, ulp=ULP, eager=False, size=None):
    """A function natively, by `vmap` on XLA, and one lane after the other without compilation."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a fallback would compare XLA with itself
        actual = jax.tree.leaves(wl.lanes(function)(*arrays))
    reference = jax.jit(jax.vmap(function, -1, -1))
    agree(actual, jax.tree.leaves(reference(*arrays)), ulp, size)
    if eager:
        for lane in (0, LANES - 1):
            one = function(*(jnp.asarray(x[..., lane]) for x in arrays))
            agree([y[..., lane] for y in actual], jax.tree.leaves(one), ulp)


def inside(low, high):
    """Maps numbers into an interval, as functions with a domain need them; special values stay."""
    return lambda x: np.where(np.isfinite(x), low + (high - low) / (1 + np.exp(-x)), x).astype(x.dtype)


def cases(table):
    """Every function and type in registers, one type of each function in memory too."""
    small = [(name, dtype, SMALL) for name, (_, kinds) in table.items() for dtype in kinds]
    return small + [(name, "f8" if "f8" in kinds else kinds[0], LARGE) for name, (_, kinds) in table.items()]


UNARY = {
    "abs": (lax.abs, FLOATS + ["i4"]), "neg": (lax.neg, EVERY), "sign": (lax.sign, EVERY), "floor": (lax.floor, FLOATS),
    "ceil": (lax.ceil, FLOATS), "round": (lax.round, FLOATS), "is_finite": (lax.is_finite, FLOATS),
    "round even": (lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), FLOATS),
    "not": (lax.bitwise_not, INTEGERS + ["b1"]), "population_count": (lax.population_count, INTEGERS),
    "clz": (lax.clz, INTEGERS), "square": (lax.square, EVERY), "sqrt": (lax.sqrt, FLOATS), "rsqrt": (lax.rsqrt, FLOATS),
    "integer_pow 3": (lambda x: lax.integer_pow(x, 3), EVERY), "integer_pow 0": (lambda x: lax.integer_pow(x, 0), EVERY),
    "integer_pow -2": (lambda x: lax.integer_pow(x, -2), FLOATS), "integer_pow 7": (lambda x: lax.integer_pow(x, 7), EVERY),
    "stop_gradient": (lax.stop_gradient, EVERY), "copy": (jnp.copy, EVERY),
    "reduce_precision": (lambda x: lax.reduce_precision(x, 8, 10), FLOATS),
    "reduce_precision to half": (lambda x: lax.reduce_precision(x, 5, 10), FLOATS),
    "bits of a float": (lambda x: lax.bitcast_convert_type(x, np.dtype(f"u{x.dtype.itemsize}")), EVERY),
    "clamp": (lambda x: lax.clamp(jnp.asarray(1, x.dtype), x, jnp.asarray(5, x.dtype)), EVERY),
}  # fmt: skip
for _name in "sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh exp exp2 expm1 log log1p cbrt".split():
    UNARY[_name] = (getattr(lax, _name), FLOATS)
for _name in "erf erfc erf_inv lgamma digamma logistic".split():
    UNARY[_name] = (getattr(lax, _name), FLOATS)
for _name, _kinds in {"log2": FLOATS, "one_minus_square": EVERY}.items():
    if hasattr(lax, _name):  # not in the oldest JAX
        UNARY[_name] = (getattr(lax, _name), _kinds)
LOOSE = set("log1p tan lgamma digamma erf_inv erfc pow acos acosh cosh sinh asinh atanh erf".split())


@pytest.mark.parametrize("name, dtype, shape", cases(UNARY))
def test_functions_of_one_number(name, dtype, shape):
    x = numbers(shape, dtype, len(name))
    if name in ("lgamma", "digamma"):
        x = inside(0.1, 30)(x)  # near its zeros and poles XLA itself is far from the truth
    ulp, size = LOOSE_ULP if name in LOOSE else ULP, 1 if name in ("lgamma", "digamma") else None
    compare(UNARY[name][0], x, ulp=ulp, eager=dtype == "f8" and shape == SMALL, size=size)


BINARY = {
    "add": (lax.add, EVERY), "sub": (lax.sub, EVERY), "mul": (lax.mul, EVERY), "div": (lax.div, EVERY),
    "rem": (lax.rem, EVERY), "max": (lax.max, EVERY + ["b1"]), "min": (lax.min, EVERY + ["b1"]), "pow": (lax.pow, FLOATS),
    "atan2": (lax.atan2, FLOATS), "nextafter": (lax.nextafter, FLOATS), "and": (lax.bitwise_and, INTEGERS + ["b1"]),
    "or": (lax.bitwise_or, INTEGERS + ["b1"]), "xor": (lax.bitwise_xor, INTEGERS + ["b1"]),
    "shift_left": (lax.shift_left, INTEGERS), "shift_right_logical": (lax.shift_right_logical, INTEGERS),
    "shift_right_arithmetic": (lax.shift_right_arithmetic, INTEGERS),
}  # fmt: skip
for _name in "eq ne lt le gt ge".split():
    BINARY[_name] = (getattr(lax, _name), EVERY + ["b1"])

if hasattr(lax, "mulhi"):
    BINARY["mulhi"] = (lax.mulhi, INTEGERS + ["i8", "u8"])


@pytest.mark.parametrize("name, dtype, shape", cases(BINARY))
def test_functions_of_two_numbers(name, dtype, shape):
    x, y = numbers(shape, dtype, 1), numbers(shape, dtype, 2)
    compare(BINARY[name][0], x, y, ulp=LOOSE_ULP if name in LOOSE else ULP, eager=dtype == "f8" and shape == SMALL)


@pytest.mark.parametrize("name", "add sub mul div rem shift_left shift_right_logical shift_right_arithmetic lt".split())
@pytest.mark.parametrize("dtype", INTEGERS)
def test_constants_are_folded_as_numbers_of_their_type(dtype, name):
    f, constants = BINARY[name][0], [jnp.asarray(np.array(c).astype(dtype)) for c in (0, 1, -1, 31, 32, 40)]

    def with_constant(x, c):
        known = c if name in ("div", "rem") else f(c, lax.bitwise_not(c))  # XLA traps when it folds INT_MIN / -1
        return f(x, c), f(c, x), lax.convert_element_type(known, "f8"), lax.bitwise_not(c) > x

    def function(x):
        return [with_constant(x, c) for c in constants]

    compare(function, numbers(SMALL, dtype, 3))


@pytest.mark.parametrize("old", "f4 f8 i4 u4 i8 b1".split())
def test_conversions(old):
    new = "f4 f8 i4 u4 i1 u1 i2 u2 i8 u8 b1".split()
    compare(lambda x: [lax.convert_element_type(x, kind) for kind in new], numbers(SMALL, old, 4))


def test_functions_with_a_program_of_their_own():
    x = numbers(SMALL, "f8", 4, special=False)
    composite = lax.composite(lambda x: jnp.sin(x) * x, "worldline.test")  # `vmap` knows no composites
    agree([wl.lanes(composite)(x)], [np.sin(x) * x], ULP)
    if hasattr(lax, "polynomial"):
        compare(
            lambda x: lax.polynomial(x, [1.0, x[0], 3.0, -2.0]), numbers(SMALL, "f8", 5, special=False), ulp=LOOSE_ULP
        )


def test_log_of_what_counts_as_zero():
    assert (wl.lanes(jnp.log)(jnp.full((1, LANES), 1e-310)) == -jnp.inf).all()


@pytest.mark.parametrize("kind", ["u1", "u4", "u8"])
def test_unsigned_exponents_and_starts_have_no_sign(kind):
    largest = np.iinfo(kind).max
    n = np.resize(np.array([0, 1, 7, largest // 2 + 1, largest], kind), LANES)
    compare(lambda n: lax.pow(jnp.float64(1.0000001), n), n, ulp=LOOSE_ULP)
    compare(lambda n: lax.dynamic_slice(jnp.arange(9.0), (n,), (2,)), n)


def test_numbers_taken_apart_run_on_xla():
    with pytest.warns(UserWarning, match="bitcast_convert_type: from uint32 to uint8"):
        parts = wl.lanes(lambda x: lax.bitcast_convert_type(x, jnp.uint8))(jnp.full((3, LANES), 0x01020304, "u4"))
    assert parts.shape == (3, 4, LANES) and (parts[:, :, 0] == jnp.array([4, 3, 2, 1])).all()


def test_pow_with_integer_exponents():
    x, n = numbers(SMALL, "f8", 5), numbers(SMALL, "i4", 6)
    compare(lambda x, n: lax.pow(x, n % 7 - 3), x, n, ulp=LOOSE_ULP)


@pytest.mark.parametrize("dtype", EVERY + ["b1"])
def test_selection(dtype):
    which = np.random.default_rng(0).integers(-1, 5, (*SMALL, LANES)).astype("i4")
    cases = [numbers(SMALL, dtype, k) for k in range(3)]
    compare(lambda w, *c: lax.select_n(jnp.clip(w, 0, 2), *c), which, *cases)
    compare(lambda w, x, y, z: lax.select_n(w[0] > 1, x, y), which, *cases)


MOVES = {
    "broadcast_in_dim": lambda x: lax.broadcast_in_dim(x, (2, *x.shape, 3), (1, 2)), "reshape": lambda x: x.reshape(-1),
    "expand_dims": lambda x: x[:, None, :, None], "squeeze": lambda x: lax.squeeze(x[None], [0]),
    "transpose": lambda x: x.T, "slice": lambda x: x[1:, ::2], "rev": lambda x: x[::-1, ::-1],
    "concatenate": lambda x: jnp.concatenate([x, x[:1], x], 0), "stack": lambda x: jnp.stack([x, x + x], 1),
    "pad": lambda x: lax.pad(x, x[0, 0], [(1, 2, 1), (-1, 1, 0)]), "split": lambda x: jnp.split(x, 2, 1),
    "pad to less": lambda x: lax.pad(x, x[0, 0], [(-1, -1, 2), (0, -1, 1)]), "tile": lambda x: jnp.tile(x, (2, 3)),
    "unstack": lambda x: jnp.unstack(x, axis=1), "iota": lambda x: x + jnp.arange(x.shape[1]).astype(x.dtype),
    "roll": lambda x: jnp.roll(x, 3, 1), "triangles": lambda x: (jnp.tril(x), jnp.triu(x)), "diagonal": jnp.diagonal,
    "repeat": lambda x: jnp.repeat(x, 2, 0), "swapped": lambda x: jnp.swapaxes(x[None], 0, 2), "empty": lambda x: x[:, :0],
}  # fmt: skip
REDUCTIONS = {
    **{f.__name__: lambda x, f=f: (f(x), f(x, 0), f(x, 1)) for f in (jnp.sum, jnp.prod, jnp.max, jnp.min)},
    **{f.__name__: lambda x, f=f: (f(x, 0), f(x, 1)) for f in (jnp.argmax, jnp.argmin, jnp.cumsum, jnp.cumprod)},
    **{f.__name__: lambda x, f=f: (f(x, 0), f(x, 1, reverse=True)) for f in (lax.cummax, lax.cummin)},
    "all": lambda x: (jnp.all(x > 0), jnp.any(x > 0, 0), jnp.logical_xor.reduce(x > 0, 1)),
}


@pytest.mark.parametrize("shape", [(3, 4), (12, 14)], ids=["registers", "memory"])
@pytest.mark.parametrize("name", MOVES)
def test_moves(name, shape):
    arrays = [numbers(shape, dtype, 7) for dtype in ("f8", "i4", "b1")]
    compare(lambda *xs: [MOVES[name](x) for x in xs], *arrays)


@pytest.mark.parametrize("shape", [(3, 4), (12, 14)], ids=["registers", "memory"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name, shape):
    arrays = [numbers(shape, dtype, 8) for dtype in EVERY]
    if name in ("sum", "cumsum"):  # the order of a sum is free, so that only sums of numbers alike can be compared
        arrays = [np.where(np.isfinite(x), np.abs(x), x) for x in arrays]
    compare(lambda *xs: [REDUCTIONS[name](x) for x in xs], *arrays)


INDEXING = {
    "elements": lambda x, i: (x[i[0]], x[-1], x[i]), "rows": lambda x, i: x.reshape(-1, 5)[i[:2]],
    "columns": lambda x, i: x.reshape(5, -1)[:, i[1]], "points": lambda x, i: x.reshape(-1, 5)[i, i],
    "dynamic_slice": lambda x, i: lax.dynamic_slice(x.reshape(-1, 5), (i[0], i[1]), (1, 2)),
    "dynamic_update_slice": lambda x, i: lax.dynamic_update_slice(x.reshape(-1, 5), jnp.ones((1, 2), x.dtype), (i[0], i[1])),
    "set of rows": lambda x, i: x.reshape(-1, 5).at[i[:2]].set(3), "take_along_axis": lambda x, i: jnp.take_along_axis(x, i % 5, 0),
    "shared": lambda x, i: (x.at[2].set(1), x.at[jnp.array([3, 3, 900])].add(1)),
    "booleans": lambda x, i: ((x > 0)[i], (x > 0).at[i].set(True)),
}  # fmt: skip
MODES = ["clip", "fill", "drop", "promise_in_bounds"]


def places(size):
    return np.random.default_rng(9).integers(-2 * size, 2 * size, (4, LANES)).astype("i4")


@pytest.mark.parametrize("size", [5, 300], ids=["registers", "memory"])
@pytest.mark.parametrize("name", INDEXING)
def test_indexing_by_places_of_each_lane(name, size):
    compare(INDEXING[name], numbers((size,), "f8", 10), places(size))


@pytest.mark.parametrize("dtype", ["f8", "i4"])
@pytest.mark.parametrize("size", [5, 300], ids=["registers", "memory"])
@pytest.mark.parametrize("mode", MODES)
def test_places_outside(mode, size, dtype):
    def function(x, i):
        i = jnp.clip(i, 0, size - 1) if mode == "promise_in_bounds" else i
        new = jnp.arange(1, 5).astype(x.dtype)
        changed = [
            getattr(x.at[i], how)(new, mode=mode) for how in ("set", "add", "multiply", "min", "max", "subtract")
        ]
        return changed if mode == "drop" else [*changed, x.at[i].get(mode=mode)]

    compare(function, numbers((size,), dtype, 11, special=False), places(size))


def positive(n):
    a = np.random.default_rng(n).normal(size=(n, n, LANES))
    return np.einsum("ikb,jkb->ijb", a, a) + n * np.eye(n)[..., None]


ALGEBRA = {
    "solve": lambda a: jnp.linalg.solve(a, a[0]), "inv": jnp.linalg.inv, "det": jnp.linalg.det,
    "cholesky": jnp.linalg.cholesky, "cholesky of an indefinite one": lambda a: jnp.linalg.cholesky(a - 3 * jnp.eye(len(a))),
    "slogdet": jnp.linalg.slogdet, "norm": jnp.linalg.norm, "dot": lambda a: (a @ a, a @ a[0], jnp.vdot(a, a)),
    "batches": lambda a: jnp.linalg.solve(jnp.stack([a, 2 * a]), jnp.stack([a[0], a[1]])[..., None]),
    "triangular": lambda a: [  # of a matrix that is not far from the identity on either side
        lax.linalg.triangular_solve(
            jnp.tanh(a / 9) + jnp.eye(len(a)), a, left_side=left, lower=lower, transpose_a=t, unit_diagonal=lower
        )
        for left in (True, False) for lower in (True, False) for t in (True, False)
    ],
}  # fmt: skip


@pytest.mark.parametrize("n", [3, 12], ids=["written out", "in loops"])
@pytest.mark.parametrize("name", ALGEBRA)
def test_linear_algebra(name, n):
    # Each number comes from n^2 operations, and errors grow with the condition number, about 100 here.
    compare(ALGEBRA[name], positive(n), ulp=1e5, size=1)


SEARCHES = {
    "sort": lambda x: (jnp.sort(x), jnp.argsort(x), jnp.sort(x, descending=True)), "median": jnp.nanmedian,
    "top_k": lambda x: lax.top_k(x, 3), "searchsorted": lambda x: jnp.searchsorted(jnp.sort(x), x),
    "lexsort": lambda x: jnp.lexsort((x, jnp.sign(x))), "nonzero": lambda x: jnp.nonzero(x > 0, size=4, fill_value=-1),
}  # fmt: skip


@pytest.mark.parametrize("size", [9, 40])
@pytest.mark.parametrize("name", SEARCHES)
def test_orders(name, size):
    compare(SEARCHES[name], numbers((size,), "f8", 12))


COMPOSED = {
    "interp": lambda x: jnp.interp(x, jnp.arange(5.0), jnp.arange(5.0) ** 2), "map": lambda x: lax.map(jnp.sin, x),
    "associative_scan": lambda x: lax.associative_scan(jnp.maximum, x), "cumlogsumexp": lambda x: lax.cumlogsumexp(jnp.tanh(x)),
    "where": lambda x: jnp.where(x > 0, jnp.sqrt(x), 0.0), "logsumexp": jax.nn.logsumexp, "softmax": jax.nn.softmax,
    "erf": jax.scipy.special.erf, "quaternion": lambda x: jnp.tanh(x) / (1 + jnp.abs(jnp.tanh(x)).sum()),
    "nan_to_num": jnp.nan_to_num,
}  # fmt: skip


@pytest.mark.parametrize("name", COMPOSED)
def test_what_is_composed_of_many(name):
    compare(COMPOSED[name], numbers((9,), "f8", 13, special=name in ("where", "nan_to_num")), ulp=LOOSE_ULP)

"""Every mathematical function of the lanes, compiled and run on arrays, against references of more digits."""

import ctypes
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.lax import RoundingMethod
from mathematical_references import DTYPES, SPECIAL, TWO, arguments, errors, samples

from worldline.core.lanes.builder import Builder, Register
from worldline.core.lanes.mathematics import HOW, SUPPORTED, emit_math
from worldline.core.lanes.target import host

llvm = pytest.importorskip("llvmlite.binding")
special = pytest.importorskip("scipy.special")

ULPS = 4.0  # what the module promises


@functools.cache
def compiled(primitive, scalar, width, vector_bytes, uniform=False, constants=(), options=()):
    """A function of arrays, whose lengths are multiples of `width`, that runs the code of a primitive."""
    b = Builder(width)
    size = np.dtype(DTYPES[scalar]).itemsize
    pointers = [Register(f"%a{k}", "ptr", True) for k in range(3)]
    with b.loop(Register("%count", "i64", True)) as i:
        step = 1 if uniform else width
        at = [b.offset(p, i, size * step) for p in pointers]
        args = [b.load(p, scalar, uniform) for p in at[: 2 if primitive in TWO else 1]]
        args = [args[k] if c is None else c for k, c in enumerate(constants)] if constants else args
        y = emit_math(b, primitive, args, scalar, vector_bytes=vector_bytes, **dict(options))
        assert y.uniform == uniform
        if y.scalar == "i1":
            kind = b.type("i1", uniform)
            y = b.pure(scalar, uniform, f"uitofp {kind} {y.name} to {b.type(scalar, uniform)}")
        b.store(y, at[2], scalar, uniform)
    b.do("ret void")
    bits = f'"prefer-vector-width"="{8 * (vector_bytes or 64)}" "min-legal-vector-width"="{8 * (vector_bytes or 64)}"'
    run = build(b, f"void @run(ptr %a0, ptr %a1, ptr %a2, i64 %count) {bits}")

    def call(x, y=None):
        x = np.ascontiguousarray(x, DTYPES[scalar])
        y = x if y is None else np.ascontiguousarray(y, DTYPES[scalar])
        out = np.empty_like(x)
        run(x.ctypes.data, y.ctypes.data, out.ctypes.data, x.size // step)
        return out

    return call


def build(b, signature):
    """Machine code of what a builder holds, by llvmlite's compiler."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly("\n".join([*b.globals, *b.declarations.values(), b.function(signature)]))
    module.verify()
    features = llvm.get_host_cpu_features().flatten()
    machine = llvm.Target.from_default_triple().create_target_machine(llvm.get_host_cpu_name(), features, opt=2)
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)(engine.get_function_address("run"))
    function.engine = engine
    return function


PLATFORMS = [(4, 0), (4, 16), (8, 32), (16, 64)]  # lanes, bytes of a library's vectors
EXACTLY = {"abs", "ceil", "floor", "is_finite", "nextafter", "round", "sign"}
WIDEST = host().vector_bytes
here = [pytest.param(w, v, id=f"{w}x{v}") for w, v in PLATFORMS if v <= WIDEST]


@pytest.mark.parametrize("scalar", DTYPES)
@pytest.mark.parametrize("primitive", sorted(SUPPORTED - EXACTLY))
def test_within_four_units_of_the_exact_result(primitive, scalar):
    """Over the whole range of the type, subnormal numbers included, on every width of vectors of this machine."""
    args = arguments(scalar, primitive, 40)
    for width, vector_bytes in {(1, 0), (WIDEST // np.dtype(DTYPES[scalar]).itemsize, WIDEST)}:
        found = compiled(primitive, scalar, width, vector_bytes)(*args)
        off = errors(primitive, scalar, found, *args)
        if primitive == "digamma":
            # Between negative whole numbers two terms cancel: what counts is the precision of the larger one.
            x = args[0].astype(float)
            with np.errstate(all="ignore"):
                terms = np.maximum(
                    np.abs(special.digamma(1 - x)), math.pi / np.abs(np.tan(math.pi * (x - np.round(x))))
                )
                off = np.where(
                    x < 0, off * np.minimum(1, np.spacing(np.abs(special.digamma(x))) / np.spacing(terms)), off
                )
        worst = np.nanargmax(off)
        assert off[worst] <= ULPS, f"{off[worst]} units at {[a[worst] for a in args]}, which gave {found[worst]}"


@pytest.mark.parametrize("width, vector_bytes", here)
@pytest.mark.parametrize("scalar", DTYPES)
def test_vectors_mean_what_the_scalar_library_means(scalar, width, vector_bytes):
    """NaN, infinities and signed zeros come out of the same arguments, and all else is near."""
    for primitive in sorted(SUPPORTED):
        args = arguments(scalar, primitive, 50)
        same(
            compiled(primitive, scalar, width, vector_bytes)(*args), compiled(primitive, scalar, 1, 0)(*args), primitive
        )


def same(found, expected, what, rtol=None):
    """Equal up to some units, with zeros and infinities of one sign."""
    info = np.finfo(expected.dtype)
    with np.errstate(all="ignore"):
        close = np.isclose(
            found, expected, rtol=8 * info.eps if rtol is None else rtol, atol=8 * info.smallest_subnormal
        )
    close |= np.isnan(found) & np.isnan(expected)
    if what == "digamma":
        with np.errstate(invalid="ignore"):
            close |= np.abs(found - expected) < 1000 * info.eps
    # The largest number and infinity may be a unit apart.
    close |= (np.abs(found) >= info.max * (1 - 8 * info.eps)) & (np.abs(expected) >= info.max * (1 - 8 * info.eps))
    zero = (found == 0) & (expected == 0)
    close &= ~zero | (np.signbit(found) == np.signbit(expected))
    assert close.all(), f"{what}: {found[~close][:5]} instead of {expected[~close][:5]}"


@pytest.mark.parametrize("scalar", DTYPES)
@pytest.mark.parametrize("primitive", sorted(SUPPORTED - {"nextafter"}))
def test_special_values_are_those_of_jax(primitive, scalar):
    """NaN, infinities and signs of zeros. JAX takes subnormal numbers for zero, so these are left out."""
    info = np.finfo(DTYPES[scalar])
    args = arguments(scalar, primitive, 30)
    expected = np.asarray(getattr(jax.lax, primitive)(*map(jnp.asarray, args))).astype(DTYPES[scalar])
    found = compiled(primitive, scalar, 8, None)(*args)
    normal = ~np.isfinite(found) | (np.abs(found) > 2 * info.tiny) | (found == 0)
    for x in args:
        normal &= (x == 0) | (np.abs(x) > 2 * info.tiny) | np.isnan(x)
    normal &= ~np.isfinite(expected) | (np.abs(expected) < 0.999 * info.max)  # JAX's exp2(1024) is finite
    if primitive == "digamma":  # JAX's is NaN at zeros, or -inf, from one release to the next
        infinite = special.digamma(args[0])
        assert (found == infinite)[args[0] == 0].all()
        normal &= args[0] != 0
    assert normal.sum() > 20
    for kind in (np.isnan, np.isposinf, np.isneginf):
        odd = normal & (kind(found) != kind(expected))
        assert not odd.any(), [(*(float(x[k]) for x in args), found[k], expected[k]) for k in np.nonzero(odd)[0][:5]]
    zero = normal & (found == 0) & (expected == 0)
    assert (np.signbit(found) == np.signbit(expected))[zero].all()


@pytest.mark.parametrize("scalar", DTYPES)
@pytest.mark.parametrize("method", [RoundingMethod.AWAY_FROM_ZERO, RoundingMethod.TO_NEAREST_EVEN])
def test_round(method, scalar):
    x = arguments(scalar, "round")[0]
    found = compiled("round", scalar, 8, None, options=(("rounding_method", method),))(x)
    with np.errstate(invalid="ignore"):
        away = np.copysign(np.floor(np.abs(x)) + (np.abs(x) - np.floor(np.abs(x)) >= 0.5), x)
    np.testing.assert_array_equal(found, np.round(x) if method == RoundingMethod.TO_NEAREST_EVEN else away)
    assert (np.signbit(found) == np.signbit(x))[~np.isnan(x)].all()


@pytest.mark.parametrize("scalar", DTYPES)
def test_exact_functions(scalar):
    for primitive, reference in {
        "nextafter": np.nextafter,
        "floor": np.floor,
        "ceil": np.ceil,
        "abs": np.abs,
        "is_finite": np.isfinite,
        "sqrt": np.sqrt,
        "sign": lambda x: np.where(x == 0, x, np.sign(x)),
    }.items():
        args = arguments(scalar, primitive)
        with np.errstate(all="ignore"):
            expected = reference(*args).astype(DTYPES[scalar])
        found = compiled(primitive, scalar, 8, None)(*args)
        np.testing.assert_array_equal(found, expected, primitive)
        number = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found[number]), np.signbit(expected[number]), primitive)


@pytest.mark.parametrize("scalar", DTYPES)
@pytest.mark.parametrize("power", [2.0, 3.0, 4.0, -1.0, -2.0, 0.5, -0.5, 1.5, -1.5, 0.0, 7, 2.5, math.inf])
def test_powers_with_a_constant_exponent(power, scalar):
    x = samples(scalar)[:992]
    with np.errstate(over="ignore"):
        x = np.concatenate([x, np.resize(SPECIAL.astype(DTYPES[scalar]), 80)])
    found = compiled("pow", scalar, 8, None, constants=(None, power))(x)
    same(found, compiled("pow", scalar, 1, 0)(x, np.full_like(x, power)), f"pow {power}")


@pytest.mark.parametrize("scalar", DTYPES)
def test_integer_exponents(scalar):
    """Also those that no float holds: whether they are odd decides the sign."""
    b, width = Builder(4), 4
    x = b.load(Register("%a0", "ptr", True), scalar)
    y = b.load(Register("%a1", "ptr", True), "i32")
    b.store(emit_math(b, "pow", [x, y], scalar), Register("%a2", "ptr", True), scalar)
    b.do("ret void")
    run = build(b, "void @run(ptr %a0, ptr %a1, ptr %a2, i64 %count)")
    bases = np.array([-1.0, -2.0, 3.0, 0.0], DTYPES[scalar])
    powers, out = np.array([2**24 + 1, 3, -2, 0], np.int32), np.empty(width, DTYPES[scalar])
    run(bases.ctypes.data, powers.ctypes.data, out.ctypes.data, width)
    np.testing.assert_allclose(out, [-1.0, -8.0, 1 / 9, 1.0], rtol=1e-6)


@pytest.mark.parametrize("scalar", DTYPES)
def test_uniform_arguments_give_uniform_results(scalar):
    """`compiled` asserts that the register is uniform."""
    for primitive in sorted(SUPPORTED):
        args = arguments(scalar, primitive, 20)
        found = compiled(primitive, scalar, 8, None, uniform=True)(*args)
        same(found, compiled(primitive, scalar, 1, 0)(*args), primitive)


def test_constants_and_uniform_arguments_beside_lanes():
    y = np.linspace(-2, 2, 16)
    found = compiled("atan2", "double", 8, None, constants=(1.0, None))(y, y)
    np.testing.assert_allclose(found, np.arctan2(1.0, y), rtol=1e-15)
    found = compiled("sin", "double", 8, None, uniform=True, constants=(0.5,))(y)
    np.testing.assert_allclose(found, np.sin(0.5), rtol=1e-15)


@pytest.mark.parametrize("scalar", DTYPES)
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8, 16, 32])
def test_any_number_of_lanes(width, scalar):
    """Vectors wider than the library's are split, narrower ones filled up."""
    x, rtol = np.linspace(-3, 3, 480).astype(DTYPES[scalar]), 4 * np.finfo(DTYPES[scalar]).eps
    for vector_bytes in (v for v in (0, 16, 32, 64) if v <= WIDEST):
        np.testing.assert_allclose(compiled("sin", scalar, width, vector_bytes)(x), np.sin(x), rtol=rtol)
        found = compiled("atan2", scalar, width, vector_bytes)(x, x[::-1])
        np.testing.assert_allclose(found, np.arctan2(x, x[::-1]), rtol=rtol)


def test_huge_arguments():
    """sin(1e22) needs more digits of pi than a double has."""
    for width, vector_bytes in [(1, 0), (8, WIDEST)]:
        x = np.full(8, 1e22)
        np.testing.assert_allclose(compiled("sin", "double", width, vector_bytes)(x), -0.8522008497671888, rtol=1e-15)
        np.testing.assert_allclose(compiled("cos", "double", width, vector_bytes)(x), 0.5232147853951389, rtol=1e-15)


@pytest.mark.parametrize("scalar", DTYPES)
def test_code_for_gpus(scalar):
    """One lane to a thread, with NVIDIA's functions: LLVM writes PTX in which only those are left to link."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple = "nvptx64-nvidia-cuda"
    for primitive in sorted(SUPPORTED):
        b = Builder(1)
        args = [Register(f"%x{k}", scalar) for k in range(2 if primitive in TWO else 1)]
        y = emit_math(b, primitive, args, scalar, libdevice=True)
        b.do(f"ret {y.scalar} {y.name}")
        text = b.function(f"{y.scalar} @run({', '.join(f'{scalar} {x.name}' for x in args)})")
        module = llvm.parse_assembly("\n".join([f'target triple = "{triple}"', *b.declarations.values(), text]))
        called = {f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")}
        assert all(name.startswith("__nv_") for name in called)
        machine = llvm.Target.from_triple(triple).create_target_machine(cpu="sm_80", features="+ptx70")
        assert ".visible" in machine.emit_assembly(module)


def test_unknown_primitives_are_named():
    with pytest.raises(NotImplementedError, match="zeta"):
        emit_math(Builder(4), "zeta", [1.0, 2.0], "double")


def test_how_every_function_is_emitted():
    assert set(HOW) == SUPPORTED
    assert {how.split(":")[0] for how in HOW.values()} == {"instruction", "library", "composition"}

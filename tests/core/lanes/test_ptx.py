"""Lanes for GPUs: everything that compiles for CPUs gives PTX, which NVIDIA's assembler accepts, and the right numbers.

No GPU is needed: the code of the kernel is run on the CPU, thread after thread (`device_on_cpu`).
"""

import concurrent.futures
import itertools
import re
import shutil
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_primitives as primitives
import test_programs as generated
from device_on_cpu import run_threads
from hypothesis import given

import worldline as wl

LANES = 13  # more than the threads that run, and no multiple of them
PTXAS = shutil.which("ptxas") or next(map(str, sorted(Path("/usr/local").glob("cuda*/bin/ptxas"))), None)
needs_ptxas = pytest.mark.skipif(PTXAS is None, reason="there is no ptxas here, NVIDIA's assembler")
PROCESSORS = ("sm_80", "sm_90")


def assembled(texts, folder, level=1):
    """What ptxas says about each text; several at a time."""

    def one(numbered):
        number, text = numbered
        path = folder / f"{number}.ptx"
        path.write_text(text)
        processor = re.search(r"^\.target (\w+)", text, re.MULTILINE)[1]
        command = [PTXAS, "-v", "--opt-level", str(level), "-arch", processor, "-o", str(path) + ".cubin", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stderr

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, enumerate(texts)))


def together(table, dtype):
    """All functions of a table that take numbers of a type, as one function."""
    functions = [f for f, kinds in table.values() if dtype in kinds]
    return lambda *xs: [f(*xs) for f in functions]


ONE = (1,)
FUNCTIONS = {  # name: function, arguments, how far off by the units of `primitives.agree`, or beside numbers of what size
    **{f"of one {d}": (together(primitives.UNARY, d), [ONE], d, primitives.LOOSE_ULP, 1) for d in ("f4", "f8", "i4", "u4", "b1")},
    **{f"of two {d}": (together(primitives.BINARY, d), [ONE, ONE], d, primitives.LOOSE_ULP, 1) for d in ("f4", "f8", "i4", "u4")},
    "moves": (lambda x: [f(x) for f in primitives.MOVES.values()], [(3, 4)], "f8", 0, None),
    "moves in memory": (lambda x: [primitives.MOVES[n](x) for n in ("transpose", "pad", "rev")], [(12, 14)], "i4", 0, None),
    "sums": (lambda x: [f(jnp.tanh(x)) for f in primitives.REDUCTIONS.values()], [(3, 4)], "f4", 100, 1),
    "sums in memory": (lambda x: primitives.REDUCTIONS["argmax"](x), [(12, 14)], "f8", 0, None),
    "orders": (lambda x: [primitives.SEARCHES[n](x) for n in ("sort", "top_k", "nonzero")], [(6,)], "f8", 10, None),
    "composed": (lambda x: [f(x) for f in primitives.COMPOSED.values()], [(9,)], "f8", primitives.LOOSE_ULP, 1),
}  # fmt: skip
MATRICES = primitives.positive(3)[..., :LANES]


def indexed(x, i):
    return [f(x, i) for f in primitives.INDEXING.values()], [x.at[i].add(1.5, mode=m) for m in primitives.MODES[:3]]


def random(key):
    draws = jax.random.normal(key, (3,)), jax.random.randint(key, (2,), 0, 99), jax.random.uniform(key, (130,))
    return *draws, jax.random.bits(jax.random.fold_in(key, draws[1][0]))


LORENZ, ROBERTSON = (wl.ode.zoo.problem(name).system() for name in ("lorenz", "robertson"))
STARTS = np.random.default_rng(0).normal(size=(3, LANES)) + np.array([1.0, 1.0, 20.0])[:, None]
STIFF = np.array([1.0, 0.0, 0.0])[:, None] + 0.1 * np.random.default_rng(1).random((3, LANES))


def lorenz_in_steps(y):
    return wl.simulate(LORENZ, y, t0=0.0, dt=0.01, steps=200, solver="tsit5").final


SIMULATIONS = {
    "lorenz in fixed steps": (lorenz_in_steps, STARTS),
    "lorenz in fixed steps of float32": (lorenz_in_steps, STARTS.astype("f4")),
    "lorenz": (lambda y: wl.simulate(LORENZ, y, t0=0.0, t1=1.0, rtol=1e-8, atol=1e-8).final, STARTS),
    "robertson": (lambda y: wl.simulate(ROBERTSON, y, t0=0.0, t1=1e6, rtol=1e-8, atol=1e-10).final, STIFF),
    "a gradient": (jax.grad(lambda y: lorenz_in_steps(y)[0]), STARTS),
}


def programs():
    """Name, function and arguments of what the other tests of lanes compile."""
    for name, (function, shapes, dtype, *_) in FUNCTIONS.items():
        yield name, function, [primitives.numbers(s, dtype, k)[..., :LANES] for k, s in enumerate(shapes)]
    for name in ("solve", "inv", "det", "cholesky", "slogdet", "dot", "triangular"):
        yield name, primitives.ALGEBRA[name], [MATRICES]
    for size in (5, 300):
        yield (
            f"indexing {size}",
            indexed,
            [primitives.numbers((size,), "f8", 3, special=False), primitives.places(size)],
        )
    yield "random keys", random, [jax.random.key_data(jax.random.split(jax.random.key(0), LANES)).T]
    for name, (function, start) in SIMULATIONS.items():
        yield name, function, [start]


PROGRAMS = {name: (function, arrays) for name, function, arrays in programs()}


@pytest.fixture(scope="module")
def ptx():
    """The PTX of every program, for both processors in turn."""
    processors = itertools.cycle(PROCESSORS)
    return {name: wl.lanes.ptx(f, *xs, processor=next(processors)) for name, (f, xs) in PROGRAMS.items()}


def test_everything_gives_ptx_that_needs_nothing_else(ptx):
    for name, text in ptx.items():
        assert text.count(".visible .entry lanes_kernel(") == 1, name
        called = set(re.findall(r"^\s*\.extern .*$", text, re.MULTILINE))
        assert not called, f"{name}: {called}"


@needs_ptxas
def test_ptxas_accepts_everything(ptx, tmp_path):
    assembled(ptx.values(), tmp_path)


def lorenz(y):
    """The Runge-Kutta method of order four, written out."""

    def slope(y):
        return jnp.stack([10.0 * (y[1] - y[0]), y[0] * (28.0 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]])

    def step(y, _):
        k1 = slope(y)
        k2 = slope(y + 0.005 * k1)
        k3 = slope(y + 0.005 * k2)
        k4 = slope(y + 0.01 * k3)
        return y + 0.01 / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    return jax.lax.scan(step, y, None, 1000)[0]


@needs_ptxas
@pytest.mark.parametrize("processor", PROCESSORS)
def test_simulations_stay_in_registers(processor, tmp_path):
    functions = [(lorenz, "f8", 40), (lorenz, "f4", 32), (lorenz_in_steps, "f8", 255)]
    texts = [wl.lanes.ptx(f, STARTS.astype(d), processor=processor) for f, d, _ in functions]
    for said, (*_, most) in zip(assembled(texts, tmp_path, level=3), functions, strict=True):
        assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in said
        assert int(re.search(r"Used (\d+) registers", said)[1]) <= most, said


@pytest.mark.parametrize("name", PROGRAMS)
def test_threads_compute_what_lanes_compute(name):
    function, arrays = PROGRAMS[name]
    ulp, size = FUNCTIONS[name][3:] if name in FUNCTIONS else (1e6, 1)
    expected = jax.tree.leaves(wl.lanes(function)(*arrays))
    primitives.agree(run_threads(function, arrays), expected, ulp, size)


@generated.searched(4)
@given(generated.programs(), generated.SIZES, generated.SEEDS)
def test_generated_programs(program, size, seed):
    function, xs = generated.build(program), generated.inputs(size, seed)
    assert ".entry lanes_kernel" in wl.lanes.ptx(function, *xs)
    generated.agree(run_threads(function, xs), jax.tree.leaves(wl.lanes(function)(*xs)))


def test_a_large_workspace_lies_side_by_side():
    """A thread's numbers are as far apart as there are threads; more lanes than threads use it in turn."""

    def fn(x):
        table = jnp.zeros(1000).at[jnp.arange(1000) % 7].add(x)
        return jax.lax.fori_loop(0, 50, lambda i, t: t.at[i * 17 % 1000].add(t[(i * 5) % 1000] + x), table).sum()

    x = np.linspace(-1.0, 1.0, 37)
    for blocks, size in ((2, 5), (3, 16)):
        np.testing.assert_allclose(run_threads(fn, (x,), blocks, size)[0], jax.vmap(fn)(x), rtol=1e-12)
    text = wl.lanes.ptx(fn, x)
    assert "nctaid" in text


def test_arguments_without_lanes_and_other_axes():
    text = wl.lanes.ptx(lambda x, c: c @ x, np.ones((5, 3)), np.ones((2, 3)), in_axes=(0, None))
    assert text.count(".param .u64 .ptr .global") == 3  # two arguments and a result


def test_what_cannot_be():
    x = np.ones(4)
    with pytest.raises(ValueError, match=r"lanes.ptx: .* has no native code for .*complex"):
        wl.lanes.ptx(lambda x: jnp.abs(x * 1j), x)
    with pytest.raises(ValueError, match=r"no native code for .* \(an effect\)"):
        wl.lanes.ptx(lambda x: [jax.debug.print("{}", x), x], x)
    with pytest.raises(ValueError, match="processor is 'h100': write what NVIDIA calls it"):
        wl.lanes.ptx(jnp.sin, x, processor="h100")
    with pytest.raises(ValueError, match="processor is 'sm_999', which this LLVM does not know"):
        wl.lanes.ptx(jnp.sin, x, processor="sm_999")
    with pytest.raises(ValueError, match="a kernel takes 500 at most"):
        wl.lanes.ptx(lambda *xs: sum(xs), *[x] * 500)


def every_case(monkeypatch):
    """What each test of `test_primitives` compares, instead of comparing it."""
    recorded = []
    monkeypatch.setattr(
        primitives,
        "compare",
        lambda f, *xs, ulp=primitives.ULP, eager=False, size=None: recorded.append((f, xs, ulp, size)),
    )
    for name, test in list(vars(primitives).items()):
        if not name.startswith("test_"):
            continue
        axes = []
        for mark in (m for m in getattr(test, "pytestmark", []) if m.name == "parametrize"):
            names = [n.strip() for n in mark.args[0].split(",")]
            axes.append([dict(zip(names, v if len(names) > 1 else (v,))) for v in mark.args[1]])
        for chosen in itertools.product(*axes):
            test(**{k: v for part in chosen for k, v in part.items()})
    return recorded


@pytest.mark.slow
def test_every_primitive_alone(monkeypatch):
    cases = every_case(monkeypatch)
    assert len(cases) > 300
    for function, arrays, ulp, size in cases:
        expected = jax.tree.leaves(jax.jit(jax.vmap(function, -1, -1))(*arrays))
        primitives.agree(run_threads(function, arrays), expected, ulp, size)
        assert ".entry lanes_kernel" in wl.lanes.ptx(function, *arrays)

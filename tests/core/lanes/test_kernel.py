"""Compiled lane code as XLA calls it: every lane once, on any number of threads, and errors instead of crashes."""

import ctypes
import mmap
import os
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worldline.core.lanes import handler
from worldline.core.lanes.kernel import HANDLER, _handler, call, compile_kernel
from worldline.core.lanes.target import Target, has_symbol, host, optimise_and_compile

SCALARS = {"float32": "float", "float64": "double"}
MANY = 100_003  # no multiple of any width


def twice_and_more(width, dtype, workspace=False):
    """y = 2 x + c, c shared by all lanes; through the far end of a workspace of 3 MB if asked."""
    s, size = SCALARS[dtype], np.dtype(dtype).itemsize
    v = f"<{width} x {s}>"
    through = f"""
  %far = getelementptr i8, ptr %workspace, i64 {3_000_000 - 192}
  store {v} %sum, ptr %workspace, align 64
  %near = load {v}, ptr %workspace, align 64
  store {v} %near, ptr %far, align 64
  %y = load volatile {v}, ptr %far, align 64"""
    return f"""
define void @lanes_group(ptr noalias %buffers, i64 %lanes, i64 %first, ptr noalias %workspace) {{
  %c.at = getelementptr ptr, ptr %buffers, i64 1
  %y.at = getelementptr ptr, ptr %buffers, i64 2
  %x.all = load ptr, ptr %buffers
  %c.all = load ptr, ptr %c.at
  %y.all = load ptr, ptr %y.at
  %c = load {s}, ptr %c.all
  %one = insertelement {v} poison, {s} %c, i64 0
  %cs = shufflevector {v} %one, {v} poison, <{width} x i32> zeroinitializer
  %x.here = getelementptr {s}, ptr %x.all, i64 %first
  %y.here = getelementptr {s}, ptr %y.all, i64 %first
  %x = load {v}, ptr %x.here, align {size}
  %double = fadd {v} %x, %x
  %sum = fadd {v} %double, %cs{through if workspace else ""}
  store {v} {"%y" if workspace else "%sum"}, ptr %y.here, align {size}
  ret void
}}
"""


def kernel(width=8, dtype="float64", text=None, workspace=0):
    text = text or twice_and_more(width, dtype)
    return compile_kernel(text, operands=2, results=1, laned=(True, False), width=width, workspace=workspace)


def apply(compiled, x, c):
    return call(compiled, [jax.ShapeDtypeStruct(x.shape, x.dtype)], x, jnp.asarray(c, x.dtype))[0]


def python(code, tmp_path=None, **environment):
    """The output of a program that has `kernel` and `apply` of this file, in a process of its own."""
    start = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom test_kernel import *\n"
    environment = {**os.environ, "JAX_ENABLE_X64": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", start + textwrap.dedent(code)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("dtype", SCALARS)
@pytest.mark.parametrize("width", [1, 2, 4, 8, 16])
def test_every_lane_is_computed(width, dtype):
    compiled = kernel(width, dtype)
    run = jax.jit(lambda x: apply(compiled, x, 3))
    for lanes in {width, width + 1, 2 * width, 3 * width - 1, 17 * width, 33 * width + 1, MANY} - {width - 1}:
        if lanes >= width:
            x = np.random.default_rng(lanes).normal(size=lanes).astype(dtype)
            np.testing.assert_array_equal(run(x), 2 * x + np.asarray(3, dtype), err_msg=f"{lanes} lanes")


def test_no_lanes_are_no_work():
    assert jax.jit(lambda x: apply(kernel(), x, 3.0))(np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("lanes", [1, 7])
def test_fewer_lanes_than_a_group_are_an_error(lanes):
    with pytest.raises(jax.errors.JaxRuntimeError, match="fewer lanes than the 8 of one group"):
        jax.block_until_ready(jax.jit(lambda x: apply(kernel(), x, 3.0))(np.zeros(lanes)))


def test_other_buffers_than_it_was_compiled_for_are_an_error():
    def wrong(x, y):
        return call(kernel(), [jax.ShapeDtypeStruct(x.shape, x.dtype)], x, y, y)

    def unequal(x):
        return call(kernel(), [jax.ShapeDtypeStruct((9,), x.dtype)], x, jnp.float64(1.0))

    with pytest.raises(jax.errors.JaxRuntimeError, match="buffers are not those"):
        jax.block_until_ready(jax.jit(wrong)(np.zeros(16), np.zeros(16)))
    with pytest.raises(jax.errors.JaxRuntimeError, match="buffers are not those"):
        jax.block_until_ready(jax.jit(unequal)(np.zeros(16)))


@pytest.mark.parametrize("attributes", [{}, {"kernel": "0" * 32}, {"kernel": "short"}, {"kernel": np.int64(1)}])
def test_a_program_whose_code_is_not_in_this_process_is_an_error(attributes):
    run = jax.jit(lambda x: jax.ffi.ffi_call(HANDLER, [jax.ShapeDtypeStruct(x.shape, x.dtype)])(x, **attributes)[0])
    kernel()
    with pytest.raises(
        jax.errors.JaxRuntimeError, match=r"NOT_FOUND.*native code of this program is not in this process"
    ):
        run(np.zeros(16))


@pytest.mark.parametrize("width", [1, 8])
def test_nothing_outside_the_result_is_touched(width):
    """Called by address on a frame of our own, between sentinels, and with an operand that ends at a page without access."""
    compiled, lanes = kernel(width), 8 * 13 + 5
    page = mmap.PAGESIZE
    area = mmap.mmap(-1, 3 * page)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(area))
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mprotect"):
        pytest.skip("this system has no mprotect")
    assert libc.mprotect(ctypes.c_void_p(begin + 2 * page), ctypes.c_size_t(page), 0) == 0
    x = np.frombuffer(area, np.float64, lanes, offset=2 * page - 8 * lanes)
    x[:] = np.arange(lanes)
    y = np.full(lanes + 64, 7.25)
    c = np.array(3.0)
    frame = Frame([x, c], [y[32 : 32 + lanes]])
    assert frame.call(compiled) is None
    np.testing.assert_array_equal(y[32 : 32 + lanes], 2 * np.arange(lanes) + 3.0)
    assert (y[:32] == 7.25).all() and (y[32 + lanes :] == 7.25).all()
    libc.mprotect(ctypes.c_void_p(begin + 2 * page), ctypes.c_size_t(page), mmap.PROT_READ | mmap.PROT_WRITE)


class Frame:
    """A call frame as XLA would write one, in 8-byte words; its API is too short to have threads."""

    def __init__(self, operands, results):
        self.arrays, self.keep = (operands, results), []
        api = self.words([40, 0, 24, 0, 0, 0, *[0] * 13])
        listed = [self.words([self.buffer(a) for a in arrays]) for arrays in (operands, results)]
        args = [w for arrays, where in zip(self.arrays, listed) for w in (40, 0, len(arrays), 0, where)]
        self.address = self.words([176, 0, api, 0, 3, *args, 48, 0, 0, 0, 0, 0, 0])

    def words(self, values):
        block = np.array(values, np.int64)
        self.keep.append(block)
        return block.ctypes.data

    def buffer(self, array):
        return self.words([48, 0, 12, array.ctypes.data, array.ndim, self.words([*array.shape, 0])])

    def call(self, kernel):
        pointer = ctypes.c_void_p
        return ctypes.CFUNCTYPE(pointer, pointer, pointer)(_handler()["entry"])(self.address, kernel.address)


def test_in_loops_and_under_jit():
    compiled = kernel(8, "float64")
    x = jnp.arange(43.0)

    @jax.jit
    def loops(x):
        y = jax.lax.fori_loop(0, 5, lambda i, y: apply(compiled, y, i), x)
        return y, jax.lax.scan(lambda y, c: (apply(compiled, y, c), y), x, jnp.arange(2000.0) * 0)[1][:5]

    y, ys = loops(x)
    expected = x
    for i in range(5):
        np.testing.assert_array_equal(ys[i], x * 2**i)
        expected = 2 * expected + i
    np.testing.assert_array_equal(y, expected)


def test_two_kernels_at_once():
    x = np.random.default_rng(1).normal(size=MANY)
    runs = [jax.jit(lambda x, width=width: apply(kernel(width), x, width)) for width in (4, 8)]
    wrong = []

    def repeat(run, c):
        for _ in range(50):
            if not np.array_equal(run(x), 2 * x + c):
                wrong.append(c)

    threads = [threading.Thread(target=repeat, args=(run, c)) for run, c in zip(runs * 2, (4, 8) * 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


BITS = """
    x = np.random.default_rng(0).normal(size=100_003) * 1e-307
    y = jax.jit(lambda x: apply(kernel(8), x, 1e-309))(x)
    import hashlib
    print(kernel(8).name, hashlib.sha256(np.asarray(y).tobytes()).hexdigest())
"""


def test_name_and_bits_are_those_of_another_process_with_another_number_of_threads():
    # NPROC is how many threads XLA's pool gets.
    outputs = {python(BITS), python(BITS, NPROC="1"), python(BITS, NPROC="7")}
    assert len(outputs) == 1
    assert outputs.pop().split()[0] == kernel(8).name


def test_compilation_cache_of_jax(tmp_path):
    """The second process takes the program from JAX's cache; the name it calls is there, with the same code."""
    code = """
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        hits = []
        jax.monitoring.register_event_listener(lambda event, **_: hits.append("cache_hits" in event))
        print(np.asarray(jax.jit(lambda x: apply(kernel(8), x, 3.0))(np.arange(20.0))).sum(), any(hits))
    """
    folder = str(tmp_path)
    first, second = (python(code, JAX_COMPILATION_CACHE_DIR=folder).split() for _ in range(2))
    assert first[0] == second[0] == str(2 * 190 + 60.0)
    assert (first[1], second[1]) == ("False", "True")


def test_workspace_of_megabytes():
    compiled = kernel(8, text=twice_and_more(8, "float64", workspace=True), workspace=3_000_000)
    x = np.random.default_rng(0).normal(size=10_001)
    for _ in range(20):
        np.testing.assert_array_equal(jax.jit(lambda x: apply(compiled, x, 3.0))(x), 2 * x + 3)


def test_workspace_that_is_not_to_be_had():
    compiled = kernel(8, workspace=1 << 60)
    with pytest.raises(jax.errors.JaxRuntimeError, match=f"RESOURCE_EXHAUSTED.*no memory for the {1 << 60} bytes"):
        jax.block_until_ready(jax.jit(lambda x: apply(compiled, x, 3.0))(np.zeros(100)))


def test_same_content_is_compiled_once(monkeypatch):
    first = kernel(4, "float32")
    monkeypatch.setattr("worldline.core.lanes.kernel.optimise_and_compile", None)
    assert all(kernel(4, "float32") is first for _ in range(100))


def test_what_differs_has_another_name():
    target = host()
    text = twice_and_more(8, "float64")
    options = dict(operands=2, results=1, laned=(True, False), width=8)
    other = Target(target.triple, target.cpu, target.features, target.vector_bytes, lanes=4)
    kernels = [
        compile_kernel(text, **options),
        compile_kernel(text + "; x\n", **options),
        compile_kernel(text, **{**options, "width": 4}),
        compile_kernel(text, **options, workspace=64),
        compile_kernel(text, **options, target=other),
    ]
    assert len({k.name for k in kernels}) == len(kernels)
    assert all(k.size > 0 for k in kernels)


def test_arguments_that_do_not_fit():
    with pytest.raises(ValueError, match="laned has 1 entries for 2 operands"):
        compile_kernel("", operands=2, results=1, laned=(True,), width=8)
    with pytest.raises(ValueError, match="width is 0"):
        compile_kernel("", operands=0, results=1, laned=(), width=0)


def test_errors_of_the_assembly_show_the_line():
    text = twice_and_more(8, "float64")
    with pytest.raises(ValueError, match="%double = fadd <4 x double> %x"):
        kernel(text=text.replace("%double = fadd <8", "%double = fadd <4"))
    with pytest.raises(ValueError, match=r"defines .*not 'f'"):
        optimise_and_compile(text, "f")
    with pytest.raises(ValueError, match=r"calls \['no_such_function'\]"):
        optimise_and_compile("declare void @no_such_function()" + text, "lanes_group")


def test_width(monkeypatch):
    monkeypatch.delenv("WORLDLINE_LANES_WIDTH", raising=False)
    assert host().width(8) == host().vector_bytes // 8
    assert host().width(8, vectors=2) == host().vector_bytes // 4
    assert host().width(4) == host().vector_bytes // 4
    assert ("prefer-vector-width" in host().attributes) == (host().vector_bytes == 64)
    monkeypatch.setenv("WORLDLINE_LANES_WIDTH", "2")
    assert host().width(4) == host().width(8) == 2
    monkeypatch.setenv("WORLDLINE_LANES_WIDTH", "3")
    with pytest.raises(ValueError, match="WORLDLINE_LANES_WIDTH is '3'"):
        host()


def test_symbols():
    assert has_symbol("sin")
    assert not has_symbol("no_such_function")


HEADER = Path(jax.ffi.include_dir()) / "xla/ffi/api/c_api.h"
KINDS = {"size_t": "i64", "int64_t": "i64", "int": "i32", "uint32_t": "i32"}
ENUMERATIONS = ("Extension_Type", "DataType", "Error_Code", "ExecutionStage")
# What newer headers call what older ones called otherwise, in the same places.
RENAMED = {
    "InternalExtension": "Extension_Base",
    "Extension_Base_Type": "Extension_Type",
    "Error_GetDetails": "Error_GetMessage",
    "InvokeContext": "ExecutionContext",
}


def kind_of(declared):
    """The LLVM type of a field of the header."""
    declared = declared.replace("const ", "").replace("struct ", "").strip()
    short = declared.removeprefix("XLA_FFI_")
    if declared.endswith("*"):
        return "ptr"
    if short in ENUMERATIONS or short == "Handler_Traits":
        return "i32"
    return KINDS.get(declared) or ("i64" if short == "TypeId" else "%" + short)


@pytest.mark.parametrize("name", handler.STRUCTS)
def test_structs_are_those_of_the_header(name):
    header = re.sub(r"//[^\n]*", "", HEADER.read_text())
    header = re.sub(r"typedef struct (\w+) (\{[^}]*\}) \1;", r"struct \1 \2;", header)
    for newer, older in RENAMED.items():
        header = header.replace(f"XLA_FFI_{newer}", f"XLA_FFI_{older}")
    body = re.search(rf"struct XLA_FFI_{name} \{{(.*?)\}}", header, re.DOTALL)[1]
    body = re.sub(r"void \(\*(\w+)\)\([^)]*\)", r"void* \1", body)
    body = re.sub(r"_XLA_FFI_API_STRUCT_FIELD\(XLA_FFI_(\w+)\)", r"void* \1", body)
    found = [re.fullmatch(r"(.*?)(\w+)", line.strip(), re.DOTALL).groups() for line in body.split(";") if line.strip()]
    found = [(kind_of(kind), field) for kind, field in found]
    expected = handler.fields(name)
    assert found[: len(expected)] == expected
    assert len(found) == len(expected) or name == "Api"


def test_version_is_that_of_the_header_or_older():
    found = dict(re.findall(r"#define XLA_FFI_API_(MAJOR|MINOR) (\d+)", HEADER.read_text()))
    major, minor = handler.VERSION
    assert int(found["MAJOR"]) == major and int(found["MINOR"]) >= minor

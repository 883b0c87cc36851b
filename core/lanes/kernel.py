"""Compiled lane code as a function that XLA calls on the CPU: the handler, its threads, and its name.

`compile_kernel` takes LLVM assembly that computes one group of lanes and gives a `Kernel`; `call` puts it into a JAX
program. Between the two stands one handler for all kernels, written in LLVM assembly too, so that nothing is built
at installation: it reads XLA's call frame and runs the groups on the threads of XLA's own pool.

Machine code is freed once neither a `Kernel` nor a loaded program of XLA refers to it, when the next one is compiled.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import re
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import llvmlite.binding as llvm
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import mlir

from .handler import assembly, fields
from .registry import ADDRESSES, PARTS
from .target import LEVEL, Code, Target, has_symbol, host, optimise_and_compile, unload

GROUP = "lanes_group"
HANDLER = "worldline_lanes"  # what XLA knows; the kernel is an attribute of the call
_RECORD = "worldline_lanes_record"  # the function of a kernel's module that says where its record is


@dataclass(frozen=True)
class Kernel:
    """A compiled function of many lanes, which a program of XLA refers to by its `name`.

    Its code stays as long as this object, or a program that XLA has loaded. `size` is the number of bytes of machine
    code, `address` where its record is, see `handler`.
    """

    name: str
    operands: int
    results: int
    width: int
    workspace: int
    size: int
    address: int


def compile_kernel(
    text: str,
    *,
    operands: int,
    results: int,
    laned: tuple[bool, ...],
    width: int,
    workspace: int = 0,
    target: Target | None = None,
) -> Kernel:
    """Compile code for a group of lanes, for the handler to find; once for the same arguments while it is in use.

    `text` is an LLVM module that defines `void @lanes_group(ptr noalias %buffers, i64 %lanes, i64 %first, ptr noalias
    %workspace)`. It computes the lanes `first` to `first + width - 1` of `lanes`. `buffers` points to the addresses of
    the data of all operands, then of all results. Those that are laned, and all results, are arrays `[..., lanes]`.
    `workspace` is the number of bytes that one group needs beside its stack; they begin at a multiple of 64 and are
    not cleared. Functions of the text without attributes get those of the target.

    When the number of lanes is no multiple of `width`, the last group overlaps the one before. A kernel without lanes
    does nothing; one with fewer than `width` fails, and the caller has to pad.

    Raises ValueError where the numbers do not fit each other or LLVM does not accept the text.
    """
    if results < 1 or len(laned) != operands:
        raise ValueError(f"laned has {len(laned)} entries for {operands} operands, and there are {results} results")
    if width < 1 or workspace < 0:
        raise ValueError(f"width is {width} and workspace {workspace}: a group has lanes, and needs no bytes or some")
    target = target or host()
    module = _module(text, tuple(laned), results, width, workspace, target)
    content = repr((assembly(None), llvm.llvm_version_info, LEVEL, target, module))
    name = hashlib.sha256(content.encode()).hexdigest()[:32]
    with _lock:
        kernel = _kernels.get(name)
        if kernel is None:
            parts = _handler()
            _free_unused(parts)
            if name not in _codes:
                code = optimise_and_compile(module.replace("@NAME", name), _RECORD, target)
                record = _called(code.address, ctypes.c_void_p)()
                _called(parts["add"], None, ctypes.c_void_p)(record)
                _codes[name] = code, record
            code, record = _codes[name]
            kernel = Kernel(name, operands, results, width, workspace, code.size, record)
            _kernels[name] = kernel
        return kernel


def call(kernel: Kernel, result_shapes: Sequence[jax.ShapeDtypeStruct], *operands: jax.Array) -> list[jax.Array]:
    """The results of a kernel, as arrays of the shapes and dtypes given; works inside `jit` and its loops."""
    return _call_p.bind(*operands, kernel=kernel, shapes=tuple((x.shape, x.dtype) for x in result_shapes))


# What `jax.ffi.ffi_call` is, and besides JAX's own objects hold the kernel until XLA has loaded the program.
_call_p = Primitive("lanes_call")
_call_p.multiple_results = True


@_call_p.def_abstract_eval
def _results(*operands: Any, kernel: Kernel, shapes: tuple) -> list[Any]:
    del operands, kernel
    return [ShapedArray(shape, dtype) for shape, dtype in shapes]


@_call_p.def_impl
def _run(*operands: Any, **params: Any) -> Any:
    return jax.jit(functools.partial(_call_p.bind, **params))(*operands)


def _lower(ctx: mlir.LoweringRuleContext, *operands: Any, kernel: Kernel, shapes: tuple) -> Any:
    del shapes
    ctx.module_context.add_keepalive(kernel)
    return jax.ffi.ffi_lowering(HANDLER)(ctx, *operands, kernel=kernel.name)


mlir.register_lowering(_call_p, _lower, platform="cpu")


# One lock: LLVM compiles one at a time. Code is freed here only, and never at the end of the interpreter, when XLA's
# threads may still run it.
_kernels: weakref.WeakValueDictionary[str, Kernel] = weakref.WeakValueDictionary()
_codes: dict[str, tuple[Code, int]] = {}
_lock = threading.Lock()


def _free_unused(parts: dict[str, int]) -> None:
    """Free the code that neither Python nor a program of XLA refers to."""
    remove = _called(parts["remove"], ctypes.c_int, ctypes.c_void_p)
    for name in [name for name in _codes if name not in _kernels]:
        code, record = _codes[name]
        if remove(record):
            del _codes[name]
            unload(code)


def _called(address: int, result: Any, *arguments: Any) -> Any:
    return ctypes.CFUNCTYPE(result, *arguments)(address)


def _module(text: str, laned: tuple[bool, ...], results: int, width: int, workspace: int, target: Target) -> str:
    """The text with attributes, and with the record of the kernel, whose name, made from the rest, is still to be put in."""
    text = re.sub(r"^(define\b[^\n{]*\))[ \t]*\{", rf"\1 {target.attributes} {{", text, flags=re.MULTILINE)
    few = f"worldline lanes: fewer lanes than the {width} of one group; the caller has to pad them"
    full = f"worldline lanes: no memory for the {workspace} bytes of workspace that a group of {width} lanes needs"
    flags = "".join(r"\01" if flag else r"\00" for flag in (*laned, *(True,) * results))
    texts = ("@worldline.laned", "@worldline.few", "@worldline.full")
    values = (f"@{GROUP}", len(laned), results, width, workspace, *texts)
    kinds = [kind for kind, _ in fields("Kernel")]
    kernel = ", ".join(f"{kind} {value}" for kind, value in zip(kinds, values))
    return f"""{text}
@worldline.few = private constant [{len(few) + 1} x i8] c"{few}\\00"
@worldline.full = private constant [{len(full) + 1} x i8] c"{full}\\00"
@worldline.laned = private constant [{len(laned) + results} x i8] c"{flags}"
@worldline.record = private global {{ {{ {", ".join(kinds)} }}, [32 x i8], i64, ptr }} {{
  {{ {", ".join(kinds)} }} {{ {kernel} }}, [32 x i8] c"@NAME", i64 0, ptr null }}
define ptr @{_RECORD}() nounwind {{
  ret ptr @worldline.record
}}
"""


@functools.cache
def _handler() -> dict[str, int]:
    """Compile what all kernels share, and make it known to XLA; the addresses of its parts."""
    pause = next((name for name in ("sched_yield", "SwitchToThread") if has_symbol(name)), None)
    table = _called(optimise_and_compile(assembly(pause), ADDRESSES).address, ctypes.c_void_p)()
    parts = dict(zip(PARTS, (ctypes.c_int64 * len(PARTS)).from_address(table), strict=True))
    capsules = {name: jax.ffi.pycapsule(_called(address, ctypes.c_void_p)) for name, address in parts.items()}
    state: Any = {"type_id": capsules["type"], "type_info": capsules["type.information"]}
    jax.ffi.register_ffi_type(HANDLER, state, platform="cpu")
    stages = {"instantiate": capsules["instantiate"], "execute": capsules["execute"]}
    jax.ffi.register_ffi_target(HANDLER, stages, platform="cpu", api_version=1)
    return parts

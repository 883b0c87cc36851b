"""Compiled lane code as a function that XLA calls on the CPU: the handler, its threads, and its name.

`compile_kernel` takes LLVM assembly that computes one group of lanes and gives a `Kernel`; `call` puts it into a JAX
program. Between the two stands one handler for all kernels, written in LLVM assembly too, so that nothing is built
at installation: it reads XLA's call frame and runs the groups on the threads of XLA's own pool.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import llvmlite.binding as llvm

from .handler import ENTRY, assembly, fields
from .target import LEVEL, Target, add_symbol, has_symbol, host, optimise_and_compile

GROUP = "lanes_group"
_HANDLER = "worldline_lanes_handler"  # of one kernel, within its own module


@dataclass(frozen=True)
class Kernel:
    """A compiled function of many lanes, known to XLA under `name`.

    `size` is the number of bytes of machine code, `address` where its handler begins.
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
    """Compile code for a group of lanes, and register it with XLA; once per process for the same arguments.

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
    name = "worldline_lanes_" + hashlib.sha256(content.encode()).hexdigest()[:32]
    with _lock:
        if name not in _kernels:
            _load_handler()
            code = optimise_and_compile(module, _HANDLER, target)
            _register(name, code.address)
            _kernels[name] = Kernel(name, operands, results, width, workspace, code.size, code.address)
        return _kernels[name]


def call(kernel: Kernel, result_shapes: Sequence[jax.ShapeDtypeStruct], *operands: jax.Array) -> Any:
    """The results of a kernel, as arrays of the shapes and dtypes given; works inside `jit` and its loops."""
    return jax.ffi.ffi_call(kernel.name, result_shapes, vmap_method=None)(*operands)


# Kernels stay for the life of the process, since XLA does not forget a handler. One lock: LLVM compiles one at a time.
_kernels: dict[str, Kernel] = {}
_lock = threading.Lock()


def _register(name: str, address: int) -> None:
    handler = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(address)
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(handler), platform="cpu", api_version=1)


def _module(text: str, laned: tuple[bool, ...], results: int, width: int, workspace: int, target: Target) -> str:
    """The text with attributes, and with the function that XLA calls: the common handler on what this kernel is."""
    text = re.sub(r"^(define\b[^\n{]*\))[ \t]*\{", rf"\1 {target.attributes} {{", text, flags=re.MULTILINE)
    few = f"worldline lanes: fewer lanes than the {width} of one group; the caller has to pad them"
    full = f"worldline lanes: no memory for the {workspace} bytes of workspace that a group of {width} lanes needs"
    flags = "".join(r"\01" if flag else r"\00" for flag in (*laned, *(True,) * results))
    texts = ("@worldline.laned", "@worldline.few", "@worldline.full")
    values = (f"@{GROUP}", len(laned), results, width, workspace, *texts)
    kinds = [kind for kind, _ in fields("Kernel")]
    return f"""{text}
@worldline.few = private constant [{len(few) + 1} x i8] c"{few}\\00"
@worldline.full = private constant [{len(full) + 1} x i8] c"{full}\\00"
@worldline.laned = private constant [{len(laned) + results} x i8] c"{flags}"
@worldline.kernel = private constant {{ {", ".join(kinds)} }} {{ {", ".join(f"{k} {v}" for k, v in zip(kinds, values))} }}
declare ptr @{ENTRY}(ptr, ptr)
define ptr @{_HANDLER}(ptr %frame) nounwind {{
  %error = tail call ptr @{ENTRY}(ptr %frame, ptr @worldline.kernel)
  ret ptr %error
}}
"""


@functools.cache
def _load_handler() -> None:
    """Compile what all kernels share."""
    pause = next((name for name in ("sched_yield", "SwitchToThread") if has_symbol(name)), None)
    add_symbol(ENTRY, optimise_and_compile(assembly(pause), ENTRY).address)

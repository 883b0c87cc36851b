"""Kernels of `device` on GPUs, started through the CUDA driver from a function that XLA calls.

Behind a switch, WORLDLINE_LANES_GPU, since this has not run on a GPU yet: tests run it against a driver of their own.
The function that XLA calls is LLVM assembly for the CPU, as `handler` is for kernels of the CPU, of which it shares the
first half: it asks XLA for its stream, and hands the addresses of all buffers to `cuLaunchKernel`. The driver is found
by its name only once the switch is on.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr

from .device import KERNEL, THREADS, DeviceCode, device_code
from .handler import ENTRY, complete, fields
from .target import optimise_and_compile

SWITCH = "WORLDLINE_LANES_GPU"
LIBRARY = "libcuda.so.1"
# What the handler calls; the names with _v2 are those that the driver's header gives to the plain ones.
CALLED = ("cuStreamGetCtx", "cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2", "cuLaunchKernel", "cuGetErrorName")
MOST_THREADS = 1 << 18  # at a time where each has a workspace: about as many as the largest GPUs have
MOST_WORKSPACE = 1 << 30  # bytes of all workspaces together


def processor() -> str | None:
    """The processor to compile for, such as `sm_90`; None while the switch is off.

    Raises ValueError where the switch holds neither 0 nor 1 nor a processor.
    """
    value = os.environ.get(SWITCH, "0")
    if value in ("", "0"):
        return None
    if value == "1":
        major, minor = str(jax.devices("cuda")[0].compute_capability).split(".")
        return f"sm_{major}{minor}"
    if re.fullmatch(r"sm_\d+[af]?", value):
        return value
    raise ValueError(f"{SWITCH} is {value!r}: it takes 0, 1, or a processor such as sm_90")


@dataclass(frozen=True)
class Launch:
    """A kernel known to XLA under `name`; `blocks` is the largest number of them at a time, `address` its handler."""

    name: str
    workspace: int
    blocks: int
    address: int


def run(jaxpr: ClosedJaxpr, laned: tuple[bool, ...], processor: str, count: int, operands: Sequence[Any]) -> list[Any]:
    """The results of a program on the GPU, for `count` lanes. **Raises** `Unsupported` where it has no native code."""
    launch = loaded(device_code(jaxpr, laned, processor), laned, len(jaxpr.jaxpr.outvars))
    shapes = [jax.ShapeDtypeStruct((*v.aval.shape, count), v.aval.dtype) for v in jaxpr.jaxpr.outvars]
    results = len(shapes)
    if launch.workspace:  # memory that XLA plans, like that of any result
        threads = min(-(-count // THREADS), launch.blocks) * THREADS
        shapes.append(jax.ShapeDtypeStruct((launch.workspace * threads,), np.uint8))
    return list(jax.ffi.ffi_call(launch.name, shapes, vmap_method=None)(*operands))[:results]


_launches: dict[str, Launch] = {}
_lock = threading.Lock()


def loaded(code: DeviceCode, laned: tuple[bool, ...], results: int) -> Launch:
    """Give a kernel to the driver and its handler to XLA; once per process."""
    content = repr((code.text, code.workspace, laned, results))
    name = "worldline_lanes_gpu_" + hashlib.sha256(content.encode()).hexdigest()[:32]
    with _lock:
        if name not in _launches:
            driver = Driver.here()
            blocks = 2**31 - 1
            if code.workspace:
                blocks = max(min(MOST_THREADS, MOST_WORKSPACE // code.workspace) // THREADS, 1)
            text = handler_assembly(driver.kernel(code.text), driver.addresses, laned, results, code.workspace, blocks)
            address = optimise_and_compile(text, "worldline_launch").address
            function = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(address)
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(function), platform="CUDA", api_version=1)
            _launches[name] = Launch(name, code.workspace, blocks, address)
        return _launches[name]


class Driver:
    """The CUDA driver: `addresses` of the functions that the handler calls, and kernels loaded from PTX."""

    def __init__(self, library: Any):
        self.library = library
        self.addresses = {name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in CALLED}

    @staticmethod
    @functools.cache
    def here() -> Driver:
        """That of this machine. **Raises** RuntimeError where there is none, or it is older than CUDA 12."""
        try:
            driver = Driver(ctypes.CDLL(LIBRARY))
            driver.library.cuLibraryLoadData  # noqa: B018  there since CUDA 12
        except (OSError, AttributeError) as error:
            raise RuntimeError(
                f"{SWITCH} is on, but this machine has no CUDA driver of version 12 or newer ({error}): unset it, and lanes "
                "run on XLA"
            ) from None
        driver.check("cuInit", driver.library.cuInit(0))
        return driver

    def check(self, what: str, code: int) -> None:
        """Raise RuntimeError with the driver's own name of what went wrong."""
        if code:
            name = ctypes.c_char_p()
            self.library.cuGetErrorName(code, ctypes.byref(name))
            raise RuntimeError(f"the CUDA driver answered {what} with {(name.value or b'an unknown error').decode()}")

    def kernel(self, text: str) -> int:
        """The handle of the kernel in a text of PTX, good in every context; it stays loaded, as XLA keeps handlers."""
        library, handle, none = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        given = ctypes.c_char_p(text.encode())
        load = self.library.cuLibraryLoadData
        self.check("cuLibraryLoadData", load(ctypes.byref(library), given, none, none, 0, none, none, 0))
        get = self.library.cuLibraryGetKernel
        self.check("cuLibraryGetKernel", get(ctypes.byref(handle), library, ctypes.c_char_p(KERNEL.encode())))
        return handle.value or 0


def handler_assembly(
    kernel: int, driver: dict[str, int], laned: tuple[bool, ...], results: int, workspace: int, blocks: int
) -> str:
    """The module of the function `worldline_launch` that XLA calls for one kernel, whose addresses are part of it."""
    flags = "".join(r"\01" if flag else r"\00" for flag in (*laned, *(True,) * results)) + (r"\00" if workspace else "")
    buffers, given = len(laned) + results + bool(workspace), len(laned)
    values = (f"inttoptr (i64 {kernel} to ptr)", given, buffers - given, 1, workspace, "@laned", "null", "null", blocks)
    kinds = [kind for kind, _ in fields("Launch")]
    text = _RUN
    for name, address in driver.items():
        text = text.replace(f"@{name}(", f"inttoptr (i64 {address} to ptr) (")
    text += f"""
@laned = private constant [{buffers} x i8] c"{flags}"
@launch = private constant {{ {", ".join(kinds)} }} {{ {", ".join(f"{k} {v}" for k, v in zip(kinds, values))} }}
define ptr @worldline_launch(ptr %frame) nounwind {{
  %error = call ptr @{ENTRY}(ptr %frame, ptr @launch)
  ret ptr %error
}}
"""
    return complete(text).replace(f"define ptr @{ENTRY}(", f"define internal ptr @{ENTRY}(")


_RUN = f"""
declare i32 @snprintf(ptr, i64, ptr, ...)
declare i64 @llvm.umin.i64(i64, i64)
@refused = private constant [70 x i8] c"worldline lanes: the CUDA driver answered the start of a kernel with \\00"
@format = private constant [5 x i8] c"%s%s\\00"
@unknown = private constant [17 x i8] c"an unknown error\\00"

; Start the kernel on XLA's stream, in the context of that. It takes the addresses of all buffers and the number of lanes.
define internal ptr @run(ptr %frame, ptr %kernel, ptr %shared, i64 %lanes) {{
entry:
  %api = get CallFrame.api %frame
  %ctx = get CallFrame.ctx %frame
  %ask = alloca %Stream_Get_Args
  store %Stream_Get_Args {{ i64 32, ptr null, ptr null, ptr null }}, ptr %ask
  put Stream_Get_Args.ctx %ask %ctx
  %stream.get = get Api.Stream_Get %api
  %no.stream = call ptr %stream.get(ptr %ask)
  %has.stream = icmp eq ptr %no.stream, null
  br i1 %has.stream, label %prepare, label %without
without:
  call void @free(ptr %shared)
  ret ptr %no.stream
prepare:
  %stream = get Stream_Get_Args.stream %ask
  %operands = get Kernel.operands %kernel
  %results = get Kernel.results %kernel
  %buffers = at Shared.buffers %shared
  %total = add i64 %operands, %results
  %all = add i64 %total, 1
  %parameters = alloca ptr, i64 %all
  br label %next
next:
  %i = phi i64 [ 0, %prepare ], [ %following, %next ]
  %buffer.at = getelementptr ptr, ptr %buffers, i64 %i
  %parameter.at = getelementptr ptr, ptr %parameters, i64 %i
  store ptr %buffer.at, ptr %parameter.at
  %following = add i64 %i, 1
  %more = icmp ult i64 %following, %total
  br i1 %more, label %next, label %start
start:
  %count = alloca i64
  store i64 %lanes, ptr %count
  %last.at = getelementptr ptr, ptr %parameters, i64 %total
  store ptr %count, ptr %last.at
  %up = add i64 %lanes, {THREADS - 1}
  %wanted = udiv i64 %up, {THREADS}
  %most = get Launch.blocks %kernel
  %blocks = call i64 @llvm.umin.i64(i64 %wanted, i64 %most)
  %blocks.short = trunc i64 %blocks to i32
  %function = get Kernel.group %kernel
  %context = alloca ptr
  %found = call i32 @cuStreamGetCtx(ptr %stream, ptr %context)
  %is.found = icmp eq i32 %found, 0
  br i1 %is.found, label %enter, label %fail
enter:
  %context.of = load ptr, ptr %context
  %entered = call i32 @cuCtxPushCurrent_v2(ptr %context.of)
  %is.entered = icmp eq i32 %entered, 0
  br i1 %is.entered, label %launch, label %fail
launch:
  %started = call i32 @cuLaunchKernel(
    ptr %function, i32 %blocks.short, i32 1, i32 1, i32 {THREADS}, i32 1, i32 1, i32 0, ptr %stream, ptr %parameters, ptr null)
  %left = call i32 @cuCtxPopCurrent_v2(ptr %context)
  %is.started = icmp eq i32 %started, 0
  br i1 %is.started, label %done, label %fail
done:
  call void @free(ptr %shared)
  ret ptr null
fail:
  %code = phi i32 [ %found, %start ], [ %entered, %enter ], [ %started, %launch ]
  call void @free(ptr %shared)
  %name = alloca ptr
  store ptr @unknown, ptr %name
  %named = call i32 @cuGetErrorName(i32 %code, ptr %name)
  %known = icmp eq i32 %named, 0
  %text.known = load ptr, ptr %name
  %text = select i1 %known, ptr %text.known, ptr @unknown
  %message = alloca [256 x i8]
  %written = call i32 (ptr, i64, ptr, ...) @snprintf(ptr %message, i64 256, ptr @format, ptr @refused, ptr %text)
  %error = call ptr @fail(ptr %api, ptr %message, i32 13)
  ret ptr %error
}}
"""

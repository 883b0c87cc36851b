"""Lanes for GPUs: the program of one lane as PTX, NVIDIA's assembly, with one lane to a thread.

The emitter writes the same code as for a CPU with groups of one lane; what differs is here. A kernel takes the
addresses of all arrays, and each of its threads goes through lanes that are as far apart as there are threads, so that
neighbouring threads read neighbouring numbers. Mathematics comes from `freestanding`. `ptx` shows what this module
writes, `launch` runs it.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import llvmlite.binding as llvm
from jax.extend.core import ClosedJaxpr

from .arrays import Unsupported
from .emitter import emit_group
from .freestanding import linked
from .keys import without_keys

KERNEL = "lanes_kernel"
THREADS = 128  # in a block: few enough for every thread to have all the registers there are
MOST_BUFFERS = 500  # a kernel takes 4096 bytes of parameters
TRIPLE = "nvptx64-nvidia-cuda"
# LLVM's level of optimisation; `ptxas`, or the driver, optimises once more.
LEVEL = 2


@dataclass(frozen=True)
class DeviceCode:
    """A kernel for GPUs: its assembly, and the bytes of workspace that each of its threads needs."""

    text: str
    workspace: int


@functools.lru_cache(maxsize=128)
def device_code(jaxpr: ClosedJaxpr, laned: tuple[bool, ...], processor: str) -> DeviceCode:
    """The kernel of a program. **Raises** `Unsupported` where a primitive has no native code."""
    text, workspace = device_assembly(jaxpr, laned)
    return DeviceCode(translated(text, processor), workspace)


def device_assembly(jaxpr: ClosedJaxpr, laned: tuple[bool, ...]) -> tuple[str, int]:
    """LLVM assembly of the kernel of a program, and the bytes of workspace of a thread."""
    jaxpr = without_keys(jaxpr)
    buffers = len(laned) + len(jaxpr.jaxpr.outvars)
    if buffers > MOST_BUFFERS:
        raise Unsupported(f"a program of {buffers} arrays: a kernel takes {MOST_BUFFERS} at most; stack them")
    text, workspace = emit_group(jaxpr, laned, 1, threads=True)
    inlined = re.sub(r"^define (void @lanes_group\(.*\)) \{", r"define internal \1 alwaysinline {", text, flags=re.M)
    return linked(inlined) + _kernel(len(laned), buffers, workspace > 0), workspace


def _kernel(operands: int, buffers: int, workspace: bool) -> str:
    """The function that a GPU starts: finds out which thread it is, and goes through its lanes."""
    kinds = ["noalias readonly" if k < operands else "noalias" for k in range(buffers)]
    given = [f"ptr addrspace(1) {kind} align 16 %given{k}" for k, kind in enumerate(kinds)]
    given += ["ptr addrspace(1) noalias align 16 %scratch"] * workspace + ["i64 %lanes"]
    scratch = "%scratch" if workspace else "null"
    table = [
        f"  %pointer{k} = addrspacecast ptr addrspace(1) %given{k} to ptr\n"
        f"  %slot{k} = getelementptr ptr, ptr %buffers, i64 {k}\n  store ptr %pointer{k}, ptr %slot{k}, align 8\n"
        for k in range(buffers)
    ]
    registers = {"block": "ctaid", "size": "ntid", "inside": "tid", "blocks": "nctaid"}
    declared = [f"declare i32 @llvm.nvvm.read.ptx.sreg.{register}.x()\n" for register in registers.values()]
    read = [
        f"  %{name}.short = call i32 @llvm.nvvm.read.ptx.sreg.{register}.x()\n"
        f"  %{name} = zext i32 %{name}.short to i64\n"
        for name, register in registers.items()
    ]
    return f"""
{"".join(declared)}
define ptx_kernel void @{KERNEL}({", ".join(given)}) nounwind "nvvm.maxntid"="{THREADS}" {{
entry:
  %buffers = alloca [{max(buffers, 1)} x ptr], align 8
{"".join(table)}  %workspace = addrspacecast ptr addrspace(1) {scratch} to ptr
{"".join(read)}  %before = mul i64 %block, %size
  %thread = add i64 %before, %inside
  %threads = mul i64 %blocks, %size
  br label %head
head:
  %lane = phi i64 [ %thread, %entry ], [ %following, %body ]
  %more = icmp slt i64 %lane, %lanes
  br i1 %more, label %body, label %end
body:
  call void @lanes_group(ptr %buffers, i64 %lanes, i64 %lane, ptr %workspace, i64 %thread, i64 %threads)
  %following = add i64 %lane, %threads
  br label %head
end:
  ret void
}}
"""


def translated(text: str, processor: str) -> str:
    """LLVM assembly of a kernel as PTX. **Raises** ValueError for a processor that LLVM does not know."""
    _initialise()
    if not re.fullmatch(r"sm_\d+[af]?", processor):
        raise ValueError(f"processor is {processor!r}: write what NVIDIA calls it, such as 'sm_80' or 'sm_90'")
    machine = llvm.Target.from_triple(TRIPLE).create_target_machine(cpu=processor, opt=LEVEL)
    head = f'target datalayout = "{machine.target_data}"\ntarget triple = "{TRIPLE}"\n'
    try:
        module = llvm.parse_assembly(head + text, llvm.create_context())
        module.verify()
    except RuntimeError as error:
        raise ValueError(f"LLVM does not accept the code of this kernel: {error}") from None
    options = llvm.create_pipeline_tuning_options(speed_level=LEVEL)
    options.loop_vectorization = options.slp_vectorization = options.loop_interleaving = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    result = machine.emit_assembly(module)
    if ".version 3.2" in result:  # the oldest, which LLVM takes for a processor that it does not know
        raise ValueError(
            f"processor is {processor!r}, which this LLVM does not know: write an older one; PTX runs on newer"
        )
    return result


@functools.cache
def _initialise() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()

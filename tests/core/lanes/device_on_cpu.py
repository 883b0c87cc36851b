"""The code of a kernel for GPUs, run on the CPU: one thread after the other, which says by arguments who it is.

Nothing of it is changed but the registers in which a GPU tells a thread its number, and the kinds of its pointers.
"""

import ctypes
import re

import jax
import numpy as np

from worldline.core.lanes.device import KERNEL, device_assembly
from worldline.core.lanes.program import one_lane
from worldline.core.lanes.target import host, optimise_and_compile

REGISTERS = ("ctaid", "ntid", "tid", "nctaid")


def on_cpu(text):
    """The assembly of a kernel as a function of its parameters and of the four registers."""
    text = re.sub(r"^declare i32 @llvm\.nvvm\.read.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"call i32 @llvm\.nvvm\.read\.ptx\.sreg\.(\w+)\.x\(\)", r"add i32 %register.\1, 0", text)
    text = re.sub(r"addrspacecast ptr addrspace\(1\) (\S+) to ptr", r"getelementptr i8, ptr \1, i64 0", text)
    text = text.replace("addrspace(1) ", "").replace("ptx_kernel ", "")
    more = "".join(f", i32 %register.{name}" for name in REGISTERS)
    return re.sub(rf"(@{KERNEL}\(.*)\) nounwind .*\{{", rf"\1{more}) nounwind {{", text)


def run_threads(fn, arrays, blocks=2, size=5):
    """The results of a function of arrays `[..., lanes]`, as blocks of threads compute them; leaves in order."""
    program = one_lane(fn, arrays, -1)
    text, workspace = device_assembly(program.jaxpr, program.laned)
    address = optimise_and_compile(on_cpu(text), KERNEL, host()).address
    lanes = arrays[0].shape[-1]
    operands = [np.ascontiguousarray(x) for x in jax.tree.leaves(arrays)]
    assert len(operands) == len(program.laned) and all(program.laned)
    results = [np.empty((*v.aval.shape, lanes), v.aval.dtype) for v in program.jaxpr.jaxpr.outvars]
    scratch = np.empty(workspace * blocks * size + 64, np.uint8)
    pointers = [x.ctypes.data for x in (*operands, *results, *([scratch] if workspace else []))]
    kinds = [*[ctypes.c_void_p] * len(pointers), ctypes.c_int64, *[ctypes.c_int32] * len(REGISTERS)]
    kernel = ctypes.CFUNCTYPE(None, *kinds)(address)
    for block in range(blocks):
        for thread in range(size):
            kernel(*pointers, lanes, block, size, thread, blocks)
    return results

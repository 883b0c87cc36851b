"""`lanes.ptx`: the program of one lane in the assembly of NVIDIA's GPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def ptx(fn: Callable[..., Any], *args: Any, in_axes: Any = -1, processor: str = "sm_90") -> str:
    """PTX of `lanes(fn, in_axes)(*args)`, for NVIDIA's GPUs from `processor` on; nothing is run, and no GPU is needed.

    The kernel `lanes_kernel` takes the addresses of all arguments, of all results and of the workspace, if it needs one,
    then the number of lanes; arrays are `[..., lanes]`. A thread computes one lane after another where there are fewer threads.

    Arguments may be arrays or `jax.ShapeDtypeStruct`s in pytrees.

    Raises `ValueError` where something has no native code, and where LLVM does not know the processor.
    """
    # The compiler takes a while to import, and is needed only now.
    from .arrays import Unsupported
    from .device import device_code
    from .program import one_lane

    program = one_lane(fn, args, in_axes)
    name = getattr(fn, "__name__", repr(fn))
    if program.jaxpr is None:
        raise ValueError(f"lanes.ptx: {name} has no native code for {program.reason}")
    try:
        return device_code(program.jaxpr, program.laned, processor).text
    except Unsupported as reason:
        raise ValueError(f"lanes.ptx: {name} has no native code for {reason}") from None

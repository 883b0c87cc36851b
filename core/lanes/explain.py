"""`lanes.explain`: what of a function runs as native code, what keeps it from it, and how much code it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax.extend.core import jaxprs_in_params


@dataclass(frozen=True)
class Explanation:
    """How `lanes` runs a function. Printed, it is a few lines of text.

    `reason` says what has no native code, beginning with the name of the primitive; None where the function is native.
    `primitives` counts the equations of the one-lane program by primitive, those of inner programs too. `width` is the
    number of lanes that one group computes, `code_bytes` the size of its machine code (on a GPU that of its PTX), and
    `workspace_bytes` the memory that it needs beside its stack; zero where nothing is native.
    """

    name: str
    reason: str | None
    primitives: dict[str, int]
    width: int = 0
    code_bytes: int = 0
    workspace_bytes: int = 0

    @property
    def native(self) -> bool:
        """Whether the function runs as native code."""
        return self.reason is None

    @property
    def equations(self) -> int:
        """The number of equations of the one-lane program."""
        return sum(self.primitives.values())

    def __str__(self) -> str:
        often = ", ".join(f"{name} {n}" for name, n in Counter(self.primitives).most_common(8))
        first = f"{self.name}: {self.equations} equations ({often})"
        if not self.native:
            return f"{first}\n  runs by vmap on XLA: no native code for {self.reason}"
        return (
            f"{first}\n  runs natively, {self.width} lanes at a time\n"
            f"  {self.code_bytes} bytes of code, {self.workspace_bytes} bytes of workspace for each group of lanes"
        )


def explain(fn: Callable[..., Any], *args: Any, in_axes: Any = -1) -> Explanation:
    """What `lanes(fn, in_axes)(*args)` runs natively, or why it does not; nothing is run.

    Arguments may be arrays or `jax.ShapeDtypeStruct`s in pytrees.

    Raises what `lanes` raises for axes that do not exist or sizes that do not agree.
    """
    from .arrays import Unsupported
    from .lowering import compiled
    from .program import one_lane
    from .target import host

    program, name = one_lane(fn, args, in_axes), getattr(fn, "__name__", repr(fn))
    if program.jaxpr is None:
        return Explanation(name, program.reason, _count(program.everything.jaxpr))
    jaxpr, primitives = program.jaxpr, _count(program.jaxpr.jaxpr)
    try:
        if jax.default_backend() != "cpu":
            return _beside_cpus(name, program, primitives)
        kernel = compiled(jaxpr, program.laned, host())
    except Unsupported as reason:
        return Explanation(name, str(reason), primitives)
    return Explanation(name, None, primitives, kernel.width, kernel.size, kernel.workspace)


def _beside_cpus(name: str, program: Any, primitives: dict[str, int]) -> Explanation:
    """The same on other devices: native on GPUs, and only where that is switched on."""
    from .launch import processor

    backend = jax.default_backend()
    target = processor() if backend == "gpu" else None
    if target is None:
        return Explanation(name, f"{backend} devices", primitives)
    from .device import device_code

    code = device_code(program.jaxpr, program.laned, target)
    return Explanation(name, None, primitives, 1, len(code.text), code.workspace)


def _count(jaxpr: Any) -> dict[str, int]:
    found: Counter[str] = Counter()
    for equation in jaxpr.eqns:
        inner = list(jaxprs_in_params(equation.params))
        if not inner:
            found[equation.primitive.name] += 1
        for body in inner:
            found.update(_count(getattr(body, "jaxpr", body)))
    return dict(found)

"""The one-lane program that `lanes` makes of a function, without running it: what `explain` and `ptx` look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from ..pytrees import is_array, merge, split
from .primitive import effectful, lanes_p
from .transform import lanes


@dataclass(frozen=True)
class OneLane:
    """`jaxpr`, closed, and which of its arguments have lanes; or no jaxpr, and the `reason` why there is none.

    `everything` is the program around it, for all lanes.
    """

    everything: Any
    jaxpr: Any = None
    laned: tuple[bool, ...] = ()
    reason: str = ""


def one_lane(fn: Callable[..., Any], args: Any, in_axes: Any) -> OneLane:
    """What `lanes(fn, in_axes)(*args)` compiles. Arguments may be arrays or `jax.ShapeDtypeStruct`s in pytrees.

    Raises what `lanes` raises for axes that do not exist or sizes that do not agree.
    """
    arrays, rest = split(args, lambda x: is_array(x) or isinstance(x, jax.ShapeDtypeStruct))

    def mapped(*leaves: Any) -> list[Any]:
        return split(lanes(fn, in_axes, quiet=True)(*merge(leaves, rest)), is_array)[0]

    program = jax.make_jaxpr(mapped)(*arrays)
    call = next((e for e in program.jaxpr.eqns if e.primitive is lanes_p), None)
    if call is not None:
        return OneLane(program, call.params["jaxpr"], call.params["laned"])
    reason = f"{effectful(program)} (an effect)" if program.effects else "a function without arrays as results"
    return OneLane(program, reason=reason)

"""Which values of a one-lane program are the same for all lanes, whatever the lanes hold.

Loop variables need a kind before their loop is written. A result varies between lanes when anything it comes from
does; in loops that is repeated until nothing changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.extend.core import Literal

# Primitives that only wrap a program, by their names in this and other versions of JAX.
WRAPPERS = frozenset(
    "jit pjit call core_call closed_call core_closed_call eval_jaxpr remat remat2 checkpoint custom_jvp_call custom_vjp_call "
    "custom_vjp_call_jaxpr composite call_hi_primitive".split()
)


def inner_jaxpr(name: str, params: dict) -> Any:
    """The program that an equation only wraps (`jit`, `checkpoint`, custom derivatives); None for other equations."""
    if name not in WRAPPERS:
        return None
    if name == "call_hi_primitive":
        (primitive,) = params.values()
        return _expanded(primitive, *jax.tree.flatten(primitive.in_avals))
    return next((params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in params), None)


def _expanded(primitive: Any, avals: list[Any], structure: Any) -> Any:
    """What an operation of `jax.experimental.hijax` stands for, on arguments of these shapes."""
    return jax.make_jaxpr(lambda *flat: primitive.expand(*jax.tree.unflatten(structure, flat)))(*avals)


def open_jaxpr(jaxpr: Any) -> tuple[Any, Sequence[Any]]:
    """A jaxpr and its constants, from a closed or an open one."""
    return (jaxpr.jaxpr, jaxpr.consts) if hasattr(jaxpr, "consts") else (jaxpr, ())


def varying_results(jaxpr: Any, varying: Sequence[bool]) -> list[bool]:
    """For each result of a jaxpr whether it varies between lanes, given whether each argument does."""
    body, _ = open_jaxpr(jaxpr)
    known: dict[Any, bool] = dict.fromkeys(body.constvars, False)
    known.update(zip(body.invars, varying, strict=True))
    for equation in body.eqns:
        flags = [_of(known, v) for v in equation.invars]
        results = _equation(equation.primitive.name, equation.params, flags, len(equation.outvars))
        known.update(zip(equation.outvars, results, strict=True))
    return [_of(known, v) for v in body.outvars]


def _of(known: dict, v: Any) -> bool:
    return False if isinstance(v, Literal) else known[v]


def _equation(name: str, params: dict, flags: list[bool], results: int) -> list[bool]:
    if not any(flags) or name == "any_lane":
        return [False] * results
    if name == "scan":
        return scan_varies(params, flags)
    if name == "while":
        return while_varies(params, flags)
    if name == "cond":
        if flags[0]:
            return [True] * results
        branches = [varying_results(branch, flags[1:]) for branch in params["branches"]]
        return [any(b[k] for b in branches) for k in range(results)]
    inner = inner_jaxpr(name, params)
    if inner is not None and len(open_jaxpr(inner)[0].invars) == len(flags):
        return varying_results(inner, flags)
    return [True] * results


def scan_counts(params: dict) -> tuple[int, int]:
    """How many of a scan's arguments are constants, and how many its carry; rows are the rest."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    constants, carry, _ = params["ft_in"].unpack()  # jax 0.12 keeps the three as trees
    return len(constants), len(carry)


def scan_varies(params: dict, flags: Sequence[bool]) -> list[bool]:
    """For each carry and stacked result of a scan whether it varies."""
    nc, nk = scan_counts(params)
    carry = list(flags[nc : nc + nk])
    while True:
        results = varying_results(params["jaxpr"], [*flags[:nc], *carry, *flags[nc + nk :]])
        joined = [a or b for a, b in zip(carry, results[:nk], strict=True)]
        if joined == carry:
            return [*carry, *results[nk:]]
        carry = joined


def while_varies(params: dict, flags: Sequence[bool]) -> list[bool]:
    """For each carry of a while loop whether it varies: all do when lanes end at different times."""
    nc, nb = params["cond_nconsts"], params["body_nconsts"]
    carry = list(flags[nc + nb :])
    while True:
        if varying_results(params["cond_jaxpr"], [*flags[:nc], *carry])[0]:
            return [True] * len(carry)
        results = varying_results(params["body_jaxpr"], [*flags[nc : nc + nb], *carry])
        joined = [a or b for a, b in zip(carry, results, strict=True)]
        if joined == carry:
            return carry
        carry = joined

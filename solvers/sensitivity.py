"""Derivatives of a solve: forward sensitivities that also serve reverse mode, or a checkpointed reverse pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jaxtyping import Array

from ..core.lanes.single import one_lane

# Measured on Lotka-Volterra: each forward direction costs about 0.4 of the solve, the reverse pass about 10.
MOST_FORWARD_DIRECTIONS = 24
MOST_FORWARD_NUMBERS = 2**27

GRADIENTS = ("auto", "forward", "reverse", "tangent")


def differentiable(
    forward: Callable[..., Any], reverse: Callable[..., Any], gradient: str = "auto", outputs: int = 0,
    native: bool = True,
) -> Callable[..., Any]:
    """A function of arrays with the derivative rule that costs least.

    `forward(*arrays)` must be differentiable in forward mode, `reverse(*arrays)`, the same function, in reverse mode.
    The result is the function with the rule

        dy = J dx,    J = dy/dx by one pass of forward sensitivities over all perturbed inputs,

    which is linear in dx, so that JAX can transpose it: one gradient then costs one forward-sensitivity solve, in
    which the primal is computed once. The rule of J is the same rule again, so that derivatives of any order exist.
    With more than 24 perturbed numbers, or a Jacobian over 1 GB for the about `outputs` numbers that come out
    (`gradient="auto"`), or on request (`"reverse"`) the reverse function's own
    derivative is taken instead; it has no forward mode. `"tangent"` is the forward function's own derivative, in which
    only the direction of dx is followed, beside a primal of its own; it has no reverse mode.
    """
    if gradient not in GRADIENTS:
        raise ValueError(f"gradient={gradient!r}: write 'auto', 'forward', 'reverse' or 'tangent'.")
    if gradient == "reverse":
        return reverse

    run = one_lane(forward) if native else forward
    if gradient == "tangent":
        return run

    @jax.custom_jvp
    def solve(*arrays):
        return run(*arrays)

    def rule(primals: Sequence[Array], tangents: Sequence[Any]):
        primals = [jnp.asarray(p) for p in primals]
        tangents = [jnp.asarray(t) if isinstance(t, float) else t for t in tangents]
        active = [i for i, tangent in enumerate(tangents) if not _is_zero(tangent)]
        directions = sum(primals[i].size for i in active)
        if gradient == "auto" and _prefers_reverse(directions, outputs):
            filled = tuple(_instantiate(p, t) for p, t in zip(primals, tangents, strict=True))
            return jax.jvp(reverse, tuple(primals), filled)
        with_jacobian = _value_and_jacobian(forward, active)
        value, jacobian = differentiable(with_jacobian, with_jacobian, "forward", native=native)(*primals)
        flat = jnp.concatenate([tangents[i].ravel() for i in active])
        tangent = jax.tree.map(lambda v, j: _contract(v, j, flat), value, jacobian)
        return value, tangent

    solve.defjvp(rule, symbolic_zeros=True)
    return solve


def hoisted(functions: Sequence[Callable], arrays: Sequence[Array]) -> tuple[list[Callable], list[Array]]:
    """Functions of arrays that close over traced values, as functions of the arrays and these values.

    A rule of differentiation knows nothing of what its function closes over, so that the values must be arguments.
    """
    arguments, converted = list(arrays), []
    for function in functions:
        program, shapes = jax.make_jaxpr(function, return_shape=True)(*arrays)
        places = slice(len(arguments), len(arguments) + len(program.consts))
        arguments += program.consts
        converted.append(_with_constants(program.jaxpr, jax.tree.structure(shapes), len(arrays), places))
    return converted, arguments


def _with_constants(program: Any, structure: Any, count: int, places: slice) -> Callable:
    """A traced program as a function of its `count` arguments and, at `places` after them, its constants."""

    def call(*values: Array) -> Any:
        closed = ClosedJaxpr(program, list(values[places]))
        return jax.tree.unflatten(structure, jaxpr_as_fun(closed)(*values[:count]))

    return call


def count_outputs(problem: Any, ts: Array) -> int:
    """Numbers in the stored states of a run."""
    return ts.size * sum(leaf.size for leaf in jax.tree.leaves(problem.state))


def _prefers_reverse(directions: int, outputs: int) -> bool:
    return directions > MOST_FORWARD_DIRECTIONS or outputs * directions > MOST_FORWARD_NUMBERS


def _value_and_jacobian(forward: Callable, active: Sequence[int]) -> Callable:
    """(value, derivatives with one leading axis over all entries of the active inputs); integers get none."""

    def evaluate(*given):
        primals = [jnp.asarray(p) for p in given]
        sizes = [primals[i].size for i in active]
        basis = jnp.eye(sum(sizes), dtype=jnp.result_type(*(primals[i] for i in active)))

        def push(direction):
            parts = jnp.split(direction, list(_cumulative(sizes))[:-1])
            moved = [p.reshape(primals[i].shape).astype(primals[i].dtype) for i, p in zip(active, parts, strict=True)]

            def along(*values):  # the others get no tangents at all, not even zeros that loops would carry
                perturbed = dict(zip(active, values, strict=True))
                return forward(*(perturbed.get(i, p) for i, p in enumerate(primals)))

            value, tangent = jax.jvp(along, [primals[i] for i in active], moved)
            return value, jax.tree.map(lambda v, t: t if _is_float(v) else jnp.zeros(()), value, tangent)

        return jax.vmap(push, out_axes=(None, 0))(basis)

    return evaluate


def _contract(value: Array, jacobian: Array, flat: Array) -> Any:
    if not _is_float(value):
        return _zero(value)
    return jnp.tensordot(flat.astype(jacobian.dtype), jacobian, axes=1)


def _cumulative(sizes: Sequence[int]):
    total = 0
    for size in sizes:
        total += size
        yield total


def _is_float(value: Array) -> bool:
    return jnp.issubdtype(value.dtype, jnp.floating)


def _zero(value: Array) -> Any:
    return jnp.zeros_like(value) if _is_float(value) else np.zeros(value.shape, jax.dtypes.float0)


def _is_zero(tangent: Any) -> bool:
    return type(tangent) is SymbolicZero or tangent.dtype == jax.dtypes.float0


def _instantiate(primal: Array, tangent: Any) -> Any:
    return _zero(primal) if _is_zero(tangent) else tangent

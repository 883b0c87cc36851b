"""Loops that can be differentiated within bounded memory: `scan`, `while_loop`, `fori_loop`.

They take carries and inputs with leaves that are not arrays, which stay the same from step to step. Engines
use them for everything that repeats inside a trace.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Bool

from .pytrees import Rest, is_array, is_traceable, merge, same_leaf, split

_Carry = TypeVar("_Carry")

# Checkpoints of a reverse-mode loop without a bound on its steps: two passes up to 33 thousand steps, then
# a few more.
_UNBOUNDED_CHECKPOINTS = 256


def scan(
    body: Callable[[_Carry, Any], tuple[_Carry, Any]],
    init: _Carry,
    xs: Any = None,
    *,
    length: int | None = None,
    reverse: bool = False,
    checkpoints: Literal["sqrt"] | int | None = None,
) -> tuple[_Carry, Any]:
    """`carry, y = body(carry, x)` over the leading axis of `xs`; returns the last carry and the stacked `y`.

    As `jax.lax.scan`, and besides:

    - `checkpoints` bounds the memory of a reverse-mode gradient. None keeps the intermediate values of all
      n steps. An integer k keeps the carry at k places and computes the n/k steps between two of them again
      on the way back: memory k carries and n/k steps, time one more pass forward. `"sqrt"` takes k near
      sqrt(n), which makes both about sqrt(n). The numbers and gradients are the same to rounding; forward
      mode costs nothing extra.
    - Carry, inputs and outputs may hold leaves that are no arrays. In the carry they must come back
      unchanged. Python numbers in it are arrays from the first step on, as in JAX.

    Raises `ValueError` for inputs of unequal lengths, no length at all, or checkpoints that are no positive
    number, `TypeError` when a leaf of the carry that is no array changes.
    """
    carry, carry_rest = split(init, is_traceable)
    inputs, inputs_rest = split(xs, is_array)
    n = _length(inputs, length)
    outputs_rest: list[Rest] = []

    def step(carry, inputs):
        new, y = body(merge(carry, carry_rest), merge(inputs, inputs_rest))
        outputs, rest = split(y, is_traceable)
        outputs_rest[:] = [rest]
        return _unchanged_rest("scan", new, carry_rest), outputs

    if checkpoints is None:
        carry, outputs = lax.scan(step, carry, inputs, length=n, reverse=reverse)
    else:
        carry, outputs = _scan_in_chunks(step, carry, inputs, n, reverse, _chunk(n, checkpoints))
    return merge(carry, carry_rest), merge(outputs, outputs_rest[0])


def while_loop(
    cond: Callable[[_Carry], Bool[ArrayLike, ""]],
    body: Callable[[_Carry], _Carry],
    init: _Carry,
    *,
    max_steps: int | None = None,
    gradient: Literal["forward", "reverse"] = "forward",
    checkpoints: int | None = None,
) -> _Carry:
    """`while cond(carry): carry = body(carry)`, at most `max_steps` times.

    As `jax.lax.while_loop`, and besides:

    - `gradient="reverse"` makes `grad` and reverse-mode `jacobian` work, also without a bound on the steps:
      the carry is kept at `checkpoints` places, chosen anew as the loop goes on (Stumm and Walther 2010;
      Wang and Moin 2008), and the steps between are computed again on the way back. Default: about sqrt(2
      max_steps), or 256 without a bound. Such a loop cannot be differentiated in forward mode.
      `gradient="forward"` is JAX's own loop, which can, but not in reverse mode.
    - At `max_steps` the loop stops, and `cond` is still true of the result: that is how a caller sees it.
    - The carry may hold leaves that are no arrays; they must come back unchanged.

    Raises `ValueError` for another `gradient`, or for a `max_steps` or `checkpoints` out of range,
    `TypeError` when a leaf of the carry that is no array changes.
    """
    if gradient not in ("forward", "reverse"):
        raise ValueError(f'while_loop: gradient is {gradient!r}; it must be "forward" or "reverse"')
    if max_steps is not None and max_steps < 0:
        raise ValueError(f"while_loop: max_steps is {max_steps}; it must not be negative (None: no bound)")
    if checkpoints is not None and checkpoints < 1:
        raise ValueError(f"while_loop: checkpoints is {checkpoints}; it must be at least 1")
    if checkpoints is not None and gradient == "forward":
        raise ValueError(
            f'while_loop: checkpoints = {checkpoints} is for gradient="reverse"; pass both or neither'
        )
    carry, rest = split(init, is_traceable)

    def goes_on(carry):
        return cond(merge(carry, rest))

    def step(carry):
        return _unchanged_rest("while_loop", body(merge(carry, rest)), rest)

    if max_steps == 0:
        return merge([jnp.asarray(x) for x in carry], rest)
    if gradient == "reverse":
        if checkpoints is None and max_steps is None:
            checkpoints = _UNBOUNDED_CHECKPOINTS
        carry = eqxi.while_loop(
            goes_on,
            step,
            _settled(step, carry),
            max_steps=max_steps,
            kind="checkpointed",
            checkpoints=checkpoints,
        )
    elif max_steps is None:
        carry = lax.while_loop(goes_on, step, carry)
    else:
        _, carry = lax.while_loop(
            lambda c: jnp.logical_and(c[0] < max_steps, goes_on(c[1])),
            lambda c: (c[0] + 1, step(c[1])),
            (jnp.asarray(0, jnp.int32), carry),
        )
    return merge(carry, rest)


def fori_loop(
    lower: int | np.integer | Array,
    upper: int | np.integer | Array,
    body: Callable[[Any, _Carry], _Carry],
    init: _Carry,
    *,
    gradient: Literal["forward", "reverse"] = "forward",
    checkpoints: Literal["sqrt"] | int | None = None,
) -> _Carry:
    """`for i in range(lower, upper): carry = body(i, carry)`.

    As `jax.lax.fori_loop`, and besides: with bounds that are Python or NumPy integers both modes of
    differentiation work and `checkpoints` means what it means in `scan`. With arrays as bounds the loop is a
    `while_loop`, whose `gradient` and `checkpoints` apply.
    """
    if isinstance(lower, (int, np.integer)) and isinstance(upper, (int, np.integer)):
        # As Python integers, whose difference cannot overflow or be unsigned.
        lower, upper = int(lower), int(upper)
        length = max(upper - lower, 0)
        start = jnp.asarray(lower) if length else 0

        def step(carry, k):
            return body(start + k, carry), None

        return scan(step, init, jnp.arange(length), checkpoints=checkpoints)[0]
    if checkpoints == "sqrt":
        raise ValueError('fori_loop: checkpoints="sqrt" needs bounds that are Python or NumPy integers; give a number')
    return while_loop(
        lambda c: c[0] < upper,
        lambda c: (c[0] + 1, body(c[0], c[1])),
        (jnp.asarray(lower), init),
        gradient=gradient,
        checkpoints=checkpoints,
    )[1]


def _scan_in_chunks(step, carry, inputs, n, reverse, chunk):
    """`lax.scan` as an outer scan over chunks, each computed again for the gradient, and a shorter last
    chunk."""
    whole = n // chunk * chunk

    def run(carry, inputs, length):
        return lax.scan(step, carry, inputs, length=length, reverse=reverse)

    def run_chunks(carry, inputs):
        inputs = [x.reshape((whole // chunk, chunk, *x.shape[1:])) for x in inputs]
        # Inside a scan the compiler cannot merge the second computation with the first, so no barrier is
        # needed.
        inner = jax.checkpoint(lambda c, x: run(c, x, chunk), prevent_cse=False)
        carry, outputs = lax.scan(inner, carry, inputs, length=whole // chunk, reverse=reverse)
        return carry, [y.reshape((whole, *y.shape[2:])) for y in outputs]

    def run_last(carry, inputs):
        return jax.checkpoint(lambda c, x: run(c, x, n - whole))(carry, inputs)

    head, tail = [x[:whole] for x in inputs], [x[whole:] for x in inputs]
    if whole == n:
        return run_chunks(carry, inputs)
    if reverse:
        carry, last = run_last(carry, tail)
        carry, first = run_chunks(carry, head)
    else:
        carry, first = run_chunks(carry, head)
        carry, last = run_last(carry, tail)
    return carry, [jnp.concatenate([a, b]) for a, b in zip(first, last)]


def _chunk(n: int, checkpoints: Literal["sqrt"] | int) -> int:
    """Steps between two checkpoints, such that there are at most `checkpoints` of them.

    A number of steps that divides n, when there is one up to twice as large: a shorter last chunk is as much of a
    program again as all the others.
    """
    if checkpoints == "sqrt":
        least = max(1, math.ceil(n / max(1, math.isqrt(n))))
    elif isinstance(checkpoints, bool) or not isinstance(checkpoints, int) or checkpoints < 1:
        raise ValueError(
            f'scan: checkpoints is {checkpoints!r}; it must be "sqrt", a positive integer or None'
        )
    else:
        least = max(1, math.ceil(n / checkpoints))
    return next((chunk for chunk in range(least, 2 * least + 1) if n % chunk == 0), least)


def _length(inputs: list[Any], length: int | None) -> int:
    lengths = {int(x.shape[0]) for x in inputs if x.ndim}
    if any(x.ndim == 0 for x in inputs):
        raise ValueError("scan: an array in xs has no axis to run over; its shape is ()")
    if length is not None:
        lengths.add(int(length))
    if not lengths:
        raise ValueError("scan: xs holds no array, so the number of steps must be given, as in length=100")
    if len(lengths) > 1:
        raise ValueError(
            f"scan: the arrays in xs and `length` ask for different numbers of steps: {sorted(lengths)}"
        )
    return lengths.pop()


def _unchanged_rest(loop: str, new: Any, rest: Rest) -> list[Any]:
    """The arrays of the carry after a step, once its other leaves are seen to be those before the step."""
    leaves, structure = jax.tree_util.tree_flatten(new)
    if structure != rest.structure:
        raise TypeError(
            f"{loop}: the body must return a carry of the structure it was given.\n"
            f"given:    {rest.structure}\nreturned: {structure}"
        )
    others = [leaf for leaf, taken in zip(leaves, rest.taken) if not taken]
    for before, after in zip(rest.others, others):
        if not same_leaf(before, after):
            raise TypeError(
                f"{loop}: a leaf of the carry that is no array changed from {before!r} to {after!r}; "
                "only arrays and numbers can change from step to step"
            )
    return [leaf for leaf, taken in zip(leaves, rest.taken) if taken]


def _settled(step: Callable, carry: list[Any]) -> list[Array]:
    """`carry` as arrays, Python numbers in it in the type that a step gives them."""
    carry = [jnp.asarray(x) for x in carry]
    if not any(x.weak_type for x in carry):
        return carry
    after = jax.eval_shape(step, carry)
    return [jnp.asarray(x, y.dtype) if x.weak_type else x for x, y in zip(carry, after)]

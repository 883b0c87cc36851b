"""Making arrays from what a user writes down: `stack` for components, `floats_to_arrays` for constants."""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .precision import default_float
from .pytrees import is_differentiable

_Tree = TypeVar("_Tree")

Numbers = ArrayLike | Sequence[Any]  # what becomes an array: one number, an array, a list of numbers or of lists


def as_floats(value: Numbers) -> Array:
    """An array of floats of definite type: what is one keeps its type, other numbers take the default one."""
    array = jnp.asarray(value)
    # JAX remembers which arrays came from Python numbers, and compiles again for others of the same values.
    return jnp.asarray(array, array.dtype if jnp.issubdtype(array.dtype, jnp.floating) else default_float())


def stack(*components: ArrayLike | Sequence[ArrayLike]) -> Float[Array, "n *shape"]:
    """One array from numbers and arrays, along a new first axis.

        field = lambda t, y, p: stack(p["birth"] * y[0] - y[0] * y[1], y[0] * y[1] - y[1])

    Each component is a number or an array; arrays share one shape and numbers are spread to it. The result
    has the float type the components have in common (Python numbers follow the arrays; integers and
    booleans become the default float). A single list or tuple counts as the components. Differs from
    `jnp.stack` in taking loose arguments, mixing numbers with arrays, and always giving floats.

    Raises `ValueError` for no components, or for arrays of different shapes.
    """
    parts: Sequence[Any] = components
    if len(parts) == 1 and isinstance(parts[0], (list, tuple)):
        parts = parts[0]
    if not parts:
        raise ValueError("stack needs at least one component, as in stack(x, y)")
    shapes = {jnp.shape(c) for c in parts} - {()}
    if len(shapes) > 1:
        found = ", ".join(str(jnp.shape(c)) for c in parts)
        raise ValueError(
            f"stack: the components have shapes {found}; they must share one shape (numbers aside)"
        )
    dtype = jnp.result_type(*parts)
    if not jnp.issubdtype(dtype, jnp.inexact):
        dtype = default_float()
    shape = shapes.pop() if shapes else ()
    return jnp.stack([jnp.broadcast_to(jnp.asarray(c, dtype), shape) for c in parts])


def floats_to_arrays(tree: _Tree) -> _Tree:
    """`tree` with every float leaf a JAX array of definite type; all other leaves as they are.

    What a system does with its constants when it is built. Python floats become the default float, arrays
    keep their type. JAX remembers that `jnp.asarray(1.5)` came from a Python number and compiles again when
    it meets the same value in definite type; here that memory is dropped.
    """

    def convert(leaf):
        return jnp.asarray(leaf, jnp.result_type(leaf)) if is_differentiable(leaf) else leaf

    return jax.tree.map(convert, tree)

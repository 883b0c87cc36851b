"""Taking pytrees apart: arrays that JAX may trace on one side, everything else (names, functions, options)
on the other.

The transformations and the loops use this to accept any pytree, whatever its leaves.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_flatten, tree_unflatten

_NUMBERS = (bool, int, float, complex)


def is_array(leaf: Any) -> bool:
    """Whether `leaf` is an array of JAX (traced ones and random keys too) or NumPy."""
    return isinstance(leaf, (jax.Array, np.ndarray, np.generic))


def is_traceable(leaf: Any) -> bool:
    """Whether JAX itself takes `leaf`: an array or a Python number."""
    return is_array(leaf) or isinstance(leaf, _NUMBERS)


def is_differentiable(leaf: Any) -> bool:
    """Whether a derivative with respect to `leaf` exists: a float or complex array, or a Python float or
    complex."""
    if isinstance(leaf, (float, complex)):
        return True
    return is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.inexact)


class Rest(NamedTuple):
    """What `split` leaves behind: the structure, which leaves were taken, and the others in order."""

    structure: Any
    taken: tuple[bool, ...]
    others: tuple[Any, ...]


def split(tree: Any, take: Callable[[Any], bool]) -> tuple[list[Any], Rest]:
    """The leaves for which `take` holds, and the rest, from which `merge` builds the tree again."""
    leaves, structure = tree_flatten(tree)
    taken = tuple(take(leaf) for leaf in leaves)
    chosen = [leaf for leaf, t in zip(leaves, taken) if t]
    return chosen, Rest(structure, taken, tuple(leaf for leaf, t in zip(leaves, taken) if not t))


def merge(chosen: Any, rest: Rest) -> Any:
    """The tree that `split` took apart, with `chosen` in the places of the leaves it took."""
    chosen, others = iter(chosen), iter(rest.others)
    return tree_unflatten(rest.structure, [next(chosen) if t else next(others) for t in rest.taken])


def merge_or_none(chosen: Any, rest: Rest) -> Any:
    """As `merge`, with None in the place of every leaf that was not taken."""
    return merge(chosen, rest._replace(others=(None,) * len(rest.others)))


def same_leaf(a: Any, b: Any) -> bool:
    """Whether two leaves that are not arrays are the same object or equal."""
    if a is b:
        return True
    return type(a) is type(b) and bool(a == b)

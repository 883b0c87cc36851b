"""What the messages of the transformations call functions and their arguments."""

import inspect
from collections.abc import Callable
from typing import Any

from jax.tree_util import keystr, tree_flatten_with_path

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def name_of(fn: Callable[..., Any]) -> str:
    """The name of a function, or the class of another callable."""
    return getattr(fn, "__name__", type(fn).__name__)


def leaf_names(fn: Callable[..., Any], inputs: tuple[tuple[Any, ...], dict[str, Any]]) -> list[str]:
    """The leaves of the arguments `(args, kwargs)` of `fn`, in order: "system.birth", "x"."""
    args, kwargs = inputs
    try:
        names = [p.name for p in inspect.signature(fn).parameters.values() if p.kind in _BY_PLACE]
    except (TypeError, ValueError):
        names = []
    named = [(names[i] if i < len(names) else f"argument {i}", x) for i, x in enumerate(args)]
    named += sorted(kwargs.items())  # as JAX orders a dictionary
    return [name + keystr(path) for name, x in named for path, _ in tree_flatten_with_path(x)[0]]

"""`jit` for functions of any pytree: arrays are traced, everything else belongs to the compiled program."""

import functools
import inspect
import weakref
from collections.abc import Callable, Sequence
from types import FunctionType, MethodType
from typing import Any

import jax
import numpy as np
from jax.tree_util import register_pytree_node, tree_flatten, tree_structure, tree_unflatten, treedef_is_leaf

from ..pytrees import is_array, merge, split
from .naming import name_of

# Programs kept for one function; beyond this the oldest is dropped.
_KEPT_PROGRAMS = 256
_TRACED = object()
_INTEGER = object()
_programs_of: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def jit(fn: Callable[..., Any] | None = None, *, static: str | Sequence[str] = ()) -> Callable[..., Any]:
    """`fn`, compiled on first use for each kind of arguments and run as compiled from then on.

    As `jax.jit`, and besides:

    - Arguments, results, and `fn` itself may be pytrees with leaves that are no arrays (names, functions,
      options). Those leaves are part of the program: it is compiled anew when one of them is not equal to
      what it was. Functions are equal when they are the same object, so a lambda written inside a loop
      compiles every time; define it once, outside.
    - Arrays and Python floats are traced, wherever they are. An integer or a boolean is traced when it is
      itself an argument, as in JAX; inside a structure it is an option, part of the program
      (`range(system.links)` works).
    - `static` names arguments that shall be part of the program whatever they are.
    - Leaves of the result that are no arrays come back as they were returned.

    `jitted.lower(*args)` gives JAX's lowered program. Use as a decorator, on methods too.

    Raises `TypeError` for a leaf that is no array and cannot be hashed.
    """
    if fn is None:
        return functools.partial(jit, static=static)
    if not callable(fn):
        raise TypeError(f"jit: needs a function, got {fn!r}")
    return Jitted(fn, (static,) if isinstance(static, str) else tuple(static))


class Jitted:
    """What `jit` returns. Calls find the compiled program by the structure and the leaves that are no
    arrays."""

    def __init__(self, fn: Callable[..., Any], static: tuple[str, ...]):
        functools.update_wrapper(self, fn, updated=())
        self._fn = fn
        self._static = static
        self._signature = inspect.signature(fn) if static else inspect.Signature()
        if unknown := [name for name in static if name not in self._signature.parameters]:
            raise ValueError(f"jit: static names {', '.join(unknown)}, but {fn!r} has no such argument")
        # A module or a bound method of one has arrays of its own; they are arguments like the others.
        self._is_tree = not treedef_is_leaf(tree_structure(fn))
        self._programs = _programs(_call if self._is_tree else fn, static)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        program, traced = self._prepared(args, kwargs)
        out = program(*traced)
        return merge(out.arrays, out.rest) if type(out) is _Mixed else out

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"jit({self._fn!r})"

    def lower(self, *args: Any, **kwargs: Any) -> Any:
        """The program for these arguments before compilation, as `jax.jit(fn).lower` gives it."""
        program, traced = self._prepared(args, kwargs)
        return program.lower(*traced)

    def _prepared(self, args, kwargs):
        """The program for these arguments, and the leaves to call it with."""
        if self._static:
            args, kwargs = self._with_static(args, kwargs)
        integers = [x for x in (*args, *kwargs.values()) if type(x) in _INTEGER_TYPES]
        if integers:
            args = tuple(_INTEGER if type(x) in _INTEGER_TYPES else x for x in args)
            kwargs = {k: _INTEGER if type(x) in _INTEGER_TYPES else x for k, x in kwargs.items()}
        if self._is_tree:
            args = (self._fn, *args)
        leaves, structure = tree_flatten((args, kwargs))
        kinds = [_is_traced.get(type(x)) for x in leaves]
        if None in kinds:
            kinds = [_learn(x) for x in leaves]
        traced = [x for x, is_traced in zip(leaves, kinds) if is_traced] + integers
        fixed = tuple([_TRACED if is_traced else x for x, is_traced in zip(leaves, kinds)])
        # Types are in the key because 1 == True.
        key = (structure, fixed, tuple(map(type, fixed)))
        try:
            program = self._programs.get(key)
        except TypeError as error:
            raise TypeError(_unhashable(fixed)) from error
        if program is None:
            program = _compiled(_call if self._is_tree else self._fn, structure, fixed, name_of(self._fn))
            while len(self._programs) >= _KEPT_PROGRAMS:
                self._programs.pop(next(iter(self._programs)))
            self._programs[key] = program
        return program, traced

    def _with_static(self, args, kwargs):
        bound = self._signature.bind(*args, **kwargs)
        for name in self._static:
            if name in bound.arguments:
                bound.arguments[name] = _Fixed(bound.arguments[name])
        return bound.args, bound.kwargs


class _Fixed:
    """An argument named in `static`: a leaf of the arguments whatever it holds."""

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Fixed) and type(self.value) is type(other.value) and self.value == other.value
        )


class _Mixed:
    """A result with leaves that are no arrays: `rest` travels in the structure of what the program
    returns."""

    def __init__(self, arrays: Any, rest: Any):
        self.arrays = arrays
        self.rest = rest


register_pytree_node(
    _Mixed, lambda mixed: (mixed.arrays, mixed.rest), lambda rest, arrays: _Mixed(arrays, rest)
)

_INTEGER_TYPES = frozenset({int, bool})
_is_traced: dict[type, bool] = {}


def _learn(leaf: Any) -> bool:
    """Whether `leaf` is traced; remembered by type, because asking JAX is slow."""
    traced = isinstance(leaf, (jax.core.Tracer, jax.Array, np.ndarray, np.generic, float, complex))
    return _is_traced.setdefault(type(leaf), traced)


def _programs(fn: Callable, static: tuple[str, ...]) -> dict:
    """The programs compiled for `fn`: all its jitted forms share them, and they go when the function goes."""
    if isinstance(fn, FunctionType):
        return _programs_of.setdefault(fn, {}).setdefault(static, {})
    return {}


def _compiled(fn, structure, fixed, name):
    # The table of programs must not keep a function alive; whoever calls the program does.
    held: Callable = weakref.ref(fn) if isinstance(fn, FunctionType) else lambda: fn

    def run(*given):
        traced = iter(given)
        leaves = [next(traced) if x is _TRACED else x for x in fixed]
        args, kwargs = tree_unflatten(structure, leaves)
        args = [_plain(x, traced) for x in args]
        kwargs = {k: _plain(x, traced) for k, x in kwargs.items()}
        out = held()(*args, **kwargs)
        arrays, rest = split(out, is_array)
        return out if all(rest.taken) else _Mixed(arrays, rest)

    run.__name__ = run.__qualname__ = name
    return jax.jit(run)


def _plain(argument, integers):
    if argument is _INTEGER:
        return next(integers)
    return argument.value if type(argument) is _Fixed else argument


def _call(fn, *args, **kwargs):
    return fn(*args, **kwargs)


def _unhashable(fixed: tuple[Any, ...]) -> str:
    for x in fixed:
        try:
            hash(x)
        except TypeError:
            x = x.value if type(x) is _Fixed else x
            return (
                f"jit: {x!r} of type {type(x).__name__} is no array and cannot be hashed, so a compiled "
                "program cannot be found by it; make it an array, a tuple or a frozen dataclass"
            )
    return "jit: a static field of an argument cannot be hashed, so a compiled program cannot be found by it"

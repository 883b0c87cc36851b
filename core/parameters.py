"""Physical constants by dotted name: `parameters` lists them, `replace` changes them, `Parametrized` gives
both to systems.

Every float leaf of a system is a parameter. Its name is the path to it: "birth", "link1.mass",
"layers[0].weight".
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import DictKey, GetAttrKey, SequenceKey, tree_flatten_with_path, tree_unflatten
from jaxtyping import Array, ArrayLike

from .pytrees import is_differentiable

_Tree = TypeVar("_Tree")

_SHOWN_NAMES = 12
_SHOWN_ENTRIES = 6
_ALIKE = 0.6


class UnknownParameter(KeyError):
    """A name that no parameter has. The message lists names near to it."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


def parameters(tree: Any) -> dict[str, Array]:
    """Every float leaf of `tree` by dotted name, in the order of the tree.

        parameters({"link1": {"mass": jnp.array(2.0)}})      # {"link1.mass": Array(2.)}

    Fields and dictionary keys are joined by dots, places in lists and tuples are written `[i]`, keys that
    are no identifiers `['as this']`. Arrays (JAX, traced, NumPy) are given as they are, Python floats as
    arrays; leaves that are None, integers, strings or functions are no parameters, so a gradient lists its
    entries under the same names.

    Raises `ValueError` when two leaves would have the same name.
    """
    names, leaves, _ = _named_leaves(tree)
    found = {}
    for name, leaf in zip(names, leaves):
        if name is not None:
            found[name] = jnp.asarray(leaf) if isinstance(leaf, (float, complex)) else leaf
    return found


def replace(tree: _Tree, changes: Mapping[str, ArrayLike] | None = None, **named: ArrayLike) -> _Tree:
    """`tree` with other values for the parameters named, everything else as it was.

        replace(system, {"link1.mass": 2.0, "rates[2]": 0.1})
        replace(system, birth=0.4)

    A value takes the type of the parameter it replaces and must have its shape. `"rates[2]"` changes one
    entry of an array parameter. Works on traced values, so that `jax.grad(lambda m: loss(replace(system,
    mass=m)))` is a way to differentiate with respect to chosen parameters.

    Raises `UnknownParameter` (a `KeyError`) for a name that no parameter has, `ValueError` for a value of
    another shape or a name given twice, `IndexError` for an entry outside the array, `TypeError` for a
    value that is no number.
    """
    changes = dict(changes or {})
    if twice := sorted(set(changes) & set(named)):
        raise ValueError(
            f"replace: {', '.join(twice)} given both in the mapping and as a keyword; give it once"
        )
    changes |= named
    names, leaves, structure = _named_leaves(tree)
    places = {name: i for i, name in enumerate(names) if name is not None}
    whole = {places[name] for name in changes if name in places}
    for name, value in changes.items():
        if name in places:
            place = places[name]
            leaves[place] = _fitted(name, value, leaves[place], jnp.shape(leaves[place]))
            continue
        place, index = _entry(name, places, type(tree).__name__)
        if place in whole:
            raise ValueError(
                f"replace: both {names[place]!r} and its entry {name!r} are given; give one of them"
            )
        leaf = leaves[place]
        shape = _entry_shape(name, index, jnp.shape(leaf))
        leaves[place] = (
            jnp.asarray(leaf, jnp.result_type(leaf)).at[index].set(_fitted(name, value, leaf, shape))
        )
    return tree_unflatten(structure, leaves)


class _NamedParameters:
    """The attribute `parameters` of a system. It has no setter and hides itself from the class, so that a
    subclass may also declare a field of this name, which then wins."""

    def __get__(self, instance: Any, owner: type) -> dict[str, Array]:
        if instance is None:
            raise AttributeError("parameters")
        return parameters(instance)


class Parametrized(eqx.Module):
    """Base of every system: its float leaves can be read, changed and differentiated by name.

    `system.parameters` is the dictionary of `parameters(system)`; `system.replace(birth=0.4)` is a changed
    copy. Fields named in `transparent` are left out of the dotted names, so that what they hold seems to
    belong to the system itself.
    """

    transparent: ClassVar[tuple[str, ...]] = ()
    if TYPE_CHECKING:

        @property
        def parameters(self) -> dict[str, Array]: ...

    else:
        parameters = _NamedParameters()

    def replace(self, changes: Mapping[str, ArrayLike] | None = None, **named: ArrayLike) -> Self:
        """A copy with other values for the parameters named; see `worldline.replace`."""
        return replace(self, changes, **named)

    def _facts(self) -> list[str]:
        """What `repr` says beside the parameters, such as "cutoff=2.5"."""
        return []

    def __repr__(self) -> str:
        names, leaves, _ = _named_leaves(self, unique=False)
        # An array without entries says nothing.
        named = [(n, x) for n, x in zip(names, leaves) if n is not None and 0 not in jnp.shape(x)]
        shown = [f"{name}={brief(leaf)}" for name, leaf in named[:_SHOWN_NAMES]]
        if len(named) > _SHOWN_NAMES:
            shown.append(f"... {len(named) - _SHOWN_NAMES} more")
        return f"{type(self).__name__}({', '.join([*shown, *self._facts()])})"


def _named_leaves(tree: Any, unique: bool = True) -> tuple[list[str | None], list[Any], Any]:
    """Names (None for leaves that are no parameters), leaves and structure of `tree`."""
    with_paths, structure = tree_flatten_with_path(tree)
    names = [_name(tree, path) if is_differentiable(leaf) else None for path, leaf in with_paths]
    if unique and len(set(names) - {None}) < len([n for n in names if n is not None]):
        twice = next(n for n in names if n is not None and names.count(n) > 1)
        raise ValueError(
            f"two parameters of {type(tree).__name__} have the name {twice!r}; rename one of them"
        )
    return names, [leaf for _, leaf in with_paths], structure


def _name(node: Any, path: tuple[Any, ...]) -> str:
    name = ""
    for depth, key in enumerate(path):
        part, child = "", None
        match key:
            case GetAttrKey(name=field):
                child = getattr(node, field, None)
                hidden = (
                    isinstance(node, Parametrized)
                    and field in type(node).transparent
                    and depth + 1 < len(path)  # an array has no name but that of the field
                )
                part = "" if hidden else f".{field}"
            case DictKey(key=entry):
                child = node.get(entry) if isinstance(node, Mapping) else None
                part = f".{entry}" if isinstance(entry, str) and entry.isidentifier() else f"[{entry!r}]"
            case SequenceKey(idx=i):
                child = node[i] if isinstance(node, (list, tuple)) else None
                part = f"[{i}]"
            case _:
                part = f"[{getattr(key, 'key', key)}]"
        name, node = name + part, child
    return name.removeprefix(".")


def _entry(name: str, places: Mapping[str, int], owner: str) -> tuple[int, tuple[int, ...]]:
    """The place of the array that `name` is an entry of, and the index of the entry."""
    found = re.fullmatch(r"(.*)\[\s*(-?\d+(?:\s*,\s*-?\d+)*)\s*\]", str(name))
    if found and found[1] in places:
        return places[found[1]], tuple(int(i) for i in found[2].split(","))
    raise UnknownParameter(_unknown(str(name), list(places), owner))


def _unknown(name: str, names: list[str], owner: str) -> str:
    lead = f"{owner} has no parameter {name!r}."
    if not names:
        return f"{lead} It has no parameters at all: no leaf of it is a float."
    inside = [n for n in names if n.startswith((f"{name}.", f"{name}["))]
    if inside:
        return f"{lead} It is a group; name one of {_listed(inside)}."
    near = _near(name, names)
    hint = f" Near to it: {', '.join(near)}." if near else ""
    if len(names) <= _SHOWN_NAMES:
        return f"{lead}{hint} Its parameters: {', '.join(names)}."
    return f"{lead}{hint} It has {len(names)} parameters; wl.parameters(...) lists them."


def _near(name: str, names: list[str]) -> list[str]:
    """Names like `name`, as a whole or in their last part, the most alike first."""

    def likeness(other: str) -> float:
        last = difflib.SequenceMatcher(None, name.split(".")[-1], other.split(".")[-1]).ratio()
        return max(last, difflib.SequenceMatcher(None, name, other).ratio())

    return [n for n in sorted(names, key=likeness, reverse=True) if likeness(n) >= _ALIKE][:4]


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more


def _entry_shape(name: str, index: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    inside = len(index) <= len(shape) and all(-n <= i < n for i, n in zip(index, shape))
    if not inside:
        raise IndexError(f"replace: {name!r} is outside the array, whose shape is {shape}")
    return shape[len(index) :]


def _fitted(name: str, value: Any, old: Any, shape: tuple[int, ...]) -> Array:
    """`value` as an array of the type of `old`, checked to have `shape`."""
    try:
        given = jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"replace: {name} needs a number or an array of numbers, got {value!r}") from error
    dtype = jnp.result_type(old)
    if jnp.iscomplexobj(given) and not jnp.issubdtype(dtype, jnp.complexfloating):
        raise TypeError(f"replace: {name} is real ({dtype}), got the complex value {value!r}")
    if given.shape != shape:
        raise ValueError(
            f"replace: {name} has shape {shape}, got a value of shape {given.shape}. For many values at once "
            f"write wl.ensemble(lambda value: wl.simulate(system.replace({{{name!r}: value}}), ...))(values)"
        )
    return given.astype(dtype)


def brief(leaf: Any) -> str:
    """An array in a few words: its numbers where they are few, else type and shape."""
    shape = jnp.shape(leaf)
    kind = f"{jnp.result_type(leaf)}[{', '.join(map(str, shape))}]"
    if isinstance(leaf, jax.core.Tracer):
        return f"traced {kind}"
    if np.size(leaf) > _SHOWN_ENTRIES:
        return kind
    return _written(np.asarray(leaf).tolist())


def _written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_written(v) for v in value)}]"
    return f"{value:.6g}"

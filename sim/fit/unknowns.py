"""The unknowns of a fit: names, bounds and starts of what is free, and the way from one vector to system and states."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_changes
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ...core.parameters import UnknownParameter, parameters, replace
from .bounds import Free

STATE = "y0"
MOST_ENTRIES = 24  # of an array that messages name one by one


@dataclass(frozen=True)
class Unknown:
    """One free entry: a parameter of the system, or (of experiment `experiment`) a part of its initial state."""

    key: str  # name within the system, or within the initial state
    experiment: int | None  # None: of the system
    label: str  # what tables call it
    bound: Free
    start: np.ndarray  # value at the start, shape of the entry


class Placement(eqx.Module):
    """How the vector u [n] that the search moves becomes the system and the initial states of all experiments.

    `entries` holds (key, experiment or None for the system, bound, shape) of each unknown.
    """

    system: Any
    states: list[PyTree]
    entries: tuple[tuple[str, int | None, Free, tuple[int, ...]], ...] = eqx.field(static=True)

    def values(self, u: Float[Array, " n"]) -> Float[Array, " n"]:
        """The values of the unknowns at u."""
        return jnp.concatenate([jnp.ravel(value) for value in self._entry_values(u)])

    def apply(self, u: Float[Array, " n"]) -> tuple[Any, list[PyTree]]:
        """The system and the initial states with the unknowns at u."""
        of_system: dict[str, Any] = {}
        of_states: list[dict[str, Any]] = [{} for _ in self.states]
        for entry, value in zip(self.entries, self._entry_values(u), strict=True):
            key, experiment = entry[:2]
            target = of_system if experiment is None else of_states[experiment]
            target[key] = value
        system = replace(self.system, of_system) if of_system else self.system
        states = [
            _unwrap(replace(_wrap(s), changes)) if changes else s
            for s, changes in zip(self.states, of_states, strict=True)
        ]
        return system, states

    def _entry_values(self, u: Array) -> list[Array]:
        ends = np.cumsum([math.prod(shape) for *_, shape in self.entries])
        parts = jnp.split(u, ends[:-1])
        return [
            bound.value(part.reshape(shape)) for (_, _, bound, shape), part in zip(self.entries, parts, strict=True)
        ]


class Unknowns:
    """Free entries stacked into the one vector u [n] that the search moves.

    `free` maps names to bounds: parameters by dotted name ("link1.mass", "rates[2]"), `"y0"` for the whole initial
    state of every experiment, `"y0[1]"` or `"y0.q"` for a part of it.

    **Raises** `UnknownParameter` for names that do not exist, `ValueError` for bounds that exclude the start.
    """

    def __init__(self, system: Any, states: Sequence[PyTree], free: Mapping[str, Free] | Sequence[str] | str):
        self.system = system
        self.states = list(states)
        self.entries = [
            unknown for key, bound in _as_mapping(free, system).items() for unknown in self._find(key, bound)
        ]
        repeated = {e.label for e in self.entries if sum(o.label == e.label for o in self.entries) > 1}
        if repeated:
            raise ValueError(f"{', '.join(sorted(repeated))} is free twice: name it once.")
        self.sizes = [int(np.size(e.start)) for e in self.entries]

    @property
    def labels(self) -> list[str]:
        """One name for each number in u."""
        names = []
        for e in self.entries:
            if np.ndim(e.start) == 0:
                names.append(e.label)
            else:
                names += [f"{e.label}[{','.join(map(str, i))}]" for i in np.ndindex(np.shape(e.start))]
        return names

    @property
    def bounds(self) -> list[str]:
        """The bounds of each number in u, in words."""
        return [bound.describe() for bound in self.each_bound]

    @property
    def each_bound(self) -> tuple[Free, ...]:
        """The bound of each number in u."""
        return tuple(e.bound for e, size in zip(self.entries, self.sizes, strict=True) for _ in range(size))

    @property
    def start(self) -> Float[np.ndarray, " n"]:
        """The values at the start."""
        return np.concatenate([np.ravel(e.start) for e in self.entries])

    @property
    def start_number(self) -> Float[np.ndarray, " n"]:
        """u at the start."""
        return np.concatenate([np.ravel(e.bound.number(e.start)) for e in self.entries])

    def fixed(self, i: int) -> PyTree:
        """Which numbers of the initial state of experiment i are not free: booleans in its structure."""
        nothing = jax.tree.map(lambda leaf: np.zeros(np.shape(leaf)), _wrap(self.states[i]))
        free = {e.key: np.ones(np.shape(e.start)) for e in self.entries if e.experiment == i}
        return jax.tree.map(lambda leaf: np.asarray(leaf) == 0, _unwrap(replace(nothing, free)))

    def slopes(self, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The derivative of each unknown by its number in u, where they have these values."""
        parts = np.split(values, np.cumsum(self.sizes)[:-1])
        return np.concatenate([e.bound.slope(part) for e, part in zip(self.entries, parts, strict=True)])

    @property
    def interval(self) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """The least and the greatest u."""
        lower, upper = zip(*(e.bound.interval for e in self.entries), strict=True)
        return np.repeat(lower, self.sizes), np.repeat(upper, self.sizes)

    @property
    def placement(self) -> Placement:
        """The numerical part, for compiled functions."""
        return Placement(
            self.system,
            self.states,
            tuple((e.key, e.experiment, with_changes(e.bound, start=None), np.shape(e.start)) for e in self.entries),
        )

    def placed(self, i: int) -> tuple[Placement, np.ndarray]:
        """The placement of experiment i alone, without its state, and the numbers of the entries of u that it takes."""
        ends = np.cumsum(self.sizes)
        concerned = [j for j, e in enumerate(self.entries) if e.experiment in (None, i)]
        of_all = self.placement.entries
        entries = tuple((of_all[j][0], None if of_all[j][1] is None else 0, *of_all[j][2:]) for j in concerned)
        columns = [np.arange(ends[j] - self.sizes[j], ends[j]) for j in concerned]
        return Placement(self.system, [], entries), np.concatenate(columns)

    def _find(self, key: str, bound: Any) -> list[Unknown]:
        if isinstance(bound, type) and issubclass(bound, Free):
            bound = bound()
        if not isinstance(bound, Free):
            raise TypeError(f"free[{key!r}]={bound!r}: write wl.Positive(), wl.Bounded(lower, upper) or wl.Free().")
        if key == STATE or re.match(rf"{STATE}[.\[]", key):
            return [u for i in range(len(self.states)) for u in self._find_in_state(key, bound, i)]
        known = parameters(self.system)
        integers = [name for name in _integer_arrays(self.system) if re.fullmatch(rf"{re.escape(name)}(\[.*\])?", key)]
        if integers and key not in known:
            raise UnknownParameter(
                f"free[{key!r}]: {integers[0]!r} is an array of integers, which is data and no parameter: make it one of "
                f"floats to fit it, such as parameters=dict({integers[0]}=np.asarray(..., float)) of wl.ode.System."
            )
        return [_unknown(key, None, key, bound, _look_up(known, key, [*known, *_entries(_wrap(self.states[0]))]))]

    def _find_in_state(self, key: str, bound: Free, i: int) -> list[Unknown]:
        known = parameters(_wrap(self.states[i]))
        idle = tuple(f"{STATE}.{field}" for field in getattr(self.states[i], "without_effect", ()))
        names = [name for name in known if name not in idle] if key == STATE else [key]
        there = _entries(_wrap(self.states[i]))
        prefix = f"experiments[{i}]." if len(self.states) > 1 else ""
        found = []
        starts = None
        if key == STATE and bound.start is not None:
            starts = parameters(_wrap(jax.tree.map(jnp.asarray, bound.start, is_leaf=lambda x: isinstance(x, list))))
            if set(starts) != set(known):
                raise ValueError(
                    f"the start of 'y0' has entries {', '.join(starts)}; the state has {', '.join(known)}."
                )
        for name in names:
            value = _look_up(known, name, there) if starts is None else np.asarray(starts[name], np.float64)
            one = bound if starts is None else with_changes(bound, start=None)
            found.append(_unknown(name, i, prefix + name, one, value))
        return found


def replace_named(
    system: Any, states: Sequence[PyTree], values: Mapping[str, Any], experiment: int
) -> tuple[Any, PyTree]:
    """The system and the initial state of an experiment with other values of the unknowns, by their labels.

    Labels of other experiments change nothing. **Raises** `UnknownParameter` for a name that neither has.
    """
    of_system: dict[str, Any] = {}
    of_state: dict[str, Any] = {}
    for label, value in values.items():
        match = re.fullmatch(rf"(?:experiments\[(\d+)\]\.)?({STATE}(?:[.\[].*)?)", label)
        if match is None:
            of_system[label] = value
        elif int(match[1] or 0) == experiment:
            of_state[match[2]] = value
    state = states[experiment]
    return (
        replace(system, of_system) if of_system else system,
        _unwrap(replace(_wrap(state), of_state)) if of_state else state,
    )


def _unknown(key: str, experiment: int | None, label: str, bound: Free, value: np.ndarray) -> Unknown:
    if bound.start is not None:
        try:
            value = np.broadcast_to(np.asarray(bound.start, np.float64), np.shape(value)).copy()
        except ValueError:
            raise ValueError(
                f"the start of {label!r} has shape {np.shape(bound.start)}; it needs {np.shape(value)}."
            ) from None
    value = np.asarray(bound.check(label, np.asarray(value, np.float64)), np.float64)
    return Unknown(key, experiment, label, bound, value)


def _look_up(known: Mapping[str, Any], name: str, names: list[str]) -> np.ndarray:
    if name in known:
        return np.asarray(known[name], np.float64)
    match = re.fullmatch(r"(.+)\[(\d+(?:,\d+)*)\]", name)
    if match and match[1] in known:
        array, index = np.asarray(known[match[1]], np.float64), tuple(map(int, match[2].split(",")))
        if len(index) == array.ndim and all(i < n for i, n in zip(index, array.shape, strict=True)):
            return array[index]
        raise UnknownParameter(f"{name!r}: {match[1]!r} has shape {array.shape}, without such an entry.")
    names = list(dict.fromkeys(names))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(map(repr, near))}? " if near else ""
    raise UnknownParameter(f"no parameter is named {name!r}: {hint}There are {', '.join(names[:12])}.")


def _entries(state: PyTree) -> list[str]:
    """The names by which an initial state and its numbers go."""
    names = []
    for name, value in parameters(state).items():
        names.append(name)
        if 0 < np.size(value) <= MOST_ENTRIES and np.ndim(value):
            names += [f"{name}[{','.join(map(str, index))}]" for index in np.ndindex(np.shape(value))]
    return names


def _integer_arrays(system: Any) -> list[str]:
    """Names of arrays that would be parameters if they did not hold integers."""

    def marked(leaf: Any) -> Any:
        whole = isinstance(leaf, (np.ndarray, jax.Array)) and jnp.issubdtype(leaf.dtype, jnp.integer)
        return np.zeros(np.shape(leaf)) if whole else None

    return list(parameters(jax.tree.map(marked, system)))


def _as_mapping(free: Any, system: Any) -> Mapping[str, Free]:
    if isinstance(free, str):
        free = [free]
    if isinstance(free, Mapping):
        mapping = free
    else:
        mapping = {name: Free() for name in free}
    if not mapping:
        names = ", ".join(parameters(system))
        raise ValueError(
            f"free is empty: name what to fit, e.g. free={{{next(iter(parameters(system)), 'y0')!r}: wl.Positive()}}; "
            f"there are {names}, y0."
        )
    return mapping


def _wrap(state: PyTree) -> dict[str, PyTree]:
    return {STATE: state}


def _unwrap(wrapped: dict[str, PyTree]) -> PyTree:
    return wrapped[STATE]

"""From a model, a table and the options of `worldline fit` to what `wl.fit` takes."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .failure import WrongInput, near
from .model import Model
from .numbers import number, pairs, read_number
from .table import Table

UNMEASURED = "-"


@dataclass(frozen=True)
class Task:
    """What to fit to what."""

    model: Model
    source: str
    time_name: str
    ts: np.ndarray
    measured: tuple[str, ...]  # names of the columns that were measured
    values: np.ndarray  # [m, len(measured)]
    observe: Any
    system: Any
    state: Any
    controls: Any
    free: dict[str, Any]
    labels: dict[str, str]  # what wl.fit calls an initial value -> what this command calls it


def task_of(model: Model, table: Table, given: argparse.Namespace) -> Task:
    """Match columns to components, and names to unknowns. **Raises** `WrongInput` for what does not fit
    together.
    """
    time = table.time_column(given.time)
    controls = _controls(model, table, time, given)
    others = [c for c in table.names if c not in {time, *(given.control or ()), *(given.ignore or ())}]
    for name in given.ignore or ():
        table.check(name, "--ignore")
    components, columns = _components(model, table, others, given.columns)
    measured = [i for i, column in enumerate(columns) if column is not None]
    values = np.column_stack([table.numbers(columns[i]) for i in measured])  # type: ignore[arg-type]
    _check_values(table, values, [str(columns[i]) for i in measured], given.noise)
    starts = pairs(given.start, "--start")
    system = model.system(_parameter_starts(model, starts, components))
    state, labels = _state(model, starts, components, columns, table)
    free = _free(system, state, components, labels, given)
    return Task(
        model,
        table.source,
        time,
        table.numbers(time),
        tuple(str(columns[i]) for i in measured),
        values,
        _observe(state, measured, components),
        system,
        state,
        controls,
        free,
        {label: f"y0.{name}" for label, name in labels.items()},
    )


def _controls(model: Model, table: Table, time: str, given: argparse.Namespace) -> Any:
    from ..solvers.signals import Sampled

    names = given.control or []
    if not names:
        if model.takes_control:
            raise WrongInput(
                f"{model.name} takes a control: name its column, --control COLUMN (of "
                f"{', '.join(table.names)})"
            )
        return None
    if not model.takes_control:
        raise WrongInput(f"--control {names[0]}: {model.name} takes no control")
    for name in names:
        table.check(name, "--control")
    columns = [table.numbers(name) for name in names]
    for name, column in zip(names, columns, strict=True):
        for row in np.flatnonzero(~np.isfinite(column)):
            raise WrongInput(
                f"{table.source}, line {table.lines[row]}, column {name!r}: a control cannot be missing"
            )
    if len(table.lines) < 2:
        raise WrongInput(f"{table.source} has one row; a sampled control needs at least two")
    values = columns[0] if len(columns) == 1 else np.column_stack(columns)
    return Sampled(table.numbers(time), values, "hold" if given.hold else "linear")


def _components(
    model: Model, table: Table, others: list[str], chosen: list[str] | None
) -> tuple[tuple[str, ...], list[str | None]]:
    """The state's components, and for each the column that measured it (None: not measured)."""
    columns: list[str | None]
    if chosen is not None:
        for name in chosen:
            if name != UNMEASURED:
                table.check(name, "--columns")
        columns = [None if name == UNMEASURED else name for name in chosen]
        components = tuple(name or f"y{i}" for i, name in enumerate(columns))
        if model.problem is not None:
            components = model.problem.names
            if len(columns) != len(components):
                raise WrongInput(
                    f"--columns has {len(columns)} names, but {model.name} has {len(components)} components: "
                    f"{', '.join(components)} (- for one that was not measured)"
                )
    elif model.problem is None:
        columns, components = list(others), tuple(others)
    else:
        components = model.problem.names
        for name in others:
            if name not in components:
                raise WrongInput(
                    f"{table.source}: column {name!r} is no component of {model.name}, which are "
                    f"{', '.join(components)}; "
                    f"{near(name, components)}rename it, match columns in order with --columns, or "
                    "leave it out with "
                    f"--ignore {name}"
                )
        columns = [name if name in others else None for name in components]
    if not any(columns):
        raise WrongInput(f"{table.source} has no column of measurements: it has {', '.join(table.names)}")
    return components, columns


def _check_values(table: Table, values: np.ndarray, names: list[str], noise: str) -> None:
    if not np.isfinite(values).any():
        raise WrongInput(
            f"{table.source}: all values of {', '.join(names)} are missing: there is nothing to fit"
        )
    if noise == "lognormal":
        for row, column in np.argwhere(values <= 0):
            raise WrongInput(
                f"{table.source}, line {table.lines[row]}, column {names[column]!r}: "
                f"{values[row, column]:g} is not positive, "
                "as log-normal noise needs: use --noise normal, or empty the cell"
            )


def _parameter_starts(
    model: Model, starts: dict[str, float], components: tuple[str, ...]
) -> dict[str, float]:
    from ..core.parameters import parameters

    if model.problem is None:
        return {name: value for name, value in starts.items() if _component(name, components) is None}
    known = parameters(model.problem.system())
    for name in starts:
        if name not in known and _component(name, components) is None:
            raise WrongInput(
                f"--start {name}: {model.name} has no such parameter; "
                f"{near(name, [*known, *components])}there are "
                f"{', '.join(known)}, and of the initial state {', '.join(components)}"
            )
    return {name: value for name, value in starts.items() if name in known}


def _state(
    model: Model,
    starts: dict[str, float],
    components: tuple[str, ...],
    columns: list[str | None],
    table: Table,
) -> tuple[Any, dict[str, str]]:
    """The initial state (--start, else the first row, else the model's), and labels of its entries."""
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    from ..core.parameters import parameters

    template = [0.0] * len(components) if model.problem is None else model.problem.initial()
    state = jnp.asarray(template) if isinstance(template, list) else template
    flat, restore = ravel_pytree(state)
    values = np.array(flat)
    named = {_component(name, components): value for name, value in starts.items()}
    taken = set(parameters(model.problem.system())) if model.problem is not None else set()
    for i, (name, column) in enumerate(zip(components, columns, strict=True)):
        first = np.nan if column is None else table.numbers(column)[0]
        if name in named and name not in taken:
            values[i] = named[name]
        elif np.isfinite(first):
            values[i] = first
        elif model.problem is None:
            raise WrongInput(
                f"the first row does not give {name!r}: say where it starts, --start y0.{name}=VALUE"
            )
    labels = []
    for label, leaf in parameters({"y0": state}).items():
        shape = np.shape(leaf)
        labels += [f"{label}[{','.join(map(str, i))}]" for i in np.ndindex(shape)] if shape else [label]
    return restore(jnp.asarray(values)), dict(zip(labels, components, strict=True))


def _observe(state: Any, measured: list[int], components: tuple[str, ...]) -> Any:
    """Which part of the state the columns are, as `wl.Observations` wants it."""
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    if hasattr(state, "shape"):
        return None if len(measured) == len(components) else measured
    return lambda y: jnp.stack([ravel_pytree(y)[0][i] for i in measured])


def _free(
    system: Any, state: Any, components: tuple[str, ...], labels: dict[str, str], given: argparse.Namespace
) -> dict[str, Any]:
    """Bounds of each unknown by the name that `wl.fit` knows it by. **Raises** `WrongInput` for bounds that
    exclude the start.
    """
    from jax.flatten_util import ravel_pytree

    from ..core.parameters import parameters
    from ..sim.fit import Bounded, Free, Positive

    known = {name: np.asarray(value) for name, value in parameters(system).items()}
    initial = dict(zip(labels, np.asarray(ravel_pytree(state)[0]), strict=True))
    starts = known | initial
    by_component = {name: label for label, name in labels.items()}

    def found(name: str, option: str) -> list[str]:
        if name == "y0":
            return list(labels)
        component = _component(name, components)
        if name in known:
            return [name]
        if component is not None:
            return [by_component[component]]
        names = [*known, "y0", *(f"y0.{c}" for c in components)]
        raise WrongInput(
            f"{option} {name}: there is no such unknown; {near(name, names)}there are {', '.join(names)}"
        )

    chosen = [*known, "y0"] if given.free is None else given.free
    free: dict[str, Any] = {label: Free() for name in chosen for label in found(name, "--free")}

    def only_free(name: str, option: str) -> Iterable[str]:
        for label in found(name, option):
            if label not in free:
                raise WrongInput(f"{option} {name}: {name} is not fitted; add it to --free")
            yield label

    if given.positive is not None:
        for label in [label for name in given.positive for label in only_free(name, "--positive")] or list(
            free
        ):
            _check_start(label, labels, starts[label], 0.0, np.inf, "--positive")
            free[label] = Positive()
    for name, low, high in given.bounds or ():
        option = f"--bounds {name} {low} {high}"
        lower, upper = _limit(low, option), _limit(high, option)
        if not lower < upper:
            raise WrongInput(f"{option}: the lower bound must be below the upper one")
        for label in only_free(name, "--bounds"):
            _check_start(label, labels, starts[label], lower, upper, option)
            ends = [None if np.isinf(end) else end for end in (lower, upper)]
            free[label] = Bounded(*ends) if any(end is not None for end in ends) else Free()
    return free


def _check_start(
    label: str, labels: dict[str, str], start: Any, low: float, high: float, option: str
) -> None:
    outside = np.any(start <= low) if option == "--positive" else np.any((start < low) | (start > high))
    if outside:
        name = f"y0.{labels[label]}" if label in labels else label
        raise WrongInput(
            f"{option} excludes where {name} starts, {np.min(start):g}: give --start {name}=VALUE, "
            "or wider bounds"
        )


def _limit(text: str, option: str) -> float:
    value = read_number(text)
    if value is not None and np.isinf(value):
        return value
    return number(text, option)


def _component(name: str, components: tuple[str, ...]) -> str | None:
    plain = name.removeprefix("y0.")
    return plain if plain in components else None

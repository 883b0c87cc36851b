"""`ensemble`: a function of one run mapped over many, in tiles that bound memory and over devices."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..core.lanes.transform import lanes
from ..core.pytrees import is_array
from ..core.sharding import Devices, shard_lanes
from ..core.transforms import jit
from .progress import ProgressBar
from .statistics import Gathering, Statistics, Summary

# Results of one tile stay below this many bytes, so that the loops of a tile and its results fit the memory of a
# laptop.
BYTES_IN_A_TILE = 256 * 2**20
MOST_LANES_IN_A_TILE = 16384
FEWEST_LANES_TO_CUT = 256  # up to here all run at once
SHAPES_REMEMBERED = 256


def ensemble(
    fn: Callable[..., Any],
    *,
    in_axes: int | None | tuple[int | None, ...] = 0,
    summary: Summary | None = None,
    tile: int | None = None,
    devices: Devices = None,
    progress: bool | None = None,
) -> Callable[..., Any]:
    """A function that runs `fn`, a function of one run, for many inputs: what `fn` returns, with one more leading axis.

    ```python
    births = jnp.linspace(0.4, 0.7, 10_000)
    many = wl.ensemble(lambda b: wl.simulate(system.replace(birth=b), y0, ts=years))(births)
    many.states          # [10000, n, 2]
    many.status          # "9998 ok, 2 non-finite": a failed lane is a status, never an exception
    ```

    **Arguments**

    - `in_axes`: 0 for an argument with lanes along the first axis of each array in it, None for one that all share;
      one entry for all arguments or one for each. Leaves that are no arrays (Python numbers, functions, names) are
      shared by all lanes, as by `wl.vmap`.
    - `summary`: `wl.Summary(quantiles=...)` to get `Statistics` (mean, variance, extremes, quantiles) in place of the
      runs, gathered tile by tile in float64, so that the memory does not grow with what the lanes return.
    - `tile`: lanes run at once; by default as many as keep the results of a tile under 256 MB, at most 16384. Tiles
      come one after the other and are gathered in the host's memory.
    - `devices`: how many devices, or which, share the lanes of a tile (`jax.shard_map`); counts need not be even, and
      each device stops when its own lanes are done.
    - `progress`: a bar over the lanes; by default on terminals, for more than one tile.

    Keep the returned function to call it again without tracing or compiling again. Under `jit`, `grad` or `vmap` all
    lanes run in one tile, and there is no `summary`: jax.numpy takes the mean of what is returned.

    **Raises** `ValueError` for arguments without lanes or with different numbers of them, and for a `summary` under
    `jit`, `grad` or `vmap`.
    """
    if not isinstance(summary, Summary | None):
        raise TypeError(f"summary={summary!r}: write summary=wl.Summary(), or wl.Summary(quantiles=(0.05, 0.5, 0.95)).")
    if tile is not None and (not isinstance(tile, (int, np.integer)) or tile < 1):
        raise ValueError(f"tile={tile!r}: a tile holds a whole number of lanes, at least one.")
    many = _Many(fn, in_axes, devices)

    def run(*args: Any) -> Any:
        axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
        count = _count_lanes(args, axes)
        if _any_traced(args):
            _refuse_traced(summary)
            return lanes(fn, in_axes, 0, quiet=True)(*args)
        size = min(count, tile if tile is not None else many.tile_size(args, count))
        program = many.program(args)
        if size == count and summary is None:
            return program(args)
        tiles = _in_tiles(program, args, axes, count, size, progress)
        return _joined(list(tiles)) if summary is None else _gathered(tiles, summary, count)

    return run


class _Many:
    """A function of one run as compiled functions of many, and what is known about them from earlier calls.

    The compiler takes a Python number within an argument for an array, so that which leaves have lanes must be settled
    before: there is one program for each pattern of leaves that are arrays.
    """

    def __init__(self, fn: Callable[..., Any], in_axes: int | None | tuple[int | None, ...], devices: Devices):
        self._fn, self._in_axes, self._devices = fn, in_axes, devices
        self._programs: dict[tuple[bool, ...], Callable[[tuple], Any]] = {}
        self._bytes: dict[Any, float] = {}

    def program(self, args: tuple) -> Callable[[tuple], Any]:
        """The compiled function of all arguments as one tuple."""
        arrays = tuple(is_array(leaf) for leaf in jax.tree.leaves(args))
        if arrays not in self._programs:
            mapped = self._mapped(arrays)
            if self._devices is None:
                self._programs[arrays] = jit(mapped)
            else:
                spread = shard_lanes(lambda *args: mapped(args), self._devices, in_axes=self._in_axes)
                self._programs[arrays] = lambda args: spread(*args)
        return self._programs[arrays]

    def _mapped(self, arrays: tuple[bool, ...]) -> Callable[[tuple], Any]:
        @functools.wraps(self._fn, updated=())  # its name in messages and in programs
        def mapped(args: tuple) -> Any:
            axes = self._in_axes if isinstance(self._in_axes, tuple) else (self._in_axes,) * len(args)
            each = [axis for axis, arg in zip(axes, args, strict=True) for _ in jax.tree.leaves(arg)]
            axes_of_leaves = [axis if array else None for axis, array in zip(each, arrays, strict=True)]
            return lanes(self._fn, jax.tree.unflatten(jax.tree.structure(args), axes_of_leaves), 0, quiet=True)(*args)

        return mapped

    def tile_size(self, args: tuple, lanes: int) -> int:
        """As many lanes as keep the results of a tile within bounds."""
        if lanes <= FEWEST_LANES_TO_CUT:
            return lanes
        leaves, structure = jax.tree.flatten(args)
        kinds = [(x.shape, x.dtype) if is_array(x) else (type(x), x if isinstance(x, Hashable) else None) for x in leaves]
        key = (structure, *kinds)
        if key not in self._bytes:
            if len(self._bytes) >= SHAPES_REMEMBERED:
                self._bytes.clear()
            out = eqx.filter_eval_shape(self._mapped(tuple(is_array(x) for x in leaves)), args)
            sizes = [math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(out) if hasattr(x, "shape")]
            self._bytes[key] = sum(sizes) / lanes
        fitting = int(BYTES_IN_A_TILE / max(self._bytes[key], 1.0))
        return max(1, min(lanes, MOST_LANES_IN_A_TILE, fitting))


def _count_lanes(args: tuple[Any, ...], axes: tuple[int | None, ...]) -> int:
    if len(axes) != len(args):
        raise ValueError(f"in_axes has {len(axes)} entries for {len(args)} arguments; give one for each.")
    counts: dict[int, str] = {}
    for number, (arg, axis) in enumerate(zip(args, axes, strict=True)):
        if axis is None:
            continue
        if axis != 0:
            raise ValueError(f"in_axes={axis}: lanes of an ensemble lie along the first axis; move them there.")
        for leaf in jax.tree.leaves(arg):
            if is_array(leaf):
                shape = leaf.shape
                if not shape:
                    raise ValueError(
                        f"argument {number} holds a single number where lanes were expected: give an array with one entry "
                        "a lane, or in_axes=None for what all lanes share."
                    )
                counts[shape[0]] = f"argument {number} has {shape[0]} lanes"
    if not counts:
        raise ValueError("no argument has lanes: an ensemble needs at least one array with one entry a lane.")
    if len(counts) > 1:
        raise ValueError(f"the arguments differ in their number of lanes: {', '.join(counts.values())}.")
    lanes = next(iter(counts))
    if lanes == 0:
        raise ValueError("the ensemble has no lanes: the arguments are empty.")
    return lanes


def _in_tiles(program, args, axes, lanes: int, size: int, progress: bool | None) -> Iterator[Any]:
    """The results of one tile after the other, in the host's memory; the next one is computed meanwhile."""
    shown = progress is True or (progress is None and size < lanes and sys.stderr.isatty())
    if size < lanes:
        args = jax.tree.map(lambda x: _on_host(x) if is_array(x) else x, args)
    begins = range(0, lanes, size)
    with ProgressBar(0.0, float(lanes), shown=shown, unit="runs") as bar:
        following = program(_part_of(args, axes, lanes, 0, size))
        for begin in begins:
            out, keep = following, min(size, lanes - begin)
            following = program(_part_of(args, axes, lanes, begin + size, size)) if begin + size < lanes else None
            yield jax.tree.map(lambda x: _on_host(x)[:keep] if is_array(x) else x, out)
            bar.reach(float(begin + keep))


def _part_of(args: tuple, axes: tuple, lanes: int, begin: int, size: int) -> tuple:
    """`size` lanes of the arguments. The last tile is filled up by repeating its last lane, so that it needs no program
    of its own."""
    if size == lanes:
        return args
    rows = slice(begin, begin + size) if begin + size <= lanes else np.minimum(np.arange(begin, begin + size), lanes - 1)
    return tuple(
        arg if axis is None else jax.tree.map(lambda x: x[rows] if is_array(x) else x, arg)
        for arg, axis in zip(args, axes, strict=True)
    )


def _on_host(x: Any) -> Any:
    """The array in the host's memory; random keys, which NumPy does not know, and traced arrays stay where they are."""
    if isinstance(x, jax.core.Tracer) or jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return x
    return np.asarray(x)


def _joined(tiles: list[Any]) -> Any:
    """The results of all tiles as those of one."""
    return jax.tree.map(lambda *xs: _concatenated(xs) if is_array(xs[0]) else xs[0], *tiles)


def _concatenated(parts: tuple) -> jax.Array:
    return jnp.asarray(np.concatenate(parts)) if isinstance(parts[0], np.ndarray) else jnp.concatenate(parts)


def _gathered(tiles: Iterator[Any], summary: Summary, lanes: int) -> Statistics:
    gathering = Gathering(summary, lanes)
    for out in tiles:
        if _any_traced(out):  # by what the function closes over
            _refuse_traced(summary)
        gathering.add(out)
        del out  # before the next tile is computed
    return gathering.statistics()


def _any_traced(tree: Any) -> bool:
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def _refuse_traced(summary: Summary | None) -> None:
    if summary is not None:
        raise ValueError(
            "summary: statistics are gathered on the host, outside jit, grad and vmap: leave summary out there, and take "
            "jnp.mean(many.states, axis=0) of what the ensemble returns."
        )

"""`ensemble`: a function of one run mapped over many, in tiles that bound memory and over devices."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..core.sharding import Devices, shard_lanes
from ..core.transforms import jit, vmap
from .progress import ProgressBar

# Results of one tile stay below this many bytes, so that the loops of a tile and its results fit the memory of a
# laptop.
BYTES_IN_A_TILE = 256 * 2**20
MOST_LANES_IN_A_TILE = 16384


def ensemble(
    fn: Callable[..., Any],
    *,
    in_axes: int | None | tuple[int | None, ...] = 0,
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
      one entry for all arguments or one for each.
    - `tile`: lanes run at once; by default as many as keep the results of a tile under 256 MB, at most 16384. Tiles
      come one after the other and are gathered in the host's memory.
    - `devices`: how many devices, or which, share the lanes of a tile (`jax.shard_map`); counts need not be even, and
      each device stops when its own lanes are done.
    - `progress`: a bar over the lanes; by default on terminals, for more than one tile.

    Keep the returned function to call it again without compiling again. Under `jit`, `grad` or `vmap` all lanes run
    in one tile.

    **Raises** `ValueError` for arguments without lanes or with different numbers of them.
    """
    mapped = vmap(fn, in_axes=in_axes)
    spread = shard_lanes(mapped, devices, in_axes=in_axes) if devices is not None else jit(mapped)

    def run(*args: Any) -> Any:
        axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
        lanes = _count_lanes(args, axes)
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(args)):
            return mapped(*args)
        size = min(lanes, tile if tile is not None else _tile_size(mapped, args, lanes))
        if size < 1:
            raise ValueError(f"tile={tile}: a tile holds at least one lane.")
        if size == lanes:
            return spread(*args)
        return _in_tiles(spread, args, axes, lanes, size, progress)

    return run


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
            if isinstance(leaf, (jax.Array, np.ndarray)) or np.isscalar(leaf) and not isinstance(leaf, str):
                shape = np.shape(leaf)
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


def _tile_size(mapped: Callable[..., Any], args: tuple[Any, ...], lanes: int) -> int:
    if lanes <= 256:
        return lanes
    out = jax.tree.leaves(eqx.filter_eval_shape(mapped, *args))
    bytes_per_lane = sum(math.prod(x.shape) * x.dtype.itemsize for x in out if hasattr(x, "shape")) / lanes
    return max(1, min(lanes, MOST_LANES_IN_A_TILE, int(BYTES_IN_A_TILE / max(bytes_per_lane, 1.0))))


def _in_tiles(spread, args, axes, lanes: int, size: int, progress: bool | None) -> Any:
    parts = []
    shown = progress is True or (progress is None and sys.stderr.isatty())
    with ProgressBar(0.0, float(lanes), shown=shown, unit="runs") as bar:
        for begin in range(0, lanes, size):
            # The last tile is filled up by repeating its last lane, so that it needs no program of its own.
            rows = np.minimum(np.arange(begin, begin + size), lanes - 1)
            chunk = [
                arg if axis is None else jax.tree.map(lambda x: x[rows] if hasattr(x, "shape") else x, arg)
                for arg, axis in zip(args, axes, strict=True)
            ]
            keep = min(size, lanes - begin)
            parts.append(jax.tree.map(lambda x: np.asarray(x)[:keep] if hasattr(x, "shape") else x, spread(*chunk)))
            bar.reach(float(begin + keep))
    return jax.tree.map(lambda *xs: jnp.asarray(np.concatenate(xs)) if hasattr(xs[0], "shape") else xs[0], *parts)

"""`vmap` for functions of any pytree, all lanes at once or in chunks of bounded memory."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..pytrees import Rest, is_array, merge, merge_or_none, split
from .naming import leaf_names, name_of


def vmap(
    fn: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0, *, chunk: int | None = None
) -> Callable[..., Any]:
    """`fn` mapped over an axis of its arguments: many lanes in one call.

    `in_axes` and `out_axes` mean what they mean in `jax.vmap`: an axis for all, one for each argument, or a
    pytree that begins like the arguments; None for what is shared. Keyword arguments are mapped over axis
    0. As `jax.vmap`, and besides:

    - Leaves that are no arrays (names, functions, Python numbers) are shared by all lanes, and come back as
      they are.
    - `chunk` bounds the memory: at most so many lanes run at once, in chunks one after the other, of as
      equal size as can be (the last lane is run again where they do not come out even). A gradient runs
      each chunk a second time instead of keeping what it computed. The numbers are those without `chunk`,
      to rounding.

    Raises `ValueError` for sizes that do not agree or axes that do not exist, naming arguments and sizes.
    """
    if chunk is not None and (isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1):
        raise ValueError(f"vmap: chunk is {chunk!r}; it must be a positive integer or None")

    @functools.wraps(fn, updated=())
    def mapped(*args: Any, **kwargs: Any) -> Any:
        inputs = (args, kwargs)
        axes = mapped_axes("vmap", fn, in_axes, inputs)
        arrays, rest = split(inputs, is_array)
        size = next(x.shape[axis] for x, axis in zip(arrays, axes) if axis is not None)
        kept: list[Rest] = []

        def one(arrays):
            args, kwargs = merge(arrays, rest)
            outputs, outputs_rest = split(fn(*args, **kwargs), is_array)
            kept[:] = [outputs_rest]
            return merge_or_none(outputs, outputs_rest)

        if chunk is None or size <= chunk:
            out = jax.vmap(one, in_axes=(axes,), out_axes=out_axes)(arrays)
        else:
            out = _in_chunks(one, arrays, axes, out_axes, size, chunk)
        return merge(jax.tree.leaves(out), kept[0])

    return mapped


def _in_chunks(one, arrays, axes, out_axes, size, chunk):
    count = math.ceil(size / chunk)
    width = math.ceil(size / count)
    lanes = [_tiled(x, axis, count, width) for x, axis in zip(arrays, axes) if axis is not None]
    shared = [x for x, axis in zip(arrays, axes) if axis is None]
    first_axes = jax.tree.map(lambda _: 0, out_axes)  # keeps None

    def run(tile):
        tile, others = iter(tile), iter(shared)
        arrays = [next(others) if axis is None else next(tile) for axis in axes]
        in_axes = [None if axis is None else 0 for axis in axes]
        return jax.vmap(one, in_axes=(in_axes,), out_axes=first_axes)(arrays)

    # Without the checkpoint a gradient would keep the intermediate values of all chunks.
    rerun = jax.checkpoint(run, prevent_cse=False)
    _, tiles = lax.scan(lambda _, tile: (None, rerun(tile)), None, lanes, length=count)
    leaves, structure = jax.tree.flatten(tiles)
    joined = []
    for leaf, axis in zip(leaves, spread_axes("vmap", out_axes, tiles, "out_axes")):
        if axis is None:
            joined.append(leaf[0])
        else:
            whole = leaf.reshape((count * width, *leaf.shape[2:]))[:size]
            joined.append(jnp.moveaxis(whole, 0, axis))
    return jax.tree.unflatten(structure, joined)


def _tiled(x, axis, count, width):
    """`x` with its mapped axis first and cut into `[count, width]`, the last lane repeated to fill up."""
    x = jnp.moveaxis(jnp.asarray(x), axis, 0)
    missing = count * width - x.shape[0]
    if missing:
        x = jnp.concatenate([x, jnp.repeat(x[-1:], missing, axis=0)])
    return x.reshape((count, width, *x.shape[1:]))


def mapped_axes(
    what: str, fn: Callable, in_axes: Any, inputs: tuple[tuple, dict], keyword_axis: int = 0
) -> list[int | None]:
    """The mapped axis of each array in `inputs`, the positional and the keyword arguments of `fn`; None: shared.

    Raises `ValueError`, beginning with `what`, for axes that do not exist or sizes that do not agree.
    """
    args, _ = inputs
    axes_of_args = tuple(in_axes) if isinstance(in_axes, list) else in_axes
    if isinstance(axes_of_args, tuple) and len(axes_of_args) != len(args):
        raise ValueError(
            f"{what}: in_axes has {len(axes_of_args)} entries, but {name_of(fn)} was called with "
            f"{len(args)} positional arguments; give one entry for each"
        )
    leaves = jax.tree.leaves(inputs)
    spread = spread_axes(what, (axes_of_args, keyword_axis), inputs, "in_axes")
    axes = [axis if is_array(leaf) else None for axis, leaf in zip(spread, leaves)]
    _check_sizes(what, fn, inputs, axes)
    return [axis for axis, leaf in zip(axes, leaves) if is_array(leaf)]


def spread_axes(what: str, axes: Any, tree: Any, argument: str) -> list[int | None]:
    """The axis of each leaf of `tree`, where `axes` begins like `tree` and each of its leaves holds for a
    part."""
    flat: list[int | None] = []

    def extend(axis, part):
        if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int)):
            raise TypeError(f"{what}: {argument} holds {axis!r}; an axis is an integer or None")
        flat.extend([axis] * len(jax.tree.leaves(part)))

    try:
        jax.tree.map(extend, axes, tree, is_leaf=lambda axis: axis is None)
    except ValueError as error:
        raise ValueError(
            f"{what}: {argument} = {axes!r} does not begin like the arguments or results: {error}"
        ) from error
    return flat


def _check_sizes(what: str, fn: Callable, inputs: Any, axes: Sequence[int | None]) -> None:
    """See that all mapped axes exist and agree in size."""
    sizes: dict[int, int] = {}
    leaves = jax.tree.leaves(inputs)
    for i, (leaf, axis) in enumerate(zip(leaves, axes)):
        if axis is None:
            continue
        if not -leaf.ndim <= axis < leaf.ndim:
            raise ValueError(
                f"{what}: {leaf_names(fn, inputs)[i]} has shape {leaf.shape} and so no axis {axis} to map "
                "over; give None for it in in_axes to share it between the lanes"
            )
        sizes[i] = leaf.shape[axis]
    if not sizes:
        raise ValueError(f"{what}: no argument of {name_of(fn)} is mapped, so there is no number of lanes")
    if len(set(sizes.values())) > 1:
        names = leaf_names(fn, inputs)
        found = ", ".join(f"{names[i]} has {size} (shape {leaves[i].shape})" for i, size in sizes.items())
        raise ValueError(f"{what}: the mapped axes differ in size: {found}")

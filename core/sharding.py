"""Spreading the lanes of a batched function over devices, each running its own share to its own end."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from .pytrees import Rest, is_array, merge, split
from .transforms.compilation import jit

Devices = int | Sequence[jax.Device] | None

_AXIS = "lanes"


def shard_lanes(
    fn: Callable[..., Any], devices: Devices = None, *, in_axes: int | None | Sequence[int | None] = 0
) -> Callable[..., Any]:
    """`fn`, a function of a batch, run on several devices at once.

    `fn` takes arrays whose first axis counts the lanes and returns arrays of which the same holds, each
    lane for itself: what `vmap` makes. The lanes are cut into equal parts, one for each device (the last
    lane is run again where they do not come out even), and each device runs `fn` on its part alone. Nothing
    is exchanged while it runs, so a loop inside ends on each device when the lanes there are done.

    `devices`: how many, which, or None for all of the default kind; where there are fewer lanes than
    devices, only as many are used. `in_axes`: 0 for arguments with lanes, None for those that all lanes
    share; one entry for all or one for each. Keyword arguments are shared, and so are leaves that are no
    arrays, which come back as they are. The results stay where they were computed, spread over the devices.

    Works on its own (compiled once for each kind of arguments) and inside `jit`, `grad` and `jacobian`.

    Raises `ValueError` for more devices than exist, for arguments that differ in the number of lanes, for
    results without the axis of lanes, and for no lanes at all.
    """
    chosen = _devices(devices)

    @functools.wraps(fn, updated=())
    def sharded(*args: Any, **kwargs: Any) -> Any:
        laned = _laned(args, kwargs, in_axes)
        arrays, rest = split((args, kwargs), is_array)
        laned = [flag for flag, taken in zip(laned, rest.taken) if taken]
        count = _count([x for x, flag in zip(arrays, laned) if flag])
        used = min(len(chosen), count)
        mesh = Mesh(np.array(chosen[:used]), (_AXIS,), axis_types=(AxisType.Auto,))
        missing = math.ceil(count / used) * used - count
        arrays = [_filled(x, missing) if flag else x for x, flag in zip(arrays, laned)]
        if not any(isinstance(x, jax.core.Tracer) for x in arrays):
            # Arrays that a user put on one device would otherwise be refused by the program for all of them.
            arrays = jax.device_put(arrays, [NamedSharding(mesh, _spec(flag)) for flag in laned])
        out = _on_mesh(fn, mesh, laned, rest, arrays)
        return jax.tree.map(lambda x: x[:count] if is_array(x) else x, out) if missing else out

    return sharded


@jit
def _on_mesh(fn, mesh, laned, rest, arrays):
    kept: list[Rest] = []

    def part(arrays):
        args, kwargs = merge(arrays, rest)
        outputs, outputs_rest = split(fn(*args, **kwargs), is_array)
        lanes = next(x.shape[0] for x, flag in zip(arrays, laned) if flag)
        for y in outputs:
            if y.shape[:1] != (lanes,):
                raise ValueError(
                    f"shard_lanes: a result has shape {y.shape} for {lanes} lanes; its first axis must "
                    "count the lanes, as that of a function made by wl.vmap does"
                )
        kept[:] = [outputs_rest]
        return outputs

    specs = [_spec(flag) for flag in laned]
    # The check of replication does not know loops whose length differs between devices.
    run = jax.shard_map(part, mesh=mesh, in_specs=(specs,), out_specs=_spec(True), check_vma=False)
    return merge(run(arrays), kept[0])


def _spec(has_lanes: bool) -> PartitionSpec:
    return PartitionSpec(_AXIS) if has_lanes else PartitionSpec()


def _devices(devices: Devices) -> list[jax.Device]:
    if devices is None:
        return jax.devices()
    if not isinstance(devices, int):
        chosen = list(devices)
        if not chosen or not all(isinstance(d, jax.Device) for d in chosen):
            raise ValueError(
                f"shard_lanes: devices must be some of jax.devices(), a number or None, got {chosen!r}"
            )
        return chosen
    there = jax.devices()
    if not 1 <= devices <= len(there):
        hint = ""
        if there[0].platform == "cpu" and devices > 1:
            hint = (
                "; to see one processor as several devices, set "
                f"XLA_FLAGS=--xla_force_host_platform_device_count={devices} before Python starts"
            )
        raise ValueError(
            f"shard_lanes: devices = {devices}, but there are {len(there)} ({there[0].platform}){hint}"
        )
    return there[:devices]


def _laned(args: tuple, kwargs: dict, in_axes: Any) -> list[bool]:
    """For each leaf of the arguments whether it has the axis of lanes."""
    axes = tuple(in_axes) if isinstance(in_axes, (list, tuple)) else (in_axes,) * len(args)
    if len(axes) != len(args) or any(axis not in (0, None) for axis in axes):
        raise ValueError(
            f"shard_lanes: in_axes = {in_axes!r} must give 0 or None for each of {len(args)} arguments"
        )
    flags = [axis == 0 for axis, x in zip(axes, args) for _ in jax.tree.leaves(x)]
    return flags + [False] * len(jax.tree.leaves(kwargs))


def _count(arrays: list[Any]) -> int:
    """The number of lanes."""
    found = {x.shape[0] for x in arrays if x.ndim}
    if len(found) != 1 or any(x.ndim == 0 for x in arrays):
        shapes = ", ".join(str(x.shape) for x in arrays) or "none"
        raise ValueError(
            f"shard_lanes: the first axes of the arrays must count the same lanes; their shapes are "
            f"{shapes}. Give None in in_axes for an argument that all lanes share"
        )
    count = found.pop()
    if count == 0:
        raise ValueError("shard_lanes: there are no lanes; the first axis of the arrays has size 0")
    return count


def _filled(x: Any, missing: int) -> Any:
    return jnp.concatenate([x, jnp.repeat(x[-1:], missing, axis=0)]) if missing else x

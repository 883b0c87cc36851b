"""Lanes inside `jax.shard_map`, where JAX notes along which axes of the mesh a value differs from device to device.

A program of one lane sees all its arguments differ along the same axes, so that no operation within it has to say that
one does; the sums over devices that transposition makes of such statements stay outside of native code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax


def alike(arrays: Sequence[Any], further: Sequence[Any] = ()) -> list[Any]:
    """The arrays, each differing along all axes of the mesh along which any of them, or of `further`, does."""
    axes = frozenset().union(*(_axes(x) for x in [*arrays, *further]))
    missing = [tuple(sorted(axes - _axes(x), key=str)) for x in arrays]
    return [jax.lax.pcast(x, names, to="varying") if names else x for x, names in zip(arrays, missing)]


def one_lane(x: Any, *, has_lanes: bool = False) -> Any:
    """Shape and type of an array, or of one lane of it."""
    shape = x.shape[:-1] if has_lanes else x.shape
    return jax.typeof(x).update(shape=shape, weak_type=False) if _axes(x) else jax.ShapeDtypeStruct(shape, x.dtype)


def _axes(x: Any) -> frozenset[Any]:
    return getattr(getattr(jax.typeof(x), "mat", None), "varying", frozenset())


def mixed(constants: Sequence[Any], operands: Sequence[Any]) -> bool:
    """Whether constants differ along axes along which operands do not."""
    tracers = [c for c in constants if isinstance(c, jax.core.Tracer)]
    return bool(frozenset().union(*map(_axes, tracers)) - frozenset().union(*map(_axes, operands)))

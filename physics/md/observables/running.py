"""Averages and correlations of runs too long to record: kept while running, in memory that grows as log of the steps.

    def chunk(carry, _):
        state, viscous = carry
        run = wl.simulate(system, state, dt=dt, steps=100, record=wl.md.stress)
        return (run.final, viscous.extend(wl.md.shear_components(run.states[1:]))), None

    system = system.sized(state)
    (state, viscous), _ = wl.scan(chunk, (state, wl.md.RunningCorrelation(5, longest=2000)), length=1000)
    print(wl.md.viscosity_from_stress(viscous.result(dt), volume=..., thermal_energy=...))

They may be part of any carry, mapped by `vmap` and differentiated forwards; their loops have no reverse mode.
"""

from __future__ import annotations

import math
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, UInt

from ....core.precision import default_float
from ....core.transforms import jit
from .averages import Estimate, plateau
from .correlation import Correlation

Shape = int | tuple[int, ...]


class RunningAverage(eqx.Module):
    """Mean and blocked error of values of one `shape`, as `block_average` has them, without the series.

    For each block length 1, 2, 4, ... it keeps number, mean and spread of the blocks so far, and the half of a block that
    waits for its other half. `steps`: how many values there may be for blocks to grow on, 2^32 by default.

    **Source**: D. R. Kent et al., J. Comput. Chem. 28 (2007) 2309.
    """

    count: UInt[Array, ""]
    mean: Float[Array, "levels ..."]
    squares: Float[Array, "levels ..."]  # sums of squared deviations from the mean
    waiting: Float[Array, "levels ..."]

    def __init__(self, shape: Shape = (), *, steps: int = 2**32):
        if steps < 2:
            raise ValueError(f"steps={steps}: an average is of at least two values.")
        levels = math.ceil(math.log2(steps))
        zeros = jnp.zeros((levels, *_as_shape(shape)), default_float())
        self.count, self.mean, self.squares, self.waiting = jnp.zeros((), jnp.uint32), zeros, zeros, zeros

    def add(self, values: Float[ArrayLike, "..."]) -> Self:
        """With one more value. **Raises** `ValueError` for another shape."""
        x = _checked(values, self.mean.shape[1:], self.mean.dtype)
        count = self.count + jnp.uint32(1)

        def push(carry: tuple) -> tuple:
            level, x, mean, squares, waiting = carry
            number = (count >> level).astype(x.dtype)
            away = x - mean[level]
            closer = mean[level] + away / number
            squares = squares.at[level].add(away * (x - closer))
            mean = mean.at[level].set(closer)
            block = 0.5 * (waiting[level] + x)
            return level + jnp.uint32(1), block, mean, squares, waiting.at[level].set(x)

        # A block of 2^k values is complete where 2^k divides their number.
        goes_on = lambda carry: (carry[0] < len(self.mean)) & (((count >> carry[0]) << carry[0]) == count)
        start = (jnp.zeros((), jnp.uint32), x, self.mean, self.squares, self.waiting)
        _, _, mean, squares, waiting = jax.lax.while_loop(goes_on, push, start)
        return _changed(self, count=count, mean=mean, squares=squares, waiting=waiting)

    def extend(self, values: Float[ArrayLike, "t ..."]) -> Self:
        """With some more values, one after the other along the first axis. **Raises** `ValueError` for another shape."""
        return _extended(self, jnp.asarray(values))

    def result(self) -> Estimate:
        """What `block_average` gives for the values so far; NaN for none, error NaN for one."""
        blocks = self.count >> jnp.arange(len(self.mean), dtype=jnp.uint32)
        number = blocks.astype(self.mean.dtype).reshape(-1, *(1,) * (self.mean.ndim - 1))
        squares = jnp.where(number > 1, self.squares / jnp.maximum(number * (number - 1), 1), 0.0)
        found = plateau(self.mean[0], squares, blocks, self.count.astype(self.mean.dtype))
        mean = jnp.where(self.count > 0, found.mean, jnp.nan)
        return Estimate(mean, jnp.where(self.count > 1, found.error, jnp.nan), found.enough)


class RunningCorrelation(eqx.Module):
    """The autocorrelation of values of one `shape`, up to lags of `longest` values, by a multiple-tau correlator.

    Level l averages 2^l values to one and correlates the last `points` of these, so that lags grow as their spacing does:
    0, 1, ..., p - 1, then p, p + 2, ..., and so on. Averaging changes a correlation that is smooth over the time of an average,
    lag / (points / 2) at most, by its square. Entries of `shape` are taken as independent measurements of one function: the
    error of `result` is from their spread.

    **Source**: J. Ramírez, S. K. Sukumaran, B. Vorselaars, A. E. Likhtman, J. Chem. Phys. 133 (2010) 154103.
    """

    count: UInt[Array, ""]
    recent: Float[Array, "levels points k"]
    waiting: Float[Array, "levels k"]
    products: Float[Array, "levels points k"]
    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, shape: Shape = (), *, longest: int, points: int = 16):
        if points < 4 or points % 2:
            raise ValueError(f"points={points}: an even number of points a level is needed, at least 4.")
        if longest < 1:
            raise ValueError(f"longest={longest}: the longest lag is a number of values, at least one.")
        self.shape = _as_shape(shape)
        levels = 1 + max(0, math.ceil(math.log2((longest + 1) / points)))
        entries = math.prod(self.shape)
        self.count = jnp.zeros((), jnp.uint32)
        self.recent = self.products = jnp.zeros((levels, points, entries), default_float())
        self.waiting = jnp.zeros((levels, entries), default_float())

    def add(self, values: Float[ArrayLike, "..."]) -> Self:
        """With one more value. **Raises** `ValueError` for another shape."""
        x = _checked(values, self.shape, self.recent.dtype)
        count = self.count + jnp.uint32(1)

        def push(carry: tuple) -> tuple:
            level, x, recent, waiting, products = carry
            last = jnp.concatenate([x[None], recent[level, :-1]])  # what has not come yet is zero
            block = 0.5 * (waiting[level] + x)
            return (
                level + jnp.uint32(1), block, recent.at[level].set(last), waiting.at[level].set(x),
                products.at[level].add(x * last),
            )  # fmt: skip

        goes_on = lambda carry: (carry[0] < len(self.recent)) & (((count >> carry[0]) << carry[0]) == count)
        start = (jnp.zeros((), jnp.uint32), x.reshape(-1), self.recent, self.waiting, self.products)
        _, _, recent, waiting, products = jax.lax.while_loop(goes_on, push, start)
        return _changed(self, count=count, recent=recent, waiting=waiting, products=products)

    def extend(self, values: Float[ArrayLike, "t ..."]) -> Self:
        """With some more values, one after the other along the first axis. **Raises** `ValueError` for another shape."""
        return _extended(self, jnp.asarray(values))

    def result(self, dt: ArrayLike) -> Correlation:
        """<x(t) x(t + lag)>, of values `dt` apart; its blocks are the entries. Lags that were not reached are NaN."""
        levels, points, _ = self.recent.shape
        chosen = [(0, j) for j in range(points)]
        chosen += [(level, j) for level in range(1, levels) for j in range(points // 2, points)]
        level, place = np.array(chosen, np.int32).T
        pushed = (self.count >> level.astype(np.uint32)).astype(jnp.int32)
        number = jnp.maximum(pushed - place, 0).astype(self.recent.dtype)
        values = self.products[level, place] / number[:, None]
        time = jnp.asarray(dt, self.recent.dtype) * (place * 2**level)
        return Correlation(time, values.T, jnp.broadcast_to(number, values.T.shape))


@jit
def _extended(running: Any, values: Array) -> Any:
    return jax.lax.scan(lambda r, x: (r.add(x), None), running, values)[0]


def _changed(module: Any, **arrays: Array) -> Any:
    names = list(arrays)
    return eqx.tree_at(lambda m: [getattr(m, name) for name in names], module, list(arrays.values()))


def _as_shape(shape: Shape) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def _checked(values: ArrayLike, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    x = jnp.asarray(values)
    if x.shape != shape:
        raise ValueError(f"a value has shape {x.shape}, and values of shape {shape} are gathered here.")
    return x.astype(dtype)

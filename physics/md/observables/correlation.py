"""Correlations in time of recorded runs: from all time origins, by fast Fourier transforms, with errors from blocks of time.

A run is divided into blocks of origins. What the origins of one block say of each lag is kept by itself, so that anything
computed from a correlation function has an error: the spread of the blocks. Particles are taken some at a time, so that
memory beside the recorded series does not grow with their number.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ....core.transforms import jit
from .averages import Estimate, as_series

NUMBERS_AT_ONCE = 2**20
BLOCKS = 10
FEWEST_BLOCKS = 5  # of which a spread can be told


class Correlation(eqx.Module):
    """A function of the time between two measurements, as averages of blocks that are nearly independent.

    `time` [lags] are the lags, `blocks` [b, lags] the averages, `weight` [b, lags] the number of origins behind each.
    """

    time: Float[Array, " lags"]
    blocks: Float[Array, "b lags"]
    weight: Float[Array, "b lags"]

    @property
    def mean(self) -> Float[Array, " lags"]:
        """The average over all origins."""
        return jnp.sum(self.weight * self.blocks, 0) / jnp.sum(self.weight, 0)

    @property
    def error(self) -> Float[Array, " lags"]:
        """The standard error of the mean, from the spread of the blocks; NaN for a single one."""
        return _spread(self.blocks, self.weight)

    def integral(self) -> Estimate:
        """The integral from 0 to each lag, by trapezoids [lags]: a plateau shows when the correlation has ended."""
        return self._estimate(_integral(self.time, self.mean), _integral(self.time, self.blocks))

    def integral_to(self, end: float | None = None) -> Estimate:
        """The integral from 0 to `end`, by default over all lags. **Raises** `ValueError` for an end beyond the last lag."""
        whole = self.integral()
        if end is None:
            return self._estimate(whole.mean[-1], _integral(self.time, self.blocks)[:, -1])
        if not _traced(self.time) and not 0 < end <= float(self.time[-1]) * (1 + 1e-6):
            raise ValueError(f"end={end}: lags go up to {float(self.time[-1]):.6g}; end there, or compute more of them, lags=...")
        at = lambda values: jnp.interp(jnp.asarray(end, self.time.dtype), self.time, values)
        parts = jax.vmap(at)(_integral(self.time, self.blocks))
        return self._estimate(at(whole.mean), parts)

    def slope(self, begin: float, end: float) -> Estimate:
        """The slope of the straight line that fits the lags from `begin` to `end` best, in least squares.

        **Raises** `ValueError` where fewer than two lags lie there.
        """
        within = ((self.time >= begin) & (self.time <= end)).astype(self.time.dtype)
        if not _traced(within) and float(jnp.sum(within)) < 2:
            span = f"{float(self.time[0]):.6g} to {float(self.time[-1]):.6g}"
            raise ValueError(f"begin={begin}, end={end}: fewer than two lags lie there; they go from {span}.")
        centered = within * (self.time - jnp.sum(within * self.time) / jnp.sum(within))
        share = centered / jnp.sum(centered**2)
        line = lambda values: jnp.sum(jnp.where(within > 0, share * values, 0.0), -1)
        return self._estimate(line(self.mean), line(self.blocks))

    def _estimate(self, mean: Array, parts: Array) -> Estimate:
        weight = self.weight if parts.ndim == 2 else self.weight[:, 0]
        enough = jnp.full(mean.shape, self.blocks.shape[0] >= FEWEST_BLOCKS)
        return Estimate(mean, _spread(parts, weight), enough)


def autocorrelation(
    series: Float[ArrayLike, "t ..."], dt: ArrayLike, *, lags: int | None = None, blocks: int = BLOCKS
) -> Correlation:
    """C(k dt) = <x(t) x(t + k dt)> over all origins t, and over all entries after the first axis.

    `dt` is the time from one value to the next. `lags` is their number, by default as many as a block is long, which is the
    most: for longer lags ask for fewer `blocks`. The mean is not subtracted.

    **Raises** `ValueError` for more lags than a block has values, and a step that is not positive.
    """
    columns = _columns(series, "series")
    plan = _Origins.of(len(columns), lags, blocks)
    return plan.averaged(dt, _products(columns, plan) / columns.shape[1])


def velocity_autocorrelation(
    velocity: Float[ArrayLike, "t n 3"],
    dt: ArrayLike,
    *,
    mass: Float[ArrayLike, " n"] | None = None,
    lags: int | None = None,
    blocks: int = BLOCKS,
) -> Correlation:
    """C(k dt) = <v(t) . v(t + k dt)>, averaged over particles and all origins t; 3 kT / m at 0.

    `mass` [n]: take velocities relative to that of the center of mass. `lags`, `blocks` and what is raised as in
    `autocorrelation`.
    """
    v = _without_drift(_vectors(velocity, "velocity"), mass)
    plan = _Origins.of(len(v), lags, blocks)
    return plan.averaged(dt, _products(v.reshape(len(v), -1), plan) / v.shape[1])


def mean_squared_displacement(
    position: Float[ArrayLike, "t n 3"],
    dt: ArrayLike,
    *,
    mass: Float[ArrayLike, " n"] | None = None,
    lags: int | None = None,
    blocks: int = BLOCKS,
) -> Correlation:
    """M(k dt) = <|x(t + k dt) - x(t)|²>, averaged over particles and all origins t, of positions that are not wrapped.

    `mass` [n]: leave out the motion of the center of mass. `lags`, `blocks` and what is raised as in `autocorrelation`.
    Squares of excursions are subtracted, which in float32 leaves an error of about 1e-6 of the largest.

    **Source**: V. Calandrini, E. Pellegrini, P. Calligari, K. Hinsen, G. R. Kneller, Collection SFN 12 (2011) 201.
    """
    x = _without_drift(_vectors(position, "position"), mass)
    x = (x - jnp.mean(x, 0)).reshape(len(x), -1)  # smaller numbers, of the same differences
    plan = _Origins.of(len(x), lags, blocks)
    upto = jnp.concatenate([jnp.zeros(1, x.dtype), jnp.cumsum(jnp.sum(x * x, 1))])
    first, last = plan.begin[:, None], plan.last
    squares = upto[last] - upto[first] + upto[last + plan.lag] - upto[first + plan.lag]
    return plan.averaged(dt, (squares - 2 * _products(x, plan)) / (x.shape[1] // 3))


class _Origins(eqx.Module):
    """Which of `count` times are origins of which block, for `lags` lags from 0."""

    count: int = eqx.field(static=True)
    lags: int = eqx.field(static=True)
    blocks: int = eqx.field(static=True)

    @staticmethod
    def of(count: int, lags: int | None, blocks: int) -> _Origins:
        if blocks != int(blocks) or not 1 <= blocks <= count // 2:
            raise ValueError(f"blocks={blocks}: a whole number from 1 to half of the {count} values is needed.")
        length = count // int(blocks)
        lags = length if lags is None else lags
        if lags != int(lags) or not 1 <= lags <= length:
            raise ValueError(
                f"lags={lags}: {count} values in {blocks} blocks have from 1 to {length} lags; record a longer run, or pass "
                "fewer blocks=..., whose errors then say less."
            )
        return _Origins(count, int(lags), int(blocks))

    @property
    def lag(self) -> np.ndarray:
        """The lags, as numbers of values."""
        return np.arange(self.lags)

    @property
    def begin(self) -> np.ndarray:
        """The first origin of each block [b]."""
        return self.count // self.blocks * np.arange(self.blocks)

    @property
    def last(self) -> np.ndarray:
        """One after the last origin of each block [b, lags]; the last block takes what is left over."""
        end = np.append(self.begin[1:], self.count)
        return np.minimum(end[:, None], self.count - self.lag)

    def averaged(self, dt: ArrayLike, sums: Float[Array, "b lags"]) -> Correlation:
        """The correlation whose sums over the origins of each block are known."""
        if not _traced(dt) and not (np.isfinite(dt) and np.asarray(dt) > 0):
            raise ValueError(f"dt={dt}: the time from one value to the next must be positive.")
        weight = jnp.asarray(self.last - self.begin[:, None], sums.dtype)
        return Correlation(jnp.asarray(dt, sums.dtype) * self.lag, sums / weight, weight)


@jit
def _products(columns: Float[Array, "t c"], plan: _Origins) -> Float[Array, "b lags"]:
    """Sums over columns and the origins t of each block of x(t) x(t + k)."""
    count, lags = plan.count, plan.lags
    end = plan.last[:, 0]
    longest = int((end - plan.begin).max())
    steps = np.arange(longest + lags - 1)
    place = plan.begin[:, None] + steps
    seen, origin = place < count, steps[None, :] < (end - plan.begin)[:, None]
    place = np.minimum(place, count - 1)
    size = 1 << (len(steps) - 1).bit_length()

    def of(some: Float[Array, "t s"]) -> Float[Array, "b lags"]:
        later = jnp.where(seen[..., None], some[place], 0.0)
        now = jnp.where(origin[..., None], later, 0.0)
        spectrum = jnp.conj(jnp.fft.rfft(now, size, axis=1)) * jnp.fft.rfft(later, size, axis=1)
        return jnp.fft.irfft(jnp.sum(spectrum, -1), size, axis=1)[:, :lags].astype(columns.dtype)

    wide = max(1, NUMBERS_AT_ONCE // (len(place) * size))
    whole = columns.shape[1] // wide
    total = of(columns[:, whole * wide :]) if columns.shape[1] % wide else jnp.zeros((len(place), lags), columns.dtype)
    if not whole:
        return total
    add = lambda total, k: (total + of(jax.lax.dynamic_slice_in_dim(columns, k * wide, wide, 1)), None)
    return jax.lax.scan(add, total, jnp.arange(whole))[0]


def _spread(values: Float[Array, "b ..."], weight: Float[Array, "b ..."]) -> Float[Array, "..."]:
    """Standard error of the weighted mean of values that are independent."""
    count = values.shape[0]
    if count < 2:
        return jnp.full(values.shape[1:], jnp.nan, values.dtype)
    share = weight / jnp.sum(weight, 0)
    mean = jnp.sum(share * values, 0)
    return jnp.sqrt(jnp.sum((share * (values - mean)) ** 2, 0) * (count / (count - 1)))


def _integral(time: Float[Array, " lags"], values: Float[Array, "... lags"]) -> Float[Array, "... lags"]:
    pieces = 0.5 * (values[..., 1:] + values[..., :-1]) * jnp.diff(time)
    return jnp.concatenate([jnp.zeros_like(values[..., :1]), jnp.cumsum(pieces, -1)], -1)


def _without_drift(x: Float[Array, "t n 3"], mass: Float[ArrayLike, " n"] | None) -> Float[Array, "t n 3"]:
    if mass is None:
        return x
    weights = jnp.asarray(mass, x.dtype)
    if weights.shape != x.shape[1:2]:
        raise ValueError(f"mass has shape {weights.shape} for {x.shape[1]} particles: give one each, as in system.masses.")
    return x - jnp.einsum("n,tnd->td", weights, x)[:, None] / jnp.sum(weights)


def _vectors(series: ArrayLike, name: str) -> Float[Array, "t n 3"]:
    x = as_series(series)
    if x.ndim != 3 or x.shape[2] != 3:
        raise ValueError(f"{name} has shape {x.shape}: record it at each time, [t, n, 3].")
    return x


def _columns(series: ArrayLike, name: str) -> Float[Array, "t c"]:
    x = as_series(series)
    if not x.size:
        raise ValueError(f"{name} has shape {x.shape}: it holds no numbers.")
    return x.reshape(len(x), -1)


def _traced(value: object) -> bool:
    return isinstance(value, jax.core.Tracer)

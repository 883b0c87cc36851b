"""Averages of what was measured along a run, with errors that know how long the run remembers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from ....core.transforms import jit

# Values that are as good as independent, from which an error can be trusted. Of Gaussian series of known memory (4, 19, 66
# values for an independent one; 1500 of each) the means are off by 1.10 of their errors, root mean square, with 150 independent
# values, 1.16 with 75, 1.21 with 50, 1.27 with 30, 1.46 with 20: errors are too small by a fifth near 50. Of series with 75,
# nine in ten pass this limit.
ENOUGH = 50
FEWEST_BLOCKS = 4
WINDOW = 5.0  # correlation times


class Estimate(eqx.Module):
    """A mean and its standard error, and whether there was `enough` to trust the error; else it is a lower bound."""

    mean: Float[Array, "..."]
    error: Float[Array, "..."]
    enough: Bool[Array, "..."]

    def __repr__(self) -> str:
        traced = any(isinstance(x, jax.core.Tracer) for x in (self.mean, self.error, self.enough))
        return "Estimate(traced)" if traced else f"Estimate({str(self).removeprefix('Estimate of ')})"

    def __str__(self) -> str:
        values = np.atleast_1d(np.asarray(self.mean))
        if values.size > 1:
            short = np.size(self.enough) - np.sum(np.asarray(self.enough))
            return f"Estimate of {np.shape(self.mean)} values" + (f", {short} from too short a series" if short else "")
        mean, error = float(values.ravel()[0]), float(np.ravel(np.asarray(self.error))[0])
        digits = max(0, 1 - int(np.floor(np.log10(error)))) if error > 0 and np.isfinite(error) else 6
        note = "" if np.all(np.asarray(self.enough)) else " or more (the series is too short to say)"
        return f"{mean:.{min(digits, 16)}f} ± {error:.{min(digits, 16)}f}{note}"


@overload
def block_average(series: Float[ArrayLike, "t ..."]) -> Estimate:
    """Of one series."""


@overload
def block_average(series: Mapping[str, Any]) -> dict[str, Any]:
    """Of each series of a dict."""


def block_average(series: Float[ArrayLike, "t ..."] | Mapping[str, Any]) -> Estimate | dict[str, Any]:
    """The mean over time and its standard error by blocking.

    Blocks of B = 1, 2, 4, ... values are averaged, and s_B² = variance of the means of n / B blocks over their number. It
    grows with B until blocks are independent. Taken is the least B with

        B³ > 2 n (s_B / s_1)⁴,

    at which what is left of the correlation and the scatter of s_B itself are in balance. `enough` says whether there are
    fifty values as good as independent, n (s_1 / s_B)² >= 50; errors of fewer are typically too small by more than a fifth.
    Entries after the first axis are each on their own; of a dict of series, as `record` may make one, there is a dict of
    estimates.

    **Raises** `ValueError` for fewer than two values, `TypeError` for what is no series.

    **Source**: H. Flyvbjerg, H. G. Petersen, J. Chem. Phys. 91 (1989) 461; the choice of B: R. M. Lee et al., Phys. Rev. E 83
    (2011) 066706.
    """
    if isinstance(series, Mapping):
        return {name: block_average(one) for name, one in series.items()}
    return _blocked(as_series(series))


def plateau(
    mean: Float[Array, "..."], squares: Float[Array, "levels ..."], blocks: Array, count: Array
) -> Estimate:
    """The estimate from squared errors of the mean by blocks of 1, 2, 4, ... values, and the numbers of blocks."""
    axes = (-1, *(1,) * (squares.ndim - 1))
    length = 2.0 ** jnp.arange(len(squares), dtype=squares.dtype).reshape(axes)
    many = blocks.reshape(axes) >= FEWEST_BLOCKS
    varies = squares[0] > 0
    growth = jnp.where(varies, squares / jnp.where(varies, squares[0], 1.0), 1.0)
    long = many & (length**3 > 2 * count * growth**2)
    found = jnp.any(long, 0)
    first = jnp.argmax(long, 0)
    taken = jnp.take_along_axis(squares, first[None], 0)[0]
    largest = jnp.max(jnp.where(many | (length == 1), squares, 0.0), 0)
    square = jnp.where(found, taken, largest)
    independent = count / jnp.take_along_axis(growth, first[None], 0)[0]
    return Estimate(mean, jnp.sqrt(square), found & (independent >= ENOUGH))


def statistical_inefficiency(series: Float[ArrayLike, "t ..."]) -> Float[Array, "..."]:
    """g = 1 + 2 sum over k of rho(k): how many values of a series are worth one independent value, at least 1.

    rho is the normalised autocorrelation, summed up to the least k >= 5 tau, where tau = g / 2 so far. Standard errors are
    sqrt(g / n) standard deviations.

    **Raises** `ValueError` for fewer than two values.

    **Source**: A. D. Sokal, Monte Carlo methods in statistical mechanics (1997), section 3.
    """
    return _inefficiency(as_series(series))


def as_series(series: Float[ArrayLike, "t ..."]) -> Float[Array, "t ..."]:
    """The series as floats. **Raises** `ValueError` for fewer than two values, `TypeError` for what is no array."""
    try:
        x = jnp.asarray(series)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"series has type {type(series).__name__}: give numbers over time, [t, ...]; of a structure of them write "
            "jax.tree.map(wl.md.block_average, run.states)."
        ) from error
    if x.ndim == 0 or x.shape[0] < 2:
        raise ValueError(f"series has shape {x.shape}: at least two values are needed, along the first axis.")
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))


def _padded(length: int) -> int:
    return 1 << (length - 1).bit_length()


@jit
def _blocked(x: Float[Array, "t ..."]) -> Estimate:
    squares, blocks = [], []
    level = x
    while len(level) >= 2:
        count = len(level)
        squares.append(jnp.sum((level - jnp.mean(level, 0)) ** 2, 0) / (count * (count - 1)))
        blocks.append(count)
        even = level[: count - count % 2]
        level = 0.5 * (even[::2] + even[1::2])
    return plateau(jnp.mean(x, 0), jnp.stack(squares), jnp.asarray(blocks), jnp.asarray(len(x)))


@jit
def _inefficiency(x: Float[Array, "t ..."]) -> Float[Array, "..."]:
    n = len(x)
    x = x - jnp.mean(x, 0)
    transform = jnp.fft.rfft(x, _padded(2 * n), axis=0)
    products = jnp.fft.irfft(transform.real**2 + transform.imag**2, _padded(2 * n), axis=0)[:n]
    varies = products[0] > 0
    rho = jnp.where(varies, products / jnp.where(varies, products[0], 1.0), 0.0)
    worth = 2 * jnp.cumsum(rho, 0) - rho[0]
    lag = jnp.arange(n, dtype=x.dtype).reshape(-1, *(1,) * (x.ndim - 1))
    end = jnp.argmax(lag >= WINDOW * 0.5 * worth, 0)
    return jnp.maximum(jnp.take_along_axis(worth, end[None], 0)[0], 1.0)

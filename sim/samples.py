"""Parameters to run an ensemble with: grids, Latin hypercubes, Sobol sequences, and draws from what a fit leaves possible.

    draws = wl.samples.sobol({"birth": (0.4, 0.7), "death": (0.01, 0.03, "log")}, 1024)
    many = wl.ensemble(lambda p: wl.simulate(system.replace(p), y0, ts=years))(draws)

Each function returns a dictionary of names to NumPy arrays [n] of float64, one entry for each run: what `wl.ensemble` maps
over and `system.replace` takes.

A range is `(lower, upper)`, spread evenly; `(lower, upper, "log")`, its logarithm spread evenly; or a
`wl.Bounded(lower, upper)`, as for `wl.fit`. Names are those of `wl.parameters(system)`, such as "link1.mass" or "rates[2]".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..core.random import Key, streams
from .fit.bounds import Bounded, Free
from .fit.result import FitResult

Draws = dict[str, Float[np.ndarray, " n"]]

LEAST_SHARE = 1e-4  # of draws around a fit that lie within the bounds of its unknowns
MOST_SOBOL = 30  # log2 of the longest sequence
MOST_POINTS = 10**8  # of a grid


def grid(ranges: Mapping[str, Any], counts: int | Mapping[str, int]) -> Draws:
    """Every combination of evenly spread values of each parameter, both ends among them: [product of the counts].

        wl.samples.grid({"birth": (0.4, 0.7), "death": (0.01, 0.03, "log")}, {"birth": 20, "death": 5})    # 100 runs

    `counts`: how many values of each parameter, one number for all or one for each name; at least 2. The last name
    changes fastest, so that `draws["birth"].reshape(20, 5)` has a row for each birth.

    **Raises** `ValueError` for ranges and counts that make no sense, `TypeError` for what is no range or no number.
    """
    axes = _axes("grid", ranges)
    if not isinstance(counts, Mapping):
        counts = dict.fromkeys(axes, counts)
    if set(counts) != set(axes):
        raise ValueError(
            f"grid: counts has {', '.join(counts) or 'no names'}, but ranges has {', '.join(axes)}: give one count for each."
        )
    for name, count in counts.items():
        _check_count(f"grid: the count of {name!r}", count, 2)
    total = math.prod(counts.values())
    if total > MOST_POINTS:
        raise ValueError(f"grid: these counts make {total:.3g} points; draw fewer at random: wl.samples.sobol(ranges, n).")
    values = [axis.at(np.linspace(0.0, 1.0, counts[name])) for name, axis in axes.items()]
    mesh = np.meshgrid(*values, indexing="ij")
    return {name: np.ravel(x) for name, x in zip(axes, mesh, strict=True)}


def latin_hypercube(ranges: Mapping[str, Any], n: int, key: int | Key = 0) -> Draws:
    """n random points of which each parameter has one in every n-th part of its range.

    McKay, Beckman and Conover (1979, A comparison of three methods for selecting values of input variables in the analysis of
    output from a computer code), by `scipy.stats.qmc.LatinHypercube`. `key`: an integer seed or a JAX key; the same key gives
    the same points.

    **Raises** `ValueError` for ranges and counts that make no sense, `TypeError` for what is no range, number or key.
    """
    axes = _axes("latin_hypercube", ranges)
    _check_count("latin_hypercube: n", n, 1)
    from scipy.stats import qmc

    return _spread(axes, qmc.LatinHypercube(len(axes), seed=_generator(key, "latin hypercube")).random(n))


def sobol(ranges: Mapping[str, Any], n: int, key: int | Key = 0) -> Draws:
    """The first n points of a scrambled Sobol sequence: means over them converge faster than over random points.

    Joe and Kuo's directions, scrambled by Matoušek's linear matrices and a digital shift, by `scipy.stats.qmc.Sobol`. n must
    be a power of two, for which alone the points are balanced (Owen 2020, On dropping the first Sobol' point,
    arXiv:2008.08051). `key`: an integer seed or a JAX key, which chooses the scrambling.

    **Raises** `ValueError` for ranges that make no sense and for n that is no power of two, `TypeError` for what is no range,
    number or key.
    """
    axes = _axes("sobol", ranges)
    _check_count("sobol: n", n, 1)
    doublings = math.log2(n)
    if doublings != int(doublings) or doublings > MOST_SOBOL:
        near = 2 ** min(math.ceil(doublings), MOST_SOBOL)
        raise ValueError(
            f"sobol: n={n}, but a Sobol sequence is balanced for powers of two only, up to 2^{MOST_SOBOL}: write n={near}, or "
            "wl.samples.latin_hypercube, which takes any n."
        )
    from scipy.stats import qmc

    points = qmc.Sobol(len(axes), scramble=True, seed=_generator(key, "sobol")).random_base2(int(doublings))
    return _spread(axes, points)


def from_fit(result: FitResult, n: int, key: int | Key = 0) -> Draws:
    """n draws of the unknowns of a fit, from the normal distribution of its covariance.

        draws = wl.samples.from_fit(result, 10_000)

        def run(draw):
            system, state = result.replace(draw)
            return wl.simulate(system, state, ts=years)

        many = wl.ensemble(run, summary=wl.Summary())(draws)

    The numbers u that the search moved are normal, with mean u(best) and `result.unconstrained_covariance`: logarithms of
    `wl.Positive` unknowns, which so stay positive, and the unknowns themselves otherwise. Of draws outside `wl.Bounded` none
    is kept, which leaves the normal distribution cut off at the bounds. Names are those of `result.names`; where initial
    values ("y0[1]") are among them, `result.replace` puts each where it belongs.

    **Raises** `ValueError` for a fit that did not converge, unknowns that the data do not determine, and where
    hardly any draw lies within the bounds; `TypeError` for what is no result of `wl.fit`.
    """
    if not isinstance(result, FitResult):
        raise TypeError(f"from_fit: result has type {type(result).__name__}; pass what wl.fit returned.")
    _check_count("from_fit: n", n, 1)
    if not result.success:
        raise ValueError(f"from_fit: the fit did not converge ({result.message}), and its covariance means nothing.")
    center, root = _distribution(result)
    lower, upper = np.array([bound.interval for bound in result.unknowns]).T
    random = _generator(key, "fit")
    kept: list[np.ndarray] = []
    found = tried = 0
    while found < n:
        u = center + random.standard_normal((n, len(center))) @ root.T
        inside = u[((u >= lower) & (u <= upper)).all(axis=1)]
        kept.append(inside)
        found, tried = found + len(inside), tried + n
        if found < LEAST_SHARE * tried and tried > 10 / LEAST_SHARE:
            raise ValueError(
                f"from_fit: of {tried} draws {found} lie within the bounds of {', '.join(_bounded(result))}: the errors "
                "are large beside the bounds; fix the unknowns that ended there, or draw from ranges with "
                "wl.samples.latin_hypercube."
            )
    u = np.concatenate(kept)[:n]
    return {
        name: np.asarray(bound.value(jnp.asarray(u[:, i])), np.float64)
        for i, (name, bound) in enumerate(zip(result.names, result.unknowns, strict=True))
    }


def _distribution(result: FitResult) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the numbers of the search, and R with R R^T their covariance."""
    covariance = result.unconstrained_covariance
    spread = np.sqrt(np.diag(covariance))
    lost = [name for name, s in zip(result.names, spread, strict=True) if not np.isfinite(s)]
    if lost:
        raise ValueError(
            f"from_fit: the fit gives no errors of {', '.join(lost)}: fix unknowns that the data do not determine, and give "
            "sigma (wl.Normal(sigma), wl.LogNormal(sigma)) where there are no more values than unknowns."
        )
    pairs = zip(result.unknowns, result.best, strict=True)
    center = np.array([float(bound.number(np.asarray(value))) for bound, value in pairs])
    scale = np.where(spread > 0, spread, 1.0)
    # Of the correlations, for the sizes of unknowns may lie many decades apart; rounding may leave eigenvalues below 0.
    sizes, directions = np.linalg.eigh(covariance / np.outer(scale, scale))
    return center, scale[:, None] * directions * np.sqrt(np.maximum(sizes, 0.0))


def _bounded(result: FitResult) -> list[str]:
    return [name for name, bound in zip(result.names, result.unknowns, strict=True) if isinstance(bound, Bounded)]


@dataclass(frozen=True)
class _Axis:
    """A range of one parameter."""

    lower: float
    upper: float
    logarithmic: bool

    def at(self, u: np.ndarray) -> np.ndarray:
        """The values at shares u of the way from the lower end to the upper."""
        if self.logarithmic:
            values = self.lower * np.exp(u * math.log(self.upper / self.lower))
        else:
            values = self.lower + u * (self.upper - self.lower)
        return np.clip(values, self.lower, self.upper)  # rounding does not lead out of the range


def _axes(what: str, ranges: Mapping[str, Any]) -> dict[str, _Axis]:
    if not isinstance(ranges, Mapping) or not all(isinstance(name, str) for name in ranges):
        raise TypeError(f'{what}: ranges={ranges!r}: give names with ranges, such as {{"birth": (0.4, 0.7)}}.')
    if not ranges:
        raise ValueError(f'{what}: ranges is empty: name what to vary, such as {{"birth": (0.4, 0.7)}}.')
    return {name: _axis(f"{what}: the range of {name!r}", given) for name, given in ranges.items()}


def _axis(what: str, given: Any) -> _Axis:
    form = "(lower, upper) or (lower, upper, 'log')"
    if isinstance(given, Free) and not isinstance(given, Bounded):
        raise TypeError(f"{what} is {given!r}, which has no ends: write {form}.")
    ends = given.interval if isinstance(given, Bounded) else given
    logarithmic = isinstance(ends, (tuple, list)) and len(ends) == 3 and ends[2] == "log"
    if not isinstance(ends, (tuple, list)) or len(ends) != 2 + logarithmic:
        raise TypeError(f"{what} is {given!r}: write {form}.")
    try:
        lower, upper = float(ends[0]), float(ends[1])
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} is {given!r}, whose ends must be single numbers: write {form}.") from error
    if not (math.isfinite(lower) and math.isfinite(upper)):
        raise ValueError(f"{what} is {given!r}: both ends must be finite; write {form}.")
    if not lower < upper:
        swapped = f": write ({upper:g}, {lower:g})" if lower > upper else "; leave the name out to keep one value"
        raise ValueError(f"{what} is {given!r}: its lower end must be below the upper one{swapped}.")
    if logarithmic and lower <= 0:
        raise ValueError(f"{what} is {given!r}: on a logarithmic scale both ends must be greater than zero.")
    return _Axis(lower, upper, logarithmic)


def _spread(axes: Mapping[str, _Axis], points: Float[np.ndarray, "n axes"]) -> Draws:
    return {name: axis.at(points[:, i]) for i, (name, axis) in enumerate(axes.items())}


def _check_count(what: str, count: Any, least: int) -> None:
    if not isinstance(count, (int, np.integer)) or isinstance(count, bool):
        raise TypeError(f"{what} is {count!r}: a whole number is needed.")
    if count < least:
        raise ValueError(f"{what} is {count}: at least {least} {'is' if least == 1 else 'are'} needed.")


def _generator(key: int | Key, name: str) -> np.random.Generator:
    """NumPy's random numbers for a key of JAX; each name has its own."""
    stream = streams(key, name)[name]
    typed = jax.dtypes.issubdtype(stream.dtype, jax.dtypes.prng_key)
    return np.random.default_rng(np.ravel(jax.random.key_data(stream) if typed else stream))

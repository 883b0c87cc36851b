"""`Exclusions`: pairs that are bonded to each other, which do not interact otherwise, or less than others.

Excluded pairs are left out of the sum, not subtracted afterwards: near contact a difference would have no digits left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from ...core.parameters import Parametrized
from ...core.precision import default_float
from .surroundings import Surroundings

Rows = ArrayLike | Sequence[Sequence[int]]  # numbers of particles, some a row


class Partners(eqx.Module):
    """What a sum over pairs knows of one particle: its number, whom it is excluded from, and whom it is scaled with.

    Only images nearer than the limits count. Entries that are not used name particle -1.
    """

    number: Int[Array, "..."]
    excluded: Int[Array, "... a"]
    excluded_limit: Float[Array, "... a"]
    scaled: Int[Array, "... b"]
    scaled_limit: Float[Array, "... b"]
    level: Int[Array, "... b"]


class Exclusions(Parametrized):
    """Pairs of particles that do not interact (`excluded` [m, 2]), and pairs that do so by a factor (`scaled` [k, 2]).

    `scale` [g] holds the factors, which are parameters, and `level` [k] says which of them a pair has. Of the images of
    a pair only the nearest is meant; particles see all further ones as they see others.

        wl.md.Exclusions.from_bonds(bonds, n, reach=3, scale={3: 0.5})
        wl.md.Exclusions.of_pairs(n, [(0, 1), (1, 2)], scaled=[(0, 2)], scale=0.5)
    """

    excluded: Int[Array, "m 2"]
    scaled: Int[Array, "k 2"]
    level: Int[Array, " k"]
    scale: Float[Array, " g"]
    excluded_of: Int[Array, "n a"]  # places in `excluded` of the pairs of each particle; m where there is none
    scaled_of: Int[Array, "n b"]

    @staticmethod
    def of_pairs(
        count: int,
        excluded: Rows = (),
        *,
        scaled: Rows = (),
        scale: ArrayLike | Sequence[float] = (),
        level: ArrayLike | Sequence[int] | None = None,
    ) -> Exclusions:
        """Pairs of `count` particles as lists [m, 2]: `excluded`, and `scaled` by one factor `scale`, or one of several.

        `level` [k] then says which factor each scaled pair has.

        **Raises** `ValueError` for pairs of a particle with itself, pairs listed twice, and numbers there are not.
        """
        factors = jnp.atleast_1d(jnp.asarray(scale, default_float()))
        out, less = as_places("excluded", excluded, 2, count), as_places("scaled", scaled, 2, count)
        levels = np.zeros(len(less), np.int32) if level is None else np.asarray(level, np.int32)
        if levels.shape != (len(less),) or (len(less) and not (0 <= levels.min() and levels.max() < len(factors))):
            raise ValueError(
                f"level has shape {levels.shape} for {len(less)} scaled pairs and {len(factors)} factors in scale: give one "
                "number for each pair, the place of its factor."
            )
        both = [tuple(sorted(pair)) for pair in (*out.tolist(), *less.tolist())]
        if len(set(both)) < len(both):
            twice = next(pair for pair in both if both.count(pair) > 1)
            raise ValueError(f"the pair {twice} is listed twice among excluded and scaled pairs: give it once.")
        return Exclusions(
            jnp.asarray(out), jnp.asarray(less), jnp.asarray(levels), factors,
            jnp.asarray(_places_of(out, count)), jnp.asarray(_places_of(less, count)),
        )  # fmt: skip

    @staticmethod
    def from_bonds(
        bonds: Rows, count: int, *, reach: int = 3, scale: Mapping[int, ArrayLike] | None = None
    ) -> Exclusions:
        """Pairs of `count` particles that are at most `reach` bonds apart, with factors for some: {3: 0.5} halves 1-4 pairs.

        **Raises** `ValueError` for bonds that make no sense and factors for more bonds than `reach`.
        """
        factors = dict(scale or {})
        if reach < 1 or any(not 1 <= apart <= reach for apart in factors):
            raise ValueError(
                f"reach={reach} with scale={scale}: reach is a number of bonds, at least 1, and scale has factors for 1 to "
                "reach bonds, {3: 0.5}."
            )
        pairs = _pairs_apart(as_places("bonds", bonds, 2, count), count, reach)
        out = [pairs[apart] for apart in pairs if apart not in factors]
        less = [pairs[apart] for apart in factors]
        none = np.zeros((0, 2), np.int32)
        return Exclusions.of_pairs(
            count, np.concatenate([none, *out]), scaled=np.concatenate([none, *less]),
            scale=jnp.stack([jnp.asarray(f, default_float()) for f in factors.values()]) if factors else (),
            level=np.repeat(np.arange(len(less), dtype=np.int32), [len(x) for x in less]),
        )  # fmt: skip

    def _facts(self) -> list[str]:
        if self.excluded is None or self.scaled is None:  # in a derivative
            return []
        return [f"{self.excluded.shape[-2]} pairs excluded, {self.scaled.shape[-2]} scaled"]

    def check(self, count: int) -> None:
        """**Raises** `ValueError` for a system of another number of particles."""
        if self.excluded_of.shape[0] != count:
            raise ValueError(
                f"exclusions are for {self.excluded_of.shape[0]} particles, and the system has {count}: make them for it, "
                f"wl.md.Exclusions.from_bonds(bonds, {count})."
            )

    def partners(self, near: Surroundings) -> Partners:
        """What each particle knows for a sum over pairs, [n, ...]."""
        both = jnp.concatenate([self.excluded, self.scaled])
        limit = near.nearest(both[:, 0], both[:, 1])[1]
        excluded, excluded_limit = _around(self.excluded, self.excluded_of, limit[: self.excluded.shape[0]])
        scaled, scaled_limit = _around(self.scaled, self.scaled_of, limit[self.excluded.shape[0] :])
        level = jnp.append(self.level, 0)[self.scaled_of]
        number = jnp.arange(self.excluded_of.shape[0], dtype=jnp.int32)
        return Partners(number, excluded, excluded_limit, scaled, scaled_limit, level)


def weighted(
    own: Partners, other: Partners, scale: Float[Array, " g"], square: Float[Array, ""], cutoff: float,
    potential: Callable[[Array], Array],
) -> Float[Array, ""]:  # fmt: skip
    """`potential` of the square of a distance for one pair, by its factor; 0 and not evaluated where it is excluded."""
    factor = jnp.ones((), square.dtype)
    for k in range(own.scaled.shape[0]):
        meant = (own.scaled[k] == other.number) & (square < own.scaled_limit[k] ** 2)
        factor = jnp.where(meant, scale.astype(square.dtype)[own.level[k]], factor)
    if not own.excluded.shape[0]:
        return factor * potential(square)
    out = jnp.zeros((), bool)
    for k in range(own.excluded.shape[0]):
        out |= (own.excluded[k] == other.number) & (square < own.excluded_limit[k] ** 2)
    u = potential(jnp.where(out, cutoff * cutoff, square))
    return jnp.where(out, 0.0, factor * u)


def as_places(name: str, given: Rows, size: int, count: int | None = None) -> Int[np.ndarray, "m size"]:
    """Numbers of particles, `size` of them a row. **Raises** `ValueError` for what is no such list, naming the row."""
    array = np.asarray(given)
    array = np.zeros((0, size), np.int32) if array.size == 0 else array
    if array.ndim != 2 or array.shape[1] != size or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} has shape {array.shape} of {array.dtype}: it lists numbers of particles, {size} a row, shape [m, {size}]."
        )
    if array.size and array.min() < 0:
        row = int(np.argmax((array < 0).any(1)))
        raise ValueError(f"{name}[{row}] = {array[row].tolist()}: particles are counted from 0.")
    if count is not None and array.size and array.max() >= count:
        row = int(np.argmax((array >= count).any(1)))
        raise ValueError(f"{name}[{row}] = {array[row].tolist()}: there are {count} particles, numbered 0 to {count - 1}.")
    ordered = np.sort(array, 1)
    same = (ordered[:, 1:] == ordered[:, :-1]).any(1)
    if same.any():
        row = int(np.argmax(same))
        raise ValueError(f"{name}[{row}] = {array[row].tolist()}: the particles of a row must differ.")
    return array.astype(np.int32)


def _around(pairs: Array, places: Array, limit: Array) -> tuple[Array, Array]:
    """Partners of each particle, and how near their images are that are meant."""
    number = jnp.arange(places.shape[0], dtype=pairs.dtype)[:, None]
    partner = jnp.append(jnp.sum(pairs, 1), 0)[places] - number
    # A bond without images has no limit; a large number can be multiplied by itself.
    limit = jnp.minimum(limit, jnp.sqrt(jnp.finfo(limit.dtype).max) / 4)
    return jnp.where(places < pairs.shape[0], partner, -1), jnp.append(limit, 0.0)[places]


def _places_of(pairs: Int[np.ndarray, "m 2"], count: int) -> Int[np.ndarray, "n k"]:
    """Places in the list of the pairs of each particle, filled up with the length of the list."""
    owner = np.concatenate([pairs[:, 0], pairs[:, 1]])
    order = np.argsort(owner, kind="stable")
    numbers = np.bincount(owner, minlength=count) if len(owner) else np.zeros(count, int)
    table = np.full((count, int(numbers.max(initial=0))), len(pairs), np.int32)
    begins = np.cumsum(numbers) - numbers
    column = np.arange(len(owner)) - np.repeat(begins, numbers)
    table[owner[order], column] = np.tile(np.arange(len(pairs)), 2)[order]
    return table


def _pairs_apart(bonds: Int[np.ndarray, "m 2"], count: int, reach: int) -> dict[int, Int[np.ndarray, "p 2"]]:
    """Pairs i < j by how many bonds they are apart, the shortest way."""
    bonded: list[set[int]] = [set() for _ in range(count)]
    for i, j in bonds.tolist():
        bonded[i].add(j)
        bonded[j].add(i)
    found: dict[int, list[tuple[int, int]]] = {apart: [] for apart in range(1, reach + 1)}
    for i in range(count):
        seen, edge = {i}, {i}
        for apart in range(1, reach + 1):
            edge = {k for j in edge for k in bonded[j]} - seen
            seen |= edge
            found[apart] += [(i, j) for j in edge if j > i]
    return {apart: np.array(sorted(pairs), np.int32).reshape(-1, 2) for apart, pairs in found.items()}

"""Species by name: which particle is of which, and what belongs to each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from ...core.arrays import as_floats
from ...core.precision import default_float
from ...core.pytrees import is_array


def kinds_of(species: Sequence[str] | Mapping[str, int]) -> tuple[tuple[str, ...], Array]:
    """Names of the species, and the place of each particle's among them [n].

    **Raises** `TypeError` and `ValueError` for what names no particles.
    """
    if isinstance(species, str):
        raise TypeError(f"species={species!r}: give one name a particle, or how many of each, {{{species!r}: 100}}.")
    if not isinstance(species, Mapping | Sequence | np.ndarray):
        raise TypeError(f"species={species!r}: give one name a particle, or how many of each, {{'A': 100}}.")
    if isinstance(species, Mapping):
        for name, count in species.items():
            if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 0:
                raise ValueError(f"species has {count!r} of {name!r}: how many there are is a whole number, {{{name!r}: 100}}.")
        species = [name for name, count in species.items() for _ in range(count)]
    names = tuple(dict.fromkeys(species))
    if not names:
        raise ValueError("species is empty: a system has at least one particle.")
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise TypeError(f"species names {wrong[0]!r}: a species has a name, such as 'Ar'.")
    place = {name: k for k, name in enumerate(names)}
    return names, jnp.asarray(np.array([place[name] for name in species], np.int32))


def of_species(what: str, given: ArrayLike | Mapping[str, ArrayLike], species: tuple[str, ...]) -> Array:
    """One number for each species, from one for all or a dict by name.

    **Raises** `ValueError` for species that there are not, or that are left out, and for masses that are not positive.
    """
    if isinstance(given, Mapping):
        unknown, missing = [n for n in given if n not in species], [n for n in species if n not in given]
        if unknown or missing:
            names = ", ".join(map(repr, unknown or missing))
            fault = f"names {names}, which the system does not have" if unknown else f"lacks {names}"
            raise ValueError(f"{what} {fault}: give one number for each of {', '.join(species)}.")
        given = jnp.stack([jnp.asarray(given[name], default_float()) for name in species])
    array = as_floats(given)
    if array.shape not in ((), (len(species),)):
        raise ValueError(f"{what} has shape {array.shape}: give one number, or one for each of {', '.join(species)}.")
    array = jnp.broadcast_to(array, (len(species),))
    if what == "mass" and not isinstance(array, jax.core.Tracer) and not (np.asarray(array) > 0).all():
        raise ValueError(f"mass = {np.asarray(array).tolist()}: every mass must be a positive number.")
    return array


def counted(species: tuple[str, ...], kind: Any) -> str:
    """How many particles there are of each species, "64 O, 128 H"; the names alone where that is not known."""
    if not is_array(kind) or isinstance(kind, jax.core.Tracer) or kind.ndim != 1 or kind.dtype.kind not in "iu":
        return ", ".join(species)
    counts = np.bincount(np.asarray(kind), minlength=len(species))
    return ", ".join(f"{count} {name}" for name, count in zip(species, counts))

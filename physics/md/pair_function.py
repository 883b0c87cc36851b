"""`Pair`: the user's own function of distance as an interaction of all pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .exclusions import Exclusions
from .pairs import PairPotential, as_parameter


class Pair(PairPotential):
    """u(r) = function(r, p), with `p` the parameters of one pair by name.

        wl.md.Pair(lambda r, p: p["depth"] * jnp.exp(-(r / p["width"]) ** 2), {"depth": 1.0, "width": 0.5}, cutoff=2.0)

    `function` takes one distance and a dictionary of numbers and returns one number, by `jax.numpy`; forces, virial and
    derivatives follow from it. Parameters are named by their keys, `system.parameters["pair.depth"]`; each is one number,
    one for each species, or a table. `cutoff`, `shape`, `onset`, `mixing` and `exclusions` as `PairPotential` has
    them; unlike species: arithmetic means. A function that is an Equinox module keeps its arrays as parameters too.

    Give one function to all systems alike: for each new one, a new lambda too, programs are compiled again.

    **Raises** `TypeError` for what cannot be called so, `ValueError` for results that are no single number.
    """

    values: dict[str, Array]
    function: Any

    transparent: ClassVar[tuple[str, ...]] = ("values",)

    def __init__(
        self,
        function: Callable[[Array, dict[str, Array]], Array],
        parameters: Mapping[str, ArrayLike],
        cutoff: float,
        *,
        shape: str = "cut",
        onset: float | None = None,
        mixing: str | Mapping[str, str] = "arithmetic",
        exclusions: Exclusions | None = None,
    ):
        if not callable(function):
            raise TypeError(f"function has type {type(function).__name__}: write lambda r, p: ..., of a distance and parameters.")
        self.values = {name: as_parameter(value, name) for name, value in parameters.items()}
        # A plain function is no array: it is kept apart from them.
        self.function = function if isinstance(function, eqx.Module) else jax.tree_util.Partial(function)
        self.cut(cutoff, shape, onset, mixing, exclusions)
        one = {name: jax.ShapeDtypeStruct((), value.dtype) for name, value in self.values.items()}
        distance = jax.ShapeDtypeStruct((), jnp.result_type(float, *(value.dtype for value in self.values.values())))
        try:
            out = jax.eval_shape(function, distance, one)
        except KeyError as error:
            raise ValueError(
                f"function asks for the parameter {error}, and parameters has {', '.join(self.values) or 'none'}: give it too."
            ) from error
        if not isinstance(out, jax.ShapeDtypeStruct) or out.shape != () or not jnp.issubdtype(out.dtype, jnp.floating):
            raise ValueError(f"function returns {out} for one distance: it must return one number, the energy of the pair.")

    @property
    def symbols(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the parameters."""
        return tuple(self.values)

    def parameter(self, name: str) -> Float[Array, "..."]:
        """One of the parameters."""
        return self.values[name]

    def potential(self, square: Float[Array, ""], p: Mapping[str, Array]) -> Float[Array, ""]:
        """The function at the root of the square."""
        return self.function(jnp.sqrt(square), dict(p))

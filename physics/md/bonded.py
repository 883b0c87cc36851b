"""`Bonded`: interactions of chosen pairs, triples and quadruples of particles; bonds of three forms.

Particles of a row are taken with the images that are nearest to each other, each with the next in the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...core.arrays import Numbers
from ...core.pytrees import is_array
from .exclusions import Rows, as_places
from .pairs import as_parameter
from .surroundings import Surroundings
from .terms import Term


class Bonded(Term):
    """An interaction of the particles in each row of `places` [m, k]; `kind` [m] says of which kind each row is.

    A parameter is one number, or one for each kind. A subclass has parameters as fields, named in `symbols`, and says
    `potential` of the displacements [k - 1, 3] from each particle of a row to the next.
    """

    places: Int[Array, "m k"]
    kind: Int[Array, " m"]

    symbols: ClassVar[tuple[str, ...]] = ()
    size: ClassVar[int] = 2  # particles in a row
    rows: ClassVar[str] = "pairs"  # what the rows are called in messages

    def potential(self, d: Float[Array, "j 3"], p: Mapping[str, Array]) -> Float[Array, ""]:
        """u of one row."""
        raise NotImplementedError

    def energy(self, near: Surroundings) -> Float[Array, ""]:
        """U, over all rows."""
        if not self.places.shape[0]:
            return jnp.zeros((), near.position.dtype)
        steps = [near.displacement(self.places[:, k], self.places[:, k + 1]) for k in range(self.size - 1)]
        p = {name: self._of_rows(getattr(self, name), near.position.dtype) for name in self.symbols}
        return jnp.sum(jax.vmap(self.potential)(jnp.stack(steps, 1), p))

    def check(self, species: tuple[str, ...], count: int) -> None:
        """**Raises** `ValueError` for rows with particles that the system does not have, naming the row."""
        if not isinstance(self.places, jax.core.Tracer):
            as_places(self.rows, np.asarray(self.places), self.size, count)

    def declare(self, places: Rows, kind: Numbers | None, **parameters: Numbers) -> None:
        """Sets all fields; for `__init__` of a subclass. **Raises** `ValueError` for what does not fit together."""
        rows = as_places(self.rows, places, self.size)
        kinds = np.zeros(len(rows), np.int32) if kind is None else np.asarray(kind)
        if kinds.shape != (len(rows),) or kinds.dtype.kind not in "iu" or kinds.min(initial=0) < 0:
            raise ValueError(
                f"kind has shape {kinds.shape} of {kinds.dtype} for {len(rows)} {self.rows}: give each the number of its kind, "
                "from 0."
            )
        for name, value in parameters.items():
            array = as_parameter(value, name)
            if array.ndim > 1 or (array.ndim == 1 and (kind is None or array.shape[0] <= kinds.max(initial=0))):
                needs = "without kind= give one number" if kind is None else f"give one number or {kinds.max(initial=0) + 1}"
                raise ValueError(f"{name} has shape {array.shape}: {needs}, one for each kind of {self.rows}.")
            setattr(self, name, array)
        self.places, self.kind = jnp.asarray(rows), jnp.asarray(kinds.astype(np.int32))

    def _facts(self) -> list[str]:
        return [f"{self.places.shape[-2]} {self.rows}"] if is_array(self.places) and self.places.ndim > 1 else []

    def _of_rows(self, value: Array, dtype: np.dtype) -> Float[Array, " m"]:
        value = value.astype(dtype)
        return value[self.kind] if value.ndim else jnp.broadcast_to(value, self.kind.shape)


class Bonds(Bonded):
    """u(r) = k / 2 (r - r_0)², with k the `stiffness` (energy / length²) and r_0 the `length`, of bonded pairs [m, 2].

    Each parameter is one number, or one for each kind of bond, with `kind` [m] the kind of each. Other programs leave the
    half out of this form. Particles at one place have forces that are no numbers.

    **Raises** `ValueError` for pairs and numbers that make no sense, naming the bond.
    """

    stiffness: Float[Array, "..."]
    length: Float[Array, "..."]

    symbols: ClassVar[tuple[str, ...]] = ("stiffness", "length")

    def __init__(self, pairs: Rows, stiffness: Numbers, length: Numbers, *, kind: Numbers | None = None):
        self.declare(pairs, kind, stiffness=stiffness, length=length)

    def potential(self, d: Float[Array, "j 3"], p: Mapping[str, Array]) -> Float[Array, ""]:
        """k / 2 (r - r_0)²."""
        return 0.5 * p["stiffness"] * (jnp.sqrt(jnp.sum(d[0] * d[0])) - p["length"]) ** 2


class MorseBonds(Bonded):
    """u(r) = D (1 - exp(-a (r - r_0)))²: bonds that break, of pairs [m, 2].

    | symbol | argument | unit |
    | --- | --- | --- |
    | D | `depth` | energy |
    | a | `steepness` | 1 / length |
    | r_0 | `length` | length |

    Parameters as in `Bonds`. **Raises** `ValueError` for pairs and numbers that make no sense, naming the bond.

    **Source**: P. M. Morse, Phys. Rev. 34 (1929) 57, equation 4, with the zero of energy at r_0.
    """

    depth: Float[Array, "..."]
    steepness: Float[Array, "..."]
    length: Float[Array, "..."]

    symbols: ClassVar[tuple[str, ...]] = ("depth", "steepness", "length")

    def __init__(
        self, pairs: Rows, depth: Numbers, steepness: Numbers, length: Numbers, *, kind: Numbers | None = None
    ):
        self.declare(pairs, kind, depth=depth, steepness=steepness, length=length)

    def potential(self, d: Float[Array, "j 3"], p: Mapping[str, Array]) -> Float[Array, ""]:
        """D (1 - exp(-a (r - r_0)))²."""
        r = jnp.sqrt(jnp.sum(d[0] * d[0]))
        return p["depth"] * jnp.expm1(-p["steepness"] * (r - p["length"])) ** 2


class FeneBonds(Bonded):
    """u(r) = -k R² / 2 ln(1 - (r / R)²) + [4 epsilon ((sigma/r)^12 - (sigma/r)^6) + epsilon for r < 2^(1/6) sigma].

    | symbol | argument | unit |
    | --- | --- | --- |
    | k | `stiffness` | energy / length² |
    | R | `extension` | length that a bond cannot reach |
    | epsilon, sigma | `epsilon`, `sigma` | energy and length of the core; by default without one |

    Finitely extensible bonds of pairs [m, 2]; the core belongs here where bonded pairs are excluded from others. Parameters
    as in `Bonds`. A bond of length R and more has energy and forces that are no numbers, so that a run ends with a
    status.

    **Raises** `ValueError` for pairs and numbers that make no sense, naming the bond.

    **Source**: K. Kremer, G. S. Grest, J. Chem. Phys. 92 (1990) 5057, equations 2 and 3.
    """

    stiffness: Float[Array, "..."]
    extension: Float[Array, "..."]
    epsilon: Float[Array, "..."]
    sigma: Float[Array, "..."]

    symbols: ClassVar[tuple[str, ...]] = ("stiffness", "extension", "epsilon", "sigma")

    def __init__(
        self,
        pairs: Rows,
        stiffness: Numbers,
        extension: Numbers,
        *,
        epsilon: Numbers = 0.0,
        sigma: Numbers = 1.0,
        kind: Numbers | None = None,
    ):
        self.declare(pairs, kind, stiffness=stiffness, extension=extension, epsilon=epsilon, sigma=sigma)

    def potential(self, d: Float[Array, "j 3"], p: Mapping[str, Array]) -> Float[Array, ""]:
        """The spring and its core."""
        square = jnp.sum(d[0] * d[0])
        left = 1 - square / p["extension"] ** 2
        # A factor, which derivatives have too: that of a logarithm is a number below zero and would hide the fault.
        left = left * jnp.where(left > 0, 1.0, jnp.nan)
        spring = -0.5 * p["stiffness"] * p["extension"] ** 2 * jnp.log(left)
        sixth = (p["sigma"] ** 2 / square) ** 3
        core = p["epsilon"] * (4 * sixth * (sixth - 1) + 1)
        return spring + jnp.where(sixth > 0.5, core, 0.0)

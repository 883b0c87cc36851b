"""`EmbeddedAtom`: metals and alloys by tables, an energy of each atom in the electron density of its neighbors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .cubic_table import LEAST, cubics, read, read_on
from .many_body import ManyBody, as_range, as_table
from .setfl import Setfl, read_setfl
from .structure import element
from .surroundings import Surroundings
from .units import units as units_by_name


class EmbeddedAtom(ManyBody):
    """U = sum over i of F_i(sum over j of f_j(r_ij)) + 1/2 sum over i, j of phi_ij(r_ij).

    **Arguments**: `elements`: s names of species; tables from zero on that LAMMPS' cubic polynomials join (eam/alloy):
    `embedding` [s, m]: F (energy) at densities 0, drho, 2 drho, ..., going on with its last slope; `density` [s, n]: what an
    element adds to the density at its neighbors at distances 0, dr, 2 dr, ...; `pair` [s, s, n]: r phi (energy times length)
    at the same distances; `drho`, `dr`, `cutoff`. `EmbeddedAtom.from_setfl(path)` reads a file. The tables are parameters.

    **Raises** `ValueError` for tables of other shapes, or with fewer than 5 entries; a system with other elements.

    **Source**: M. S. Daw and M. I. Baskes, Physical Review B 29, 6443 (1984), equation 1.
    """

    embedding: Float[Array, "s m"]
    density: Float[Array, "s n"]
    pair: Float[Array, "s s n"]
    elements: tuple[str, ...] = eqx.field(static=True)
    drho: float = eqx.field(static=True)
    dr: float = eqx.field(static=True)
    units: str | None = eqx.field(static=True)

    def __init__(
        self,
        elements: Sequence[str],
        embedding: ArrayLike,
        density: ArrayLike,
        pair: ArrayLike,
        *,
        drho: float,
        dr: float,
        cutoff: float,
    ):
        if isinstance(elements, str):
            raise TypeError(f"elements={elements!r}: give a name for each table, ({elements!r},).")
        self.elements, self.units = tuple(elements), None
        self.embedding, self.density = as_table(embedding, "embedding"), as_table(density, "density")
        self.pair, self.cutoff = as_table(pair, "pair"), as_range(cutoff)
        self.drho, self.dr = float(drho), float(dr)
        many, entries = len(self.elements), self.density.shape[-1:]
        shapes = {"embedding": (many, *self.embedding.shape[-1:]), "density": (many, *entries), "pair": (many, many, *entries)}
        for name, shape in shapes.items():
            given = getattr(self, name).shape
            if given != shape:
                raise ValueError(f"{name} has shape {given}: for the elements {', '.join(self.elements)} it must be {shape}.")
            if given[-1] < LEAST:
                raise ValueError(f"{name} has {given[-1]} entries: polynomials are laid through at least {LEAST}.")
        for name, step in (("drho", self.drho), ("dr", self.dr)):
            if not (np.isfinite(step) and step > 0):
                raise ValueError(f"{name}={step:.6g}: the step of a table must be a positive number.")

    @staticmethod
    def from_setfl(tables: Setfl | str | os.PathLike[str], units: str = "metal") -> EmbeddedAtom:
        """The tables of a setfl file, or read by `read_setfl`, for a system in these units.

        **Raises** `ValueError` as `read_setfl` does, naming the line, and for units that have no size ("lj").
        """
        tables = tables if isinstance(tables, Setfl) else read_setfl(tables)
        energy, length = (units_by_name(units).factor(unit) for unit in ("eV", "angstrom"))
        made = EmbeddedAtom(
            tables.elements, tables.embedding * energy, tables.density, tables.pair * (energy * length), drho=tables.drho,
            dr=tables.dr * length, cutoff=tables.cutoff * length,
        )  # fmt: skip
        object.__setattr__(made, "units", units)
        return made

    def shared(self, near: Surroundings) -> dict[str, Float[Array, "..."]]:
        """Polynomials of all tables, in the order of the species of the system."""
        if self.units not in (None, near.units.name):
            raise ValueError(
                f"the tables are in units {self.units!r}, the system in {near.units.name!r}: write "
                f"wl.md.System(..., units={self.units!r}), or read them for others, EmbeddedAtom.from_setfl(path, units='real')."
            )
        dtype, order = near.position.dtype, np.array([self._place(name) for name in near.species])
        tables = {
            "embedding": self.embedding[order],
            "density": self.density[order],
            "pair": self.pair[order[:, None], order[None, :]],
        }
        return {name: cubics(table.astype(dtype)) for name, table in tables.items()}

    def moments(self, d: Float[Array, "3"], own: Any, other: Any, p: Any) -> tuple[Array, Array]:
        """The density at a particle from one neighbor, and half of phi."""
        r = jnp.sqrt(jnp.sum(d * d))
        return read(p["density"], (other,), r / self.dr), 0.5 * read(p["pair"], (own, other), r / self.dr) / r

    def site(self, rho: tuple[Array, Array], own: Any, p: Any) -> Float[Array, ""]:
        """F, and half of the energy of pairs."""
        return rho[1] + read_on(p["embedding"], (own,), rho[0] / self.drho)

    def parity(self, species: int) -> int:
        """1 for one species; otherwise densities are those of the neighbor alone."""
        return 1 if species == 1 else 0

    def check(self, species: tuple[str, ...], count: int) -> None:
        """**Raises** `ValueError` for a species without a table."""
        for name in species:
            if self._place(name) < 0:
                raise ValueError(
                    f"EmbeddedAtom has tables for {', '.join(self.elements)}, and the system has particles of {name!r}: name "
                    "species after elements, or give tables with this one."
                )

    def _place(self, species: str) -> int:
        """Which table a species has, that of Cu for "Cu_2" too; -1 for none."""
        known = {name: k for k, name in enumerate(self.elements)}
        return known.get(species, known.get(element(species) or "", -1))

"""`Term`: an interaction as a potential energy, from which all else follows; and sums of terms."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ...core.parameters import Parametrized
from .box import Box
from .surroundings import Surroundings


class Term(Parametrized):
    """An interaction: a subclass defines `energy`, and `reach` where it sums over neighbors.

    Forces are -dU/dx and stress is dU/d(strain) of what `energy` returns, by JAX. Its float arrays are parameters.
    """

    def energy(self, near: Surroundings) -> Float[Array, ""]:
        """Potential energy of all particles."""
        raise NotImplementedError

    @property
    def reach(self) -> float:
        """The largest distance at which neighbors are asked for; 0 for terms without neighbors."""
        return 0.0

    def check(self, species: tuple[str, ...], count: int) -> None:
        """**Raises** `ValueError` for a system of these species and so many particles that the term does not fit."""

    def check_charges(self, charge: Float[np.ndarray, " n"]) -> None:
        """**Raises** `ValueError` for charges of particles that the term does not fit."""

    def sized(self, box: Box, spare: float = 1.0) -> Term:
        """This term with arrays as large as a box of `spare` times the volume needs, where their sizes depend on it."""
        return self

    def holds(self, box: Box) -> Bool[Array, ""]:
        """Whether the arrays of this term are large enough for a box."""
        return jnp.ones((), bool)

    def _facts(self) -> list[str]:
        cutoff = getattr(self, "cutoff", None)
        return [f"cutoff={cutoff:.6g}"] if isinstance(cutoff, float) else []

    def __add__(self, other: Term) -> Sum:
        return Sum.of(self, other)


class Sum(Term):
    """Terms added up, each under its name: "lennard_jones", "coulomb", and "morse_2" for a second one of a kind."""

    terms: dict[str, Term]

    transparent: ClassVar[tuple[str, ...]] = ("terms",)

    @staticmethod
    def of(*given: Term) -> Sum:
        """The sum of terms and of the terms of sums. **Raises** `TypeError` for what is no term."""
        terms: dict[str, Term] = {}
        for name, term in _named(given):
            unique, number = name, 2
            while unique in terms:
                unique, number = f"{name}_{number}", number + 1
            terms[unique] = term
        return Sum(terms)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.terms.values())) or "Sum()"

    def energy(self, near: Surroundings) -> Float[Array, ""]:
        """The sum of all energies."""
        return sum(self.parts(near).values(), jnp.zeros((), near.position.dtype))

    def parts(self, near: Surroundings) -> dict[str, Float[Array, ""]]:
        """The energy of each term, by name."""
        return {name: term.energy(near) for name, term in self.terms.items()}

    @property
    def reach(self) -> float:
        """That of the term that looks farthest."""
        return max((term.reach for term in self.terms.values()), default=0.0)

    def check(self, species: tuple[str, ...], count: int) -> None:
        """Checks each term."""
        for term in self.terms.values():
            term.check(species, count)

    def check_charges(self, charge: Float[np.ndarray, " n"]) -> None:
        """Checks each term."""
        for term in self.terms.values():
            term.check_charges(charge)

    def sized(self, box: Box, spare: float = 1.0) -> Sum:
        """The sum of terms that are as large as the box needs."""
        return Sum({name: term.sized(box, spare) for name, term in self.terms.items()})

    def holds(self, box: Box) -> Bool[Array, ""]:
        """Whether all terms are large enough."""
        return functools.reduce(jnp.logical_and, (term.holds(box) for term in self.terms.values()), jnp.ones((), bool))


def _named(given: tuple[Term, ...]) -> Iterator[tuple[str, Term]]:
    for term in given:
        if isinstance(term, Sum):
            yield from ((re.sub(r"_\d+$", "", name), inner) for name, inner in term.terms.items())
        elif isinstance(term, Term):
            yield re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(term).__name__).lower(), term
        else:
            raise TypeError(f"{term!r} is no interaction: add terms such as wl.md.LennardJones(...), or subclass wl.md.Term.")



"""Steppers of particles, and the simplest of them: velocity Verlet, at constant energy."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from ..core.parameters import brief
from ..core.pytrees import is_array
from ..core.status import Code
from .march import RENEW
from .particles import Particles
from .problems import InitialValueProblem
from .stepping import FixedStep


class Moving(eqx.Module):
    """A state of particles and the forces in it, which go from step to step."""

    state: PyTree
    force: Float[Array, "n 3"]


class ParticleSolver(FixedStep):
    """Fixed steps of systems with `particles`. Subclasses define `move`, and `extend` where they have own variables."""

    def __repr__(self) -> str:
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "name"}
        return f"{type(self).__name__}({', '.join(f'{name}={_word(value)}' for name, value in given.items())})"

    def check(self, problem: InitialValueProblem) -> None:
        """**Raises** `ValueError` for a system that has no particles."""
        if problem.particles is None:
            raise ValueError(f"{self.name} moves particles with masses and forces: build the system with wl.md.System.")

    def extend(self, problem: InitialValueProblem, state: PyTree) -> PyTree:
        """The state with the variables of the solver itself, at rest where a state brings none."""
        return state

    def move(
        self, problem: InitialValueProblem, t: Float[Array, ""], moving: Moving, lists: PyTree, h: Float[Array, ""]
    ) -> Moving:
        """One step. The forces that are returned belong to the positions and the box that are."""
        raise NotImplementedError

    def enter(self, problem: InitialValueProblem, t: Float[Array, ""], state: PyTree, company: PyTree) -> Moving:
        """The state with its forces."""
        state = self.extend(problem, state)
        return Moving(state, particles_of(problem).force(problem.system, t, state, company))

    def leave(self, working: Moving) -> PyTree:
        """The state."""
        return working.state

    def seen(self, working: Moving, company: PyTree) -> PyTree:
        """The state with its lists."""
        return eqx.tree_at(lambda s: s.neighbors, working.state, company, is_leaf=lambda x: x is None)

    def small(self, problem: InitialValueProblem) -> bool:
        """Whether there are few particles."""
        return particles_of(problem).few(problem.system)

    def company(self, problem: InitialValueProblem, basis: PyTree) -> PyTree:
        """Lists of neighbors."""
        return particles_of(problem).prepare(problem.system, basis)

    def basis(self, state: PyTree) -> PyTree:
        """The state at rest: lists depend on positions and the box alone."""
        return eqx.tree_at(lambda s: s.velocity, state, jnp.zeros_like(state.velocity))

    def step(
        self, problem: InitialValueProblem, t: Float[Array, ""], working: Moving, company: PyTree, h: Float[Array, ""]
    ) -> tuple[Moving, Int[Array, ""]]:
        """One step, or none where lists are not right any more or have no room for all neighbors."""
        particles, system = particles_of(problem), problem.system
        moved = self.move(problem, t, working, company, h)
        moved = eqx.tree_at(lambda m: m.state.step, moved, working.state.step + jnp.asarray(1, working.state.step.dtype))
        codes = [particles.code(system, m.state, company) for m in (working, moved)]
        full = jnp.where(codes[0] == Code.OK, codes[1], codes[0])
        right = particles.right(system, moved.state, company)
        return moved, jnp.where((full == Code.OK) & ~right, RENEW, full)


class VelocityVerlet(ParticleSolver):
    """dx/dt = v, m dv/dt = f(x) by half a kick, a drift, half a kick: symplectic, reversible, of second order.

    **Source**: W. C. Swope, H. C. Andersen, P. H. Berens, K. R. Wilson, J. Chem. Phys. 76 (1982) 637.
    """

    name: str = eqx.field(static=True, default="velocity_verlet")

    def move(
        self, problem: InitialValueProblem, t: Float[Array, ""], moving: Moving, lists: PyTree, h: Float[Array, ""]
    ) -> Moving:
        """One step."""
        particles = particles_of(problem)
        per_mass = h / masses(problem, moving.state)
        velocity = moving.state.velocity + 0.5 * per_mass * moving.force
        there = drift(moving.state, velocity, h)
        force = particles.force(problem.system, t + h, there, lists)
        return Moving(eqx.tree_at(lambda s: s.velocity, there, velocity + 0.5 * per_mass * force), force)


def particles_of(problem: InitialValueProblem) -> Particles:
    """What the problem says about its particles."""
    assert problem.particles is not None
    return problem.particles


def masses(problem: InitialValueProblem, state: PyTree) -> Float[Array, "n 1"]:
    """The mass of each particle in a row of its own, in the precision of the state."""
    return particles_of(problem).mass(problem.system).astype(state.position.dtype)[:, None]


def drift(state: PyTree, velocity: Float[Array, "n 3"], h: Float[Array, ""]) -> PyTree:
    """The state after moving with these velocities for the time h."""
    return eqx.tree_at(lambda s: (s.position, s.velocity), state, (state.position + h * velocity, velocity))


def _word(value: Any) -> str:
    return brief(value) if is_array(value) else repr(value)

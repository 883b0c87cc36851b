"""Steppers of particles, and the simplest of them: velocity Verlet, at constant energy."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from ..core.status import Code
from .particles import Particles
from .problems import InitialValueProblem
from .stepping import FixedStep


class Moving(eqx.Module):
    """What goes from step to step: a state of particles, its lists of neighbors, and the forces in it."""

    state: PyTree
    lists: PyTree
    force: Float[Array, "n 3"]


class ParticleSolver(FixedStep):
    """Fixed steps of systems with `particles`. Subclasses define `move`, and `extend` where they have own variables."""

    def check(self, problem: InitialValueProblem) -> None:
        """**Raises** `ValueError` for a system that has no particles."""
        if problem.particles is None:
            raise ValueError(f"{self.name} moves particles with masses and forces: build the system with wl.md.System.")

    def extend(self, problem: InitialValueProblem, state: PyTree) -> PyTree:
        """The state with the variables of the solver itself, at rest where a state brings none."""
        return state

    def move(self, problem: InitialValueProblem, t: Float[Array, ""], moving: Moving, h: Float[Array, ""]) -> Moving:
        """One step."""
        raise NotImplementedError

    def enter(self, problem: InitialValueProblem, t: Float[Array, ""], state: PyTree) -> Moving:
        """The state with lists and forces."""
        particles = particles_of(problem)
        state = self.extend(problem, state)
        lists = particles.prepare(problem.system, state)
        return Moving(state, lists, particles.force(problem.system, t, state, lists))

    def leave(self, working: Moving) -> PyTree:
        """The state."""
        return working.state

    def seen(self, working: Moving) -> PyTree:
        """The state with its lists."""
        return eqx.tree_at(lambda s: s.neighbors, working.state, working.lists, is_leaf=lambda x: x is None)

    def step(
        self, problem: InitialValueProblem, t: Float[Array, ""], working: Moving, h: Float[Array, ""]
    ) -> tuple[Moving, Int[Array, ""]]:
        """One step, or none where the lists have no room for all neighbors."""
        particles = particles_of(problem)
        before = particles.code(problem.system, working.state, working.lists)
        moved = self.move(problem, t, working, h)
        moved = eqx.tree_at(lambda m: m.state.step, moved, working.state.step + jnp.asarray(1, working.state.step.dtype))
        after = particles.code(problem.system, moved.state, moved.lists)
        code = jnp.where(before == Code.OK, after, before)
        kept = jax.tree.map(lambda a, b: jnp.where(code == Code.OK, a, b), moved, working)
        return kept, code


class VelocityVerlet(ParticleSolver):
    """dx/dt = v, m dv/dt = f(x) by half a kick, a drift, half a kick: symplectic, reversible, of second order.

    **Source**: W. C. Swope, H. C. Andersen, P. H. Berens, K. R. Wilson, J. Chem. Phys. 76 (1982) 637.
    """

    name: str = eqx.field(static=True, default="velocity_verlet")

    def move(self, problem: InitialValueProblem, t: Float[Array, ""], moving: Moving, h: Float[Array, ""]) -> Moving:
        """One step."""
        per_mass = h / particles_of(problem).mass(problem.system)[:, None]
        velocity = moving.state.velocity + 0.5 * per_mass * moving.force
        there = drift(moving.state, velocity, h)
        lists, force = forces_after(problem, t + h, there, moving.lists)
        velocity = velocity + 0.5 * per_mass * force
        return Moving(eqx.tree_at(lambda s: s.velocity, there, velocity), lists, force)


def particles_of(problem: InitialValueProblem) -> Particles:
    """What the problem says about its particles."""
    assert problem.particles is not None
    return problem.particles


def drift(state: PyTree, velocity: Float[Array, "n 3"], h: Float[Array, ""]) -> PyTree:
    """The state after moving with these velocities for the time h."""
    return eqx.tree_at(lambda s: (s.position, s.velocity), state, (state.position + h * velocity, velocity))


def forces_after(
    problem: InitialValueProblem, t: Float[Array, ""], state: PyTree, lists: PyTree
) -> tuple[PyTree, Float[Array, "n 3"]]:
    """Lists that are right for a state that has moved, and the forces in it."""
    particles = particles_of(problem)
    lists = particles.renew(problem.system, state, lists)
    return lists, particles.force(problem.system, t, state, lists)

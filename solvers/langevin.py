"""Particles in a heat bath of friction and noise: Langevin's equation, and its limit in which masses do not matter."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .problems import InitialValueProblem
from .thermostats import Number, as_number, at, needs_key, noise, thermal_energy
from .verlet import Moving, ParticleSolver, drift, masses, particles_of


class Bath(ParticleSolver):
    """Friction and noise of a temperature on every particle; what its solvers share."""

    temperature: Number
    friction: Float[Array, "..."]
    name: str = eqx.field(static=True)

    def __init__(self, temperature: Any, friction: Any):
        self.temperature = as_number("temperature", temperature, "not negative")
        self.friction = as_number("friction", friction, rows=True)
        self.name = type(self).__name__.lower()

    def check(self, problem: InitialValueProblem) -> None:
        """**Raises** `ValueError` for a system without particles, a run without key, and a friction for other particles."""
        super().check(problem)
        needs_key(self.name, problem)
        count, shape = problem.state.position.shape[0], np.shape(self.friction)
        if shape not in ((), (count,)):
            raise ValueError(f"friction has shape {shape} for {count} particles: give one number, or one a particle.")


class Langevin(Bath):
    """dx = v dt, m dv = f dt - m g v dt + sqrt(2 m g kT) dW, by BAOAB: kick, drift, friction and noise, drift, kick.

    Friction and noise act for the whole step exactly, v -> c v + sqrt((1 - c²) kT / m) R with c = exp(-g h), so that the
    only error is that of kicks and drifts. Averages of positions are of order 2 in the step, and of order 4 in the limit
    of much friction. All 3 n motions have energy kT / 2 each; momentum is not conserved. Noise is drawn for the number
    of the step: runs that follow each other with the same key are one run.

    **Arguments**: `temperature` T, or `wl.Sampled(times, values)` of it; `friction` g, one over time, one number or one a
    particle.

    **Raises** `ValueError` for a temperature below zero and a friction that is not positive.

    **Source**: B. Leimkuhler and C. Matthews, Applied Mathematics Research eXpress 2013, 34.
    """

    def __init__(self, temperature: Any, friction: Any):
        super().__init__(temperature, friction)

    def move(
        self, problem: InitialValueProblem, t: Float[Array, ""], moving: Moving, lists: PyTree, h: Float[Array, ""]
    ) -> Moving:
        """One step."""
        particles, state = particles_of(problem), moving.state
        mass = masses(problem, state)
        midway = drift(state, state.velocity + 0.5 * h / mass * moving.force, 0.5 * h)
        lost = at(self.friction, t).reshape(-1, 1) * h
        kicks = jax.random.normal(noise(problem, state), state.position.shape, state.position.dtype)
        spread = jnp.sqrt(-jnp.expm1(-2 * lost) * thermal_energy(problem, self.temperature, t + 0.5 * h) / mass)
        there = drift(midway, jnp.exp(-lost) * midway.velocity + spread * kicks, 0.5 * h)
        force = particles.force(problem.system, t + h, there, lists)
        return Moving(eqx.tree_at(lambda s: s.velocity, there, there.velocity + 0.5 * h / mass * force), force)


class Brownian(Bath):
    """dx = f / (m g) dt + sqrt(2 D) dW, D = kT / (m g): motion so damped that velocities are forgotten at once.

    The limit of BAOAB for much friction: x -> x + h f / (m g) + sqrt(2 D h) (R_k + R_k+1) / 2, with the noise of a step used
    in two of them, by which averages of positions are of order 2. Velocities are left as they are.

    **Arguments**: as of `Langevin`.

    **Raises** `ValueError` for a temperature below zero and a friction that is not positive.

    **Source**: B. Leimkuhler and C. Matthews, Applied Mathematics Research eXpress 2013, 34, equation 1.5.
    """

    def __init__(self, temperature: Any, friction: Any):
        super().__init__(temperature, friction)

    def move(
        self, problem: InitialValueProblem, t: Float[Array, ""], moving: Moving, lists: PyTree, h: Float[Array, ""]
    ) -> Moving:
        """One step."""
        particles, state = particles_of(problem), moving.state
        drag = masses(problem, state) * at(self.friction, t).reshape(-1, 1)
        spread = jnp.sqrt(2 * thermal_energy(problem, self.temperature, t) * h / drag)
        draw = lambda ahead: jax.random.normal(
            noise(problem, state, 0, ahead), state.position.shape, state.position.dtype
        )
        moved = state.position + h / drag * moving.force + spread * 0.5 * (draw(0) + draw(1))
        there = eqx.tree_at(lambda s: s.position, state, moved)
        return Moving(there, particles.force(problem.system, t + h, there, lists))

"""What thermostats share: numbers that may be signals, noise of a step, and the motion relative to the center of mass.

A thermostat that only scales velocities leaves the motion of the whole as it is: 3 n - 3 motions then carry energy, which is
right whether or not the forces conserve momentum.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ..core.arrays import as_floats
from .problems import InitialValueProblem
from .signals import Signal
from .verlet import Moving, ParticleSolver, VelocityVerlet, masses, particles_of

Number = Float[Array, ""] | Signal


class Motion(eqx.Module):
    """Velocities [n, 3] with respect to the center of mass, its own velocity [3], and masses [n, 1].

    With `drift` nothing is taken off, and the center of mass counts as at rest. `degrees` is the number of motions that
    carry energy.
    """

    velocity: Float[Array, "n 3"]
    whole: Float[Array, "3"]
    mass: Float[Array, "n 1"]
    degrees: int = eqx.field(static=True)

    @property
    def kinetic(self) -> Float[Array, "3 3"]:
        """The sum of m v_a v_b; half of its trace is the kinetic energy K."""
        return (self.mass * self.velocity).T @ self.velocity

    @property
    def energy(self) -> Float[Array, ""]:
        """K of the relative motion."""
        return 0.5 * jnp.sum(self.mass * self.velocity**2)


def motion(problem: InitialValueProblem, state: PyTree, drift: bool) -> Motion:
    """How the particles of a state move relative to their center of mass, or with `drift` to the space."""
    velocity = state.velocity
    mass = masses(problem, state)
    count = velocity.shape[0]
    if drift:
        return Motion(velocity, jnp.zeros(3, velocity.dtype), mass, 3 * count)
    whole = jnp.sum(mass * velocity, 0) / jnp.sum(mass)
    return Motion(velocity - whole, whole, mass, 3 * count - 3)


class Thermostatted(ParticleSolver):
    """Velocity Verlet between two halves of what a thermostat does to velocities. Subclasses define `couple`.

    `drift`: whether the motion of the whole is coupled too, 3 n motions; by default it is left as it is, 3 n - 3.
    """

    name: str = eqx.field(static=True)
    drift: eqx.AbstractVar[bool]

    def check(self, problem: InitialValueProblem) -> None:
        """**Raises** `ValueError` for a system that has no particles, and for one particle without motion of its own."""
        super().check(problem)
        if not self.drift and problem.state.velocity.shape[0] == 1:
            raise ValueError(
                f"{self.name}: a single particle has no motion but that of the whole, which is left as it is: "
                "pass drift=True to the thermostat."
            )

    def couple(
        self, problem: InitialValueProblem, t: Float[Array, ""], state: PyTree, h: Float[Array, ""], half: int
    ) -> PyTree:
        """The state with velocities, and variables of the solver, as the thermostat changes them in the time h.

        `half` is 0 before the step of the particles and 1 after it.
        """
        raise NotImplementedError

    def move(
        self, problem: InitialValueProblem, t: Float[Array, ""], moving: Moving, lists: PyTree, h: Float[Array, ""]
    ) -> Moving:
        """One step."""
        start = self.couple(problem, t, moving.state, 0.5 * h, 0)
        moved = VelocityVerlet().move(problem, t, Moving(start, moving.force), lists, h)
        return Moving(self.couple(problem, t + 0.5 * h, moved.state, 0.5 * h, 1), moved.force)


def thermal_energy(problem: InitialValueProblem, temperature: Number, t: Float[Array, ""]) -> Float[Array, ""]:
    """kT at time t."""
    return particles_of(problem).boltzmann(problem.system) * at(temperature, t)


def at(number: Number, t: Float[Array, ""]) -> Array:
    """A number, which may change in time, in the precision of times."""
    return jnp.asarray(number(t) if isinstance(number, Signal) else number, t.dtype)


def noise(problem: InitialValueProblem, state: PyTree, stream: int = 0, steps_ahead: int = 0) -> Array:
    """The random key of the step that begins in a state, or of one after it, one for each `stream`."""
    assert problem.key is not None
    step = state.step + jnp.asarray(steps_ahead, state.step.dtype)
    return jax.random.fold_in(jax.random.fold_in(problem.key, step), stream)


def needs_key(name: str, problem: InitialValueProblem) -> None:
    """**Raises** `ValueError` for a run without randomness."""
    if problem.key is None:
        raise ValueError(f"{name} draws random numbers: pass key=0 (or a JAX key) to simulate.")


def as_number(name: str, value: Any, needed: str = "positive", rows: bool = False) -> Any:
    """A number as an array, or a signal as it is. **Raises** `ValueError` for a sign or a shape that makes no sense.

    `needed`: "positive", "not negative", or "finite"; `rows` allows one number a particle.
    """
    if isinstance(value, Signal):
        return value
    array = as_floats(value)
    if array.ndim > (1 if rows else 0):
        raise ValueError(f"{name} has shape {array.shape}: give one number{', or one a particle' if rows else ''}.")
    if not isinstance(array, jax.core.Tracer):
        numbers = np.asarray(array)
        right, words = {
            "positive": (numbers > 0, "a positive number"),
            "not negative": (numbers >= 0, "zero or positive"),
            "finite": (True, "a finite number"),
        }[needed]
        if not np.all(np.isfinite(numbers) & right):
            raise ValueError(f"{name}={numbers.tolist()}: it must be {words}.")
    return array


def as_variables(name: str, state: PyTree, count: int) -> Array:
    """The `count` variables that a solver keeps in `state.extended`, zeros where a state has none.

    **Raises** `ValueError` for a state with those of another solver.
    """
    held = state.extended.shape[0]
    if held not in (0, count):
        raise ValueError(
            f"{name} keeps {count} variables in state.extended, and the state brings {held} of another solver: start from "
            "system.state(state.position, state.velocity, state.box)."
        )
    return state.extended if held else jnp.zeros(count, state.position.dtype)

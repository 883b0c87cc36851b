"""Stochastic velocity rescaling: all velocities times one random factor."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .chi_square import chi_square
from .problems import InitialValueProblem
from .thermostats import Motion, Number, Thermostatted, as_number, at, motion, needs_key, noise, thermal_energy


class VelocityRescaling(Thermostatted):
    """dK = (K_0 - K) dt / tau + 2 sqrt(K K_0 / (g tau)) dW, K_0 = g kT / 2, for the kinetic energy K; velocities keep their
    directions.

    Of each half step the solution is drawn exactly. In equilibrium K is distributed as that of g free motions,
    3 n - 3 of them (see `drift`). Noise is drawn for the number of the step: runs that follow each other with the same
    key are one run.

    **Arguments**: `temperature` T, or `wl.Sampled(times, values)` of it; `relaxation` tau, a time; `drift`: whether the motion of
    the whole is scaled too, with g = 3 n.

    **Raises** `ValueError` for numbers that are not positive.

    **Source**: G. Bussi, D. Donadio, M. Parrinello, J. Chem. Phys. 126 (2007) 014101, equation A7.
    """

    temperature: Number
    relaxation: Float[Array, ""]
    drift: bool = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, temperature: Any, relaxation: Any, *, drift: bool = False):
        self.temperature = as_number("temperature", temperature)
        self.relaxation = as_number("relaxation", relaxation)
        self.drift, self.name = bool(drift), "velocity_rescaling"

    def check(self, problem: InitialValueProblem) -> None:
        """**Raises** `ValueError` for a system without particles, a run without key, and a particle without motion."""
        super().check(problem)
        needs_key(self.name, problem)

    def couple(
        self, problem: InitialValueProblem, t: Float[Array, ""], state: PyTree, h: Float[Array, ""], half: int
    ) -> PyTree:
        """Velocities after the time h of the thermostat alone."""
        moving = motion(problem, state, self.drift)
        key = noise(problem, state, half)
        kept = jnp.exp(-h / at(self.relaxation, t))
        factor = rescaling(key, moving, thermal_energy(problem, self.temperature, t + 0.5 * h), kept)
        return eqx.tree_at(lambda s: s.velocity, state, moving.whole + factor * moving.velocity)


def rescaling(
    key: Array, moving: Motion, thermal_energy: Float[Array, ""], kept: Float[Array, ""]
) -> Float[Array, ""]:
    """The factor of velocities, a, when the share `kept` = exp(-h / tau) of the old kinetic energy K stays:

        a² = c + (1 - c) q (R² + S) + 2 R sqrt(c (1 - c) q),    q = kT / (2 K)

    with R normal and S the sum of g - 1 squares, and the sign of a that of R + sqrt(c / ((1 - c) q)).
    """
    dtype = moving.velocity.dtype
    one = jax.random.normal(jax.random.fold_in(key, 0), (), dtype)
    others = chi_square(jax.random.fold_in(key, 1), moving.degrees - 1, dtype)
    moves = moving.energy > 0
    share = (1 - kept) * thermal_energy / (2 * jnp.where(moves, moving.energy, 1.0))
    # The same as above: a sum of squares, which cannot be negative by rounding.
    along = jnp.sqrt(kept) + one * jnp.sqrt(share)
    factor = jnp.sign(along) * jnp.sqrt(along**2 + share * others)
    return jnp.where(moves, factor, 1.0)  # at rest there are no directions to rescale

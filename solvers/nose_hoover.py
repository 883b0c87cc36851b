"""Nosé-Hoover chains: a thermostat of a few more variables, without noise."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .problems import InitialValueProblem
from .thermostats import Number, Thermostatted, as_number, as_variables, at, motion, thermal_energy
from .verlet import particles_of

_CUBE = 2.0 ** (1.0 / 3.0)
# H. Yoshida, Physics Letters A 150 (1990) 262: parts of a step that together are of order four.
_PARTS = (1.0 / (2.0 - _CUBE), -_CUBE / (2.0 - _CUBE), 1.0 / (2.0 - _CUBE))


class NoseHoover(Thermostatted):
    """Velocities slowed or hastened by a variable w_1 that follows the kinetic energy, w_1 by w_2, and so on:

        dv/dt = f / m - w_1 v
        dw_1/dt = (2 K / (g kT) - 1) / tau² - w_1 w_2
        dw_2/dt = (g tau² w_1² - 1) / tau² - w_2 w_3,    dw_j/dt = (tau² w_(j-1)² - 1) / tau² - w_j w_(j+1),    de_j/dt = w_j

    for g motions that carry energy, 3 n - 3 of them (see `drift`). It is deterministic and reversible in time, of order 2, and
    conserves `conserved`. The chain's variables are in `state.extended`, e_1 ... e_M, then w_1 ... w_M, zero at first.

    **Arguments**: `temperature` T, or `wl.Sampled(times, values)` of it; `relaxation` tau, a time; `chain`: how many variables
    M; `drift`: whether the motion of the whole is thermostatted too, with g = 3 n.

    **Raises** `ValueError` for numbers that are not positive.

    **Source**: G. J. Martyna, M. E. Tuckerman, D. J. Tobias, M. L. Klein, Molecular Physics 87 (1996) 1117, with masses of the
    chain Q_1 = g kT tau², Q_j = kT tau².
    """

    temperature: Number
    relaxation: Float[Array, ""]
    chain: int = eqx.field(static=True)
    drift: bool = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, temperature: Any, relaxation: Any, chain: int = 3, *, drift: bool = False):
        if chain < 1:
            raise ValueError(f"chain={chain}: a chain has at least one variable.")
        self.temperature = as_number("temperature", temperature)
        self.relaxation = as_number("relaxation", relaxation)
        self.chain, self.drift, self.name = int(chain), bool(drift), "nose_hoover"

    def extend(self, problem: InitialValueProblem, state: PyTree) -> PyTree:
        """The state with the variables of the chain."""
        return eqx.tree_at(lambda s: s.extended, state, as_variables(self.name, state, 2 * self.chain))

    def couple(
        self, problem: InitialValueProblem, t: Float[Array, ""], state: PyTree, h: Float[Array, ""], half: int
    ) -> PyTree:
        """The chain for the time h, with positions and forces held."""
        moving = motion(problem, state, self.drift)
        g, rate = moving.degrees, 1 / at(self.relaxation, t) ** 2
        ratio = 2 * moving.energy / (g * thermal_energy(problem, self.temperature, t + 0.5 * h))
        places, w = list(state.extended[: self.chain]), list(state.extended[self.chain :])
        scale = jnp.ones_like(ratio)

        def push(j: int, h: Array) -> Array:
            """The velocity w_j after the time h, its friction by the next one in halves around the force."""
            driven = ratio * scale**2 if j == 0 else (g if j == 1 else 1) * w[j - 1] ** 2 / rate
            brake = jnp.exp(-0.5 * h * w[j + 1]) if j + 1 < self.chain else 1.0
            return (w[j] * brake + h * rate * (driven - 1)) * brake

        for part in _PARTS:
            step = part * h
            for j in reversed(range(self.chain)):
                w[j] = push(j, 0.5 * step)
            scale = scale * jnp.exp(-step * w[0])
            places = [e + step * w for e, w in zip(places, w)]
            for j in range(self.chain):
                w[j] = push(j, 0.5 * step)
        velocity = moving.whole + scale * moving.velocity
        return eqx.tree_at(lambda s: (s.velocity, s.extended), state, (velocity, jnp.stack([*places, *w])))

    def conserved(self, system: Any, state: PyTree) -> Float[Array, ""]:
        """K + U + g kT (tau² w_1² / 2 + e_1) + kT sum over j > 1 of (tau² w_j² / 2 + e_j), constant at constant T.

        To be called with a state of a run, or given to simulate as `record`.
        """
        problem = system.problem(state, None)
        particles = particles_of(problem)
        lists = particles.prepare(system, state) if state.neighbors is None else state.neighbors
        t = jnp.zeros((), state.position.dtype)
        moving = motion(problem, state, self.drift)
        places, w = jnp.split(as_variables(self.name, state, 2 * self.chain), 2)
        shares = thermal_energy(problem, self.temperature, t) * jnp.ones(self.chain, t.dtype).at[0].set(moving.degrees)
        stored = jnp.sum(shares * (0.5 * (at(self.relaxation, t) * w) ** 2 + places))
        whole = 0.5 * jnp.sum(moving.mass) * jnp.sum(moving.whole**2)
        return moving.energy + whole + particles.forces(system, t, state, lists).energy + stored

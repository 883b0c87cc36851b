"""Stochastic cell rescaling: constant pressure by a box that breathes, or changes its shape."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .problems import InitialValueProblem
from .thermostats import Number, as_number, at, motion, needs_key, noise, thermal_energy
from .velocity_rescaling import VelocityRescaling
from .verlet import Moving, ParticleSolver, drift, masses, particles_of

SHAPES = ("isotropic", "edges", "free")
TERMS = 12  # of the series of the exponential; strains of one step are small


class Deforming(Moving):
    """Particles with their forces and the virial tensor [3, 3]."""

    virial: Float[Array, "3 3"]


class CellRescaling(ParticleSolver):
    """Positions and box are strained in every step, x -> x exp(E) and v -> v exp(-E), by noise and the pressure that lacks:

        isotropic:  E = 1 e / 3,  de = (b / tau_p) (tr P / 3 - P_0) dt + sqrt(2 b kT / (V tau_p)) dW
        otherwise:  dE = (b / (3 tau_p)) (P - 1 P_0) dt + sqrt(2 b kT / (3 V tau_p)) dW,  dW symmetric or diagonal

        P = (sum of m v v + W + 1 kT) / V

    with velocities relative to the center of mass; kT is then the share of the center of mass, which is at rest, so that
    a box of n particles is as likely as V^n exp(-P_0 V / kT) says: an ideal gas has <V> = (n + 1) kT / P_0 and
    var V = (n + 1) (kT / P_0)². In the basis of symmetric matrices dW has independent components, of variance dt along E and
    1/2 for each of the two equal entries beside the diagonal. Between strains the particles move by velocity Verlet with
    `VelocityRescaling`.

    The strain of a step is made of the pressure after the first kick, so that each step evaluates forces once; averages are
    of order 1 in h / tau_p, and of order 2 in the step otherwise.

    **Arguments**: `temperature` T and `pressure` P_0 (energy over volume, see `wl.md.units(...).pressure`), numbers or
    `wl.Sampled`; `relaxation` of the thermostat, `cell_relaxation` tau_p, times; `compressibility` b, an estimate, one over
    pressure, which sets the speed only; `shape`: "isotropic" keeps the shape of the box, "edges" strains along x, y and z
    (a brick stays one), "free" also shears it, for solids: a liquid's box would flatten; `drift` as in `VelocityRescaling`, P
    is then without the term kT.

    **Raises** `ValueError` for numbers that are not positive (pressures may be negative), and for another shape.

    **Source**: M. Bernetti and G. Bussi, J. Chem. Phys. 153 (2020) 114107; V. Del Tatto, P. Raiteri, M. Bernetti, G. Bussi,
    Applied Sciences 12 (2022) 1139.
    """

    temperature: Number
    pressure: Number
    relaxation: Float[Array, ""]
    cell_relaxation: Float[Array, ""]
    compressibility: Float[Array, ""]
    shape: str = eqx.field(static=True)
    drift: bool = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(
        self,
        temperature: Any,
        pressure: Any,
        *,
        relaxation: Any,
        cell_relaxation: Any,
        compressibility: Any,
        shape: str = "isotropic",
        drift: bool = False,
    ):
        if shape not in SHAPES:
            raise ValueError(f"shape={shape!r}: write one of {', '.join(map(repr, SHAPES))}.")
        self.temperature = as_number("temperature", temperature)
        self.pressure = as_number("pressure", pressure, "finite")
        self.relaxation = as_number("relaxation", relaxation)
        self.cell_relaxation = as_number("cell_relaxation", cell_relaxation)
        self.compressibility = as_number("compressibility", compressibility)
        self.shape, self.drift, self.name = shape, bool(drift), "cell_rescaling"

    @property
    def thermostat(self) -> VelocityRescaling:
        """What holds the temperature."""
        return VelocityRescaling(self.temperature, self.relaxation, drift=self.drift)

    def check(self, problem: InitialValueProblem) -> None:
        """**Raises** `ValueError` for a run without key, for space with an end, and as `VelocityRescaling` does."""
        needs_key(self.name, problem)
        self.thermostat.check(problem)
        if not all(problem.state.box.periodic):
            raise ValueError(
                "cell_rescaling changes the box, which must repeat along all three edges: give the state a box such as "
                "wl.md.Box.cubic(10.0)."
            )

    def enter(self, problem: InitialValueProblem, t: Float[Array, ""], state: PyTree, company: PyTree) -> Deforming:
        """The state with its forces and virial."""
        return self._with_forces(problem, t, state, company)

    def move(
        self, problem: InitialValueProblem, t: Float[Array, ""], moving: Moving, lists: PyTree, h: Float[Array, ""]
    ) -> Moving:
        """One step."""
        assert isinstance(moving, Deforming)
        half_per_mass = 0.5 * h / masses(problem, moving.state)
        start = self.thermostat.couple(problem, t, moving.state, 0.5 * h, 0)
        kicked = eqx.tree_at(lambda s: s.velocity, start, start.velocity + half_per_mass * moving.force)
        strained = self.strained(problem, t, kicked, moving.virial, h)
        there = self._with_forces(problem, t + h, drift(strained, strained.velocity, h), lists)
        velocity = there.state.velocity + half_per_mass * there.force
        end = self.thermostat.couple(
            problem, t + 0.5 * h, eqx.tree_at(lambda s: s.velocity, there.state, velocity), 0.5 * h, 1
        )
        return Deforming(end, there.force, there.virial)

    def strained(
        self, problem: InitialValueProblem, t: Float[Array, ""], state: PyTree, virial: Float[Array, "3 3"], h: Float[Array, ""]
    ) -> PyTree:
        """The state after the strain of one step."""
        moving = motion(problem, state, self.drift)
        middle = t + 0.5 * h
        volume, kt = state.box.volume(), thermal_energy(problem, self.temperature, middle)
        unit = jnp.eye(3, dtype=volume.dtype)
        lacking = (moving.kinetic + virial + (0.0 if self.drift else 1.0) * kt * unit) / volume - at(self.pressure, middle) * unit
        pace = h * at(self.compressibility, middle) / at(self.cell_relaxation, middle)
        draws = jax.random.normal(noise(problem, state, 2), (3, 3), volume.dtype)
        if self.shape == "isotropic":
            change = pace * jnp.trace(lacking) / 3 + jnp.sqrt(2 * pace * kt / volume) * draws[0, 0]
            strain = change / 3 * unit
        else:
            beside = jnp.triu(draws, 1) / math.sqrt(2.0)
            random = beside + beside.T + jnp.diag(jnp.diag(draws))
            change = pace / 3 * lacking + jnp.sqrt(2 * pace * kt / (3 * volume)) * random
            strain = change if self.shape == "free" else jnp.diag(jnp.diag(change))
        stretch, shrink = _exponential(strain), _exponential(-strain)
        return eqx.tree_at(
            lambda s: (s.position, s.velocity, s.box.vectors),
            state,
            (state.position @ stretch, moving.whole + moving.velocity @ shrink, state.box.vectors @ stretch),
        )

    def _with_forces(self, problem: InitialValueProblem, t: Array, state: PyTree, lists: PyTree) -> Deforming:
        found = particles_of(problem).forces(problem.system, t, state, lists)
        return Deforming(state, found.force, found.virial)


def _exponential(matrix: Float[Array, "3 3"]) -> Float[Array, "3 3"]:
    """exp of a small matrix, by its series."""
    unit = jnp.eye(3, dtype=matrix.dtype)
    sum_ = unit
    for k in range(TERMS, 0, -1):
        sum_ = unit + matrix @ sum_ / k
    return sum_

"""`System`: particles of some species with their interactions, as a problem for steppers of particles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from ...core.parameters import Parametrized, brief
from ...core.status import Code
from ...core.transforms import jit
from ...solvers.particles import Forces
from ...solvers.problems import InitialValueProblem, Solver
from ...solvers.signals import Signal
from ...solvers.verlet import VelocityVerlet
from .box import Box
from .diagnosis import diagnose
from .neighborhood import SPARE, AllPairs, BoxTooSmall, Capacity, RowLists, pairs_of_few, plan, search
from .particles import PARTICLES, enough
from .species import counted, kinds_of, of_species
from .state import State, make_state, one_state
from .surroundings import Surroundings
from .terms import Sum, Term
from .units import Units, units

# Of the reach: with a longer skin rows are longer, with a shorter one they are made more often.
SKIN = 0.16
SPARES = (SPARE, 1.5, 2.0, 4.0, 8.0)  # times the room that is needed now
WITH_NUMBERS = {
    "brownian": "wl.md.Brownian(temperature, friction)",
    "cell_rescaling": "wl.md.CellRescaling(temperature, pressure, relaxation=..., cell_relaxation=..., compressibility=...)",
    "langevin": "wl.md.Langevin(temperature, friction)",
    "nose_hoover": "wl.md.NoseHoover(temperature, relaxation)",
    "velocity_rescaling": "wl.md.VelocityRescaling(temperature, relaxation)",
}
REMEDIES = {
    Code.NON_FINITE: "Two particles may have come too near, a bond be torn, a particle be behind a wall, or the box run away: "
    "take a smaller dt, or begin from wl.minimise(system, state).state.",
    Code.CAPACITY_OVERFLOW: "Particles crowd without end, or the box shrinks or grows without end: look at the run so far, at "
    "dt, and at the pressure. Inside jit or vmap write system = system.sized(state, spare=2.0) outside.",
}


class System(Parametrized):
    """Particles of some species, with masses, charges and a sum of interactions.

    **Arguments**

    - `interaction`: a `Term`, such as `wl.md.LennardJones(...)`, or a sum of terms by `+`.
    - `species`: one name a particle, `["Ar"] * 100`; or how many of each, `{"Na": 32, "Cl": 32}`.
    - `mass`, `charge`: a number for all species or a dict by species; atomic mass units and elementary charges unless
      `units="lj"`. By default 1 and 0.
    - `units`: "lj", "metal" or "real", see `wl.md.units`.
    - `skin`: how far beyond the longest reach of an interaction lists of neighbors look, a length; by default 0.16 of it.
    - `native`: sums over neighbors as native code where there is some.

    Parameters are called after their term: `system.parameters["lennard_jones.sigma"]`. Masses inside are in units in which force
    is mass times acceleration: `system.replace({"mass[0]": 40.0 * system.units.mass})` is 40 amu (in "lj" `units.mass` is 1).
    """

    interaction: Sum
    kind: Int[Array, " n"]
    mass: Float[Array, " s"]
    charge: Float[Array, " s"]
    species: tuple[str, ...] = eqx.field(static=True)
    units: Units = eqx.field(static=True)
    skin: float = eqx.field(static=True)
    native: bool = eqx.field(static=True)
    capacity: AllPairs | Capacity | None = eqx.field(static=True)

    transparent: ClassVar[tuple[str, ...]] = ("interaction",)

    def __init__(
        self,
        interaction: Term,
        species: Sequence[str] | Mapping[str, int],
        *,
        mass: ArrayLike | Mapping[str, ArrayLike] = 1.0,
        charge: ArrayLike | Mapping[str, ArrayLike] = 0.0,
        units: str | Units = "lj",
        skin: float | None = None,
        native: bool = True,
    ):
        self.interaction = Sum.of(interaction)
        self.species, self.kind = kinds_of(species)
        self.units = _units(units)
        self.mass = of_species("mass", mass, self.species) * self.units.mass
        self.charge = of_species("charge", charge, self.species)
        self.native, self.capacity = native, None
        self.skin = SKIN * self.interaction.reach if skin is None else float(skin)
        if not (np.isfinite(self.skin) and self.skin >= 0):
            raise ValueError(f"skin={self.skin:.6g}: how far lists look beyond the cutoff is a length, not below zero.")
        self.interaction.check(self.species, self.kind.shape[0])
        self._check_charges()

    def __repr__(self) -> str:
        # Masses are shown as they are inside, since a derivative by the system is a system as well.
        unit = "" if self.units.mass == 1.0 else f" (1 amu is {self.units.mass:.6g})"
        constants = f"mass={brief(self.mass)}{unit}, charge={brief(self.charge)}"
        return f"System({counted(self.species, self.kind)}, units={self.units.name!r}, {self.interaction!r}, {constants})"

    def remedies(self, reached: State) -> dict[Code, str]:
        """What to try when a run of particles failed, and which particle it failed at, by the state it had reached."""
        return REMEDIES | {Code.NON_FINITE: f"{diagnose(self, reached)} {REMEDIES[Code.NON_FINITE]}"}

    @property
    def solvers(self) -> Mapping[str, Solver | str]:
        """Steppers of particles by name, or what to write for them; "auto" is velocity Verlet."""
        return {"auto": VelocityVerlet(), "velocity_verlet": VelocityVerlet()} | WITH_NUMBERS

    def state(self, position: ArrayLike, velocity: ArrayLike | None = None, box: Box | None = None) -> State:
        """A state of this system: positions and velocities [n, 3], at rest by default, in a box, free space by default.

        **Raises** `ValueError` for arrays that do not fit, naming what is wrong.
        """
        state = make_state(position, velocity, box)
        if state.position.shape[0] != self.kind.shape[0]:
            raise ValueError(
                f"position has {state.position.shape[0]} rows, and the system {self.kind.shape[0]} particles: give one row each."
            )
        return state

    @property
    def masses(self) -> Float[Array, " n"]:
        """The mass of each particle, in units in which force is mass times acceleration."""
        return self.mass[self.kind]

    def sized(self, state: State, spare: float | None = None) -> System:
        """This system with lists of neighbors that have room for those of a state, as `wl.simulate` does it itself.

        A system that has such lists is returned as it is, unless `spare` says how many times the room needed now there
        should be. To be called before `jit` where positions or the box are traced.
        """
        one_state(state)
        if self.capacity is not None and spare is None:
            return self
        reach, count = self.interaction.reach, state.position.shape[0]
        traced = [isinstance(x, jax.core.Tracer) for x in (state.position, state.box.vectors)]
        pairs = None if traced[1] else pairs_of_few(count, state.box, reach)
        if reach > 0 and (traced[1] or (traced[0] and pairs is None)):
            raise TypeError(
                "positions or box are traced, so that the room that lists of neighbors need is not known: write "
                "system = system.sized(state) outside, for a state like these."
            )
        self._check_charges()
        if traced[0] or reach == 0 or not np.isfinite(np.asarray(state.position)).all():
            capacity: AllPairs | Capacity = pairs or AllPairs(count, state.box.periodic, (1, 1, 1))
        else:
            before = self.capacity if isinstance(self.capacity, Capacity) else None
            capacity = plan(np.asarray(state.position), state.box, reach, reach + self.skin, before, spare or SPARE)
        sized = eqx.tree_at(lambda s: s.interaction, self, self.interaction.sized(state.box, spare or SPARE))
        object.__setattr__(sized, "capacity", capacity)
        return sized

    def grown(self, state: State, before: int = 0) -> System | None:
        """This system with more room than it has, for states like one in which it was too little; None if more is no help.

        `before` says how often it has grown already: what goes on crowding is given more each time.
        """
        # A step that was not made may need more room than the state before it.
        larger = (self.sized(state, spare) for spare in SPARES[min(before // 2, len(SPARES) - 2) :])
        try:
            return next((s for s in larger if jax.tree.structure(s) != jax.tree.structure(self)), None)  # type: ignore[operator]
        except BoxTooSmall:
            return None

    def _check_charges(self) -> None:
        if not isinstance(self.charge, jax.core.Tracer) and not isinstance(self.kind, jax.core.Tracer):
            self.interaction.check_charges(np.asarray(self.charge)[np.asarray(self.kind)])

    def lists(self, state: State) -> AllPairs | RowLists:
        """Lists of neighbors for a state."""
        system = self if self.capacity is not None else self.sized(state)
        if isinstance(system.capacity, AllPairs):
            return system.capacity
        reach = self.interaction.reach + self.skin
        assert system.capacity is not None
        return search(state.position, state.box, reach, system.capacity, self.native)

    def surroundings(self, state: State) -> Surroundings:
        """What interactions see of a state."""
        lists = self.lists(state) if state.neighbors is None else state.neighbors
        dtype = state.position.dtype
        return Surroundings(
            state.position, state.box, self.kind, self.masses.astype(dtype), self.charge.astype(dtype)[self.kind], lists,
            self.species, self.units,
        )  # fmt: skip

    def potential_energy(self, state: State) -> Float[Array, ""]:
        """U of all interactions; not a number where lists of this size have no room for all neighbors."""
        return _energy(self._ready(state), state)

    def energies(self, state: State) -> dict[str, Float[Array, ""]]:
        """U of each interaction, by name; not numbers where lists of this size have no room for all neighbors."""
        return _energies(self._ready(state), state)

    def forces(self, state: State) -> Forces:
        """Forces -dU/dx, U, and the virial -dU/d(strain); not numbers where lists have no room for all neighbors."""
        return _all_forces(self._ready(state), state)

    def _ready(self, state: State) -> System:
        self.interaction.check(self.species, self.kind.shape[0])
        return self.sized(state)

    def _sure(self, near: Surroundings) -> Float[Array, ""]:
        """1, and not a number where sums over neighbors would miss some, or a place is none."""
        right = (enough(self, near.box, near.lists) == Code.OK) & jnp.all(jnp.isfinite(near.position))
        return jnp.where(right, 1.0, jnp.nan).astype(near.position.dtype)

    def problem(self, state: State, controls: Signal | None) -> InitialValueProblem:
        """The initial value problem of this system, for a stepper of particles.

        **Raises** `TypeError` for what is no state of particles, `ValueError` for controls, which particles do not have.
        """
        one_state(state)
        if state.position.shape != (self.kind.shape[0], 3):
            raise ValueError(
                f"the state's position has shape {state.position.shape}; this system needs ({self.kind.shape[0]}, 3)."
            )
        if controls is not None:
            raise ValueError("controls were given, but particles take none: write a force that depends on time as a Term.")
        return InitialValueProblem(self, state, None, rate=_no_rate, particles=PARTICLES)


@jit
def _energy(system: System, state: State) -> Array:
    near = system.surroundings(state)
    return system.interaction.energy(near) * system._sure(near)


@jit
def _energies(system: System, state: State) -> dict[str, Array]:
    near = system.surroundings(state)
    return {name: u * system._sure(near) for name, u in system.interaction.parts(near).items()}


@jit
def _all_forces(system: System, state: State) -> Forces:
    near = system.surroundings(state)
    at_rest = jnp.zeros((3, 3), near.position.dtype)
    energy, slopes = jax.value_and_grad(_strained(system, near), (0, 1))(near.position, at_rest)
    return Forces(-slopes[0], energy, -0.5 * (slopes[1] + slopes[1].T))


def _strained(system: System, near: Surroundings) -> Any:
    def energy(position: Array, strain: Array) -> Array:
        deformation = jnp.eye(3, dtype=strain.dtype) + strain
        box = eqx.tree_at(lambda b: b.vectors, near.box, near.box.vectors @ deformation)
        strained = eqx.tree_at(lambda n: (n.position, n.box), near, (position @ deformation, box))
        return system.interaction.energy(strained) * system._sure(near)

    return energy


def _no_rate(system: System, t: Array, state: State, u: None) -> State:
    raise ValueError(
        "particles move by steppers of their own: leave solver out, or pass 'velocity_verlet' or a thermostat, with dt=step."
    )


def _units(given: str | Units) -> Units:
    return units(given) if isinstance(given, str) else given

"""What steppers are told of a system of particles: its lists of neighbors, whether they are right, and forces by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from ...core.status import Code
from ...solvers.particles import Forces, Particles
from .box import Box
from .neighborhood import AllPairs, RowLists, lost, still_right
from .state import State

if TYPE_CHECKING:
    from .system import System


def _prepare(system: System, state: State) -> AllPairs | RowLists:
    return system.lists(state)


def _right(system: System, state: State, lists: AllPairs | RowLists) -> Array:
    if isinstance(lists, AllPairs):
        return jnp.ones((), bool)
    reach = system.interaction.reach
    return still_right(lists, state.position, state.box, reach, reach + system.skin)


def _few(system: System) -> bool:
    return isinstance(system.capacity, AllPairs)


def _code(system: System, state: State, lists: AllPairs | RowLists) -> Array:
    code = enough(system, state.box, lists)
    if isinstance(lists, RowLists):
        return code  # which is made anew whenever somebody has gone far
    away = (system.interaction.reach > 0) & lost(state.position, system.interaction.reach)
    return jnp.where(away & (code == Code.OK), Code.NON_FINITE, code)


def enough(system: System, box: Box, lists: AllPairs | RowLists) -> Int[Array, ""]:
    """Whether lists and interactions have room for a box: OK or CAPACITY_OVERFLOW, or what the search of the lists said."""
    holds = system.interaction.holds(box)
    if isinstance(lists, RowLists):
        return jnp.where(holds, lists.code, Code.CAPACITY_OVERFLOW).astype(jnp.int32)
    holds &= lists.holds(system.interaction.reach, box.heights())
    return jnp.where(holds, Code.OK, Code.CAPACITY_OVERFLOW).astype(jnp.int32)


def _force(system: System, t: Array, state: State, lists: AllPairs | RowLists) -> Array:
    near = system.surroundings(eqx.tree_at(lambda s: s.neighbors, state, lists, is_leaf=lambda x: x is None))
    at = lambda position: system.interaction.energy(eqx.tree_at(lambda n: n.position, near, position))
    return -jax.grad(at)(state.position)


def _forces(system: System, t: Array, state: State, lists: AllPairs | RowLists) -> Forces:
    return system.forces(eqx.tree_at(lambda s: s.neighbors, state, lists, is_leaf=lambda x: x is None))


PARTICLES = Particles(
    prepare=_prepare, right=_right, code=_code, few=_few, force=_force, forces=_forces, mass=lambda system: system.masses,
    boltzmann=lambda system: system.units.boltzmann,
)  # fmt: skip

"""`State`: where particles are, how they move, and the box they are in."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree, UInt

from ...core.arrays import as_floats
from ...core.parameters import brief
from ...core.pytrees import is_array
from .box import Box


class State(eqx.Module):
    """What evolves. `system.state(position, velocity, box)` makes one.

    Positions are not wrapped: a particle that leaves the box on one side goes on outside, and `state.wrapped()` shows its
    image in the home cell. `extended` holds the variables of a thermostat or barostat that has some. Steps made so far are
    counted in `step`, so that noise drawn for each step is the same in one long run as in two that follow each other.
    `neighbors` are lists of who is near whom, handed to measurements that need them; states that are kept have none.
    """

    position: Float[Array, "n 3"]
    velocity: Float[Array, "n 3"]
    box: Box
    extended: Float[Array, " m"]
    step: UInt[Array, ""]
    neighbors: PyTree = None

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={_shape(getattr(self, name))}" for name in ("position", "velocity", "extended"))
        return f"State({said}, box={self.box!r}, step={'none' if self.step is None else brief(self.step)})"

    def wrapped(self) -> Float[Array, "n 3"]:
        """Positions in the home cell, where fractional coordinates are from 0 to 1."""
        return self.box.wrap(self.position)


def one_state(state: Any) -> State:
    """The state that was given. **Raises** `TypeError` for what is none, `ValueError` for many in one, as runs return."""
    if not isinstance(state, State):
        raise TypeError(f"the state has type {type(state).__name__}; particles start from system.state(position, ...).")
    if is_array(state.position) and state.position.ndim > 2:
        count = state.position.shape[0]
        raise ValueError(
            f"position has shape {state.position.shape}: these are {count} states, and one is needed. Take one by run[-1] or "
            "jax.tree.map(lambda v: v[-1], states); or all of them by system = system.sized(one) and "
            "wl.vmap(lambda state: measure(system, state))(states)."
        )
    return state


def make_state(position: ArrayLike, velocity: ArrayLike | None, box: Box | None) -> State:
    """The state of these numbers: at rest where no velocities are given, in free space where no box is.

    **Raises** `ValueError` for arrays of other shapes and for numbers that are not finite, naming the particle.
    """
    if isinstance(velocity, Box):
        raise TypeError("velocity is a Box: write system.state(position, velocity, box), or box=box for particles at rest.")
    position = _as_vectors("position", position)
    velocity = jnp.zeros_like(position) if velocity is None else _as_vectors("velocity", velocity)
    if velocity.shape != position.shape:
        raise ValueError(f"velocity has shape {velocity.shape}, and position {position.shape}: give one row a particle.")
    box = Box.free() if box is None else box
    if not isinstance(box, Box):
        raise TypeError(f"box has type {type(box).__name__}: write wl.md.Box.cubic(10.0), Box.triclinic(vectors) or Box.free().")
    box = eqx.tree_at(lambda b: b.vectors, box, box.vectors.astype(position.dtype))
    return State(position, velocity.astype(position.dtype), box, jnp.zeros(0, position.dtype), jnp.zeros((), jnp.uint32))


def _shape(value: Array | None) -> str:
    return "none" if value is None else f"{jnp.result_type(value)}[{', '.join(map(str, jnp.shape(value)))}]"


def _as_vectors(name: str, value: ArrayLike) -> Array:
    array = as_floats(value)
    if array.ndim != 2 or array.shape[1] != 3:
        raise ValueError(f"{name} has shape {array.shape}: it must be [n, 3], one row a particle.")
    if not isinstance(array, jax.core.Tracer):
        bad = np.argwhere(~np.isfinite(np.asarray(array)))
        if bad.size:
            i = int(bad[0, 0])
            raise ValueError(f"{name} of particle {i} is {np.asarray(array[i]).tolist()}: every number must be finite.")
    return array

"""The rows of all contacts that a model can have, in one state.

Pairs of shapes of the same kinds are worked on by one program: in lanes by a loop, which skips the pairs that touch in no
lane of a group, on XLA all at once. So the program is no longer for a hundred pairs than for one.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ...core.lanes.width import native_or_xla
from .collision import PAIRS, collide
from .constraints import contact_response
from .contacts import ContactParameters, contact_parameters, geom_pose, pyramid
from .kinematics import Placement
from .model import Candidate, Model
from .spatial import Matrix, Vector

# Jacobian, target acceleration, stiffness, and bounds of the force, of some rows.
Group = tuple[Array, Array, Array, Array, Array]


class _Pair(NamedTuple):
    """What one pair of shapes is: sizes, which way each degree of freedom moves the second against the first, poses."""

    parameters: ContactParameters
    sizes: tuple[Float[Array, "3"], Float[Array, "3"]]
    positions: tuple[Vector, Vector]
    rotations: tuple[Matrix, Matrix]
    moves: Float[np.ndarray, "nv"]  # 1, 0 or -1


def contact_groups(model: Model, placed: Placement, v: Float[Array, "nv"], dt: Float[Array, ""]) -> list[Group]:
    """The rows, group by group; those of candidates that do not touch have stiffness zero."""
    kinds: dict[tuple[str, str, int], list[Candidate]] = {}
    for candidate in model.tree.contacts:
        first, second = model.geoms[candidate.first].kind, model.geoms[candidate.second].kind
        kinds.setdefault((first, second, candidate.condim), []).append(candidate)
    names = dict.fromkeys(name for c in model.tree.contacts for name in (c.first, c.second))
    poses = {name: geom_pose(model, placed, name) for name in names}
    return [_group(model, placed, kind, own, poses, v, dt) for kind, own in kinds.items()]


def _group(
    model: Model,
    placed: Placement,
    kind: tuple[str, str, int],
    candidates: list[Candidate],
    poses: dict[str, tuple[Vector, Matrix]],
    v: Array,
    dt: Array,
) -> Group:
    axes = jnp.stack(placed.axes)
    origins = jnp.stack([placed.origin[body] for body in model.tree.freedom_bodies])
    pairs = jax.tree.map(_stacked, *[_pair(model, candidate, poses) for candidate in candidates])

    def one(pair: _Pair) -> tuple[Array, Array, Array]:
        return _rows(model, kind, pair, axes, origins, v, dt)

    if len(candidates) == 1:
        found = jax.tree.map(lambda x: x[None], one(jax.tree.map(lambda x: x[0], pairs)))
    else:
        in_turn = lambda pairs: lax.scan(lambda _, pair: (None, one(pair)), None, pairs)[1]
        found = native_or_xla(in_turn, jax.vmap(one), pairs)
    jacobian, target, stiffness = found
    jacobian, target, stiffness = jacobian.reshape(-1, model.nv), target.reshape(-1), stiffness.reshape(-1)
    return jacobian, target, stiffness, jnp.zeros_like(target), jnp.full_like(target, jnp.inf)


def _stacked(*xs: Array | np.ndarray) -> Array:
    """One array of all; known numbers as one constant."""
    return jnp.asarray(np.stack(xs)) if isinstance(xs[0], np.ndarray) else jnp.stack(xs)


def _pair(model: Model, candidate: Candidate, poses: dict[str, tuple[Vector, Matrix]]) -> _Pair:
    (p1, r1), (p2, r2) = poses[candidate.first], poses[candidate.second]
    first, second = model.geoms[candidate.first], model.geoms[candidate.second]
    moves = np.zeros(model.nv)
    for geom, sign in ((second, 1.0), (first, -1.0)):
        if geom.body is not None:
            moves += sign * model.tree.moves[model.tree.bodies.index(geom.body)]
    parameters = contact_parameters(model, candidate)
    return _Pair(parameters, (first.size, second.size), (p1, p2), (r1, r2), np.asarray(moves, p1.dtype))


def _rows(
    model: Model, kind: tuple[str, str, int], pair: _Pair, axes: Array, origins: Array, v: Array, dt: Array
) -> tuple[Array, Array, Array]:
    """Jacobian, target and stiffness of all rows that one pair of shapes can have."""
    first, second, condim = kind
    (p1, p2), (r1, r2), parameters = pair.positions, pair.rotations, pair.parameters
    touching = collide(first, second, p1, r1, pair.sizes[0], p2, r2, pair.sizes[1], parameters.margin)
    edges = 1 if condim == 1 else 2 * (condim - 1)
    count = PAIRS[first, second].candidates
    acts = touching.distance < parameters.margin

    def rows() -> tuple[Array, Array, Array]:
        found = []
        for k in range(count):
            frame, arms = touching.frame[k], touching.position[k] - origins
            turns = pair.moves[:, None] * axes[:, :3]
            shifts = pair.moves[:, None] * axes[:, 3:] + jnp.cross(turns, arms)
            six = jnp.concatenate([frame @ shifts.T, frame @ turns.T])
            jacobian = pyramid(six, parameters.friction, condim)
            # Far away, where nothing acts, depths would be large numbers.
            distance = jnp.where(acts[k], touching.distance[k], parameters.margin)
            target, stiffness = contact_response(
                distance, jacobian @ v, parameters.inverse_weight, parameters.friction[0], parameters.solref,
                parameters.solimp, parameters.margin, ratio=model.settings.friction_impedance, dt=dt,
                safe=model.settings.safe_time_constants,
            )  # fmt: skip
            found.append((jacobian, target, jnp.broadcast_to(jnp.where(acts[k], stiffness, 0.0), (edges,))))
        jacobian, target, stiffness = (jnp.concatenate(column) for column in zip(*found))
        return jacobian, target, stiffness

    def none() -> tuple[Array, Array, Array]:
        zero = jnp.zeros(count * edges, v.dtype)
        return jnp.zeros((count * edges, model.nv), v.dtype), zero, zero

    return lax.cond(jnp.any(acts), rows, none)

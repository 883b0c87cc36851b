"""The motion of a model in a state, for the solvers that step it: accelerations under forces, limits and contacts."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float, Int

from ...core.status import Code
from ...solvers.contact import solve_contact
from ...solvers.problems import Mechanics, Motion
from .actuation import Actuation, actuation, next_activation
from .dynamics import newton_euler
from .factor import factor_mass, solve_mass
from .flight import flight
from .holding import constraint_problem, is_held
from .kinematics import Placement, displacement_rate, integrate_position, move, place, position_rate
from .mass import mass_matrix_at, mass_rows
from .model import Model
from .passive import passive_forces_at
from .state import State
from .tendons import tendon_inertia


class _Inertia(NamedTuple):
    """The mass matrix, and what solves with it: factors in the tree's pattern, or dense ones."""

    rows: list[Array] | None
    dense: Array | None


def motion(
    model: Model, t: Float[Array, ""], state: State, u: Array | None, h: Float[Array, ""], implicit: str
) -> Motion:
    """Velocity and acceleration of a state under the control u (none: zeros).

        M dv/dt = force + Jᵀ f,      f the forces of `constraint_problem`

    and then, for the forces that are `implicit` over the step h, the acceleration a with

        (M + h D) a = M dv/dt,       D = damping of joints ("damping"), or -dforce/dv, its symmetric half ("velocity"; for
                                     bodies that fly alone see `flight`)

    **Source**: the documentation of MuJoCo, "Computation", forward dynamics and numerical integration.
    """
    del t
    if implicit == "damping" and not model.settings.implicit_damping:
        implicit = "none"
    q, v = state.q, state.v
    u = jnp.zeros(model.nu, v.dtype) if u is None else u
    placed = place(model, q)
    velocities, drifts = move(model, placed, v)
    done = actuation(model, q, v, u, state.activation, h)
    force = passive_forces_at(model, q, v, placed, velocities) + done.generalized
    force = force - newton_euler(model, placed, velocities, drifts)
    inertia = _inertia(model, placed)
    code = jnp.asarray(Code.OK, jnp.int32)
    if not is_held(model):
        acceleration = _solved(model, inertia, force, h, state, u, implicit)
        return Motion(v, acceleration, (done.rate, done.length), jnp.zeros_like(v), code)
    free = _solved(model, inertia, force, h, state, u, "none")
    dense = mass_matrix_at(model, placed) if inertia.dense is None else inertia.dense
    problem = constraint_problem(model, placed, q, v, dense, free, h)
    found = solve_contact(problem, state.acceleration)
    acceleration, code = found.acceleration, _code(found.converged, found.acceleration)
    if implicit != "none":
        acceleration = _solved(model, inertia, dense @ acceleration, h, state, u, implicit)
    return Motion(v, acceleration, (done.rate, done.length), jax.lax.stop_gradient(found.acceleration), code)


def _code(converged: Array, acceleration: Array) -> Int[Array, ""]:
    finite = jnp.all(jnp.isfinite(acceleration))
    failed = jnp.where(finite, Code.NOT_CONVERGED, Code.NON_FINITE)
    return jnp.where(converged, Code.OK, failed).astype(jnp.int32)


def _inertia(model: Model, placed: Placement) -> _Inertia:
    if tendon_inertia(model) is not None:
        return _Inertia(None, mass_matrix_at(model, placed))
    return _Inertia(mass_rows(model, placed), None)


def _solved(model: Model, inertia: _Inertia, force: Array, h: Array, state: State, u: Array, implicit: str) -> Array:
    """a of (M + h D) a = force."""
    if implicit == "velocity":
        mass, slope = _dense(model, inertia), _slope(model, state, u, h)
        dense = mass - 0.5 * h * (slope + slope.T)
        acceleration = cho_solve(cho_factor(dense, lower=True), force)
        return flight(model, state.q, state.v, mass, slope, force, acceleration, h)
    added = [jnp.zeros(())] * model.nv
    if implicit == "damping":
        tree = model.tree
        added = [
            h * model.joints[name].damping
            for name, own in zip(tree.joints, tree.velocities)
            for _ in range(own.stop - own.start)
        ]
    if inertia.rows is None:
        assert inertia.dense is not None
        dense = inertia.dense + jnp.diag(jnp.stack(added)) if implicit == "damping" else inertia.dense
        return cho_solve(cho_factor(dense, lower=True), force)
    rows = inertia.rows
    if implicit == "damping":
        rows = [row.at[-1].add(more) for row, more in zip(rows, added)]
    return solve_mass(model.tree, factor_mass(model.tree, rows), force)


def _dense(model: Model, inertia: _Inertia) -> Array:
    if inertia.dense is not None:
        return inertia.dense
    assert inertia.rows is not None
    lower = jnp.zeros((model.nv, model.nv), model.gravity.dtype)
    for i, (above, row) in enumerate(zip(model.tree.carriers, inertia.rows)):
        lower = lower.at[i, jnp.asarray((*above, i), int)].set(row)
    return lower + jnp.tril(lower, -1).T


def _slope(model: Model, state: State, u: Array, h: Array) -> Float[Array, "nv nv"]:
    """dforce/dv of passive and actuator forces."""

    def force(v: Array) -> Array:
        placed = place(model, state.q)
        passive = passive_forces_at(model, state.q, v, placed, move(model, placed, v)[0])
        return passive + actuation(model, state.q, v, u, state.activation, h).generalized

    return jax.jacfwd(force)(state.v)


def advance(model: Model, state: State, motion: Motion, h: Float[Array, ""], whole: bool = True) -> State:
    """The state after moving so for a time h; activations keep to their ranges and laws only at the end of a step."""
    rate, length = motion.rate
    done = Actuation(jnp.zeros(0), jnp.zeros(0), rate, length)
    activation = next_activation(model, state.activation, done, h) if whole else state.activation + h * rate
    return State(
        integrate_position(model, state.q, motion.velocity, h),
        state.v + h * motion.acceleration,
        activation,
        motion.free,
    )


def rate(model: Model, t: Float[Array, ""], state: State, u: Array | None) -> State:
    """d(state)/dt, with quaternions as four numbers, for solvers of differential equations."""
    now = motion(model, t, state, u, jnp.asarray(model.settings.timestep, state.v.dtype), "none")
    return State(position_rate(model, state.q, state.v), now.acceleration, now.rate[0], jnp.zeros_like(state.v))


MECHANICS = Mechanics(motion, advance, displacement_rate)

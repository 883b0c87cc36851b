"""Steppers of mechanical systems: semi-implicit Euler, its implicit relatives, and Runge-Kutta on curved spaces.

The control is what it was at the beginning of a step, as with a digital controller.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from ..core.loops import scan
from ..core.status import Code
from .problems import InitialValueProblem, Motion
from .stepping import FixedStep
from .tableaux import RK4

# Which forces each stepper takes as they are at the end of the step.
IMPLICIT = {"euler": "damping", "implicitfast": "velocity", "rk4": "none"}


class Mechanical(FixedStep):
    """Fixed steps of a system with `mechanics`.

    - `"euler"`: v_1 = v_0 + h a, q_1 = q_0 moved by h v_1, with linear damping at v_1: (M + h D) a = force.
    - `"implicitfast"`: the same with all forces that depend on velocities, but Coriolis forces, at v_1.
    - `"rk4"`: the classical Runge-Kutta method for displacements from q_0.

    **Source**: the documentation of MuJoCo, "Computation", section on numerical integration; for turns H. Munthe-Kaas,
    Applied Numerical Mathematics 29 (1999) 115.
    """

    def check(self, problem: InitialValueProblem) -> None:
        """**Raises** `ValueError` for a system that has no accelerations, and for a method that there is not."""
        if self.name not in IMPLICIT:
            raise ValueError(
                f"the integrator {self.name!r} is asked for, which worldline does not have: pass solver='implicitfast', "
                "'euler' or 'rk4'."
            )
        if problem.mechanics is None:
            raise ValueError(f"{self.name} steps mechanical systems, which have accelerations and forces of constraints.")

    def step(
        self, problem: InitialValueProblem, t: Float[Array, ""], state: PyTree, company: None, h: Float[Array, ""]
    ) -> tuple[PyTree, Int[Array, ""]]:
        """One step of the method."""
        assert problem.mechanics is not None
        mechanics, system, u = problem.mechanics, problem.system, problem.control(t, state)

        def motion(t: Array, state: PyTree) -> Motion:
            return mechanics.motion(system, t, state, u, h, IMPLICIT[self.name])

        def advance(motion: Motion, h: Array, whole: bool = True) -> PyTree:
            return mechanics.advance(system, state, motion, h, whole)

        if self.name == "rk4":
            return _runge_kutta(motion, advance, functools.partial(mechanics.displacement_rate, system), t, state, h)
        now = motion(t, state)
        after = now.velocity + h * now.acceleration
        return advance(Motion(after, now.acceleration, now.rate, now.free, now.code), h), now.code


def mechanical_solvers(usual: str) -> dict[str, Mechanical]:
    """The steppers by name, and as "auto" the `usual` one of a system: runs refuse one that there is not."""
    steppers = {name: Mechanical(name) for name in IMPLICIT}
    return steppers | {"auto": steppers.get(usual.lower(), Mechanical(usual))}


def _runge_kutta(
    motion: Callable, advance: Callable, displacement_rate: Callable, t: Array, state: PyTree, h: Array
) -> tuple[PyTree, Array]:
    """The four stages in a loop, so that the program of a motion is written once."""
    motion = jax.jit(motion)  # traced once, for its shapes and for the loop
    shapes = jax.eval_shape(motion, t, state)
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def scaled(weight: Array, motion: Motion) -> Motion:
        velocity, acceleration, rate = jax.tree.map(
            lambda x: weight * x, (motion.velocity, motion.acceleration, motion.rate)
        )
        return Motion(velocity, acceleration, rate, motion.free, motion.code)

    def stage(carry: tuple[Motion, Motion], weights: tuple) -> tuple[tuple[Motion, Motion], None]:
        before, total = carry
        part, place, share = weights
        moved = advance(scaled(part, before), h, whole=False)
        now = motion(t + place * h, jax.tree.map(lambda a, b: jnp.where(place > 0.0, a, b), moved, state))
        now = eqx.tree_at(lambda m: m.velocity, now, displacement_rate(part * h * before.velocity, now.velocity))
        added = jax.tree.map(jnp.add, total, scaled(share, now))
        code = jnp.where(total.code == Code.OK, now.code, total.code)
        return (now, Motion(added.velocity, added.acceleration, added.rate, now.free, code)), None

    weights = (np.append(0.0, np.diag(RK4.a, -1)[:3]), RK4.c[:4], RK4.a[4, :4])
    (_, total), _ = scan(stage, (nothing, nothing), tuple(jnp.asarray(x, h.dtype) for x in weights))
    return advance(total, h), total.code

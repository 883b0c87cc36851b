"""Steppers of mechanical systems: semi-implicit Euler, its implicit relatives, and Runge-Kutta on curved spaces.

The control is what it was at the beginning of a step, as with a digital controller.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

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
    - `"rk4"`: the classical Runge-Kutta method, whose stages move from q_0 along weighted velocities
      (Munthe-Kaas, BIT 38 (1998) 92, without the commutators, so that turning bodies are of lower order).

    **Source**: the documentation of MuJoCo, "Computation", section on numerical integration.
    """

    def check(self, problem: InitialValueProblem) -> None:
        """**Raises** `ValueError` for a system that has no accelerations."""
        if problem.mechanics is None:
            raise ValueError(f"{self.name} steps mechanical systems, such as wl.rigid.Model.")

    def step(
        self, problem: InitialValueProblem, t: Float[Array, ""], state: PyTree, h: Float[Array, ""]
    ) -> tuple[PyTree, Int[Array, ""]]:
        """One step of the method."""
        assert problem.mechanics is not None
        mechanics, system, u = problem.mechanics, problem.system, problem.control(t, state)

        def motion(t: Array, state: PyTree) -> Motion:
            return mechanics.motion(system, t, state, u, h, IMPLICIT[self.name])

        def advance(motion: Motion, h: Array) -> PyTree:
            return mechanics.advance(system, state, motion, h)

        if self.name == "rk4":
            return _runge_kutta(motion, advance, t, state, h)
        now = motion(t, state)
        after = now.velocity + h * now.acceleration
        return advance(Motion(after, now.acceleration, now.rate, now.free, now.code), h), now.code


def _runge_kutta(motion: Callable, advance: Callable, t: Array, state: PyTree, h: Array) -> tuple[PyTree, Array]:
    stages = [motion(t, state)]
    for row, place in zip(RK4.a[1:4], RK4.c[1:4], strict=True):
        stages.append(motion(t + float(place) * h, advance(_weighted(row, stages), h)))
    return advance(_weighted(RK4.a[4], stages), h), _first_failure([stage.code for stage in stages])


def _weighted(weights: Array, stages: list[Motion]) -> Motion:
    """The weighted mean of some motions. The first guess is the acceleration of the last stage."""
    parts = [(float(w), stage) for w, stage in zip(weights, stages, strict=False) if w != 0.0]

    def mean(pick: Callable[[Motion], Array]) -> Array:
        return sum((w * pick(stage) for w, stage in parts[1:]), start=parts[0][0] * pick(parts[0][1]))

    velocity, acceleration, rate = (mean(pick) for pick in (lambda m: m.velocity, lambda m: m.acceleration, lambda m: m.rate))
    return Motion(velocity, acceleration, rate, stages[-1].free, stages[-1].code)


def _first_failure(codes: list[Array]) -> Array:
    found = codes[0]
    for code in codes[1:]:
        found = jnp.where(found == Code.OK, code, found)
    return jax.lax.stop_gradient(found)

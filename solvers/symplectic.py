"""Symplectic solvers for separable systems: kicks and drifts with a fixed step, as data."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from ..core.status import Code
from .problems import InitialValueProblem
from .stepping import FixedStep

_CUBE = 2.0 ** (1.0 / 3.0)
_OUTER, _INNER = 1.0 / (2.0 - _CUBE), -_CUBE / (2.0 - _CUBE)
# Fractions of the step by which momenta (first) and positions (second) are advanced, in turn.
SCHEMES: dict[str, tuple[tuple[float, float], ...]] = {
    "symplectic_euler": ((1.0, 1.0),),
    # Stoermer-Verlet in its kick-drift-kick form (Hairer, Lubich & Wanner, Geometric Numerical Integration, I.1.4)
    "leapfrog": ((0.5, 1.0), (0.5, 0.0)),
    # H. Yoshida, Physics Letters A 150 (1990) 262: three leapfrogs of order two make one of order four
    "yoshida4": (
        (0.5 * _OUTER, _OUTER), (0.5 * (_OUTER + _INNER), _INNER), (0.5 * (_OUTER + _INNER), _OUTER), (0.5 * _OUTER,
        0.0),
    ),
}


class Symplectic(FixedStep):
    """dq/dt = velocity(t, p), dp/dt = force(t, q) by compositions of kicks and drifts; needs a fixed `dt`.

    For systems made by `wl.ode.Separable`. Between two output times the step is the largest one not above `dt` that
    divides the interval evenly, so that the energy error stays bounded over long runs.
    """

    name: str = eqx.field(static=True, default="leapfrog")

    def check(self, problem: InitialValueProblem) -> None:
        """**Raises** `ValueError` for a system without positions and momenta."""
        if problem.separable is None:
            raise ValueError(f"{self.name} needs positions and momenta: build the system with wl.ode.Separable.")

    def step(
        self, problem: InitialValueProblem, t: Float[Array, ""], state: PyTree, company: None, h: Float[Array, ""]
    ) -> tuple[PyTree, Int[Array, ""]]:
        """Kicks and drifts in turn."""
        assert problem.separable is not None
        velocity, force = problem.separable
        q, p = state
        for kick, drift in SCHEMES[self.name]:
            p = _add(p, kick * h, force(problem.system, t, q))
            if drift:
                q = _add(q, drift * h, velocity(problem.system, t, p))
                t = t + drift * h
        return (q, p), jnp.asarray(Code.OK, jnp.int32)


def _add(x: PyTree, h: Array, rate: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: a + h * jnp.asarray(b, a.dtype), x, rate)

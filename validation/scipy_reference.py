"""What SciPy makes of a problem of the zoo: states, and sensitivities by the variational equations."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float
from scipy import integrate

from ..physics.ode.zoo import Problem

EXPLICIT = "DOP853"


class ScipyFailure(RuntimeError):
    """SciPy did not reach the end of the span."""


@dataclass(frozen=True)
class Solution:
    """States over time as NumPy arrays, and what they cost."""

    method: str
    states: Float[np.ndarray, "n d"]
    steps: int  # that were accepted
    evaluations: int  # of the right-hand side
    seconds: float


@dataclass(frozen=True)
class Flat:
    """A problem on flat arrays: rate(t, y, p), initial state [d], parameters [m]."""

    rate: Callable[[Array, Array, Array], Array]
    state: Float[Array, " d"]
    parameters: Float[Array, " m"]

    @classmethod
    def of(cls, problem: Problem) -> "Flat":
        """Flatten the state and the named parameters of a problem, controls filled in."""
        system = problem.system()
        state, as_state = ravel_pytree(problem.initial())
        parameters, as_parameters = ravel_pytree(system.parameters)

        def rate(t, y, p):
            control = None if problem.controls is None else problem.controls(t)
            changed = system.replace(as_parameters(p))
            return ravel_pytree(changed.vector_field(t, as_state(y), control))[0]

        return cls(rate, state, parameters)


def scipy_states(problem: Problem, ts: Float[np.ndarray, " n"], method: str, rtol: float) -> Solution:
    """Solve y' = f(t, y) with `scipy.integrate.solve_ivp`; atol is rtol times the size of the problem.

    Raises `ScipyFailure` with SciPy's message.
    """
    flat = Flat.of(problem)
    atol = rtol * problem.size
    return _solve(lambda t, y: flat.rate(t, y, flat.parameters), flat.state, problem, ts, method, rtol, atol)


def scipy_sensitivities(
    problem: Problem, ts: Float[np.ndarray, " n"], method: str, rtol: float, least: Float[np.ndarray, " d"]
) -> Float[np.ndarray, "n d m"]:
    """Return p dy/dp along the solution by the variational equations, under SciPy's error control.

    y' = f(t, y, p),  S' = df/dy S + df/dp diag(p),  S(t0) = 0

    S is the change of the state when a parameter changes by its own size, which puts parameters of all units
    on one scale. The derivatives of f are those of `jax.jacfwd`. `least` [d] is the size below which entries
    of S do not matter; with the much smaller tolerances of some states SciPy would chase rounding errors.

    Raises `ScipyFailure` with SciPy's message.
    """
    flat = Flat.of(problem)
    p, size, count = flat.parameters, flat.state.size, flat.parameters.size

    def variational(t, both):
        y, sensitivity = both[:size], both[size:].reshape(size, count)
        by_state = jax.jacfwd(flat.rate, 1)(t, y, p)
        by_parameter = jax.jacfwd(flat.rate, 2)(t, y, p)
        return jnp.concatenate([flat.rate(t, y, p), (by_state @ sensitivity + by_parameter * p).ravel()])

    start = jnp.concatenate([flat.state, jnp.zeros(size * count, flat.state.dtype)])
    atol = rtol * np.concatenate([np.full(size, problem.size), np.repeat(least, count)])
    both = _solve(variational, start, problem, ts, method, rtol, atol).states
    return both[:, size:].reshape(len(ts), size, count)


def _solve(
    rate: Callable,
    start: Array,
    problem: Problem,
    ts: np.ndarray,
    method: str,
    rtol: float,
    atol: float | np.ndarray,
) -> Solution:
    compiled, jacobian = jax.jit(rate), jax.jit(jax.jacfwd(rate, 1))
    options = {} if method == EXPLICIT else {"jac": lambda t, y: np.asarray(jacobian(t, y))}
    t0, y0 = float(problem.span[0]), np.asarray(start)
    kind: type[integrate.OdeSolver] = getattr(integrate, method)
    steps = 0

    def step(solver: integrate.OdeSolver) -> str | None:
        nonlocal steps  # SciPy counts evaluations, but not steps
        steps += 1
        return kind.step(solver)

    # Compiling is not what is timed.
    compiled(t0, y0)
    jacobian(t0, y0)
    began = time.perf_counter()
    result = integrate.solve_ivp(
        lambda t, y: np.asarray(compiled(t, y)),
        problem.span,
        y0,
        method=type(method, (kind,), {"step": step}),
        t_eval=ts,
        rtol=rtol,
        atol=atol,
        **options,
    )
    seconds = time.perf_counter() - began
    if not result.success:
        reached = result.t[-1] if len(result.t) else t0
        raise ScipyFailure(f"SciPy's {method} stopped after t = {reached:.6g}: {result.message}")
    return Solution(method, result.y.T, steps, int(result.nfev), seconds)

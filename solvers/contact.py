"""Soft constraints on accelerations: the convex problem of contact, friction and limits, solved to convergence.

Whoever steps a mechanical system writes its constraints as rows and asks `solve_contact` for the acceleration. Nothing
here knows bodies or geometry. `contact_sweeps` holds the sums over rows.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from ..core.loops import while_loop
from .contact_sweeps import Rows, Sweep, along, assembled, compared, cost_of, force_on_piece, piece_of, sweep_of, tried

LINE_SEARCH_STEPS = 30
LINE_SEARCH_TOLERANCE = 1e-2  # of the slope at the start; the last step of Newton's method needs no line search
ROUNDING = 8  # times the rounding error, of the square root of the cost: what a step must be worth


class ContactProblem(eqx.Module):
    """Minimise `1/2 (a - free)^T mass (a - free) + sum_i s_i(jacobian_i a - target_i)` over accelerations a.

    Row i answers a residual r with the force `-s_i'(r) = clip(-stiffness r, lower, upper)`, and `s_i` is the cost with
    this slope: `1/2 stiffness r^2` while the force is inside its limits, linear beyond them.

    | row | lower | upper |
    | --- | --- | --- |
    | equality | -inf | inf |
    | dry friction | -bound | bound |
    | contact, limit: the force only pushes | 0 | inf |

    Shapes: `mass` [n, n], symmetric and positive definite; `free` [n]; `jacobian` [rows, n]; the others [rows]. A row
    with stiffness 0 is a candidate that is not there: it costs nothing, and in lanes four of them in a row take no time.
    All numbers must be finite but the limits.

    Source: E. Todorov, "Convex and analytically-invertible dynamics with contacts and constraints", ICRA 2014; MuJoCo
    documentation, "Computation", primal problem.
    """

    mass: Float[Array, "n n"]
    free: Float[Array, "n"]
    jacobian: Float[Array, "rows n"]
    target: Float[Array, "rows"]
    stiffness: Float[Array, "rows"]
    lower: Float[Array, "rows"]
    upper: Float[Array, "rows"]

    @property
    def rows(self) -> Rows:
        """All but the mass and the free acceleration."""
        return Rows(self.jacobian, self.target, self.stiffness, self.lower, self.upper)


class ContactSolution(eqx.Module):
    """The acceleration [n] that costs least, the force of each row [rows], the cost, and how the search ended.

    `converged` is False where the limit on iterations was reached or numbers were not finite.
    """

    acceleration: Float[Array, "n"]
    force: Float[Array, "rows"]
    cost: Float[Array, ""]
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]


def solve_contact(
    problem: ContactProblem, start: Float[Array, "n"] | None = None, *, max_iterations: int = 50
) -> ContactSolution:
    """Solve the problem by Newton's method with the exact Hessian and a line search along each step.

    `start` [n] is used where it costs less than the free acceleration, as the one of the step before usually does. The
    search ends when a full step leaves every row on the same piece of its cost, for then the step was exact, or when the
    step is worth no more than rounding. Derivatives with respect to every array of the problem are those of the optimum,
    of all orders and in both modes, from the factor of the last Hessian; `start` has none. At a row that is about to
    change its piece they are those of one side.

    Raises `ValueError` where shapes do not agree or `max_iterations` is not positive.
    """
    _check(problem, start, max_iterations)
    found = _optimum(problem, lax.stop_gradient(problem.free if start is None else start), max_iterations)
    force = force_on_piece(problem.rows, found.residual, piece_of(problem.rows, found.residual))
    cost = 0.5 * (found.acceleration - problem.free) @ found.momentum + cost_of(problem.rows, found.residual, force)
    return ContactSolution(found.acceleration, force, cost, found.iterations, found.converged)


def _check(problem: ContactProblem, start: Array | None, max_iterations: int) -> None:
    if max_iterations < 1:
        raise ValueError(f"max_iterations is {max_iterations}; it must be at least 1")
    n, count = jnp.shape(problem.free)[0], jnp.shape(problem.target)[0]
    wanted: dict[str, tuple[int, ...]] = {"mass": (n, n), "free": (n,), "jacobian": (count, n)}
    wanted |= dict.fromkeys(("target", "stiffness", "lower", "upper"), (count,))
    for name, shape in wanted.items():
        if jnp.shape(getattr(problem, name)) != shape:
            raise ValueError(
                f"{name} has shape {jnp.shape(getattr(problem, name))}; free and target make it a problem of {n} "
                f"accelerations and {count} rows, for which it must be {shape}"
            )
    if start is not None and jnp.shape(start) != (n,):
        raise ValueError(f"start has shape {jnp.shape(start)}; it must be that of free, {(n,)}")


class _Optimum(NamedTuple):
    """Where the search ended: acceleration, `jacobian a - target`, `mass (a - free)`, factor of the Hessian there."""

    acceleration: Array
    residual: Array
    momentum: Array
    factor: Array
    iterations: Any
    converged: Any


class _Search(NamedTuple):
    """What Newton's method carries: the point, the residual and momentum there, the last factor, how it goes."""

    point: Array
    residual: Array
    momentum: Array
    factor: Array
    iterations: Array
    done: Array
    failed: Array


def _newton(problem: ContactProblem, start: Array, max_iterations: int) -> _Optimum:
    """Iterations of Newton's method from the better one of `start` and the free acceleration."""
    mass, free, sweep = problem.mass, problem.free, sweep_of(problem.rows)
    pushed = mass @ (start - free)
    (at_free, at_start, size), (residual, other) = compared(sweep, free, start)
    warm = at_start + 0.5 * pushed @ (start - free) < at_free
    # A point has about this error squared, in the norm of the Hessian, from the rounding of its numbers.
    least = (ROUNDING * jnp.finfo(free.dtype).eps) ** 2 * (
        0.5 * free @ mass @ free + jnp.minimum(at_free, at_start) + size
    )

    def iterate(now: _Search) -> _Search:
        hessian, gradient = assembled(sweep, now.residual, mass, now.momentum)
        factor = lax.linalg.cholesky(hessian, symmetrize_input=False)
        step = -_solve(factor, gradient)
        slope = gradient @ step
        trial = tried(sweep, now.residual, step)
        pushed = mass @ step
        fraction = _line_search(
            sweep, now.residual, trial.change, slope, (trial.slope, trial.curvature), trial.leaving == 0,
            (step @ now.momentum, step @ pushed),
        )  # fmt: skip
        small, finite = -slope <= least, jnp.isfinite(slope)
        fraction = jnp.where(small | ~finite, 0.0, fraction)
        go = jnp.where(finite, fraction, 0.0)
        move = lambda x, dx: x + go * jnp.where(finite, dx, 0.0)
        return _Search(
            move(now.point, step), move(now.residual, trial.change), move(now.momentum, pushed), factor,
            now.iterations + 1, small | ~finite | ((trial.leaving == 0) & (fraction == 1.0)), ~finite,
        )  # fmt: skip

    pick = lambda x, y: jnp.where(warm, x, y)
    begin = _Search(
        pick(start, free), pick(other, residual), pick(pushed, 0.0), jnp.zeros_like(mass),
        jnp.asarray(0, jnp.int32), jnp.asarray(False), jnp.asarray(False),
    )  # fmt: skip
    end = while_loop(lambda now: ~now.done, iterate, begin, max_steps=max_iterations)
    return _Optimum(
        end.point, end.residual[: len(problem.target)], end.momentum, end.factor, end.iterations, end.done & ~end.failed
    )


def _line_search(
    sweep: Sweep, residual: Array, change: Array, slope: Array, whole: tuple, exact: Array, smooth: tuple[Array, Array]
) -> Array:
    """The fraction of a step at which the cost along it, convex and piecewise quadratic, is least.

    Newton's method in one dimension from the whole step, kept between fractions where the cost falls and where it rises.
    """

    def derivatives(fraction: Array, of_rows: tuple[Array, Array]) -> tuple[Array, Array]:
        return of_rows[0] + smooth[0] + fraction * smooth[1], of_rows[1] + smooth[1]

    def goes_on(now: tuple) -> Array:
        return ~now[-1]

    def improve(now: tuple) -> tuple:
        fraction, low, high, first, second, _ = now
        low, high = jnp.where(first < 0, fraction, low), jnp.where(first < 0, high, fraction)
        newton = fraction - first / second
        middle = jnp.where(high < jnp.inf, 0.5 * (low + high), 2.0 * fraction)
        fraction = jnp.where((newton > low) & (newton < high), newton, middle)
        first, second = derivatives(fraction, along(sweep, residual, change, fraction))
        return fraction, low, high, first, second, close(first)

    def close(first: Array) -> Array:
        return ~(jnp.abs(first) > LINE_SEARCH_TOLERANCE * jnp.abs(slope))

    one = jnp.ones_like(slope)
    first, second = derivatives(one, whole)
    begin = (one, jnp.zeros_like(one), jnp.full_like(one, jnp.inf), first, second, exact | close(first))
    return while_loop(goes_on, improve, begin, max_steps=LINE_SEARCH_STEPS)[0]


def _solve(factor: Array, b: Array) -> Array:
    """x with L L^T x = b."""
    y = lax.linalg.triangular_solve(factor, b[:, None], left_side=True, lower=True)
    return lax.linalg.triangular_solve(factor, y, left_side=True, lower=True, transpose_a=True)[:, 0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _optimum(problem: ContactProblem, start: Array, max_iterations: int) -> _Optimum:
    return _newton(problem, start, max_iterations)


@_optimum.defjvp
def _optimum_tangent(max_iterations: int, primals: tuple, tangents: tuple) -> tuple[_Optimum, _Optimum]:
    """The tangent of the solution of the linear system that holds while no row changes its piece.

    With H the Hessian and g the gradient on this piece, `H da = -dg` at fixed a. Higher derivatives follow, for a is
    itself differentiated by this rule.
    """
    problem, d = primals[0], tangents[0]
    found = _optimum(*primals, max_iterations)
    a = found.acceleration
    piece = piece_of(problem.rows, found.residual)

    def gradient(problem: ContactProblem) -> Array:
        force = force_on_piece(problem.rows, problem.jacobian @ a - problem.target, piece)
        return problem.mass @ (a - problem.free) - force @ problem.jacobian

    def hessian(v: Array) -> Array:
        stiffness = jnp.where(piece[0] | piece[1], 0.0, problem.stiffness)
        return problem.mass @ v + (stiffness * (problem.jacobian @ v)) @ problem.jacobian

    factor = lax.stop_gradient(found.factor)
    _, change = jax.jvp(gradient, (problem,), (d,))
    da = lax.custom_linear_solve(hessian, -change, lambda _, b: _solve(factor, b), symmetric=True)
    return found, _Optimum(
        da,
        problem.jacobian @ da + d.jacobian @ a - d.target,
        problem.mass @ (da - d.free) + d.mass @ (a - problem.free),
        jnp.zeros_like(found.factor),
        np.zeros((), jax.dtypes.float0),
        np.zeros((), jax.dtypes.float0),
    )

"""Symplectic solvers for separable systems: kicks and drifts with a fixed step, as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..core.loops import scan, while_loop
from ..core.status import Code, Status
from .problems import InitialValueProblem, Options, Solution, Solver, Stats
from .sensitivity import count_outputs, differentiable
from .step_control import same_time

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


class Symplectic(Solver):
    """dq/dt = velocity(t, p), dp/dt = force(t, q) by compositions of kicks and drifts; needs a fixed `dt`.

    For systems made by `wl.ode.Separable`. Between two output times the step is the largest one not above `dt` that
    divides the interval evenly, so that the energy error stays bounded over long runs.
    """

    name: str = eqx.field(static=True, default="leapfrog")

    def solve(
        self, problem: InitialValueProblem, t0: Float[Array, ""], ts: Float[Array, " k"], options: Options
    ) -> Solution:
        """States at `ts`, differentiable as `options.gradient` says."""
        if problem.separable is None:
            raise ValueError(f"{self.name} needs positions and momenta: build the system with wl.ode.Separable.")
        if options.dt is None:
            raise ValueError(f"{self.name} takes fixed steps: pass dt=step to simulate.")
        arrays, rest = eqx.partition((problem, t0, ts, options), eqx.is_array)
        leaves, structure = jax.tree.flatten(arrays)

        def run(gradient: str) -> Callable:
            def evaluate(*values: Array) -> dict[str, Any]:
                inputs = eqx.combine(jax.tree.unflatten(structure, values), rest)
                return _run(*inputs, scheme=SCHEMES[self.name], gradient=gradient)

            return evaluate

        out = differentiable(run("forward"), run("reverse"), options.gradient, count_outputs(problem, ts))(*leaves)
        failed = out["code"] != Code.OK
        status = Status(out["code"], jnp.where(failed, out["t"], jnp.nan), jnp.where(failed, _bad_step(out), -1))
        stats = Stats(self.name, out["steps"], jnp.zeros_like(out["steps"]), jnp.full_like(out["t"], jnp.nan))
        final = jax.tree.map(lambda v: v[-1], out["states"])
        return Solution(out["states"], final, status, stats)


def _run(problem, t0, ts, options, *, scheme, gradient) -> dict[str, Any]:
    velocity, force = problem.separable

    def step(t: Array, state: PyTree, h: Array) -> PyTree:
        q, p = state
        for kick, drift in scheme:
            p = _add(p, kick * h, force(problem.system, t, q))
            if drift:
                q = _add(q, drift * h, velocity(problem.system, t, p))
                t = t + drift * h
        return (q, p)

    def interval(carry: tuple, target: Array) -> tuple[tuple, PyTree]:
        left, state, count, bad, short = carry
        ended = bad | short
        span = target - left
        number = jnp.ceil(jax.lax.stop_gradient(span / options.dt) * (1 - 1e-6)).astype(jnp.int32)
        enough = number <= options.max_steps - count
        h = _step_size(left, target, number, options.dt)
        number = jnp.where(enough, number, options.max_steps - count)

        def body(c: tuple) -> tuple:
            i, y, _ = c
            y = step(left + i * h, y, h)
            return i + 1, y, _finite(y)

        taken, state, finite = while_loop(
            lambda c: (c[0] < number) & c[2], body, (jnp.zeros((), jnp.int32), state, ~ended), gradient=gradient
        )
        count = count + taken
        bad = bad | ~(finite | short)
        short = short | ~enough
        # A run ends where its bad step, or the one too many, begins.
        last = left + jnp.maximum(taken - bad, 0) * h
        left = jnp.where(ended, left, jnp.where(bad | short, last, target))
        shown = jax.tree.map(lambda v: jnp.where(bad | short, jnp.nan, v), state)
        return (left, state, count, bad, short), shown

    if gradient == "reverse":
        interval = jax.checkpoint(interval)
    start = (t0, problem.state, jnp.zeros((), jnp.int32), jnp.asarray(False), jnp.asarray(False))
    (t, _, count, bad, short), states = scan(interval, start, ts)
    code = jnp.where(bad, Code.NON_FINITE, jnp.where(short, Code.STEP_LIMIT, Code.OK)).astype(jnp.int32)
    return {"states": states, "code": code, "t": t, "steps": count}


def _step_size(left: Array, target: Array, number: Array, dt: Array) -> Array:
    """The even part of an interval; `dt` itself where that differs by rounding only, so that runs in pieces agree."""
    h = (target - left) / jnp.maximum(number, 1)
    same = same_time(left + number * dt, target)
    return jnp.where(same, jax.lax.stop_gradient(dt) + (h - jax.lax.stop_gradient(h)), h)


def _bad_step(out: dict[str, Any]) -> Array:
    """Steps are counted from 0: the last one made is the bad one, the limit stops the one after it."""
    return jnp.maximum(out["steps"] - (out["code"] != Code.STEP_LIMIT), 0)


def _add(x: PyTree, h: Array, rate: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: a + h * jnp.asarray(b, a.dtype), x, rate)


def _finite(state: PyTree) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(v)) for v in jax.tree.leaves(state)]))

"""Residuals of simulated experiments and their Jacobian, for several trial points in one compiled call."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ...core.transforms import jit
from ...solvers.adaptive import METHODS
from ..simulate import simulate
from .observations import Comparison, Experiment
from .unknowns import Placement, Unknowns

EXPLICIT_STEPS = 20_000  # of the run at the start; where it takes more, the fit uses the solver that can switch
# A trial far off may be many times as costly as the start. It is refused after this many steps, as one that failed.
STEPS_PER_STEP_AT_START = 4
STEPS_ANYWAY = 1000


class Model(eqx.Module):
    """Everything the residuals depend on besides the unknowns; its arrays are arguments of the compiled program."""

    placement: Placement
    ts: list[Any]
    starts: list[Any]
    controls: list[Any]
    comparisons: list[tuple[Comparison, ...]]
    max_steps: Any
    options: dict[str, Any]
    forward: bool = eqx.field(static=True)

    def __call__(self, u: Float[Array, " n"], horizon: Float[Array, ""]) -> tuple[Float[Array, " m"], Int[Array, ""]]:
        """Residuals of all experiments at u, zero for missing values, NaN from where a simulation failed; most steps
        of a run.

        Runs end at `horizon` after their beginning; the residuals of later times mean nothing.
        """
        system, states = self.placement.apply(u)
        parts, steps = [], jnp.zeros((), jnp.int32)
        runs = zip(states, self.ts, self.starts, self.controls, self.comparisons, strict=True)
        for state, ts, start, controls, comparisons in runs:
            run = simulate(
                system,
                state,
                ts=jnp.minimum(ts, start + horizon),
                t0=start,
                controls=controls,
                throw=False,
                progress=False,
                gradient="forward" if self.forward else "reverse",
                max_steps=self.max_steps,
                **self.options,
            )
            parts += [c.residuals(ts, run.states, system) for c in comparisons]
            steps = jnp.maximum(steps, run.stats.steps)
        return jnp.concatenate(parts), steps

    def with_jacobian(
        self, u: Float[Array, " n"], horizon: Float[Array, ""]
    ) -> tuple[Float[Array, " m"], Float[Array, "m n"], Int[Array, ""]]:
        """Residuals, their Jacobian (in forward mode beside one primal run, or in reverse mode), and most steps of a run."""

        def with_steps(w: Array) -> tuple[Array, Array]:
            return self(w, horizon)

        if self.forward:
            basis = jnp.eye(u.shape[0], dtype=u.dtype)
            push = jax.vmap(lambda v: jax.jvp(with_steps, (u,), (v,), has_aux=True), out_axes=(None, -1, None))
            return push(basis)
        r, pull, steps = jax.vjp(with_steps, u, has_aux=True)
        return r, jax.vmap(lambda w: pull(w)[0])(jnp.eye(r.shape[0], dtype=r.dtype)), steps


class Residuals:
    """r(u) and dr/du at several points at once, counted; missing values are left out.

    `times` [m] are the times of the residuals since the beginning of their runs. The Jacobian is taken in forward mode
    unless there are more unknowns than residuals. The compiled program is shared by all fits of the same structure.
    The default solver is the explicit one alone, which compiles in half the time, unless the first run takes 20 000
    steps: then it is `"auto"`. Later runs may take four times the steps of the first; `refused` counts those that did.
    """

    def __init__(self, unknowns: Unknowns, experiments: Sequence[Experiment], options: dict[str, Any]):
        times = np.concatenate([o.residual_times() - e.start for e in experiments for o in e.observations])
        self.present = np.isfinite(times)
        self.times = times[self.present]
        self.dtype = jnp.result_type(*jax.tree.leaves(unknowns.states))
        self.evaluations = 0
        self.refused = 0
        self._limit = options["max_steps"]
        self._first = True
        own = isinstance(options["solver"], str) and options["solver"].lower() in METHODS
        explicit = options["solver"] == "auto" and options["dt"] is None
        others = {name: value for name, value in options.items() if name != "max_steps"}
        self.model = Model(
            placement=unknowns.placement,
            ts=[e.ts.astype(self.dtype) for e in experiments],
            starts=[np.asarray(e.start, self.dtype) for e in experiments],
            controls=[e.controls for e in experiments],
            comparisons=[tuple(o.comparison(e.ts) for o in e.observations) for e in experiments],
            max_steps=np.asarray(min(EXPLICIT_STEPS, self._limit) if explicit else self._limit) if own else self._limit,
            options=others | ({"solver": "tsit5"} if explicit else {}),
            forward=len(unknowns.start) <= len(self.times),
        )

    def __call__(
        self, x: Float[np.ndarray, "k n"], horizon: Float[np.ndarray, " k"] | None = None
    ) -> tuple[Float[np.ndarray, "k m"], Float[np.ndarray, "k m n"]]:
        """Residuals [k, m] and Jacobians [k, m, n] at k points, in float64; up to the horizon of each, by default all."""
        self.evaluations += len(x)
        until = np.full(len(x), self.times.max()) if horizon is None else horizon
        arguments = np.asarray(x, self.dtype), np.asarray(until, self.dtype)
        r, jacobian, steps = _evaluate(*arguments, self.model)
        if self._first and isinstance(self.model.max_steps, np.ndarray):
            r, jacobian, steps = self._settle(arguments, (r, jacobian, steps))
        self._first = False
        self.refused += int(np.sum(steps >= self.model.max_steps))
        return np.asarray(r, np.float64)[:, self.present], np.asarray(jacobian, np.float64)[:, self.present]

    def _settle(self, arguments: tuple, found: tuple) -> tuple:
        """Choose solver and step limit by the run at the start."""
        if int(np.max(found[2])) >= int(self.model.max_steps) and self.model.options["solver"] == "tsit5":
            self._change(options=self.model.options | {"solver": "auto"}, max_steps=np.asarray(self._limit))
            found = _evaluate(*arguments, self.model)
        allowed = STEPS_PER_STEP_AT_START * int(np.max(found[2])) + STEPS_ANYWAY
        self._change(max_steps=np.asarray(min(allowed, self._limit)))
        return found

    def _change(self, **fields: Any) -> None:
        self.model = dataclasses.replace(self.model, **fields)


@jit
def _evaluate(x, horizon, model):
    if x.shape[0] == 1:
        return jax.tree.map(lambda v: v[None], model.with_jacobian(x[0], horizon[0]))
    return jax.vmap(model.with_jacobian)(x, horizon)

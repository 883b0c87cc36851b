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
from .comparison import Comparison
from .observations import Experiment
from .unknowns import Placement, Unknowns

FIRST_STEPS = 20_000  # of the run at the start, before it is tried again with all that is allowed
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
                ts=_up_to(start + horizon, ts),
                t0=start,
                controls=controls,
                throw=False,
                progress=False,
                gradient="forward",
                max_steps=self.max_steps,
                **self.options,
            )
            parts += [c.residuals(ts, run.states, system) for c in comparisons]
            steps = jnp.maximum(steps, run.stats.steps)
        return jnp.concatenate(parts), steps

    def with_jacobian(
        self, u: Float[Array, " n"], horizon: Float[Array, ""]
    ) -> tuple[Float[Array, " m"], Float[Array, "m n"], Int[Array, ""]]:
        """Residuals, their Jacobian in forward mode beside one primal run, and most steps of a run.

        Reverse mode takes a backward pass for each residual and could only win with fewer residuals than unknowns. Such
        a fit is refused before, for its residuals cannot determine the unknowns.
        """
        basis = jnp.eye(u.shape[0], dtype=u.dtype)
        push = jax.vmap(
            lambda v: jax.jvp(lambda w: self(w, horizon), (u,), (v,), has_aux=True), out_axes=(None, -1, None)
        )
        return push(basis)


class Residuals:
    """r(u) and dr/du at several points at once, counted; missing values and those that are the initial state are left out.

    `times` [m] are the times of the residuals since the beginning of their runs, `given` counts the values that are the
    initial state. The compiled program is shared by all
    fits of the same structure. The first call decides how runs are solved: the run at the start may take `max_steps`
    steps, later ones four times those that it took (where it failed, `max_steps`). Instead of `"auto"`, whose two
    methods compile twice as long, the explicit one is used alone where it brings the first run to its end within
    20 000 steps. A solver of diffrax has its step limit compiled in, which is therefore either 20 000 or `max_steps`.
    """

    def __init__(self, unknowns: Unknowns, experiments: Sequence[Experiment], options: dict[str, Any]):
        times = np.concatenate([o.residual_times() - e.start for e in experiments for o in e.observations])
        given = np.concatenate([e.given(unknowns.fixed(i)) for i, e in enumerate(experiments)])
        self.given = int(np.sum(given))
        self.present = np.isfinite(times) & ~given
        self.times = times[self.present]
        self.dtype = jnp.result_type(*jax.tree.leaves(unknowns.states))
        self.evaluations = 0
        self._limit = options["max_steps"]
        self._first = True
        own = isinstance(options["solver"], str) and options["solver"].lower() in METHODS
        self._explicit = options["solver"] == "auto" and options["dt"] is None
        steps = self._limit if own and not self._explicit else min(FIRST_STEPS, self._limit)
        others = {name: value for name, value in options.items() if name != "max_steps"}
        self.model = Model(
            placement=unknowns.placement,
            ts=[e.ts.astype(self.dtype) for e in experiments],
            starts=[np.asarray(e.start, self.dtype) for e in experiments],
            controls=[e.controls for e in experiments],
            comparisons=[tuple(o.comparison(e.ts) for o in e.observations) for e in experiments],
            max_steps=np.asarray(steps) if own else steps,
            options=others | ({"solver": "tsit5"} if self._explicit else {}),
        )

    def __call__(
        self, x: Float[np.ndarray, "k n"], horizon: Float[np.ndarray, " k"] | None = None
    ) -> tuple[Float[np.ndarray, "k m"], Float[np.ndarray, "k m n"]]:
        """Residuals [k, m] and Jacobians [k, m, n] at k points, in float64; up to the horizon of each, by default all."""
        self.evaluations += len(x)
        until = np.full(len(x), self.times.max()) if horizon is None else horizon
        arguments = np.asarray(x, self.dtype), np.asarray(until, self.dtype)
        found = _evaluate(*arguments, self.model)
        if self._first:
            found = self._settle(arguments, found)
        r, jacobian, _ = found
        return np.asarray(r, np.float64)[:, self.present], np.asarray(jacobian, np.float64)[:, self.present]

    def _settle(self, arguments: tuple, found: tuple) -> tuple:
        """Choose solver and step limit by the run at the start."""
        self._first = False
        if not np.isfinite(found[0]).all() and (self._explicit or self.model.max_steps < self._limit):
            self._change(options=self.model.options | ({"solver": "auto"} if self._explicit else {}))
            self._allow(self._limit)
            found = _evaluate(*arguments, self.model)
        needed = STEPS_PER_STEP_AT_START * int(np.max(found[2])) + STEPS_ANYWAY
        allowed = min(needed, self._limit) if np.isfinite(found[0]).all() else self._limit
        if isinstance(self.model.max_steps, np.ndarray):
            self._allow(allowed)
        elif allowed > self.model.max_steps:
            self._allow(self._limit)
        return found

    def _allow(self, steps: int) -> None:
        self._change(max_steps=np.asarray(steps) if isinstance(self.model.max_steps, np.ndarray) else steps)

    def _change(self, **fields: Any) -> None:
        self.model = dataclasses.replace(self.model, **fields)


def _up_to(end: Float[Array, ""], ts: Float[Array, " k"]) -> Float[Array, " k"]:
    """Increasing times that are `ts` up to the end and directly after it beyond."""
    beyond = jnp.cumsum(ts > end)
    spacing = 4.0 * jnp.finfo(ts.dtype).eps * jnp.max(jnp.abs(ts))
    return jnp.minimum(ts, end + spacing * beyond)


@jit
def _evaluate(x, horizon, model):
    if x.shape[0] == 1:
        return jax.tree.map(lambda v: v[None], model.with_jacobian(x[0], horizon[0]))
    return jax.vmap(model.with_jacobian)(x, horizon)

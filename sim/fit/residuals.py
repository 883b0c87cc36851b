"""Residuals of simulated experiments and their Jacobian, for several trial points in one compiled call."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from ...core.lanes.transform import lanes
from ...core.pytrees import is_array
from ...core.transforms import jit
from ...solvers.adaptive import Adaptive
from ...solvers.choice import choose_solver
from ...solvers.diffrax_bridge import Diffrax
from ...solvers.stepping import FixedStep
from ..simulate import simulate
from .comparison import Comparison
from .observations import Experiment
from .unknowns import Placement, Unknowns

FIRST_STEPS = 20_000  # of the run at the start, before it is tried again with all that is allowed
# A trial far off may be many times as costly as the start. It is refused after this many steps, as one that failed.
STEPS_PER_STEP_AT_START = 4
STEPS_ANYWAY = 1000


class Runs(eqx.Module):
    """Experiments that differ in their numbers alone; array leaves of `each` have one more axis, along the experiments.

    `each` holds initial state, times, start, controls and comparisons. An experiment depends on the unknowns u[columns],
    and its residuals are r[rows]; both [e, ...].
    """

    placement: Placement  # of the part of u that one experiment depends on; without states
    each: tuple[PyTree, Any, Any, Any, tuple[Comparison, ...]]
    columns: Any
    rows: Any

    def residuals(
        self, u: Float[Array, " k"], horizon: Float[Array, ""], run: tuple, options: dict[str, Any]
    ) -> tuple[Float[Array, " m"], Int[Array, ""]]:
        """Residuals of one experiment at its part of the unknowns, zero for missing values, NaN from where the simulation
        failed; steps of the run.

        It ends at `horizon` after its beginning; the residuals of later times mean nothing.
        """
        state, ts, start, controls, comparisons = run
        system, (state,) = dataclasses.replace(self.placement, states=[state]).apply(u)
        until = _up_to(start + horizon, ts)
        found = simulate(system, state, ts=until, t0=start, controls=controls, throw=False, progress=False, **options)
        parts = [c.residuals(ts, found.states, system) for c in comparisons]
        return jnp.concatenate(parts), found.stats.steps


class Model(eqx.Module):
    """Everything the residuals depend on besides the unknowns; its arrays are arguments of the compiled program."""

    groups: list[Runs]
    max_steps: Any
    options: dict[str, Any]
    in_lanes: bool = eqx.field(static=True)  # whether each direction of a derivative has a run of its own

    def with_jacobian(
        self, u: Float[Array, "p n"], horizon: Float[Array, " p"]
    ) -> tuple[Float[Array, "p m"], Float[Array, "p m n"], Int[Array, " p"]]:
        """Residuals of all experiments at p points, their Jacobians in forward mode, and most steps of a run.

        Reverse mode takes a backward pass for each residual and could only win with fewer residuals than unknowns. Such
        a fit is refused before, for its residuals cannot determine the unknowns.
        """
        count = sum(group.rows.size for group in self.groups)
        r, jacobian = jnp.zeros((len(u), count), u.dtype), jnp.zeros((len(u), count, u.shape[1]), u.dtype)
        steps = jnp.zeros(len(u), jnp.int32)
        for group in self.groups:
            arrays, rest = eqx.partition(group.each, is_array)
            one = lambda given, group=group, rest=rest: self._one(
                group, eqx.combine(given[0], rest), u[:, given[1]], horizon
            )
            if len(group.columns) == 1:
                found = jax.tree.map(lambda x: x[None], one(jax.tree.map(lambda x: x[0], (arrays, group.columns))))
            else:
                found = jax.lax.map(one, (arrays, group.columns))
            r = r.at[:, group.rows].set(jnp.moveaxis(found[0], 0, 1))
            columns = group.columns[:, None, :]
            jacobian = jacobian.at[:, group.rows[:, :, None], columns].set(jnp.moveaxis(found[1], 0, 1))
            steps = jnp.maximum(steps, jnp.max(found[2], axis=0))
        return r, jacobian, steps

    def _one(self, group: Runs, run: tuple, u: Float[Array, "p k"], horizon: Float[Array, " p"]) -> tuple:
        """Residuals [p, m], Jacobian [p, m, k] and steps [p] of one experiment."""
        options = self.options | {"max_steps": self.max_steps, "gradient": "tangent" if self.in_lanes else "forward"}

        def push(u: Array, horizon: Array, direction: Array) -> tuple[Array, Array, Array]:
            function = lambda w: group.residuals(w, horizon, run, options)
            return jax.jvp(function, (u,), (direction,), has_aux=True)

        points, size = u.shape
        basis = jnp.eye(size, dtype=u.dtype)
        if not self.in_lanes:
            both = lambda u, horizon: jax.vmap(push, (None, None, 0), (None, -1, None))(u, horizon, basis)
            if points == 1:
                return jax.tree.map(lambda v: v[None], both(u[0], horizon[0]))
            return jax.vmap(both)(u, horizon)
        many = jnp.repeat(u.T, size, axis=1), jnp.repeat(horizon, size), jnp.tile(basis, points)
        r, slopes, steps = (v.reshape(*v.shape[:-1], points, size) for v in lanes(push, quiet=True)(*many))
        return r[..., 0].T, jnp.moveaxis(slopes, 0, 1), steps[:, 0]


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
        chosen = choose_solver(options["solver"], getattr(unknowns.system, "solvers", None))
        own = not isinstance(chosen, Diffrax)
        self._explicit = isinstance(chosen, Adaptive) and chosen.name == "auto" and options["dt"] is None
        steps = self._limit if own and not self._explicit else min(FIRST_STEPS, self._limit)
        others = {name: value for name, value in options.items() if name != "max_steps"}
        self.model = Model(
            groups=_groups(unknowns, experiments, self.dtype),
            max_steps=np.asarray(steps) if own else steps,
            options=others | ({"solver": "tsit5"} if self._explicit else {}),
            in_lanes=isinstance(chosen, FixedStep),
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


def _groups(unknowns: Unknowns, experiments: Sequence[Experiment], dtype: Any) -> list[Runs]:
    """The experiments, together those for which one program serves."""
    alike: dict[Any, list[tuple]] = {}
    first = 0
    for i, experiment in enumerate(experiments):
        placement, columns = unknowns.placed(i)
        comparisons = tuple(o.comparison(experiment.ts) for o in experiment.observations)
        start = np.asarray(experiment.start, dtype)
        run = (unknowns.states[i], experiment.ts.astype(dtype), start, experiment.controls, comparisons)
        count = sum(o.residual_times().size for o in experiment.observations)
        leaves, structure = jax.tree.flatten(run)
        kinds = tuple((x.shape, str(x.dtype)) if is_array(x) else id(x) for x in leaves)
        own = alike.setdefault((structure, kinds, placement.entries), [])
        own.append((placement, run, columns, np.arange(first, first + count)))
        first += count
    groups = []
    for members in alike.values():
        each = jax.tree.map(lambda *x: np.stack(x) if is_array(x[0]) else x[0], *(run for _, run, _, _ in members))
        columns = np.stack([columns for _, _, columns, _ in members])
        groups.append(Runs(members[0][0], each, columns, np.stack([rows for *_, rows in members])))
    return groups


@jit
def _evaluate(x, horizon, model):
    return model.with_jacobian(x, horizon)

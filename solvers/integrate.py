"""The adaptive time loop: steps, acceptance, outputs, switch to a stiff method, events, status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..core.loops import scan, while_loop
from ..core.status import Code
from .one_step import DenseOutput, LastStep, Method, dense_output, standing
from .problems import FlatField
from .step_control import StepControl, all_finite, larger, log_norm, same_time, too_small

# Tsit5 is stable for h |lambda| up to 3.5 in most of the left half plane (2.7 five degrees off the imaginary axis), and
# step control holds a stiff run right there. The estimate from the probe comes out smaller, by the share of the slow
# components in it. After Hairer & Wanner, Solving ODEs II, IV.2, fifteen steps that exceed a threshold, not interrupted
# by six that do not, prove stiffness. Measured over the zoo at tolerances from 1e-3 to 1e-10: at 2.5 the problems that
# are not stiff gather 3 votes at most, and Robertson's has its fifteen after 32 to 128 steps (rtol 1e-3 to 1e-8).
STRAINED = 2.5
VOTES_TO_SWITCH = 15
CALM_STEPS_TO_FORGET = 6
# A stiff step costs several explicit ones, so that a run which is nearly over is finished as it began.
STEPS_LEFT_WORTH_A_SWITCH = 300.0
# States kept for the reverse pass: as many as fit these bytes, in each interval between outputs within these bounds.
CHECKPOINT_BYTES = 2**28
FEWEST_CHECKPOINTS, MOST_CHECKPOINTS = 4, 256
# Parts of a step in which event functions are looked at, so that a there and back within one step is seen.
EVENT_PARTS = 4
LEAST_LOG_ERROR = -9.2  # of an accepted step, as the control of the next one sees it: an error of 1e-4


class Run(eqx.Module):
    """What stays the same all through a run: field, output times, control of steps, methods, way to differentiate.

    With `landing` every output time is the end of a step; then the state within steps is not needed.
    """

    field: FlatField
    ts: Float[Array, " k"]
    control: StepControl
    methods: tuple[Method, ...] = eqx.field(static=True)
    landing: bool = eqx.field(static=True)
    gradient: Literal["forward", "reverse"] = eqx.field(static=True, default="forward")

    @property
    def has_events(self) -> bool:
        """Whether an event may end the run."""
        return self.field.problem.event is not None


class Progress(eqx.Module):
    """Everything a run carries from one attempted step to the next, so that it can be continued bit for bit.

    The clock stands at `t + lag`: adding a step to a large time loses digits of the step, and `lag` keeps them.
    `log_error` is the logarithm of the last step's error norm, `last` that step, where outputs or events need it.
    """

    t: Float[Array, ""]
    lag: Float[Array, ""]
    y: Float[Array, " n"]
    f: Float[Array, " n"]
    h: Float[Array, ""]
    log_error: Float[Array, ""]
    last: LastStep | None
    events: Float[Array, " m"]
    fired: Bool[Array, " m"]
    method: Int[Array, ""]
    votes: Int[Array, ""]
    calm: Int[Array, ""]
    switched: Float[Array, ""]
    steps: Int[Array, ""]
    rejected: Int[Array, ""]
    saved: Int[Array, ""]
    code: Int[Array, ""]

    @property
    def within(self) -> LastStep:
        """The last step, where it is kept."""
        assert self.last is not None, "a run that lands on its outputs keeps no last step"
        return self.last

    @property
    def running(self) -> Bool[Array, ""]:
        """Neither failed nor ended by an event."""
        return (self.code == Code.OK) & ~jnp.any(self.fired)

    def unfinished(self, count: int) -> Bool[Array, ""]:
        """Whether the run goes on: not ended, and fewer than `count` outputs saved."""
        return self.running & (self.saved < count)


def start(run: Run, t0: Float[Array, ""], y0: Float[Array, " n"]) -> Progress:
    """The beginning of a run at (t0, y0)."""
    f = run.field(t0, y0)
    events = run.field.events(t0, y0)
    zero, count = jnp.zeros_like(t0), jnp.zeros((), jnp.int32)
    span = jax.lax.stop_gradient(run.ts[-1] - t0)
    finite = all_finite(y0, f)
    f = jnp.where(jnp.isfinite(f), f, 0.0)  # a run that cannot begin still has its first state
    return Progress(
        t=t0, lag=zero, y=y0, f=f, h=run.control.first_step(run.field, t0, y0, f, span, run.methods[0].order),
        log_error=zero, last=None if run.landing and not run.has_events else standing(t0, y0, f, run.methods),
        events=events, fired=jnp.zeros(events.shape, bool),
        method=count, votes=count, calm=count, switched=jnp.full_like(t0, jnp.nan),
        steps=count, rejected=count, saved=count,
        code=jnp.where(finite, Code.OK, Code.NON_FINITE).astype(jnp.int32),
    )  # fmt: skip


def advance(
    run: Run, progress: Progress, rows: Float[Array, "k n"], budget: Int[Array, ""]
) -> tuple[Progress, Float[Array, "k n"]]:
    """Go on until every output time is reached, the run ends, or `budget` steps have been attempted in all.

    The methods take their turns, each for the rest of the run or until it hands over to the next.
    """
    state = advance_by(0, run, progress, rows, budget)
    for number in range(1, len(run.methods)):

        def go_on(state: tuple) -> tuple:
            progress, rows = state
            return advance_by(number, run, progress, rows, budget)

        def has_turn(state: tuple) -> Bool[Array, ""]:
            progress = state[0]
            return (progress.method == number) & progress.unfinished(run.ts.shape[0]) & (progress.steps < budget)

        # A loop of one round: unlike a condition, which runs both sides under vmap, it is left out when no lane needs
        # it. The reverse pass does without, for it would compute the round again (see `advance_by`).
        state = while_loop(has_turn, go_on, state) if run.gradient == "forward" else go_on(state)
    return state


def advance_by(
    number: int, run: Run, progress: Progress, rows: Float[Array, "k n"], budget: Int[Array, ""]
) -> tuple[Progress, Float[Array, "k n"]]:
    """As `advance`, by `methods[number]` alone, and also only until it hands over.

    Rows of output times that are not reached keep what they held. Calling again with what came back and a larger
    budget goes on as if there had been no interruption.
    """
    breaks = run.field.problem.breakpoints()
    breaks = None if breaks is None else breaks.astype(progress.t.dtype)
    count = run.ts.shape[0]
    # The memory of the reverse pass is bounded here and not by rematerialising the intervals: a second computation of
    # an interval rounds differently, error control then takes slightly different steps, and the derivatives of
    # neighbouring intervals would no longer belong to the same run.
    kept = CHECKPOINT_BYTES // (len(run.methods) * count * sum(x.nbytes for x in jax.tree.leaves(progress)))
    checkpoints = int(min(max(kept, FEWEST_CHECKPOINTS), MOST_CHECKPOINTS)) if run.gradient == "reverse" else None

    def interval(state: Progress, item: tuple) -> tuple[Progress, Array]:
        target, index, row = item

        def goes_on(s: Progress) -> Array:
            return (s.t < target) & s.running & (s.steps < budget) & (s.method == number)

        def attempt(s: Progress) -> Progress:
            return _attempt(number, run, s, target, breaks)

        state = while_loop(goes_on, attempt, state, gradient=run.gradient, checkpoints=checkpoints)
        due = (index >= state.saved) & (state.t >= target)
        value = _output(number, run, state, target)
        state = eqx.tree_at(lambda s: s.saved, state, state.saved + due)
        return state, jnp.where(due, value, row)

    return scan(interval, progress, (run.ts, jnp.arange(count), rows))


def _output(number: int, run: Run, s: Progress, t: Float[Array, ""]) -> Float[Array, " n"]:
    """The state at an output time within or at the end of the last step, made by `methods[number]`."""
    if run.landing:
        return s.y + (t - s.t) * s.f  # the difference of times is zero, its derivative at the start of the run is not
    value = dense_output(run.field, s.within, run.methods, number)(t)
    # Where a step ends at the output its own end counts, free of the polynomial's rounding.
    return value + jax.lax.stop_gradient(jnp.where(s.t == t, s.y - value, 0.0))


def _attempt(
    number: int, run: Run, s: Progress, target: Float[Array, ""], breaks: Float[Array, " b"] | None
) -> Progress:
    """One attempted step by `methods[number]` towards the output time `target`, accepted or not."""
    method, control, end = run.methods[number], run.control, run.ts[-1]
    stop, rate, f = _until_next_break(run.field, s, target if run.landing else end, breaks)
    fixed = control.dt is not None
    h, clipped = _step_size(s, stop, fixed)

    def propose(rate: FlatField, s: Progress, f: Array, h: Array, control: StepControl) -> tuple:
        new = method.step(rate, s.t, s.y, f, h, control.sizes(s.y))
        finite = all_finite(new.y, new.f)
        if fixed:
            return (new, None, None, finite), finite
        weights = control.weights(larger(jnp.abs(new.y), jnp.abs(s.y)))
        error = control.mean_square(new.error, weights)
        return (new, error, weights, finite), finite & (error <= 1.0)

    guarded = _guarded(propose) if run.gradient == "reverse" else propose
    (new, error, weights, finite), accept = guarded(rate, s, f, h, control)
    if fixed:
        following, log_error = s.h, s.log_error
    else:
        log_error = log_norm(error)
        following = h * control.factor(jnp.where(finite, log_error, jnp.nan), s.log_error, method.order)
        following = jax.lax.stop_gradient(jnp.where(clipped & accept, larger(following, s.h), following))
    hopeless = ~accept & (fixed | too_small(following, s.t))
    code = jnp.where(hopeless, jnp.where(finite, Code.STEP_TOO_SMALL, Code.NON_FINITE), s.code)
    t, lag = _later(s, h)
    if fixed and not run.landing:  # many steps miss an output by rounding: that step's own end is the output
        t = t + jax.lax.stop_gradient(jnp.where(same_time(t, target), target - t, 0.0))
        lag = jnp.where(t == target, 0.0, lag)
    t, lag = jnp.where(clipped, stop, t), jnp.where(clipped, 0.0, lag)
    moved = Progress(
        t=t, lag=lag, y=new.y, f=new.f, h=following, log_error=larger(log_error, LEAST_LOG_ERROR),
        last=s.last if s.last is None else _taken(s, h, new.stages, number),
        events=run.field.events(t, new.y), fired=s.fired, method=s.method, votes=s.votes, calm=s.calm,
        switched=s.switched, steps=s.steps, rejected=s.rejected, saved=s.saved, code=s.code,
    )  # fmt: skip
    if run.has_events:
        between = dense_output(run.field, moved.within, run.methods, number)
        values = event_values(run.field, moved, between, s.events)
        fired = accept & jnp.any(crossed(values, run.field.problem.event_direction), axis=0)
        moved = eqx.tree_at(lambda p: p.fired, moved, fired)
    if number + 1 < len(run.methods):
        moved = _vote(moved, control.strained(new.probe, weights, STRAINED), end, h)
    # A fixed step that fails ends the run: only its time counts.
    kept = (lambda p: (p.t, p.lag)) if fixed else (lambda p: p)
    stayed = eqx.tree_at(lambda p: p.h, s, following)
    chosen = jax.tree.map(lambda a, b: jnp.where(accept, a, b), kept(moved), kept(stayed))
    after = eqx.tree_at(kept, moved, chosen) if fixed else chosen
    return eqx.tree_at(
        lambda p: (p.steps, p.rejected, p.code), after, (s.steps + 1, s.rejected + ~accept, code.astype(s.code.dtype))
    )


def _taken(s: Progress, h: Array, stages: Array, number: int) -> LastStep:
    """The step from `s` by `methods[number]`, kept for outputs within it."""
    missing = s.within.stages.shape[0] - stages.shape[0]
    stages = jnp.pad(stages, ((0, missing), (0, 0)))
    return LastStep(s.t, s.lag, h, s.y, stages, jnp.full_like(s.method, number))


def _guarded(propose: Callable) -> Callable:
    """`propose`, a function of pytrees that returns (result, accept), with no derivative where it does not accept.

    What comes of a rejected step is thrown away, so that its cotangent in the reverse pass is zero. But zero times the
    infinite slope of a root or a logarithm outside its domain is NaN; here it is zero.
    """

    def guarded(*inputs: Any) -> Any:
        arrays, rest = eqx.partition(inputs, eqx.is_array)
        leaves, structure = jax.tree.flatten(arrays)

        @jax.custom_vjp
        def run(*leaves: Array) -> Any:
            return propose(*eqx.combine(jax.tree.unflatten(structure, leaves), rest))

        def forward(*leaves: Array) -> Any:
            out, pull = jax.vjp(lambda *x: propose(*eqx.combine(jax.tree.unflatten(structure, x), rest)), *leaves)
            return out, (pull, out[1])

        def backward(kept: tuple, cotangent: Any) -> tuple:
            pull, accept = kept
            return tuple(
                slope if slope.dtype == jax.dtypes.float0 else jnp.where(accept, slope, 0.0)
                for slope in pull(cotangent)
            )

        run.defvjp(forward, backward)
        return run(*leaves)

    return guarded


def _step_size(s: Progress, stop: Array, fixed: bool) -> tuple[Array, Array]:
    """The next step, and whether it is the one that ends at `stop`.

    Only a step that ends there has a derivative, that of the time it ends: so starts, ends and breaks of a run have
    exact ones, while the step sizes that error control chose are numbers.
    """
    remaining = stop - s.t - s.lag
    clipped = s.h * 1.01 >= remaining  # a last step one percent longer is better than one that is tiny
    if not fixed:
        return jnp.where(clipped, remaining, s.h), clipped
    # A fixed step that ends at `stop` but for rounding keeps its size, so that runs in pieces take the same steps.
    size = jnp.where(clipped & ~same_time(s.t + s.h, stop), remaining, s.h)
    return size + jnp.where(clipped, remaining - jax.lax.stop_gradient(remaining), 0.0), clipped


def _later(s: Progress, h: Array) -> tuple[Array, Array]:
    """The clock after a step of h, as time and lag: s.t + (s.lag + h) without error (Knuth's two-sum)."""
    t, step = jax.lax.stop_gradient((s.t, s.lag + h))
    rounded = t + step
    taken = rounded - t
    lag = (t - (rounded - taken)) + (step - taken)
    return s.t + jax.lax.stop_gradient(rounded - s.t), lag


def _until_next_break(field, s, end, breaks):
    """Where this step must end, the field as it is up to there, and its value at the beginning of the step."""
    if breaks is None:
        return end, field, s.f
    following = jnp.concatenate([breaks, jnp.full((1,), jnp.inf, s.t.dtype)])
    stop = jnp.minimum(end, following[jnp.searchsorted(breaks, s.t, side="right", method="scan_unrolled")])
    piece = FlatField(field.problem.piece(s.t), field.unravel)
    return stop, piece, piece(s.t, s.y) if field.problem.controls.jumps else s.f


def _vote(s: Progress, strained: Array, end: Array, h: Array) -> Progress:
    """Count the steps held back by stability; hand over to the next method when they prove the problem stiff."""
    calm = jnp.where(strained, 0, s.calm + 1)
    votes = jnp.where(strained, s.votes + 1, jnp.where(calm >= CALM_STEPS_TO_FORGET, 0, s.votes))
    switch = (votes >= VOTES_TO_SWITCH) & (end - s.t > STEPS_LEFT_WORTH_A_SWITCH * h)
    return eqx.tree_at(
        lambda p: (p.calm, p.votes, p.method, p.switched),
        s,
        (calm, votes, jnp.where(switch, 1, s.method), jnp.where(switch, jax.lax.stop_gradient(s.t), s.switched)),
    )


def event_values(
    field: FlatField, s: Progress, state: DenseOutput, first: Float[Array, " m"]
) -> Float[Array, "p m"]:
    """Event functions at the ends of the last step (`first` at its beginning) and of the parts of it."""
    inner = state.step.left + jnp.linspace(0.0, 1.0, EVENT_PARTS + 1, dtype=s.t.dtype)[1:-1] * state.step.width
    between = jax.vmap(lambda t: field.events(t, state(t)))(inner)
    return jnp.concatenate([first[None], between, s.events[None]])


def crossed(values: Float[Array, "p m"], direction: tuple[int, ...]) -> Bool[Array, "q m"]:
    """In which parts each event function changes its sign in its direction."""
    before, after = values[:-1], values[1:]
    wanted = jnp.asarray(direction, values.dtype)
    changed = ((before < 0) & (after >= 0)) | ((before > 0) & (after <= 0))
    return changed & ((wanted == 0) | (jnp.sign(after - before) == wanted))

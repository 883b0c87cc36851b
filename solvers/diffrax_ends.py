"""How steps and runs of a diffrax solver end: stages that settle, the first step that cannot be made, an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array, PyTree

from .step_control import too_small

# What a watched run that failed ends with, by whether its last step was finite.
FAILED_FINITE: Any = dfx.RESULTS.dt_min_reached
FAILED_NON_FINITE: Any = dfx.RESULTS.nonlinear_divergence


# Rounds in which the equations of a fixed step are to settle; a step that halves its error in each needs about thirty.
STAGE_ITERATIONS = 50


class PatientChord(dfx.VeryChord):
    """diffrax's chord method for the equations of an implicit step, given time to settle.

    diffrax gives up unless two rounds are enough, because adaptive steps may be tried again with a smaller size. A
    fixed step is tried once. Convergence is judged as in Hairer & Wanner, Solving ODEs II, IV.8, but a change that is
    small beside the tolerance settles it at once: the rates of two such changes are rates of rounding errors.
    """

    def terminate(
        self, fn: Any, y: Any, args: Any, options: Any, state: Any, tags: Any
    ) -> tuple[Array, optx.RESULTS]:
        """Whether the error left is small beside the tolerance, of which it is measured in units, or grows."""
        rate = state.diffsize / state.diffsize_prev
        left = state.diffsize * rate / (1 - rate)
        settled = (state.diffsize < self.kappa) | (left > 0) & (left < self.kappa)
        grows = ~settled & (~jnp.isfinite(rate) | (rate > 2))
        failed = state.result != optx.RESULTS.successful
        judged = state.step >= 2
        result = optx.RESULTS.where(judged & grows, optx.RESULTS.nonlinear_divergence, optx.RESULTS.successful)
        return failed | judged & (settled | grows), optx.RESULTS.where(failed, state.result, result)


class Watched(dfx.AbstractStepSizeController):
    """A controller of step sizes that ends the run at its first bad step, with the time at which that step begins.

    A fixed step is bad when its result is not finite or its equations could not be solved. An adaptive one is bad when
    it was refused and the next would be too small to move the time. diffrax alone goes on to the end or to `max_steps`.
    """

    controller: dfx.AbstractStepSizeController

    def wrap(self, direction: Any) -> Watched:
        """Itself around the controller for that direction."""
        return eqx.tree_at(lambda s: s.controller, self, self.controller.wrap(direction))

    def init(
        self, terms: Any, t0: Any, t1: Any, y0: Any, dt0: Any, args: Any, func: Callable, error_order: Any
    ) -> tuple[Any, Any]:
        """The end of the first step, and the controller's own state."""
        return self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)

    def adapt_step_size(
        self, t0: Any, t1: Any, y0: Any, y1_candidate: Any, args: Any, y_error: Any, error_order: Any,
        controller_state: Any
    ) -> tuple[Any, Any, Any, Any, Any, dfx.RESULTS]:
        """What the controller decides, but never to keep a step that is bad."""
        finite = _all(jnp.isfinite, y1_candidate)
        fine = finite
        if y_error is not None:  # diffrax says by an infinite error that the equations of a step were not solved
            fine = finite & _all(lambda e: e < jnp.inf, y_error)
            # An infinite state would make its own error look small.
            y_error = jax.tree.map(lambda e: jnp.where(fine, e, jnp.inf), y_error)
        keep, start, end, jumped, state, result = self.controller.adapt_step_size(
            t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state
        )
        keep = keep & fine
        fixed = not isinstance(self.controller, dfx.AbstractAdaptiveStepSizeController)
        hopeless = ~keep & (fixed | too_small(jnp.asarray(end - start), jnp.asarray(start)))
        failure = dfx.RESULTS.where(finite, FAILED_FINITE, FAILED_NON_FINITE)
        return keep, jnp.where(keep, start, t0), end, jumped, state, dfx.RESULTS.where(hopeless, failure, result)


class WatchedAdaptive(Watched, dfx.AbstractAdaptiveStepSizeController):
    """The same for a controller with tolerances, repeated here because implicit solvers take them from here."""

    rtol: Any
    atol: Any
    norm: Callable = eqx.field(static=True)


def watched(controller: Any) -> Watched:
    """The controller, watched."""
    if isinstance(controller, dfx.AbstractAdaptiveStepSizeController):
        return WatchedAdaptive(
            controller=controller, rtol=controller.rtol, atol=controller.atol, norm=controller.norm
        )
    return Watched(controller)


class _Bracket(eqx.Module):
    """Two times with the root between them, and the sign of the function at the lower one."""

    lower: Array
    upper: Array
    sign: Array
    width: Array


class Bisection(optx.AbstractRootFinder):
    """The time of an event within a step, by halving the step until the two times are neighbours in their float type.

    Newton's method needs a tolerance for the event function, whose size nobody knows, and fails where rounding exceeds
    it; signs need none. Its derivative is that of the implicit function theorem, which optimistix adds.
    """

    rtol: float = 0.0  # optimistix asks every root finder for these three; bisection needs none of them
    atol: float = 0.0
    norm: Callable = optx.max_norm

    def init(
        self, fn: Any, y: Any, args: Any, options: Any, f_struct: Any, aux_struct: Any, tags: Any
    ) -> _Bracket:
        """The whole step."""
        lower, upper = options["lower"], options["upper"]
        width = 2.0 * jnp.finfo(y.dtype).eps * jnp.maximum(jnp.abs(lower), jnp.abs(upper))
        return _Bracket(lower, upper, _sign(fn(lower, args)), width.astype(y.dtype))

    def step(
        self, fn: Any, y: Any, args: Any, options: Any, state: Any, tags: Any
    ) -> tuple[Array, _Bracket, Any]:
        """One half of the bracket."""
        middle = state.lower + 0.5 * (state.upper - state.lower)
        value, aux = fn(middle, args)
        before = _sign((value, aux)) == state.sign
        lower, upper = jnp.where(before, middle, state.lower), jnp.where(before, state.upper, middle)
        return upper, _Bracket(lower, upper, state.sign, state.width), aux

    def terminate(
        self, fn: Any, y: Any, args: Any, options: Any, state: Any, tags: Any
    ) -> tuple[Array, optx.RESULTS]:
        """Whether nothing is left to halve."""
        fine: Any = optx.RESULTS.successful
        return state.upper - state.lower <= state.width, fine

    def postprocess(
        self, fn: Any, y: Any, aux: Any, args: Any, options: Any, state: Any, tags: Any, result: Any
    ) -> tuple[Array, Any, dict[str, Any]]:
        """The time as it is."""
        return y, aux, {}


def _sign(value_and_aux: tuple[PyTree, Any]) -> Array:
    """The sign of the event that happened; diffrax sets the values of all others to zero."""
    return jnp.sign(sum(jax.tree.leaves(value_and_aux[0])))


def _all(test: Callable, tree: PyTree) -> Array:
    return jnp.all(jnp.stack([jnp.all(test(leaf)) for leaf in jax.tree.leaves(tree)]))

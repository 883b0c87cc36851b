"""`State`: where a model is and how it moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ...solvers.signals import Signal

if TYPE_CHECKING:
    from .model import Model


class State(eqx.Module):
    """What evolves: configuration, velocity, activations of actuators. `model.state(...)` makes one.

    `acceleration` is that of the step before, from which the search for contact forces begins. It changes no result by
    more than rounding, but a run that goes on from a state finds the same numbers, bit for bit, as one long run.
    """

    without_effect: ClassVar[tuple[str, ...]] = ("acceleration",)  # fields that no result depends on, so never unknown

    q: Float[Array, "nq"]  # m, rad, quaternions; the table in `Model` tells the order
    v: Float[Array, "nv"]  # m/s, rad/s
    activation: Float[Array, "na"]
    acceleration: Float[Array, "nv"]  # m/s², rad/s²


def make_state(model: Model, q: ArrayLike | None, v: ArrayLike | None, activation: ArrayLike | None) -> State:
    """The state of these numbers; the pose in which the file shows the model, at rest, where they are left out.

    **Raises** `ValueError` for arrays of the wrong length and for quaternions of length zero.
    """
    dtype = model.gravity.dtype
    wanted = {"q": (q, model.nq), "v": (v, model.nv), "activation": (activation, model.na)}
    given = {}
    for name, (value, size) in wanted.items():
        default = model.rest() if name == "q" else jnp.zeros(size, dtype)
        array = default if value is None else jnp.asarray(value, jnp.result_type(float) if value is None else None)
        array = array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(dtype)
        if array.shape != (size,):
            raise ValueError(f"{name} has shape {array.shape}; this model needs {name} of shape ({size},).")
        given[name] = array
    if not isinstance(given["q"], jax.core.Tracer):
        for joint, kind, place in zip(model.tree.joints, model.tree.kinds, model.tree.positions):
            if kind in ("free", "ball") and not np.any(np.asarray(given["q"][place])[-4:]):
                raise ValueError(
                    f"q holds the quaternion 0 0 0 0 for the joint {joint!r}; one without turn is 1 0 0 0."
                )
    return State(given["q"], given["v"], given["activation"], jnp.zeros_like(given["v"]))


def check_run(model: Model, state: State, controls: Signal | None) -> None:
    """**Raises** what `Model.problem` raises."""
    if not isinstance(state, State):
        kind = "is an array" if isinstance(state, jax.Array) else f"has type {type(state).__name__}"
        raise TypeError(f"the state {kind}; a model starts from model.state(q=..., v=...).")
    sizes = {"q": model.nq, "v": model.nv, "activation": model.na, "acceleration": model.nv}
    for name, size in sizes.items():
        if getattr(state, name).shape != (size,):
            raise ValueError(
                f"the state's {name} has shape {getattr(state, name).shape}; this model needs ({size},): write "
                "model.state(q=..., v=...)."
            )
    if controls is not None:
        t = jnp.zeros((), state.q.dtype)
        u = eqx.filter_eval_shape(lambda signal, state: signal.at(t, state), controls, state)
        shape = getattr(u, "shape", None)
        if shape != (model.nu,):
            found = f"of shape {shape}" if shape is not None else f"a {type(u).__name__}"
            names = ", ".join(model.tree.actuators) or "it has no actuator"
            raise ValueError(f"the control is {found}; this model needs one of shape ({model.nu},): {names}.")

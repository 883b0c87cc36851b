"""Actuators: from controls and activations to forces on the degrees of freedom."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .elements import Actuator
from .kinematics import checked
from .model import Model
from .spatial import logarithm, rotation, unit
from .tendons import tendon_jacobian, tendon_lengths

_SHORTEST = 1e-15  # s: filters are not faster; MuJoCo's bound


class Actuation(eqx.Module):
    """What the actuators do in a state."""

    force: Float[Array, "nu"]  # of each actuator, before its gear; N or N m
    generalized: Float[Array, "nv"]  # on each degree of freedom; N or N m
    rate: Float[Array, "na"]  # of each activation; 1/s
    length: Float[Array, "nu"]  # of each actuator: the position of its joint or tendon times the gear


class Stroke(NamedTuple):
    """The geometry of one actuator: its length, and how much of a unit force reaches each degree of freedom."""

    length: Float[Array, ""]
    moment: Float[Array, "nv"]


def actuation(
    model: Model,
    q: Float[Array, "nq"],
    v: Float[Array, "nv"],
    control: Float[ArrayLike, "nu"],
    activation: Float[ArrayLike, "na"] | None = None,
    dt: Float[ArrayLike, ""] | None = None,
) -> Actuation:
    """Forces of all actuators: momentᵀ force, force = gain x + bias, within the ranges of the model.

    x is the control, or the activation w of an actuator that has one:

        integrator  dw/dt = control
        filter      dw/dt = (control - w) / time_constant

    `activation` counts as zero where it is left out. `dt` (s; default: the time step of the model's file) is used by
    actuators whose force takes the activation at the end of the step.

    **Raises** `ValueError` for arrays of another length than the model's. **Source**: the documentation of MuJoCo,
    "Computation", actuation model.
    """
    q, v = checked(model, q=q, v=v)
    control = _counted(model, "control", control, model.nu, "nu, its actuators")
    activation = jnp.zeros(model.na, q.dtype) if activation is None else activation
    activation = _counted(model, "activation", activation, model.na, "na, its actuators with dynamics")
    forces: list[Array] = []
    rates: list[Array] = []
    total = jnp.zeros(model.nv, q.dtype)
    strokes = actuator_strokes(model, q)
    for name, signal, stroke in zip(model.tree.actuators, control, strokes):
        actuator, source = model.actuators[name], signal
        source = signal = _within(signal, actuator.control_range)
        if actuator.dynamics != "none":
            source = activation[len(rates)]
            rates.append(_rate(actuator, signal, source))
            if actuator.early:
                source = _later(actuator, source, rates[-1], model.settings.timestep if dt is None else dt)
        forces.append(_force(actuator, source, stroke, v))
        total = total + stroke.moment * forces[-1]
    return Actuation(
        jnp.stack(forces) if forces else jnp.zeros(0, q.dtype),
        _bounded(model, total),
        jnp.stack(rates) if rates else jnp.zeros(0, q.dtype),
        jnp.stack([stroke.length for stroke in strokes]) if strokes else jnp.zeros(0, q.dtype),
    )


def next_activation(
    model: Model, activation: Float[Array, "na"], done: Actuation, dt: Float[ArrayLike, ""]
) -> Float[Array, "na"]:
    """The activations after a time dt (s), with the rates `done` by the actuators: w + dt dw/dt, of exact filters

        w + time_constant (1 - exp(-dt / time_constant)) dw/dt

    within their ranges; of an activation that is an angle, that of those a turn apart which is nearest to the length.
    """
    later: list[Array] = []
    for index, name in enumerate(model.tree.actuators):
        actuator = model.actuators[name]
        if actuator.dynamics != "none":
            k = len(later)
            later.append(_nearest(actuator, _later(actuator, activation[k], done.rate[k], dt), done.length[index]))
    return jnp.stack(later) if later else activation


def actuator_strokes(model: Model, q: Float[Array, "nq"]) -> list[Stroke]:
    """The length of each actuator and its moment on each degree of freedom."""
    tree, strokes = model.tree, []
    lengths, moments = (tendon_lengths(model, q), tendon_jacobian(model)) if tree.tendons else (None, None)
    for name in tree.actuators:
        actuator = model.actuators[name]
        if actuator.transmission == "tendon":
            assert lengths is not None and moments is not None
            k = tree.tendons.index(actuator.target)
            strokes.append(Stroke(actuator.gear * lengths[k], actuator.gear * moments[k]))
            continue
        j = tree.joints.index(actuator.target)
        kind, own, freedoms = tree.kinds[j], q[tree.positions[j]], tree.velocities[j]
        gear, length = actuator.gear, jnp.zeros((), q.dtype)
        if actuator.transmission == "joint in parent" and kind in ("ball", "free"):
            # The axis is given in the frame before the joint, v in the frame after it.
            turn = rotation(unit(own[-4:]))
            gear = jnp.concatenate([gear[:-3], turn.T @ gear[-3:]])
        if kind == "ball":
            length = gear @ logarithm(unit(own))
        elif kind != "free":
            length = gear * own[0]
        start, end = freedoms.start, freedoms.stop
        moment = jnp.zeros(model.nv, q.dtype).at[start:end].set(jnp.atleast_1d(gear))
        strokes.append(Stroke(length, moment))
    return strokes


def _rate(actuator: Actuator, control: Array, activation: Array) -> Array:
    if actuator.dynamics == "integrator":
        return control
    assert actuator.time_constant is not None
    return (control - activation) / jnp.maximum(actuator.time_constant, _SHORTEST)


def _later(actuator: Actuator, activation: Array, rate: Array, dt: ArrayLike) -> Array:
    """The activation of one actuator after dt."""
    step = jnp.asarray(dt)
    if actuator.dynamics == "exact filter":
        assert actuator.time_constant is not None
        constant = jnp.maximum(actuator.time_constant, _SHORTEST)
        step = -constant * jnp.expm1(-step / constant)
    return _within(activation + rate * step, actuator.activation_range)


def _force(actuator: Actuator, source: Array, stroke: Stroke, v: Array) -> Array:
    rate = stroke.moment @ v
    force = _affine(actuator.gain, stroke.length, rate) * _nearest(actuator, source, stroke.length)
    if actuator.bias is not None:
        force = force + _affine(actuator.bias, stroke.length, rate)
    return _within(force, actuator.force_range)


def _nearest(actuator: Actuator, setpoint: Array, length: Array) -> Array:
    """Of a setpoint that is an angle, the one nearest to the length."""
    if not actuator.circular:
        return setpoint
    turn = 2 * jnp.pi * jnp.sqrt(jnp.sum(actuator.gear**2))
    return setpoint - turn * jnp.round((setpoint - length) / turn)


def _affine(terms: Array, length: Array, rate: Array) -> Array:
    return terms if terms.ndim == 0 else terms[0] + terms[1] * length + terms[2] * rate


def _within(value: Array, bounds: Array | None) -> Array:
    return value if bounds is None else jnp.clip(value, bounds[0], bounds[1])


def _bounded(model: Model, total: Array) -> Array:
    """The force on each degree of freedom within the range of its joint."""
    for name, place_v in zip(model.tree.joints, model.tree.velocities):
        bounds = model.joints[name].drive_range
        if bounds is not None:
            i = place_v.start
            total = total.at[i].set(jnp.clip(total[i], bounds[0], bounds[1]))
    return total


def _counted(model: Model, name: str, value: ArrayLike, count: int, words: str) -> Array:
    array = jnp.asarray(value)
    if array.shape != (count,):
        raise ValueError(
            f"{name} has shape {array.shape}, but this model needs {name} of shape ({count},), its {words}."
        )
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(model.gravity.dtype)

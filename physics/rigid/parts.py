"""The words for a model without a file: bodies, joints, shapes, actuators, with the defaults of MJCF.

wl.rigid.build(
    [
        wl.rigid.body("cart", mass=1.0, inertia=(0.1, 0.1, 0.1), joints=[wl.rigid.slide("rail", (1, 0, 0))]),
        wl.rigid.body("pole", "cart", mass=0.2, center=(0, 0, 0.3), inertia=(0.01, 0.01, 1e-3),
                      joints=[wl.rigid.hinge("hinge", (0, 1, 0), damping=0.1)]),
    ],
    actuators=[wl.rigid.motor("push", "rail", gear=10.0)],
)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from ...core.precision import default_float
from .elements import Actuator, Body, DryFriction, Geom, Joint, Limit

Numbers = ArrayLike | Sequence[float]

SOLREF, SOLIMP = (0.02, 1.0), (0.9, 0.95, 0.001, 0.5, 2.0)
_NO_TURN = (1.0, 0.0, 0.0, 0.0)
_ORIGIN = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Part:
    """An element with its name; a body also with what it hangs from and what it carries."""

    name: str
    element: Any
    parent: str | None = None
    joints: tuple[Part, ...] = ()
    geoms: tuple[Part, ...] = ()


def numbers(name: str, value: Numbers, *shape: int) -> Array:
    """A parameter of the default float type. **Raises** `ValueError` for another shape or what is not finite."""
    array = jnp.asarray(value, default_float())
    if array.shape != shape:
        raise ValueError(
            f"{name} has shape {array.shape}; it must be {f'of shape {shape}' if shape else 'one number'}."
        )
    if not bool(jnp.isfinite(array).all()):
        raise ValueError(f"{name} is {array}; it must be finite.")
    return array


def _optional(name: str, value: Numbers | None, *shape: int) -> Array | None:
    return None if value is None else numbers(name, value, *shape)


def direction(name: str, value: Numbers, count: int) -> Array:
    """A vector whose direction counts. **Raises** `ValueError` for a zero one."""
    array = numbers(name, value, count)
    if not bool(jnp.any(array)):
        raise ValueError(f"{name} is zero; it must have a direction.")
    return array


def body(
    name: str,
    parent: str | None = None,
    *,
    mass: Numbers = 0.0,
    inertia: Numbers = _ORIGIN,
    center: Numbers = _ORIGIN,
    inertia_orientation: Numbers = _NO_TURN,
    position: Numbers = _ORIGIN,
    orientation: Numbers = _NO_TURN,
    joints: Sequence[Part] = (),
    geoms: Sequence[Part] = (),
) -> Part:
    """A body that hangs from `parent` (None: the world), moved by `joints` in their order; see `Body` for the numbers.

    **Raises** `ValueError` for numbers that make no body.
    """
    element = Body(
        position=numbers(f"position of {name!r}", position, 3),
        orientation=direction(f"orientation of {name!r}", orientation, 4),
        mass=numbers(f"mass of {name!r}", mass),
        center=numbers(f"center of {name!r}", center, 3),
        inertia=numbers(f"inertia of {name!r}", inertia, 3),
        inertia_orientation=direction(f"inertia_orientation of {name!r}", inertia_orientation, 4),
    )
    if float(element.mass) < 0 or float(element.inertia.min()) < 0:
        raise ValueError(f"body {name!r} has mass {element.mass} and inertia {element.inertia}; none may be negative.")
    return Part(name, element, parent, tuple(joints), tuple(geoms))


def limit(
    lowest: Numbers,
    highest: Numbers,
    *,
    margin: Numbers = 0.0,
    solref: Numbers = SOLREF,
    solimp: Numbers = SOLIMP,
) -> Limit:
    """A range for a joint or a tendon, for a ball joint from 0 to its largest angle; rad or m. See `Limit`."""
    ends = numbers("range", jnp.stack([jnp.asarray(lowest), jnp.asarray(highest)]), 2)
    return Limit(ends, numbers("margin", margin), numbers("solref", solref, 2), numbers("solimp", solimp, 5))


def dry_friction(loss: Numbers, *, solref: Numbers = SOLREF, solimp: Numbers = SOLIMP) -> DryFriction:
    """Coulomb friction of up to `loss` N m or N in a joint or a tendon. See `DryFriction`."""
    return DryFriction(numbers("loss", loss), numbers("solref", solref, 2), numbers("solimp", solimp, 5))


def hinge(name: str, axis: Numbers = (0, 0, 1), **options: Any) -> Part:
    """A joint that turns about `axis` through `anchor`, both in the body's frame. Options: those of `Joint`."""
    return _joint(name, "hinge", axis, **options)


def slide(name: str, axis: Numbers = (0, 0, 1), **options: Any) -> Part:
    """A joint that shifts along `axis`, in the body's frame. Options: those of `Joint`."""
    return _joint(name, "slide", axis, **options)


def ball(name: str, **options: Any) -> Part:
    """A joint that turns any way about `anchor`, in the body's frame. Options: those of `Joint`."""
    return _joint(name, "ball", None, **options)


def free(name: str, **options: Any) -> Part:
    """The joint of a body that flies. Options: those of `Joint`."""
    return _joint(name, "free", None, **options)


def _joint(
    name: str,
    kind: str,
    axis: Numbers | None,
    *,
    anchor: Numbers = _ORIGIN,
    reference: Numbers = 0.0,
    stiffness: Numbers | None = None,
    spring_reference: Numbers = 0.0,
    damping: Numbers = 0.0,
    armature: Numbers = 0.0,
    drive_range: Numbers | None = None,
    limit: Limit | None = None,
    dry_friction: DryFriction | None = None,
) -> Part:
    single = kind in ("hinge", "slide")
    if stiffness is None and single:
        stiffness = 0.0
    element = Joint(
        axis=direction(f"axis of {name!r}", axis, 3) if axis is not None else None,
        anchor=numbers(f"anchor of {name!r}", anchor, 3) if kind in ("hinge", "ball") else None,
        reference=numbers(f"reference of {name!r}", reference) if single else None,
        stiffness=_optional(f"stiffness of {name!r}", stiffness),
        spring_reference=numbers(f"spring_reference of {name!r}", spring_reference) if single else None,
        damping=numbers(f"damping of {name!r}", damping),
        armature=numbers(f"armature of {name!r}", armature),
        drive_range=_optional(f"drive_range of {name!r}", drive_range, 2),
        limit=limit,
        dry_friction=dry_friction,
        kind=kind,
    )
    return Part(name, element)


def geom(
    name: str,
    kind: str,
    size: Sequence[float],
    *,
    offset: Numbers = _ORIGIN,
    rotation: Numbers = _NO_TURN,
    friction: Numbers = (1.0, 0.005, 0.0001),
    solref: Numbers = SOLREF,
    solimp: Numbers = SOLIMP,
    solmix: Numbers = 1.0,
    margin: Numbers = 0.0,
    gap: Numbers = 0.0,
    condim: int = 3,
    priority: int = 0,
    contype: int = 1,
    conaffinity: int = 1,
) -> Part:
    """A shape that can touch others: a kind and sizes as in `Geom`, without the trailing zeros of the sizes.

    **Raises** `ValueError` for a kind that there is not, or numbers that make no shape.
    """
    lengths = {"plane": 0, "sphere": 1, "capsule": 2, "cylinder": 2, "ellipsoid": 3, "box": 3}
    if kind not in lengths:
        raise ValueError(f"geom {name!r} is a {kind!r}; it must be one of {', '.join(lengths)}.")
    if kind != "plane" and (len(size) != lengths[kind] or min(size) <= 0):
        raise ValueError(f"size of the {kind} {name!r} is {size}; it must be {lengths[kind]} positive numbers.")
    if condim not in (1, 3, 4, 6):
        raise ValueError(f"condim of {name!r} is {condim}; it must be 1, 3, 4 or 6.")
    element = Geom(
        offset=numbers(f"offset of {name!r}", offset, 3),
        rotation=direction(f"rotation of {name!r}", rotation, 4),
        size=numbers(f"size of {name!r}", [*size, 0.0, 0.0, 0.0][:3], 3),
        friction=numbers(f"friction of {name!r}", friction, 3),
        solref=numbers(f"solref of {name!r}", solref, 2),
        solimp=numbers(f"solimp of {name!r}", solimp, 5),
        solmix=numbers(f"solmix of {name!r}", solmix),
        margin=numbers(f"margin of {name!r}", margin),
        gap=numbers(f"gap of {name!r}", gap),
        kind=kind,
        body=None,
        condim=condim,
        priority=priority,
        contype=contype,
        conaffinity=conaffinity,
    )
    return Part(name, element)


def motor(
    name: str,
    target: str,
    *,
    gear: Numbers = 1.0,
    gain: Numbers = 1.0,
    bias: Numbers | None = None,
    time_constant: Numbers | None = None,
    control_range: Numbers | None = None,
    activation_range: Numbers | None = None,
    force_range: Numbers | None = None,
    transmission: str = "joint",
    dynamics: str = "none",
) -> Part:
    """An actuator of a joint or a tendon (transmission "tendon"); without options, force = control. See `Actuator`.

    **Raises** `ValueError` for words that there are not.
    """
    for word, known in ((transmission, ("joint", "joint in parent", "tendon")), (dynamics, _DYNAMICS)):
        if word not in known:
            raise ValueError(f"actuator {name!r}: {word!r} is none of {', '.join(known)}.")
    if ("filter" in dynamics) != (time_constant is not None):
        raise ValueError(
            f"actuator {name!r} with dynamics {dynamics!r} and time_constant {time_constant}: filters need one."
        )
    element = Actuator(
        gear=jnp.asarray(gear, default_float()),
        gain=jnp.asarray(gain, default_float()),
        bias=_optional(f"bias of {name!r}", bias, 3),
        time_constant=_optional(f"time_constant of {name!r}", time_constant),
        control_range=_optional(f"control_range of {name!r}", control_range, 2),
        activation_range=_optional(f"activation_range of {name!r}", activation_range, 2),
        force_range=_optional(f"force_range of {name!r}", force_range, 2),
        target=target,
        transmission=transmission,
        dynamics=dynamics,
        early=False,
        circular=False,
    )
    return Part(name, element)


_DYNAMICS = ("none", "integrator", "filter", "exact filter")


def position_servo(name: str, target: str, *, stiffness: float, damping: float = 0.0, **options: Any) -> Part:
    """An actuator whose control is a position: force = stiffness (control - length) - damping rate. See `motor`."""
    return motor(name, target, gain=stiffness, bias=(0.0, -stiffness, -damping), **options)


def velocity_servo(name: str, target: str, *, damping: float, **options: Any) -> Part:
    """An actuator whose control is a velocity: force = damping (control - rate). See `motor`."""
    return motor(name, target, gain=damping, bias=(0.0, 0.0, -damping), **options)

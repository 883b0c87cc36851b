"""`build`: a model from Python, without a file and without the mujoco package."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from .collision import PAIRS
from .elements import Coupling, Fluid, Pair, Tendon
from .filtering import candidates
from .model import SIZES, Model, Settings, Tree, Weights
from .parts import Numbers, Part, numbers
from .weights import reference_weights

EARTH = (0.0, 0.0, -9.81)  # m/s²


def build(
    bodies: Sequence[Part],
    *,
    ground: Sequence[Part] = (),
    actuators: Sequence[Part] = (),
    tendons: Mapping[str, Tendon] | None = None,
    couplings: Mapping[str, Coupling] | None = None,
    pairs: Mapping[str, Pair] | None = None,
    excluded: Sequence[tuple[str | None, str | None]] = (),
    gravity: Numbers = EARTH,
    fluid: Fluid | None = None,
    settings: Settings | None = None,
) -> Model:
    """The model of these bodies, made by `wl.rigid.body`, parents before what hangs from them.

    `ground` are shapes of the world; two bodies named in `excluded` do not touch each other (None: the world). It is the
    same `Model` that `wl.rigid.load` makes of a file that says the same.

    **Raises** `ValueError` for names given twice or unknown, and for a moving body without mass.
    """
    found = _named("body", bodies)
    joints = _named("joint", [joint for part in bodies for joint in part.joints])
    geoms = _named("geom", [*ground, *(geom for part in bodies for geom in part.geoms)])
    carriers: dict[str, str | None] = {geom.name: part.name for part in bodies for geom in part.geoms}
    shapes = {name: dataclasses.replace(geom.element, body=carriers.get(name)) for name, geom in geoms.items()}
    order = list(found)
    for part in bodies:
        if part.parent is not None and part.parent not in order[: order.index(part.name)]:
            raise ValueError(f"body {part.name!r} hangs from {part.parent!r}, which is no body before it.")
    parents = tuple(-1 if part.parent is None else order.index(part.parent) for part in bodies)
    joint_bodies = tuple(order.index(part.name) for part in bodies for _ in part.joints)
    _check_joints(bodies)
    _check_masses(bodies, parents)
    kinds = tuple(part.element.kind for part in joints.values())
    drives = _named("actuator", actuators)
    _check_targets(drives, joints, tendons or {})
    excluded_pairs = [frozenset(pair) for pair in excluded]
    contacts = candidates(shapes, pairs or {}, order, parents, joint_bodies, excluded_pairs)
    for contact in contacts:
        if (shapes[contact.first].kind, shapes[contact.second].kind) not in PAIRS:
            raise ValueError(
                f"contacts of {contact.first!r} with {contact.second!r} are not simulated yet: exclude them."
            )
    touching = {name for contact in contacts for name in (contact.first, contact.second)}
    tree = Tree(
        bodies=tuple(order),
        parents=parents,
        joints=tuple(joints),
        joint_bodies=joint_bodies,
        kinds=kinds,
        geoms=tuple(name for name in shapes if name in touching),
        tendons=tuple(tendons or ()),
        actuators=tuple(drives),
        couplings=tuple(couplings or ()),
        contacts=contacts,
    )
    model = Model(
        bodies={name: part.element for name, part in found.items()},
        joints={name: part.element for name, part in joints.items()},
        gravity=numbers("gravity", gravity, 3),
        fluid=fluid,
        geoms={name: shape for name, shape in shapes.items() if name in touching},
        actuators={name: part.element for name, part in drives.items()},
        tendons=dict(tendons or {}),
        couplings=dict(couplings or {}),
        pairs=dict(pairs or {}),
        tree=tree,
        weights=Weights((), (), ()),
        settings=settings or Settings(),
    )
    return dataclasses.replace(model, weights=reference_weights(model))


def _named(kind: str, parts: Sequence[Part]) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for part in parts:
        if not isinstance(part, Part):
            raise TypeError(f"build: {part!r} is no {kind}; write wl.rigid.body(...), wl.rigid.hinge(...) and so on.")
        if part.name in found:
            raise ValueError(
                f"two {'bodies' if kind == 'body' else kind + 's'} are called {part.name!r}; rename one of them."
            )
        found[part.name] = part
    return found


def _check_joints(bodies: Sequence[Part]) -> None:
    if not any(part.joints for part in bodies):
        raise ValueError(
            "no body has a joint, so that nothing can move; a body flies with joints=[wl.rigid.free('name')]."
        )
    for part in bodies:
        kinds = [joint.element.kind for joint in part.joints]
        if "free" in kinds and (len(kinds) > 1 or part.parent is not None):
            raise ValueError(
                f"body {part.name!r} has a free joint; it must hang from the world and have no other joint."
            )
        turns = sum(SIZES[kind][1] if kind != "slide" else 0 for kind in kinds)
        if kinds.count("ball") > 1 or (turns > 3 and "free" not in kinds):
            raise ValueError(f"body {part.name!r} has joints {', '.join(kinds)}: more turns than a body can make.")


def _check_masses(bodies: Sequence[Part], parents: Sequence[int]) -> None:
    """A body that moves has mass and inertia, its own or those of bodies that are fixed to it."""
    masses = [float(part.element.mass) for part in bodies]
    inertias = [float(part.element.inertia.sum()) for part in bodies]
    for index in reversed(range(len(bodies))):
        if not bodies[index].joints and parents[index] >= 0:
            masses[parents[index]] += masses[index]
            inertias[parents[index]] += inertias[index]
    for part, mass, inertia in zip(bodies, masses, inertias):
        if part.joints and not (mass > 0 and inertia > 0):
            raise ValueError(f"body {part.name!r} moves but has no mass or no inertia; give it some.")


def _check_targets(drives: Mapping[str, Part], joints: Mapping[str, Part], tendons: Mapping[str, Any]) -> None:
    for name, part in drives.items():
        known = tendons if part.element.transmission == "tendon" else joints
        if part.element.target not in known:
            raise ValueError(
                f"actuator {name!r} acts on {part.element.target!r}; there are {', '.join(known) or 'none'}."
            )
        kind = "tendon" if known is tendons else joints[part.element.target].element.kind
        size = {"ball": (3,), "free": (6,)}.get(kind, ())
        if part.element.gear.shape != size:
            raise ValueError(f"gear of {name!r} has shape {part.element.gear.shape}; for a {kind} it must be {size}.")

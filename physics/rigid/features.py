"""What a model file may use and this engine does not simulate: the one table where support is declared.

A row names a feature and finds, in a model compiled by MuJoCo, the elements that use it. To support a feature is to
read it in `mjcf` and to remove its row here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .collision import PAIRS
from .elements import Geom
from .model import Candidate

_SHOWN = 3
CONTACTS = "contacts of such shapes"
# MuJoCo's numbers.
_JOINT_EQUALITY, _JOINT_PATH = 2, 1

# What is simulated, by MuJoCo's numbers.
SHAPES = {0: "plane", 2: "sphere", 3: "capsule", 4: "ellipsoid", 5: "cylinder", 6: "box"}
TRANSMISSIONS = {0: "joint", 1: "joint in parent", 3: "tendon"}
ACTIVATIONS = {0: "none", 1: "integrator", 2: "filter", 3: "exact filter"}


class UnsupportedFeature(ValueError):
    """A model uses what this engine does not simulate; the message names the elements and the features."""


@dataclass(frozen=True)
class Feature:
    """A way in which a model can differ from a tree of bodies with joints, springs, dampers and a fluid."""

    word: str  # what `without` calls it
    elements: Callable[[Any], Iterator[str]]  # names of the elements of an MjModel that use it


def check_features(model: Any, path: str, without: Collection[str]) -> None:
    """**Raises** `UnsupportedFeature` if the MjModel uses what is lacking and not named in `without`.

    **Raises** `ValueError` for a word in `without` that no feature has: one that is supported needs no leaving out.
    """
    words = [CONTACTS, *(feature.word for feature in LACKING)]
    if isinstance(without, str):
        raise ValueError(f"without={without!r} is one string; write without=({without!r},).")
    if unknown := sorted(set(without) - set(words)):
        raise ValueError(
            f"without={tuple(without)!r} names {', '.join(map(repr, unknown))}, which nothing that is lacking is called; "
            f"the words are {', '.join(map(repr, words))}."
        )
    found = []
    for feature in LACKING:
        if feature.word in without:
            continue
        names = list(itertools.islice(feature.elements(model), _SHOWN + 1))
        if names:
            more = ", ..." if len(names) > _SHOWN else ""
            found.append((feature.word, f"{feature.word} ({', '.join(names[:_SHOWN])}{more})"))
    if found:
        leave = ", ".join(repr(word) for word in (*without, *(word for word, _ in found)))
        raise UnsupportedFeature(
            f"{path} uses what worldline does not simulate yet: {'; '.join(text for _, text in found)}. To load the model "
            f"without, write wl.rigid.load({path!r}, without=({leave},))."
        )


def check_contacts(
    contacts: tuple[Candidate, ...], geoms: Mapping[str, Geom], path: str, without: Collection[str]
) -> tuple[Candidate, ...]:
    """The contacts whose pair of shapes is simulated. **Raises** `UnsupportedFeature` for others, unless left out."""

    def kinds(contact: Candidate) -> tuple[str, str]:
        return geoms[contact.first].kind, geoms[contact.second].kind

    lacking = [contact for contact in contacts if kinds(contact) not in PAIRS]
    if lacking and CONTACTS not in without:
        shown = [
            f"{' with '.join(kinds(contact))} ({contact.first!r}, {contact.second!r})" for contact in lacking[:_SHOWN]
        ]
        leave = ", ".join(repr(word) for word in (*without, CONTACTS))
        raise UnsupportedFeature(
            f"{path} has contacts that worldline does not simulate yet: {', '.join(shown)}"
            f"{', ...' if len(lacking) > _SHOWN else ''}. To load the model without them, write "
            f"wl.rigid.load({path!r}, without=({leave},))."
        )
    return tuple(contact for contact in contacts if kinds(contact) in PAIRS)


def name_of(model: Any, kind: str, index: int) -> str:
    """An element in words: its kind and its name, or its number where it has no name."""
    name = getattr(model, kind)(index).name
    return f"{kind} {name!r}" if name else f"{kind} number {index}"


def flagged(model: Any, *flags: str, group: str = "Disable") -> bool:
    """Whether one of these option flags is set; one that this version of MuJoCo does not know is not."""
    import mujoco

    prefix = "DSBL" if group == "Disable" else "ENBL"
    bits = [getattr(getattr(mujoco, f"mjt{group}Bit"), f"mj{prefix}_{flag}", 0) for flag in flags]
    field = model.opt.disableflags if group == "Disable" else model.opt.enableflags
    return any(int(field) & int(bit) for bit in bits)


def _where(kind: str, used: Callable[[Any], Any], disabled: tuple[str, ...] = ()) -> Callable[[Any], Iterator[str]]:
    """Elements of a kind for which the array `used` gives anything but zero, unless a flag switches them off."""

    def elements(model: Any) -> Iterator[str]:
        if any(flagged(model, flag) for flag in disabled):
            return
        values = np.asarray(used(model))
        for index in np.flatnonzero(values.any(axis=tuple(range(1, values.ndim)))):
            yield name_of(model, kind, int(index))

    return elements


def _all(kind: str, count: str, disabled: tuple[str, ...] = ()) -> Callable[[Any], Iterator[str]]:
    """Every element of a kind, of which the model says how many there are."""
    return _where(kind, lambda model: np.ones(getattr(model, count, 0)), disabled)


def _flags(*flags: str, group: str = "Disable") -> Callable[[Any], Iterator[str]]:
    return lambda model: (f"flag {flag.lower()}" for flag in flags if flagged(model, flag, group=group))


def _freedoms(model: Any, values: Any) -> Any:
    """One number for each joint from one for each degree of freedom."""
    return np.bincount(model.dof_jntid, weights=np.atleast_2d(np.abs(values).T).sum(0), minlength=model.njnt)


def _optional(model: Any, name: str, length: int) -> Any:
    """An array that only newer versions of MuJoCo have."""
    return getattr(model, name, np.zeros((length, 1)))


def touching_shapes(model: Any) -> Any:
    """Numbers of the shapes of an MjModel that can touch others."""
    able = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    able[model.pair_geom1] = able[model.pair_geom2] = True
    return np.flatnonzero(able & (not flagged(model, "CONTACT", "CONSTRAINT")))


def _shapes(model: Any) -> Any:
    """Shapes that can touch others and are of a kind that is not simulated."""
    return [index for index in touching_shapes(model) if model.geom_type[index] not in SHAPES]


def _marks(count: int, indices: Any) -> Any:
    marks = np.zeros(count)
    marks[indices] = 1
    return marks


def _cones(model: Any) -> Iterator[str]:
    if model.opt.cone and len(touching_shapes(model)) and (model.geom_condim[touching_shapes(model)] > 1).any():
        yield "option cone"


def _option(name: str, used: Callable[[Any], Any]) -> Callable[[Any], Iterator[str]]:
    return lambda model: iter([f"option {name}"] if used(model.opt) else [])


def _resting(model: Any) -> Any:
    """Equalities that are not of joints; those that are switched off at the start are none."""
    return model.eq_active0.astype(bool) & (model.eq_type != _JOINT_EQUALITY)


def _drives(used: Callable[[Any], Any]) -> Callable[[Any], Iterator[str]]:
    return _where("actuator", used, ("ACTUATION",))


def spatial_tendons(model: Any) -> Any:
    """Tendons whose path is not of joints; a path is of one kind."""
    return [k for k, start in enumerate(model.tendon_adr) if model.wrap_type[start] != _JOINT_PATH]


def is_simulated(model: Any, actuator: int) -> bool:
    """Whether transmission, dynamics, gain and bias of an actuator are all of kinds that are simulated."""
    kinds = ((model.actuator_trntype, TRANSMISSIONS), (model.actuator_dyntype, ACTIVATIONS))
    forces = (model.actuator_gaintype, model.actuator_biastype)
    return all(int(kind[actuator]) in known for kind, known in kinds) and all(
        force[actuator] in (0, 1) for force in forces
    )


def joint_equality(model: Any, index: int) -> bool:
    """Whether an equality is one of joints, and switched on."""
    return bool(model.eq_active0[index]) and int(model.eq_type[index]) == _JOINT_EQUALITY


def _not_in(values: Any, known: Collection[int]) -> Any:
    return ~np.isin(values, list(known))


LACKING = (
    Feature("shapes other than primitives in contact", _where("geom", lambda m: _marks(m.ngeom, _shapes(m)))),
    Feature("elliptic cones", _cones),
    Feature("surface velocity", _where("geom", lambda m: _optional(m, "geom_surfacevel", m.ngeom))),
    Feature("adhesion", _where("geom", lambda m: _optional(m, "geom_adhesion", m.ngeom))),
    Feature("adhesion of pairs", _where("pair", lambda m: _optional(m, "pair_adhesion", m.npair))),
    Feature("noslip iterations", _option("noslip_iterations", lambda o: o.noslip_iterations)),
    Feature("overridden contacts", _flags("OVERRIDE", group="Enable")),
    Feature("exact diagonals", _flags("DIAGEXACT", group="Enable")),
    Feature("other contact models", _flags("IPC", "SPECULATIVE", group="Enable")),
    Feature("transmissions", _drives(lambda m: _not_in(m.actuator_trntype, TRANSMISSIONS))),
    Feature("activation dynamics", _drives(lambda m: _not_in(m.actuator_dyntype, ACTIVATIONS))),
    Feature("gains", _drives(lambda m: _not_in(m.actuator_gaintype, (0, 1)))),
    Feature("biases", _drives(lambda m: _not_in(m.actuator_biastype, (0, 1)))),
    Feature("actuator delays", _drives(lambda m: _optional(m, "actuator_delay", m.nu))),
    Feature("actuator damping", _drives(lambda m: _optional(m, "actuator_damping", m.nu))),
    Feature("nonlinear actuator damping", _drives(lambda m: _optional(m, "actuator_dampingpoly", m.nu))),
    Feature("actuator armature", _drives(lambda m: _optional(m, "actuator_armature", m.nu))),
    Feature("switched-off actuators", _option("actuatorgroupdisable", lambda o: o.disableactuator)),
    Feature("switched-off actuation", lambda m: _flags("ACTUATION")(m) if m.nu else iter(())),
    Feature("spatial tendons", _where("tendon", lambda m: _marks(m.ntendon, spatial_tendons(m)))),
    Feature("bounds of forces on tendons", _where("tendon", lambda m: m.tendon_actfrclimited)),
    Feature("nonlinear tendon springs", _where("tendon", lambda m: _optional(m, "tendon_stiffnesspoly", m.ntendon))),
    Feature("nonlinear tendon damping", _where("tendon", lambda m: _optional(m, "tendon_dampingpoly", m.ntendon))),
    Feature("plastic tendons", _where("tendon", lambda m: _optional(m, "tendon_springyield", m.ntendon))),
    Feature("equalities other than of joints", _where("equality", _resting, ("EQUALITY", "CONSTRAINT"))),
    Feature("mocap bodies", _where("body", lambda m: m.body_mocapid >= 0)),
    Feature("gravity compensation", _where("body", lambda m: m.body_gravcomp, ("GRAVITY",))),
    Feature("ellipsoid fluid forces", _where("geom", lambda m: m.geom_fluid[:, 0])),
    Feature("nonlinear springs", _where("joint", lambda m: _optional(m, "jnt_stiffnesspoly", m.njnt))),
    Feature("nonlinear damping", _where("joint", lambda m: _freedoms(m, _optional(m, "dof_dampingpoly", m.nv)))),
    Feature("plastic joints", _where("joint", lambda m: _optional(m, "jnt_springyield", m.njnt))),
    Feature("flexible bodies", _all("flex", "nflex")),
    Feature("plugins", _all("plugin", "nplugin")),
    Feature("switched-off passive forces", _flags("SPRING", "DAMPER", "PASSIVE")),
    Feature("sleeping", _flags("SLEEP", group="Enable")),
)

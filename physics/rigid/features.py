"""What a model file may use and this engine does not simulate: the one table where support is declared.

A row names a feature and finds, in a model compiled by MuJoCo, the elements that use it. To support a feature is to
read it in `mjcf` and to remove its row here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

_SHOWN = 3


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
    words = [feature.word for feature in LACKING]
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


def name_of(model: Any, kind: str, index: int) -> str:
    """An element in words: its kind and its name, or its number where it has no name."""
    name = getattr(model, kind)(index).name
    return f"{kind} {name!r}" if name else f"{kind} number {index}"


def flagged(model: Any, flag: str, group: str = "Disable") -> bool:
    """Whether an option flag is set; one that this version of MuJoCo does not know is not."""
    import mujoco

    bit = getattr(getattr(mujoco, f"mjt{group}Bit"), f"mj{'DSBL' if group == 'Disable' else 'ENBL'}_{flag}", 0)
    field = model.opt.disableflags if group == "Disable" else model.opt.enableflags
    return bool(int(field) & int(bit))


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
    return lambda model: (f"flag {flag.lower()}" for flag in flags if flagged(model, flag, group))


def _freedoms(model: Any, values: Any) -> Any:
    """One number for each joint from one for each degree of freedom."""
    return np.bincount(model.dof_jntid, weights=np.atleast_2d(np.abs(values).T).sum(0), minlength=model.njnt)


def _optional(model: Any, name: str, length: int) -> Any:
    """An array that only newer versions of MuJoCo have."""
    return getattr(model, name, np.zeros((length, 1)))


def _contacts(model: Any) -> Iterator[str]:
    """Pairs of shapes that may touch, by MuJoCo's rules of which pairs it looks at ("Computation", collision)."""
    if flagged(model, "CONTACT") or flagged(model, "CONSTRAINT"):
        return
    for pair in range(model.npair):
        geoms = (int(model.pair_geom1[pair]), int(model.pair_geom2[pair]))
        yield " with ".join(name_of(model, "geom", geom) for geom in geoms)
    excluded = {int(s) for s in model.exclude_signature}
    able = np.flatnonzero((model.geom_contype != 0) | (model.geom_conaffinity != 0)).tolist()
    for one, other in itertools.combinations(able, 2):
        types, partners = model.geom_contype[[one, other]], model.geom_conaffinity[[other, one]]
        bodies = int(model.geom_bodyid[one]), int(model.geom_bodyid[other])
        fixed = [int(model.body_weldid[body]) for body in bodies]
        above = [int(model.body_weldid[model.body_parentid[body]]) for body in fixed]
        if not (types & partners).any() or fixed[0] == fixed[1] or (min(bodies) << 16) + max(bodies) in excluded:
            continue
        related = 0 not in fixed and (fixed[0] == above[1] or fixed[1] == above[0])
        if not related or flagged(model, "FILTERPARENT"):
            yield f"{name_of(model, 'geom', one)} with {name_of(model, 'geom', other)}"


LACKING = (
    Feature("contact", _contacts),
    Feature("limits", _where("joint", lambda m: m.jnt_limited, ("LIMIT", "CONSTRAINT"))),
    Feature(
        "dry friction",
        _where("joint", lambda m: _freedoms(m, m.dof_frictionloss), ("FRICTIONLOSS", "CONSTRAINT")),
    ),
    Feature("actuators", _all("actuator", "nu", ("ACTUATION",))),
    Feature("tendons", _all("tendon", "ntendon")),
    Feature("equalities", _all("equality", "neq", ("EQUALITY", "CONSTRAINT"))),
    Feature("sensors", _all("sensor", "nsensor", ("SENSOR",))),
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

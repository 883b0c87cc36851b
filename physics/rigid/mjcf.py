"""`load`: models from MJCF and URDF files, read and compiled by the mujoco package."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import translation
from .elements import Actuator, Coupling, Fluid, Geom, Pair, Tendon
from .features import (
    SHAPES,
    check_contacts,
    check_features,
    flagged,
    is_simulated,
    joint_equality,
    spatial_tendons,
    touching_shapes,
)
from .filtering import candidates
from .model import Model, Settings, Tree, Weights
from .sources import read_source

_MOST_ELEMENTS = 2000


def load(
    path: str | os.PathLike[str], *, without: Collection[str] = (), folder: str | os.PathLike[str] | None = None
) -> Model:
    """The model in an MJCF or URDF file.

    Everything that acts becomes a named parameter of the default float type: see `Model`. What the file uses and the
    engine does not simulate is refused, unless `without` names it, in the words of the message:

        wl.rigid.load("gripper.xml", without=("spatial tendons", "elliptic cones"))

    Elements without a name are called "body3", "joint2" and so on, by their number in the file. What only serves drawing
    and measuring, options of constraint solvers, keyframes and custom data are not read; time step and integrator of
    the file are in `model.settings`. Files that the model names must lie in the folder of the model, or in `folder`;
    nothing else is read.

    **Raises** `FileNotFoundError`, `ValueError` for a file that is no model or not a safe one, `UnsupportedFeature` (a
    `ValueError`) for what is lacking, `ImportError` without the mujoco package (`pip install 'worldline[rigid]'`).
    """
    compiled = _compiled(_as_path(path), None if folder is None else Path(folder))
    check_features(compiled, str(path), without)
    if not compiled.njnt:
        raise ValueError(f"{path} has no joint, so that nothing in it can move; a body moves with <freejoint/> in it.")
    if max(compiled.nbody, compiled.ngeom) > _MOST_ELEMENTS:
        raise ValueError(f"{path} has more than {_MOST_ELEMENTS} bodies or shapes, too many for one compiled program.")
    bodies = translation.names(compiled, "body", range(1, compiled.nbody))
    joints = translation.names(compiled, "joint", range(compiled.njnt))
    option = compiled.opt
    fluid = None
    if option.density or option.viscosity:
        fluid = Fluid(*(translation.leaf(x) for x in (option.density, option.viscosity, option.wind)))
    tendons, actuators = _drives(compiled, joints)
    couplings = _couplings(compiled, joints)
    geoms, pairs = _shapes(compiled, bodies)
    parents = tuple(int(parent) - 1 for parent in compiled.body_parentid[1:])
    joint_bodies = tuple(int(body) - 1 for body in compiled.jnt_bodyid)
    numbers = {-1: None} | dict(enumerate(bodies))
    excluded = [
        frozenset((numbers[(s >> 16) - 1], numbers[(s & 0xFFFF) - 1])) for s in compiled.exclude_signature.tolist()
    ]
    contacts = candidates(geoms, pairs, bodies, parents, joint_bodies, excluded, flagged(compiled, "FILTERPARENT"))
    contacts = check_contacts(contacts, geoms, str(path), without)
    touching = {name for contact in contacts for name in (contact.first, contact.second)}
    tree = Tree(
        bodies=tuple(bodies),
        parents=parents,
        joints=tuple(joints),
        joint_bodies=joint_bodies,
        kinds=tuple(translation.JOINT_KINDS[kind] for kind in compiled.jnt_type),
        geoms=tuple(name for name in geoms if name in touching),
        tendons=tuple(tendons),
        actuators=tuple(actuators),
        couplings=tuple(couplings),
        contacts=contacts,
    )
    model = Model(
        bodies={name: translation.body(compiled, index + 1) for index, name in enumerate(bodies)},
        joints={name: translation.joint(compiled, index) for index, name in enumerate(joints)},
        gravity=translation.leaf(np.zeros(3) if flagged(compiled, "GRAVITY") else option.gravity),
        fluid=fluid,
        geoms={name: geom for name, geom in geoms.items() if name in touching},
        actuators=actuators,
        tendons=tendons,
        couplings=couplings,
        pairs=pairs,
        tree=tree,
        weights=Weights(
            bodies=tuple((float(shift), float(turn)) for shift, turn in compiled.body_invweight0[1:]),
            freedoms=tuple(compiled.dof_invweight0.tolist()),
            tendons=tuple(compiled.tendon_invweight0[_fixed(compiled)].tolist()),
        ),
        settings=Settings(
            timestep=float(option.timestep),
            integrator=("Euler", "RK4", "implicit", "implicitfast", "discrete")[option.integrator],
            friction_impedance=float(option.impratio),
            safe_time_constants=not flagged(compiled, "REFSAFE"),
            implicit_damping=not flagged(compiled, "EULERDAMP"),
        ),
    )
    _check_finite(model, str(path))
    return model


def _check_finite(model: Model, path: str) -> None:
    for name, value in model.parameters.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{path}: {name} is {value}; it must be finite.")


def _fixed(compiled: Any) -> list[int]:
    """Numbers of the tendons that are sums of joints."""
    return [k for k in range(compiled.ntendon) if k not in spatial_tendons(compiled)]


def _drives(compiled: Any, joints: list[str]) -> tuple[dict[str, Tendon], dict[str, Actuator]]:
    all_tendons = translation.names(compiled, "tendon", range(compiled.ntendon))
    tendons = {all_tendons[k]: translation.tendon(compiled, k, joints) for k in _fixed(compiled)}
    names = translation.names(compiled, "actuator", range(compiled.nactuator))
    actuators = {
        name: translation.actuator(compiled, index, joints, all_tendons)
        for index, name in enumerate(names)
        if is_simulated(compiled, index) and not flagged(compiled, "ACTUATION")
    }
    return tendons, actuators


def _couplings(compiled: Any, joints: list[str]) -> dict[str, Coupling]:
    names = translation.names(compiled, "equality", range(compiled.neq))
    return {
        name: translation.coupling(compiled, index, joints)
        for index, name in enumerate(names)
        if joint_equality(compiled, index) and not flagged(compiled, "EQUALITY", "CONSTRAINT")
    }


def _shapes(compiled: Any, bodies: list[str]) -> tuple[dict[str, Geom], dict[str, Pair]]:
    names = translation.names(compiled, "geom", range(compiled.ngeom))
    known = [index for index in touching_shapes(compiled) if int(compiled.geom_type[index]) in SHAPES]
    geoms = {names[index]: translation.geom(compiled, index, bodies) for index in known}
    pair_names = translation.names(compiled, "pair", range(compiled.npair))
    numbered = {index: names[index] for index in known}
    pairs = {
        name: translation.pair(compiled, k, numbered)
        for k, name in enumerate(pair_names)
        if {int(compiled.pair_geom1[k]), int(compiled.pair_geom2[k])} <= set(known)
    }
    return geoms, pairs


def _as_path(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"wl.rigid.load needs the path of an MJCF or URDF file; it got {path!r}.")
    return Path(path)


def _compiled(path: Path, folder: Path | None) -> Any:
    """The MjModel of a file."""
    try:
        import mujoco
    except ImportError as error:
        raise ImportError(
            "reading MJCF and URDF files needs the mujoco package: pip install 'worldline[rigid]'."
        ) from error
    source = read_source(path, folder)
    try:
        with quiet():
            return mujoco.MjModel.from_xml_string(source.text, source.files)
    except (ValueError, mujoco.FatalError, mujoco.UnexpectedError) as error:
        raise ValueError(_said(str(path), str(error))) from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Takes MuJoCo's warnings, which it writes to a file in the current folder unless somebody does."""
    import mujoco

    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def _said(path: str, error: str) -> str:
    """MuJoCo's message in one sentence."""
    if "moving bodies must be larger" in error:
        named = re.search(r"name '([^']+)'.*", error)
        which = f"The body {named[1]!r}" if named else "A body without a name"
        return (
            f"{path}: {which} moves but has no mass or no inertia; give it an <inertial> element or a geom with mass."
        )
    reason = ", ".join(line.strip() for line in error.strip().splitlines()).removeprefix("Error: ")
    return f"{path} is no model that MuJoCo can compile: {reason}."

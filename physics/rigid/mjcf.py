"""`load`: models from MJCF and URDF files, read and compiled by the mujoco package."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ...core.precision import default_float
from .features import check_features, flagged
from .model import Body, Fluid, Joint, Model, Tree

_KINDS = ("free", "ball", "slide", "hinge")  # in the order of MuJoCo's numbers for them


def load(path: str | os.PathLike[str], *, without: Collection[str] = ()) -> Model:
    """The model in an MJCF or URDF file.

    Bodies, joints, springs, dampers, armature, gravity and the fluid of the file become named parameters of the default
    float type. What the file uses beyond that and the engine does not simulate is refused, unless `without` names it:

        wl.rigid.load("half_cheetah.xml", without=("contact", "limits", "actuators"))

    Bodies and joints without a name are called "body3" and "joint2", by their number in the file. What only serves
    drawing, options of time stepping and of constraint solvers, keyframes and custom data are not read.

    **Raises** `FileNotFoundError`, `ValueError` for a file that is no model, `UnsupportedFeature` (a `ValueError`) for
    what is lacking, `ImportError` without the mujoco package (`pip install 'worldline[rigid]'`).
    """
    compiled = _compiled(Path(path))
    check_features(compiled, str(path), without)
    if not compiled.njnt:
        raise ValueError(f"{path} has no joint, so that nothing in it can move; a body moves with <freejoint/> in it.")
    bodies, joints = _names(compiled, "body", range(1, compiled.nbody)), _names(compiled, "joint", range(compiled.njnt))
    tree = Tree(
        bodies=tuple(bodies),
        parents=tuple(int(parent) - 1 for parent in compiled.body_parentid[1:]),
        joints=tuple(joints),
        joint_bodies=tuple(int(body) - 1 for body in compiled.jnt_bodyid),
        kinds=tuple(_KINDS[kind] for kind in compiled.jnt_type),
    )
    option = compiled.opt
    fluid = None
    if option.density or option.viscosity:
        fluid = Fluid(_leaf(option.density), _leaf(option.viscosity), _leaf(option.wind))
    gravity = np.zeros(3) if flagged(compiled, "GRAVITY") else option.gravity
    return Model(
        bodies={name: _body(compiled, index + 1) for index, name in enumerate(bodies)},
        joints={name: _joint(compiled, index) for index, name in enumerate(joints)},
        gravity=_leaf(gravity),
        fluid=fluid,
        tree=tree,
    )


def _compiled(path: Path) -> Any:
    """The MjModel of a file."""
    try:
        import mujoco
    except ImportError as error:
        raise ImportError(
            "reading MJCF and URDF files needs the mujoco package: pip install 'worldline[rigid]'."
        ) from error
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {str(path)!r}; wl.rigid.load needs the path of an MJCF or URDF file."
        )
    try:
        return mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        raise ValueError(_said(str(path), str(error))) from None


def _said(path: str, error: str) -> str:
    """MuJoCo's message in one sentence."""
    if broken := re.search(r"XML_ERROR_(\w+).*Line number=(\d+)", error):
        return f"{path} is not well-formed XML: {broken[1].lower().replace('_', ' ')}, line {broken[2]}."
    if "moving bodies must be larger" in error:
        named = re.search(r"name '([^']+)'.*", error)
        which = f"The body {named[1]!r}" if named else "A body without a name"
        return (
            f"{path}: {which} moves but has no mass or no inertia; give it an <inertial> element or a geom with mass."
        )
    reason = ", ".join(line.strip() for line in error.strip().splitlines()).removeprefix("Error: ")
    return f"{path} is no model that MuJoCo can compile: {reason}."


def _names(compiled: Any, kind: str, indices: range) -> list[str]:
    """Names of bodies or joints, with numbered ones for those that have none."""
    given = [getattr(compiled, kind)(index).name for index in indices]
    names = []
    for index, name in zip(indices, given):
        made = f"{kind}{index}"
        while not name and made in given:
            made += "_"
        names.append(name or made)
    return names


def _body(compiled: Any, index: int) -> Body:
    return Body(
        position=_leaf(compiled.body_pos[index]),
        orientation=_leaf(compiled.body_quat[index]),
        mass=_leaf(compiled.body_mass[index]),
        center=_leaf(compiled.body_ipos[index]),
        inertia=_leaf(compiled.body_inertia[index]),
        inertia_orientation=_leaf(compiled.body_iquat[index]),
    )


def _joint(compiled: Any, index: int) -> Joint:
    """A joint; its numbers for each degree of freedom are the same in all, as MJCF gives them to the joint."""
    kind, freedom, place = _KINDS[compiled.jnt_type[index]], compiled.jnt_dofadr[index], compiled.jnt_qposadr[index]
    single, stiffness = kind in ("slide", "hinge"), compiled.jnt_stiffness[index]
    return Joint(
        axis=_leaf(compiled.jnt_axis[index]) if single else None,
        anchor=_leaf(compiled.jnt_pos[index]) if kind in ("ball", "hinge") else None,
        reference=_leaf(compiled.qpos0[place]) if single else None,
        stiffness=_leaf(stiffness) if single or stiffness else None,
        spring_reference=_leaf(compiled.qpos_spring[place]) if single else None,
        damping=_leaf(compiled.dof_damping[freedom]),
        armature=_leaf(compiled.dof_armature[freedom]),
        kind=kind,
    )


def _leaf(value: Any) -> Array:
    return jnp.asarray(np.array(value, float), default_float())

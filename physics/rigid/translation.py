"""From the arrays of a compiled MjModel to the elements of ours, one function for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ...core.precision import default_float
from .elements import Actuator, Body, Coupling, DryFriction, Geom, Joint, Limit, Pair, Tendon
from .features import ACTIVATIONS, SHAPES, TRANSMISSIONS, flagged

JOINT_KINDS = ("free", "ball", "slide", "hinge")  # in the order of MuJoCo's numbers for them


def names(compiled: Any, kind: str, indices: range) -> list[str]:
    """Names of all elements of a kind, with numbered ones for those that have none."""
    given = [getattr(compiled, kind)(index).name for index in indices]
    found = []
    for index, name in zip(indices, given):
        made = f"{kind}{index}"
        while not name and made in given:
            made += "_"
        found.append(name or made)
    return found


def leaf(value: Any) -> Array:
    """A number or array of the file as a parameter; what is too large for its type is infinite, and refused later."""
    with np.errstate(over="ignore"):
        return jnp.asarray(np.array(value, float), default_float())


def body(compiled: Any, index: int) -> Body:
    """Body `index` of the MjModel."""
    return Body(
        position=leaf(compiled.body_pos[index]),
        orientation=leaf(compiled.body_quat[index]),
        mass=leaf(compiled.body_mass[index]),
        center=leaf(compiled.body_ipos[index]),
        inertia=leaf(compiled.body_inertia[index]),
        inertia_orientation=leaf(compiled.body_iquat[index]),
    )


def joint(compiled: Any, index: int) -> Joint:
    """A joint; its numbers for each degree of freedom are the same in all, as MJCF gives them to the joint."""
    kind, freedom, place = (
        JOINT_KINDS[compiled.jnt_type[index]],
        compiled.jnt_dofadr[index],
        compiled.jnt_qposadr[index],
    )
    single, stiffness = kind in ("slide", "hinge"), compiled.jnt_stiffness[index]
    limit = None
    if compiled.jnt_limited[index] and not flagged(compiled, "LIMIT", "CONSTRAINT"):
        limit = _limit(compiled, "jnt", index, "")
    friction = None
    if compiled.dof_frictionloss[freedom] and not flagged(compiled, "FRICTIONLOSS", "CONSTRAINT"):
        friction = DryFriction(
            leaf(compiled.dof_frictionloss[freedom]),
            leaf(compiled.dof_solref[freedom]),
            leaf(compiled.dof_solimp[freedom]),
        )
    return Joint(
        axis=leaf(compiled.jnt_axis[index]) if single else None,
        anchor=leaf(compiled.jnt_pos[index]) if kind in ("ball", "hinge") else None,
        reference=leaf(compiled.qpos0[place]) if single else None,
        stiffness=leaf(stiffness) if single or stiffness else None,
        spring_reference=leaf(compiled.qpos_spring[place]) if single else None,
        damping=leaf(compiled.dof_damping[freedom]),
        armature=leaf(compiled.dof_armature[freedom]),
        drive_range=leaf(compiled.jnt_actfrcrange[index]) if single and compiled.jnt_actfrclimited[index] else None,
        limit=limit,
        dry_friction=friction,
        kind=kind,
    )


def _limit(compiled: Any, kind: str, index: int, suffix: str) -> Limit:
    fields = ("range", "margin", f"solref{suffix}", f"solimp{suffix}")
    return Limit(*(leaf(getattr(compiled, f"{kind}_{field}")[index]) for field in fields))


def tendon(compiled: Any, index: int, joints: list[str]) -> Tendon:
    """A fixed tendon; the joints on its path are those that it is a sum of."""
    start = compiled.tendon_adr[index]
    path = slice(start, start + compiled.tendon_num[index])
    limit = friction = None
    if compiled.tendon_limited[index] and not flagged(compiled, "LIMIT", "CONSTRAINT"):
        limit = _limit(compiled, "tendon", index, "_lim")
    if compiled.tendon_frictionloss[index] and not flagged(compiled, "FRICTIONLOSS", "CONSTRAINT"):
        friction = DryFriction(
            leaf(compiled.tendon_frictionloss[index]),
            leaf(compiled.tendon_solref_fri[index]),
            leaf(compiled.tendon_solimp_fri[index]),
        )
    armature = compiled.tendon_armature[index]
    return Tendon(
        coefficients=leaf(compiled.wrap_prm[path]),
        stiffness=leaf(compiled.tendon_stiffness[index]),
        spring_range=leaf(compiled.tendon_lengthspring[index]),
        damping=leaf(compiled.tendon_damping[index]),
        armature=leaf(armature) if armature else None,
        limit=limit,
        dry_friction=friction,
        joints=tuple(joints[j] for j in compiled.wrap_objid[path]),
    )


def actuator(compiled: Any, index: int, joints: list[str], tendons: list[str]) -> Actuator:
    """An actuator of one control and one force."""
    transmission = TRANSMISSIONS[compiled.actuator_trntype[index]]
    dynamics = ACTIVATIONS[compiled.actuator_dyntype[index]]
    target = compiled.actuator_trnid[index, 0]
    kind = "tendon" if transmission == "tendon" else JOINT_KINDS[compiled.jnt_type[target]]
    gear = compiled.actuator_gear[compiled.actuator_outadr[index]]
    gain, bias = compiled.actuator_gainprm[index], compiled.actuator_biasprm[index]
    fixed, servo = compiled.actuator_gaintype[index] == 0, compiled.actuator_biastype[index] == 1
    clamped = compiled.actuator_ctrllimited[index] and not flagged(compiled, "CLAMPCTRL")
    return Actuator(
        gear=leaf(gear if kind == "free" else gear[:3] if kind == "ball" else gear[0]),
        gain=leaf(gain[0] if fixed else gain[:3]),
        bias=leaf(bias[:3]) if servo else None,
        time_constant=leaf(compiled.actuator_dynprm[index, 0]) if "filter" in dynamics else None,
        control_range=leaf(compiled.actuator_ctrlrange[index]) if clamped else None,
        activation_range=leaf(compiled.actuator_actrange[index]) if compiled.actuator_actlimited[index] else None,
        force_range=leaf(compiled.actuator_forcerange[index]) if compiled.actuator_forcelimited[index] else None,
        target=(tendons if transmission == "tendon" else joints)[target],
        transmission=transmission,
        dynamics=dynamics,
        early=bool(compiled.actuator_actearly[index]),
        circular=bool(kind == "ball" and fixed and servo and gain[0] == -bias[1]),
    )


def geom(compiled: Any, index: int, bodies: list[str]) -> Geom:
    """A shape of a kind that is simulated."""
    carrier = int(compiled.geom_bodyid[index])
    return Geom(
        offset=leaf(compiled.geom_pos[index]),
        rotation=leaf(compiled.geom_quat[index]),
        size=leaf(compiled.geom_size[index]),
        friction=leaf(compiled.geom_friction[index]),
        solref=leaf(compiled.geom_solref[index]),
        solimp=leaf(compiled.geom_solimp[index]),
        solmix=leaf(compiled.geom_solmix[index]),
        margin=leaf(compiled.geom_margin[index]),
        gap=leaf(compiled.geom_gap[index]),
        kind=SHAPES[int(compiled.geom_type[index])],
        body=bodies[carrier - 1] if carrier else None,
        condim=int(compiled.geom_condim[index]),
        priority=int(compiled.geom_priority[index]),
        contype=int(compiled.geom_contype[index]),
        conaffinity=int(compiled.geom_conaffinity[index]),
    )


def pair(compiled: Any, index: int, geoms: Mapping[int, str]) -> Pair:
    """A contact pair of the file."""
    return Pair(
        friction=leaf(compiled.pair_friction[index]),
        solref=leaf(compiled.pair_solref[index]),
        solimp=leaf(compiled.pair_solimp[index]),
        margin=leaf(compiled.pair_margin[index]),
        gap=leaf(compiled.pair_gap[index]),
        geoms=(geoms[int(compiled.pair_geom1[index])], geoms[int(compiled.pair_geom2[index])]),
        condim=int(compiled.pair_dim[index]),
    )


def coupling(compiled: Any, index: int, joints: list[str]) -> Coupling:
    """An equality of joints."""
    other = int(compiled.eq_obj2id[index])
    return Coupling(
        coefficients=leaf(compiled.eq_data[index, :5]),
        solref=leaf(compiled.eq_solref[index]),
        solimp=leaf(compiled.eq_solimp[index]),
        joint=joints[int(compiled.eq_obj1id[index])],
        other=joints[other] if other >= 0 else None,
    )

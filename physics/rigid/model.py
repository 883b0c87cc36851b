"""`Model`: a robot as a tree of bodies and joints, whose masses, frames and springs are parameters with names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ...core.parameters import Parametrized

# Numbers that a joint has in q and in v.
SIZES = {"free": (7, 6), "ball": (4, 3), "slide": (1, 1), "hinge": (1, 1)}


class Body(eqx.Module):
    """A rigid body: where its frame sits in its parent's, and how its mass is spread.

    The frame of a body with a free joint is placed by q; `position` and `orientation` are then where it starts, and
    where a spring of that joint pulls it to. Quaternions need not have length one: their direction counts.
    """

    position: Float[Array, "3"]  # of the frame, in the parent's frame, before the joints move it; m
    orientation: Float[Array, "4"]  # of the frame, in the parent's frame; quaternion (w, x, y, z)
    mass: Float[Array, ""]  # kg
    center: Float[Array, "3"]  # centre of mass, in the body's frame; m
    inertia: Float[Array, "3"]  # principal moments about the centre of mass; kg m²
    inertia_orientation: Float[Array, "4"]  # of the principal axes, in the body's frame; quaternion


class Joint(eqx.Module):
    """A joint by which a body moves against its parent, or against where the body's earlier joints took it.

    What has no meaning for a kind of joint, and a spring of a free or ball joint that the file does not have, is
    None, and no parameter. Forces and torques: spring -stiffness (displacement), damper -damping velocity.
    """

    axis: Float[Array, "3"] | None  # hinge, slide: direction in the body's frame; its length does not count
    anchor: Float[Array, "3"] | None  # hinge, ball: a point of the axis, in the body's frame; m
    reference: Float[Array, ""] | None  # hinge, slide: the entry of q in the pose in which the file shows it; rad, m
    stiffness: Float[Array, ""] | None  # N m/rad or N/m
    spring_reference: Float[Array, ""] | None  # hinge, slide: the entry of q at which the spring rests; rad, m
    damping: Float[Array, ""]  # N m s/rad or N s/m
    armature: Float[Array, ""]  # inertia of the drive, added to the diagonal of the mass matrix; kg m² or kg
    kind: str = eqx.field(static=True)  # "free", "ball", "slide" or "hinge"


class Fluid(eqx.Module):
    """The medium that all bodies move through."""

    density: Float[Array, ""]  # kg/m³
    viscosity: Float[Array, ""]  # Pa s
    wind: Float[Array, "3"]  # its velocity, in world axes; m/s


@dataclass(frozen=True)
class Tree:
    """What is fixed about a model: names, who hangs from whom, which joint moves which body.

    Bodies come after their parents, joints in the order of their bodies. The parent of a body that hangs from the
    world is -1. Entries of q and v ("degrees of freedom") follow the order of the joints.
    """

    bodies: tuple[str, ...]
    parents: tuple[int, ...]
    joints: tuple[str, ...]
    joint_bodies: tuple[int, ...]  # the body that each joint moves
    kinds: tuple[str, ...]  # of each joint

    @cached_property
    def joints_of(self) -> tuple[tuple[int, ...], ...]:
        """The joints of each body, in the order in which they act."""
        return tuple(tuple(j for j, b in enumerate(self.joint_bodies) if b == body) for body in range(len(self.bodies)))

    @cached_property
    def positions(self) -> tuple[slice, ...]:
        """The entries of q that belong to each joint."""
        ends = np.cumsum([SIZES[kind][0] for kind in self.kinds]).tolist()
        return tuple(slice(end - SIZES[kind][0], end) for end, kind in zip(ends, self.kinds))

    @cached_property
    def velocities(self) -> tuple[slice, ...]:
        """The entries of v that belong to each joint."""
        ends = np.cumsum([SIZES[kind][1] for kind in self.kinds]).tolist()
        return tuple(slice(end - SIZES[kind][1], end) for end, kind in zip(ends, self.kinds))

    @cached_property
    def freedoms_of(self) -> tuple[tuple[int, ...], ...]:
        """The entries of v that move each body directly, in the order in which they act."""
        return tuple(
            tuple(i for j in joints for i in range(self.velocities[j].start, self.velocities[j].stop))
            for joints in self.joints_of
        )

    @cached_property
    def freedom_bodies(self) -> tuple[int, ...]:
        """The body that each entry of v moves directly."""
        return tuple(body for body, kind in zip(self.joint_bodies, self.kinds) for _ in range(SIZES[kind][1]))

    def ancestry(self, body: int) -> Iterator[int]:
        """`body`, its parent, the parent's parent and so on, without the world."""
        while body >= 0:
            yield body
            body = self.parents[body]

    @cached_property
    def moves(self) -> Bool[np.ndarray, "body nv"]:
        """Whether each entry of v moves each body, directly or through a body that it hangs from."""
        table = np.zeros((len(self.bodies), len(self.freedom_bodies)), bool)
        for body in range(len(self.bodies)):
            for above in self.ancestry(body):
                table[body, list(self.freedoms_of[above])] = True
        return table


class Model(Parametrized):
    """A tree of rigid bodies; `wl.rigid.load` makes one from a file.

    Every number in it is a parameter named by its body or joint: `model.parameters["torso.mass"]`,
    `model.replace({"hip.damping": 0.3})`. `model.tree` holds names and structure, `model.nq` and `model.nv` the
    numbers of entries of q and v.

    The state is (q, v) in MuJoCo's conventions, joint after joint:

    | joint | q | v |
    | --- | --- | --- |
    | free | position (world), quaternion (w, x, y, z) | linear velocity (world axes), angular velocity (body's axes) |
    | ball | quaternion (w, x, y, z) against the parent | angular velocity (body's axes) |
    | slide | displacement along the axis, m | its rate, m/s |
    | hinge | angle about the axis, rad | its rate, rad/s |

    So q has one entry more than v for each free or ball joint. Quaternions in q count by their direction alone.
    """

    bodies: dict[str, Body]
    joints: dict[str, Joint]
    gravity: Float[Array, "3"]  # m/s², in world axes
    fluid: Fluid | None  # None where the file has neither density nor viscosity
    tree: Tree = eqx.field(static=True)

    transparent: ClassVar[tuple[str, ...]] = ("bodies", "joints")

    @property
    def nq(self) -> int:
        """The number of entries of q."""
        return sum(SIZES[kind][0] for kind in self.tree.kinds)

    @property
    def nv(self) -> int:
        """The number of entries of v: the degrees of freedom."""
        return sum(SIZES[kind][1] for kind in self.tree.kinds)

    def rest(self) -> Float[Array, "nq"]:
        """The configuration q in which the file shows the model."""
        parts = []
        for name, body, kind in zip(self.tree.joints, self.tree.joint_bodies, self.tree.kinds):
            if kind == "free":
                held = self.bodies[self.tree.bodies[body]]
                parts += [held.position, held.orientation]
            elif kind == "ball":
                parts.append(jnp.asarray([1.0, 0.0, 0.0, 0.0], self.gravity.dtype))
            else:
                reference = self.joints[name].reference
                assert reference is not None  # slides and hinges have one
                parts.append(reference[None])
        return jnp.concatenate(parts) if parts else jnp.zeros(0, self.gravity.dtype)

    def body_index(self, body: str) -> int:
        """The place of a body in arrays that list bodies. **Raises** `KeyError` for a name that no body has."""
        if body not in self.tree.bodies:
            raise KeyError(f"the model has no body {body!r}; its bodies are {', '.join(self.tree.bodies)}.")
        return self.tree.bodies.index(body)

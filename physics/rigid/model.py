"""`Model`: a robot as a tree of bodies and joints, with what drives it and what holds it, all with names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from ...core.parameters import Parametrized
from ...solvers.mechanical import Mechanical, mechanical_solvers
from ...solvers.problems import InitialValueProblem
from ...solvers.signals import Signal
from .elements import Actuator, Body, Coupling, Fluid, Geom, Joint, Pair, Tendon
from .state import State, check_run, make_state

# Numbers that a joint has in q and in v.
SIZES = {"free": (7, 6), "ball": (4, 3), "slide": (1, 1), "hinge": (1, 1)}


@dataclass(frozen=True)
class Candidate:
    """Two shapes that may touch, in the order in which contacts count them: the normal points from first to second."""

    first: str
    second: str
    condim: int  # directions in which the contact pushes: 1, 3, 4 or 6
    pair: str | None = None  # the `Pair` that gives the parameters; None: those of the shapes, mixed


@dataclass(frozen=True)
class Weights:
    """Inverse masses in the reference pose, from which the softness of constraints is scaled.

    They are numbers of the model's first moment and no parameters: changing a mass later does not change them, as it
    does not in MuJoCo (`body_invweight0`, `dof_invweight0`, `tendon_invweight0`). In the order of the tree.
    """

    bodies: tuple[tuple[float, float], ...]  # translation 1/kg, rotation 1/(kg m²)
    freedoms: tuple[float, ...]
    tendons: tuple[float, ...]


@dataclass(frozen=True)
class Settings:
    """What a file says about the computation itself."""

    timestep: float = 0.002  # s
    integrator: str = "Euler"  # "Euler", "RK4", "implicit", "implicitfast" or "discrete"
    friction_impedance: float = 1.0  # ratio of the impedances along and across contacts (impratio)
    safe_time_constants: bool = True  # constraints are not stiffer than two time steps (refsafe)
    implicit_damping: bool = True  # joint damping is implicit in Euler steps (eulerdamp)


@dataclass(frozen=True)
class Tree:
    """What is fixed about a model: names, who hangs from whom, which joint moves which body.

    Bodies come after their parents, joints in the order of their bodies. The parent of a body that hangs from the
    world is -1. Entries of q and v ("degrees of freedom") follow the order of the joints, those of the control the order
    of the actuators.
    """

    bodies: tuple[str, ...]
    parents: tuple[int, ...]
    joints: tuple[str, ...]
    joint_bodies: tuple[int, ...]  # the body that each joint moves
    kinds: tuple[str, ...]  # of each joint
    geoms: tuple[str, ...] = ()
    tendons: tuple[str, ...] = ()
    actuators: tuple[str, ...] = ()
    couplings: tuple[str, ...] = ()
    contacts: tuple[Candidate, ...] = ()

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
    def carriers(self) -> tuple[tuple[int, ...], ...]:
        """For each entry of v those before it that move the same body, from the root on."""
        return tuple(
            tuple(int(k) for k in np.flatnonzero(self.moves[body, :i])) for i, body in enumerate(self.freedom_bodies)
        )

    @cached_property
    def moves(self) -> Bool[np.ndarray, "body nv"]:
        """Whether each entry of v moves each body, directly or through a body that it hangs from."""
        table = np.zeros((len(self.bodies), len(self.freedom_bodies)), bool)
        for body in range(len(self.bodies)):
            for above in self.ancestry(body):
                table[body, list(self.freedoms_of[above])] = True
        return table


class Model(Parametrized):
    """A tree of rigid bodies; `wl.rigid.load` makes one from a file, `wl.rigid.build` without one.

    Every number in it is a parameter: `model.parameters["torso.mass"]`, `model.replace({"hip.damping": 0.3})`. The
    parameters of bodies, joints, shapes and actuators are called `<name of the element>.<parameter>`; no two of these
    kinds have a parameter of the same name, so a joint "hip" and an actuator "hip" do not clash. Tendons, couplings and
    contact pairs come after their kind: "tendons.left.stiffness". `model.tree` holds names and structure.

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
    geoms: dict[str, Geom]
    actuators: dict[str, Actuator]
    tendons: dict[str, Tendon]
    couplings: dict[str, Coupling]
    pairs: dict[str, Pair]
    tree: Tree = eqx.field(static=True)
    weights: Weights = eqx.field(static=True)
    settings: Settings = eqx.field(static=True)

    transparent: ClassVar[tuple[str, ...]] = ("bodies", "joints", "geoms", "actuators")

    @property
    def nq(self) -> int:
        """The number of entries of q."""
        return sum(SIZES[kind][0] for kind in self.tree.kinds)

    @property
    def nv(self) -> int:
        """The number of entries of v: the degrees of freedom."""
        return sum(SIZES[kind][1] for kind in self.tree.kinds)

    @property
    def nu(self) -> int:
        """The number of controls: one for each actuator."""
        return len(self.tree.actuators)

    @property
    def na(self) -> int:
        """The number of activations: one for each actuator that has dynamics."""
        return len(self.activated)

    @property
    def activated(self) -> tuple[str, ...]:
        """The actuators that have an activation, in the order of the activations."""
        return tuple(name for name in self.tree.actuators if self.actuators[name].dynamics != "none")

    @property
    def timestep(self) -> float:
        """The step of the model's file, s: that of runs without another `dt`."""
        return self.settings.timestep

    @property
    def solvers(self) -> dict[str, Mechanical]:
        """What names of solvers mean for a model: its own steppers. "auto" is the integrator that its file names.

        Where the file names one that there is not, runs by "auto" raise a `ValueError`.
        """
        return mechanical_solvers(self.settings.integrator)

    def state(
        self, q: ArrayLike | None = None, v: ArrayLike | None = None, activation: ArrayLike | None = None
    ) -> State:
        """The state of configuration q, velocity v, activations; what is left out is as the file shows it, at rest.

        **Raises** `ValueError` for arrays of the wrong length and for quaternions of length zero.
        """
        return make_state(self, q, v, activation)

    def problem(self, state: State, controls: Signal | None) -> InitialValueProblem:
        """The initial value problem of this model, for a solver.

        **Raises** `TypeError` for a state that is none of a model, `ValueError` for wrong lengths.
        """
        from .motion import MECHANICS, rate

        check_run(self, state, controls)
        return InitialValueProblem(self, state, controls, rate=rate, mechanics=MECHANICS)

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

    def joint_index(self, joint: str) -> int:
        """The place of a joint in arrays that list joints. **Raises** `KeyError` for a name that no joint has."""
        if joint not in self.tree.joints:
            raise KeyError(f"the model has no joint {joint!r}; its joints are {', '.join(self.tree.joints)}.")
        return self.tree.joints.index(joint)

    def body_index(self, body: str) -> int:
        """The place of a body in arrays that list bodies. **Raises** `KeyError` for a name that no body has."""
        if body not in self.tree.bodies:
            raise KeyError(f"the model has no body {body!r}; its bodies are {', '.join(self.tree.bodies)}.")
        return self.tree.bodies.index(body)

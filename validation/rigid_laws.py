"""The rigid-body engine against laws: what motion conserves, to the order of the steps, and a motion that SciPy knows.

`worldline validate rigid-laws` prints what `validate` returns. Needs no other engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.integrate import solve_ivp

from ..physics import rigid
from ..sim import simulate
from .report import Check, Report, Row, chosen, report_on

ORDERS = {"euler": 1, "rk4": 4}  # `implicitfast` is `euler` where no force depends on velocity
SECONDS = 0.4  # of a motion whose drift is measured
STEPS = (80, 160)
SHORT = 0.25  # by which a measured order may fall short, for steps are not infinitely small
GRAVITY = 9.81  # m/s²
SCIPY = "double pendulum against SciPy"
SCIPY_SECONDS = 5.0
SCIPY_TOLERANCE = 1e-10  # rad, rad/s

NOTES = (
    f"energy, linear, angular: how much of energy and momentum is lost or won in {SECONDS} s by {STEPS[1]} steps, relative to",
    "  their size. order: by which power of the step the largest of these falls (some energies fall faster than states do), and by",
    "  how much less than the method's own that is.",
    f"{SCIPY}: the largest difference in {SCIPY_SECONDS:g} s, rad and rad/s, between adaptive steps of the engine and DOP853 on",
    "  Lagrange's equations in absolute angles, both at tolerances of 1e-13.",
)


class Motion(NamedTuple):
    """A model, how it starts, and what of energy, linear and angular momentum it keeps."""

    make: Callable[[], rigid.Model]
    q: Sequence[float]
    v: Sequence[float]
    momentum: bool


def free_body(gravity: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> rigid.Model:
    """A body in flight with three different moments of inertia and a centre of mass beside its origin."""
    joint = rigid.free("flight")
    top = rigid.body("top", mass=1.2, inertia=(0.03, 0.05, 0.11), center=(0.1, 0.05, -0.02), joints=[joint])
    return rigid.build([top], gravity=gravity)


def links_in_space() -> rigid.Model:
    """A floating body that carries a second one on a ball joint, and that a third one on a hinge."""
    base = rigid.body("base", mass=1.0, inertia=(0.02, 0.03, 0.04), joints=[rigid.free("float")])
    upper = rigid.body(
        "upper", "base", position=(0.1, 0.2, 0.0), mass=0.5, inertia=(0.004, 0.01, 0.01), center=(0.15, 0.0, 0.05),
        joints=[rigid.ball("ball")],
    )  # fmt: skip
    lower = rigid.body(
        "lower", "upper", position=(0.3, 0.0, 0.1), mass=0.3, inertia=(0.002, 0.003, 0.003), center=(0.1, 0.05, 0.0),
        joints=[rigid.hinge("elbow", (0.0, 1.0, 0.5))],
    )  # fmt: skip
    return rigid.build([base, upper, lower], gravity=(0.0, 0.0, 0.0))


def double_pendulum() -> rigid.Model:
    """Two bodies with masses 1.0 and 0.6 kg, centres at 0.3 and 0.25 m, inertias 0.02 and 0.01 kg m², 0.5 m apart."""
    joints = [rigid.hinge(name, (0.0, 1.0, 0.0)) for name in ("one", "two")]
    upper = rigid.body("upper", mass=1.0, inertia=(0.02,) * 3, center=(0.0, 0.0, -0.3), joints=joints[:1])
    lower = rigid.body(
        "lower", "upper", position=(0.0, 0.0, -0.5), mass=0.6, inertia=(0.01,) * 3, center=(0.0, 0.0, -0.25),
        joints=joints[1:],
    )  # fmt: skip
    return rigid.build([upper, lower])


def double_pendulum_rate(t: float, y: Float[np.ndarray, "4"]) -> Float[np.ndarray, "4"]:
    """d(q, v)/dt of `double_pendulum` by Lagrange's equations in absolute angles; the engine has no part in it."""
    m1, m2, c1, c2, i1, i2, length = 1.0, 0.6, 0.3, 0.25, 0.02, 0.01, 0.5
    a, b = y[0], y[0] + y[1]
    wa, wb = y[2], y[2] + y[3]
    shared, spin = (m2 * length * c2 * f(a - b) for f in (np.cos, np.sin))
    mass = np.array([[i1 + m1 * c1**2 + m2 * length**2, shared], [shared, i2 + m2 * c2**2]])
    weight = GRAVITY * np.array([(m1 * c1 + m2 * length) * np.sin(a), m2 * c2 * np.sin(b)])
    first, second = np.linalg.solve(mass, np.array([-spin * wb**2, spin * wa**2]) - weight)
    return np.array([y[2], y[3], first, second - first])


_TURN = [0.83, 0.12, -0.42, 0.34]
MOTIONS = {
    "free body": Motion(free_body, [0.1, -0.2, 0.3, *_TURN], [0.4, -0.3, 0.2, 1.5, 4.0, -2.5], True),
    "links in space": Motion(
        links_in_space, [0.0, 0.0, 1.0, *_TURN, 0.9, 0.2, -0.3, 0.1, 0.6],
        [0.3, 0.5, -0.2, 1.0, -2.0, 1.5, -1.0, 0.8, 2.0, -3.0], True,
    ),
    "double pendulum": Motion(double_pendulum, [0.8, -1.1], [0.3, 2.0], False),
}  # fmt: skip
CASES = {f"{name}, {solver}": (name, solver) for name in MOTIONS for solver in ORDERS}
PROBLEMS = (*CASES, SCIPY)


def validate(names: Sequence[str] | None = None, *, progress: Callable[[Row], None] | None = None) -> Report:
    """Check the laws (all of them by default) and return the report.

    `progress` is called with each row as it is done. **Raises** `ValueError` in float32, `LookupError` for a name that
    there is not.
    """
    names = chosen(names, PROBLEMS)
    known: dict[str, Callable[[], Row]] = {name: partial(check_conservation, name, *case) for name, case in CASES.items()}
    known[SCIPY] = against_scipy
    cases = {name: known[name] for name in names}
    return report_on("Rigid bodies: what motion conserves, and known motion", cases, NOTES, progress)


def check_conservation(name: str, motion_name: str, solver: str) -> Row:
    """The drift of what a motion keeps, with a step and with half of it."""
    motion = MOTIONS[motion_name]
    model = motion.make()
    state = model.state(model.rest().at[:].set(jnp.asarray(motion.q)), jnp.asarray(motion.v))

    def kept(state: rigid.State) -> list[Array]:
        energy = rigid.energy(model, state.q, state.v)[None]
        return [energy, *rigid.momentum(model, state.q, state.v)] if motion.momentum else [energy]

    def drift(dt: Array) -> Array:
        start, end = kept(state), kept(simulate(model, state, t1=SECONDS, dt=dt, solver=solver).final)
        return jnp.stack([jnp.abs(b - a).max() / jnp.abs(a).max() for a, b in zip(start, end)])

    measure = jax.jit(drift)
    coarse, fine = (np.asarray(measure(SECONDS / count)) for count in STEPS)
    order = float(np.log2(coarse.max() / fine.max()))
    drifts = dict(zip(("energy", "linear", "angular"), (f"{x:.1e}" for x in fine)))
    return Row(
        name, [Check("short of order", max(ORDERS[solver] - order, 0.0), SHORT)], drifts | {"order": round(order, 3)}
    )


def against_scipy() -> Row:
    """The double pendulum beside DOP853."""
    model, start = double_pendulum(), MOTIONS["double pendulum"]
    ts = np.linspace(0.0, SCIPY_SECONDS, 26)
    state = model.state(jnp.asarray(start.q), jnp.asarray(start.v))
    run = simulate(model, state, ts=ts, solver="dopri8", rtol=1e-13, atol=1e-13)
    mine = np.concatenate([run.states.q, run.states.v], axis=1)
    begin = np.concatenate([start.q, start.v])
    known = solve_ivp(double_pendulum_rate, (0, ts[-1]), begin, method="DOP853", rtol=1e-13, atol=1e-13, t_eval=ts)
    return Row(SCIPY, [Check("off SciPy", float(np.abs(mine - known.y.T).max()), SCIPY_TOLERANCE)])

"""Small models whose motion is known: a pendulum, a double one, a top, a ball above a floor, a block on a slope."""

import jax.numpy as jnp
import numpy as np

import worldline as wl

r = wl.rigid
G = 9.81
FIRM = (0.95, 0.95, 0.001, 0.5, 2.0)  # an impedance that does not depend on the depth


def pendulum(mass=0.7, length=1.3, **options):
    """A point mass on a rod, hanging along -z, turning about y."""
    inertia = (1e-9, 1e-9, 1e-9)
    joint = r.hinge("pivot", (0, 1, 0), **options)
    return r.build(
        [r.body("rod", mass=mass, inertia=inertia, center=(0, 0, -length), joints=[joint])],
        actuators=[r.motor("torque", "pivot")],
    )


def double_pendulum():
    """Two bodies with masses 1.0 and 0.6 kg, centres at 0.3 and 0.25 m, inertias 0.02 and 0.01 kg m², 0.5 m apart."""
    upper = r.body("upper", mass=1.0, inertia=(0.02,) * 3, center=(0, 0, -0.3), joints=[r.hinge("one", (0, 1, 0))])
    lower = r.body(
        "lower", "upper", position=(0, 0, -0.5), mass=0.6, inertia=(0.01,) * 3, center=(0, 0, -0.25),
        joints=[r.hinge("two", (0, 1, 0))],
    )  # fmt: skip
    return r.build([upper, lower])


def double_pendulum_rate(t, y):
    """d(q, v)/dt of `double_pendulum`, from the Lagrangian in absolute angles (independent of the engine)."""
    m1, m2, c1, c2, i1, i2, l = 1.0, 0.6, 0.3, 0.25, 0.02, 0.01, 0.5
    a, b = y[0], y[0] + y[1]
    wa, wb = y[2], y[2] + y[3]
    coupling = m2 * l * c2 * np.cos(a - b)
    mass = np.array([[i1 + m1 * c1**2 + m2 * l**2, coupling], [coupling, i2 + m2 * c2**2]])
    spin = m2 * l * c2 * np.sin(a - b)
    force = np.array([-spin * wb**2 - (m1 * c1 + m2 * l) * G * np.sin(a), spin * wa**2 - m2 * c2 * G * np.sin(b)])
    first, second = np.linalg.solve(mass, force)
    return np.array([y[2], y[3], first, second - first])


def top(gravity=(0.0, 0.0, 0.0)):
    """A free body with three different inertias and a centre beside its origin."""
    body = r.body("top", mass=1.2, inertia=(0.03, 0.05, 0.11), center=(0.1, 0.05, -0.02), joints=[r.free("flight")])
    return r.build([body], gravity=gravity)


def falling_ball(condim=1, dry=None, solref=(0.02, 1.0), friction=(1.0, 0.005, 0.0001), radius=0.1):
    """A ball of 1 kg above a floor."""
    body = r.body(
        "ball", mass=1.0, inertia=(0.004,) * 3, position=(0, 0, radius), joints=[r.free("flight")],
        geoms=[r.geom("shell", "sphere", (radius,), condim=condim, solref=solref, solimp=FIRM, friction=friction)],
    )  # fmt: skip
    floor = r.geom("floor", "plane", (), condim=condim, solref=solref, solimp=FIRM, friction=friction)
    return r.build([body], ground=[floor])


def slider(loss=2.0, **options):
    """A mass of 2 kg on a rail with dry friction, driven by a motor."""
    joint = r.slide("rail", (1, 0, 0), dry_friction=r.dry_friction(loss), **options)
    body = r.body("mass", mass=2.0, inertia=(0.1,) * 3, joints=[joint])
    return r.build([body], actuators=[r.motor("push", "rail")])


def block(slope=0.0, friction=0.5):
    """A box of 1 kg that slides without turning on a floor, gravity tilted by `slope` about y."""
    joints = [r.slide("along", (1, 0, 0)), r.slide("up", (0, 0, 1))]
    numbers = (friction, 0.005, 0.0001)
    body = r.body(
        "block", mass=1.0, inertia=(0.01,) * 3, position=(0, 0, 0.1), joints=joints,
        geoms=[r.geom("box", "box", (0.2, 0.2, 0.1), friction=numbers, solimp=FIRM)],
    )  # fmt: skip
    floor = r.geom("floor", "plane", (), friction=numbers, solimp=FIRM)
    model = r.build([body], ground=[floor], actuators=[r.motor("push", "along")])
    return model.replace({"gravity": jnp.array([G * np.sin(slope), 0.0, -G * np.cos(slope)])})

"""Small models whose motion is known: a pendulum, a double one, a top, a ball above a floor, a block on a slope."""

import jax.numpy as jnp
import numpy as np

import worldline as wl
from worldline.validation import rigid_laws

r = wl.rigid
double_pendulum, top = rigid_laws.double_pendulum, rigid_laws.free_body  # two that the validation knows too
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

"""Models built without a file: the same as those of a file that says the same, and clear errors."""

import c_library
import numpy as np
import pytest

import worldline as wl
from worldline.physics.rigid.weights import reference_weights

r = wl.rigid


def built():
    cart = r.body(
        "cart", mass=1.5, inertia=(0.1, 0.2, 0.15), position=(0, 0, 0.5),
        joints=[r.slide("rail", (1, 0, 0), damping=0.2, limit=r.limit(-1, 1.5), dry_friction=r.dry_friction(0.3))],
        geoms=[r.geom("block", "box", (0.2, 0.1, 0.1))],
    )  # fmt: skip
    pole = r.body(
        "pole", "cart", mass=0.4, inertia=(0.01, 0.012, 0.003), center=(0, 0.02, 0.3), position=(0, 0, 0.1),
        inertia_orientation=(0.8, 0.1, -0.2, 0.3), orientation=(0.9, 0.1, 0.2, 0.3),
        joints=[r.ball("pivot", anchor=(0, 0, -0.05), damping=0.05, armature=0.01)],
        geoms=[r.geom("rod", "capsule", (0.04, 0.2), offset=(0, 0, 0.3), condim=4, priority=1)],
    )  # fmt: skip
    flag = r.body(
        "flag", "pole", mass=0.1, inertia=(0.001, 0.002, 0.0015), center=(0.1, 0, 0), position=(0, 0, 0.6),
        joints=[r.hinge("vane", (0, 1, 1), reference=0.3, stiffness=0.4, spring_reference=0.1)],
    )  # fmt: skip
    drone = r.body(
        "drone", mass=0.8, inertia=(0.01, 0.01, 0.02), center=(0, 0, 0.05), position=(2, 0, 1),
        joints=[r.free("flight")], geoms=[r.geom("hull", "sphere", (0.15,))],
    )  # fmt: skip
    return r.build(
        [cart, pole, flag, drone],
        ground=[r.geom("floor", "plane", (0, 0, 1), friction=(0.8, 0.01, 0.001))],
        actuators=[
            r.motor("push", "rail", gear=10, control_range=(-1, 1)),
            r.position_servo("point", "vane", stiffness=3, damping=0.1),
            r.velocity_servo("hold", "rail", damping=2),
            r.motor("lift", "flight", gear=(0, 0, 1, 0, 0, 0.1), dynamics="filter", time_constant=0.1, gain=8),
        ],
        excluded=[("cart", "drone")],
    )


def directions(model):
    """The parameters, those of which only the direction counts at length one."""
    found = {}
    for name, value in model.parameters.items():
        turning = name.rpartition(".")[2] in ("orientation", "inertia_orientation", "rotation", "axis")
        found[name] = value / np.linalg.norm(value) if turning else value
    return found


def test_a_model_from_python_is_that_of_a_file():
    ours, theirs = built(), r.load(c_library.path("built"))
    assert ours.tree == theirs.tree and ours.settings == theirs.settings
    mine, other = directions(ours), directions(theirs)
    assert list(mine) == list(other)
    for name in mine:
        np.testing.assert_allclose(mine[name], other[name], rtol=1e-12, atol=1e-15, err_msg=name)
    for field in ("bodies", "freedoms", "tendons"):
        np.testing.assert_allclose(getattr(ours.weights, field), getattr(theirs.weights, field), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["mixed", "driven", "touching", "chain"])
def test_inverse_weights_are_those_of_the_c_library(name):
    model = r.load(c_library.path(name))
    found = reference_weights(model)
    for field in ("bodies", "freedoms", "tendons"):
        np.testing.assert_allclose(getattr(found, field), getattr(model.weights, field), rtol=1e-10, atol=1e-14)


def link(name="link", **options):
    return r.body(name, **{"mass": 1.0, "inertia": (1, 1, 1), "joints": [r.hinge(f"{name} hinge")], **options})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: r.build([link(mass=0.0)]), "body 'link' moves but has no mass"),
        (lambda: r.build([link(joints=[])]), "no body has a joint"),
        (lambda: r.build([link(), link()]), "two bodies are called 'link'"),
        (lambda: r.build([link(parent="arm")]), "hangs from 'arm', which is no body before it"),
        (lambda: r.build([link(), link("arm", parent="link", joints=[r.free("f")])]), "must hang from the world"),
        (lambda: r.build([link()], actuators=[r.motor("m", "elbow")]), "'m' acts on 'elbow'; there are link hinge"),
        (lambda: r.build([link(joints=[r.ball("b")])], actuators=[r.motor("m", "b")]), r"for a ball it must be \(3,\)"),
        (lambda: link(mass=float("nan")), "mass of 'link' is nan; it must be finite"),
        (lambda: link(inertia=(1, 1)), r"inertia of 'link' has shape \(2,\)"),
        (lambda: link(orientation=(0, 0, 0, 0)), "orientation of 'link' is zero"),
        (lambda: r.geom("g", "sphere", (1, 2)), "must be 1 positive numbers"),
        (lambda: r.geom("g", "cone", (1,)), "must be one of plane, sphere"),
        (lambda: r.motor("m", "j", dynamics="filter"), "filters need one"),
    ],
)
def test_what_is_no_model_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

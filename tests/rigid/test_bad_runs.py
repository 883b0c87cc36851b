"""What runs of rigid bodies do with bad input: an error in one sentence, or a status that leaves other lanes alone."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_models

import worldline as wl

r = wl.rigid
PENDULUM = small_models.pendulum()
BLOCK = small_models.block()


def said(error, call, *words):
    """The message of the error that the call raises: one sentence or two that hold the words."""
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert all(word in text for word in words), text
    assert "\n" not in text and len(text) < 400, text
    return text


@pytest.mark.parametrize(
    ("controls", "words"),
    [
        (lambda t: jnp.zeros(3), ("control is of shape (3,)", "needs one of shape (1,)", "torque")),
        (lambda t: 0.5, ("needs one of shape (1,)",)),
        (lambda t: {"torque": 1.0}, ("a dict", "needs one of shape (1,)")),
        (wl.Sampled([0.0, 1.0], np.zeros((2, 2))), ("of shape (2,)", "needs one of shape (1,)")),
    ],
)
def test_controls_of_the_wrong_shape_are_refused(controls, words):
    said(ValueError, lambda: wl.simulate(PENDULUM, PENDULUM.state(), steps=2, controls=controls), *words)


def test_controls_that_do_not_cover_the_run_are_refused():
    short = wl.Sampled([0.0, 0.001], np.zeros((2, 1)))
    said(
        ValueError, lambda: wl.simulate(PENDULUM, PENDULUM.state(), steps=10, controls=short), "controls are known from"
    )


def test_states_of_the_wrong_kind_or_size_are_refused():
    said(TypeError, lambda: wl.simulate(PENDULUM, [0.1, 0.2], steps=2), "model.state(q=..., v=...)")
    said(TypeError, lambda: wl.simulate(PENDULUM, {"q": 0.1, "v": 0.0}, steps=2), "model.state(q=..., v=...)")
    said(ValueError, lambda: wl.simulate(PENDULUM, BLOCK.state(), steps=2), "needs (1,)", "model.state")
    said(ValueError, lambda: PENDULUM.state([0.1, 0.2]), "q has shape (2,)", "(1,)")
    said(ValueError, lambda: PENDULUM.state(v=0.5), "v has shape ()")


def test_zero_quaternions_are_refused_and_others_count_by_their_direction():
    model = small_models.top()
    said(ValueError, lambda: model.state([0, 0, 0, 0, 0, 0, 0]), "quaternion 0 0 0 0", "flight")
    short = wl.simulate(model, model.state([0, 0, 0, 0.1, 0, 0, 0.1], np.ones(6)), steps=5).final
    long = wl.simulate(model, model.state([0, 0, 0, 1, 0, 0, 1], np.ones(6)), steps=5).final
    np.testing.assert_allclose(short.q, long.q, rtol=1e-12, atol=1e-15)
    assert float(jnp.linalg.norm(short.q[3:])) == pytest.approx(1.0, rel=1e-14)


def test_nan_in_a_state_is_refused_by_place():
    said(ValueError, lambda: wl.simulate(PENDULUM, PENDULUM.state([np.nan]), steps=2), "not finite", "q[0]")
    said(ValueError, lambda: wl.simulate(PENDULUM, PENDULUM.state(v=[np.inf]), steps=2), "not finite", "v[0]")


@pytest.mark.parametrize("model", [PENDULUM, BLOCK], ids=["smooth", "in contact"])
def test_a_control_that_becomes_nan_is_a_status_with_its_step(model):
    controls = lambda t: jnp.where(t < 4.5 * model.timestep, jnp.ones(1), jnp.nan)
    with pytest.raises(wl.SimulationError, match="non-finite"):
        wl.simulate(model, model.state(), steps=8, controls=controls)
    run = wl.simulate(model, model.state(), steps=8, controls=controls, throw=False)
    assert run.status.message().startswith("non-finite") and int(run.status.step) == 5
    assert np.isfinite(run.states.q[:6]).all() and np.isnan(run.states.q[6:]).all()


def test_an_exploding_run_is_a_status():
    """A stiff spring by steps far too long."""
    body = r.body("mass", mass=1.0, inertia=(1,) * 3, joints=[r.slide("rail", (1, 0, 0), stiffness=1e6)])
    model = r.build([body])
    run = wl.simulate(model, model.state([1.0]), dt=1.0, steps=200, throw=False)
    assert run.status.message().startswith("non-finite")
    said(wl.SimulationError, lambda: wl.simulate(model, model.state([1.0]), dt=1.0, steps=200), "smaller steps")


def test_steps_far_too_long_do_not_hang_contacts():
    run = wl.simulate(BLOCK, BLOCK.state([0.0, 1.0], [3.0, -50.0]), dt=10.0, steps=20, throw=False)
    assert bool(run.status.failed) or np.isfinite(run.final.q).all()


@pytest.mark.parametrize("depth", [0.05, 0.1, 0.5, 20.0])
def test_bodies_that_overlap_at_the_start_are_pushed_apart(depth):
    model = small_models.falling_ball()
    run = wl.simulate(model, model.state([0, 0, 0.1 - depth, 1, 0, 0, 0]), steps=1000)
    assert np.isfinite(run.states.q).all()
    assert float(run.states.q[:, 2].max()) > 0.099


def test_spheres_at_the_same_place_stay_finite():
    def sphere(name):
        joints, geoms = [r.free(f"{name} joint")], [r.geom(f"{name} shape", "sphere", (0.1,))]
        return r.body(name, mass=1.0, inertia=(0.01,) * 3, joints=joints, geoms=geoms)

    bodies = [sphere("one"), sphere("two")]
    model = r.build(bodies, gravity=(0, 0, 0))
    run = wl.simulate(model, model.state(), steps=50)
    assert np.isfinite(run.states.q).all()


def test_integrators_that_there_are_not_are_refused(tmp_path):
    said(ValueError, lambda: wl.simulate(PENDULUM, PENDULUM.state(), steps=2, solver="implicit"), "'implicit'")
    path = tmp_path / "implicit.xml"
    path.write_text(
        """<mujoco><option integrator="implicit"/><worldbody><body><joint name="a"/><geom type="sphere" size="1"/></body>
        </worldbody></mujoco>"""
    )
    model = r.load(path)
    said(ValueError, lambda: wl.simulate(model, model.state(), steps=2), "'implicit'", "solver='implicitfast'")
    assert wl.simulate(model, model.state(), steps=2, solver="implicitfast").status.message() == "ok"


def test_pairs_of_shapes_that_there_are_not_are_refused_by_name(tmp_path):
    """Of what has a shape at all these are two planes, which only a pair that is written down can be."""
    path = tmp_path / "planes.xml"
    path.write_text(
        """<mujoco><worldbody><geom name="floor" type="plane" size="1 1 1"/><geom name="wall" type="plane" size="1 1 1"/>
        <body><freejoint/><geom type="sphere" size="1"/></body></worldbody>
        <contact><pair geom1="floor" geom2="wall"/></contact></mujoco>"""
    )
    said(r.UnsupportedFeature, lambda: r.load(path), "plane with plane", "'floor'", "'wall'", "without=")
    assert len(r.load(path, without=("contacts of such shapes",)).tree.contacts) == 2

    def build(**options):
        ball = r.body(
            "ball", mass=1.0, inertia=(1, 1, 1), joints=[r.free("flight")], geoms=[r.geom("g", "sphere", (1,))]
        )
        ground = [r.geom("floor", "plane", (0, 0, 1)), r.geom("wall", "plane", (0, 0, 1))]
        return r.build([ball], ground=ground, **options)

    numbers = jnp.ones(5), jnp.ones(2), jnp.ones(5), jnp.zeros(()), jnp.zeros(())
    pair = r.Pair(*numbers, geoms=("floor", "wall"), condim=1)
    assert len(build().tree.contacts) == 2
    said(ValueError, lambda: build(pairs={"two": pair}), "'floor'", "'wall'", "exclude")


def test_all_other_pairs_of_shapes_are_simulated():
    from worldline.physics.rigid.collision import PAIRS
    from worldline.physics.rigid.filtering import KINDS

    assert set(itertools.combinations_with_replacement(KINDS, 2)) - set(PAIRS) == {("plane", "plane")}


def test_too_many_steps_are_a_status():
    run = wl.simulate(PENDULUM, PENDULUM.state(), t1=1.0, max_steps=10, throw=False)
    assert run.status.message().startswith("step limit")
    said(ValueError, lambda: wl.simulate(PENDULUM, PENDULUM.state(), steps=0), "at least one step")
    said(ValueError, lambda: wl.simulate(PENDULUM, PENDULUM.state(), dt=-0.1, steps=3), "dt")


def test_what_is_no_path_is_refused():
    said(TypeError, lambda: r.load(None), "needs the path", "None")


def test_poses_of_shapes():
    model = BLOCK
    (name,) = [n for n, geom in model.geoms.items() if geom.body is not None]
    position, rotation = r.geom_pose(model, r.place(model, model.rest()), name)
    assert position.shape == (3,)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)


def test_a_bad_lane_leaves_the_bits_of_others():
    model = BLOCK
    speeds = np.linspace(-2, 2, 20)
    bad = speeds.copy()
    bad[[3, 17]] = np.nan, 1e300

    def run(speed):
        return wl.simulate(model, model.state(v=jnp.stack([speed, -speed])), steps=30)

    many = wl.ensemble(run)
    good, mixed = many(jnp.asarray(speeds)), many(jnp.asarray(bad))
    assert not good.status.failed.any()
    assert set(np.flatnonzero(mixed.status.failed)) == {3, 17}
    for a, b in zip(jax.tree.leaves(good.states), jax.tree.leaves(mixed.states), strict=True):
        keep = np.delete(np.arange(20), [3, 17])
        assert np.array_equal(a[keep], b[keep])

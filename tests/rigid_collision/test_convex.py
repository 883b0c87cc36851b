"""Contacts of cylinders and ellipsoids, which the C library finds by iteration, against it and against what defines them."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shape_poses import ITERATED, MARGIN, SIZES, random_poses, random_rotation

import worldline as wl
from worldline.physics.rigid.collision import ABSENT, PAIRS, collide

SAME = 1e-8  # m: the C library iterates until its bounds are closer than 1e-12, and may stop before
SHALLOW = -0.05  # m; deeper than this two ways out can be as good as each other to either program's eyes
SOME_SLOW = pytest.mark.parametrize(
    "name", [name if name == "capsule-cylinder" else pytest.param(name, marks=pytest.mark.slow) for name in ITERATED]
)
Pose = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def sizes_of(name: str) -> list[np.ndarray]:
    return [np.array([*SIZES[kind], 0.0, 0.0][:3]) for kind in name.split("-")]


@functools.cache
def in_lanes(name: str):
    """The candidates of many poses, of which the last axis counts."""
    first, second = name.split("-")

    def one(p1, r1, p2, r2, size1, size2):
        return collide(first, second, p1, r1, size1, p2, r2, size2, jnp.asarray(MARGIN, p1.dtype))

    return one, jax.jit(wl.lanes(one))


def stacked(poses: list[Pose], sizes: list[np.ndarray], dtype: type = np.float64) -> list[jax.Array]:
    columns = [np.stack(x, -1) for x in zip(*poses)] + [np.repeat(s[:, None], len(poses), 1) for s in sizes]
    return [jnp.asarray(x, dtype) for x in columns]


def ours(name: str, poses: list[Pose], dtype: type = np.float64) -> list[np.ndarray]:
    """(distance [pose, k], position [pose, k, 3], frame [pose, k, 3, 3])."""
    found = in_lanes(name)[1](*stacked(poses, sizes_of(name), dtype))
    return [np.moveaxis(np.asarray(x), -1, 0) for x in found]


@functools.cache
def scene(name: str, many: bool):
    mujoco = pytest.importorskip("mujoco", reason="needs the C library, the extra `rigid`")
    shape = lambda kind: f'<geom type="{kind}" size="{" ".join(map(str, SIZES[kind]))}" margin="{MARGIN / 2}"/>'
    first, second = map(shape, name.split("-"))
    flag = "" if many else '<flag multiccd="disable"/>'
    model = mujoco.MjModel.from_xml_string(
        f"""<mujoco><option ccd_tolerance="1e-12" ccd_iterations="200">{flag}</option><worldbody>
        <body mocap="true">{first}</body><body><freejoint/>{second}</body></worldbody></mujoco>"""
    )
    return mujoco, model, mujoco.MjData(model)


def theirs(name: str, pose: Pose, many: bool) -> list[tuple]:
    """(distance, position, normal) of each contact, by the C library; `many`: more than one for flat sides."""
    mujoco, model, data = scene(name, many)
    data.geom_xpos[:] = [pose[0], pose[2]]
    data.geom_xmat[:] = [pose[1].ravel(), pose[3].ravel()]
    mujoco.mj_collision(model, data)
    return [(c.dist, np.array(c.pos), np.array(c.frame[:3])) for c in data.contact]


def general_poses(count: int, seed: int = 0) -> list[Pose]:
    """Shapes turned anyhow, apart and deep inside each other."""
    return [pose for k, pose in enumerate(random_poses("sphere", count * 3 // 2, seed)) if k % 3]


def extent(kind: str, r: np.ndarray, n: np.ndarray) -> float:
    """How far a shape reaches from its centre along n: what defines a convex shape."""
    size, local = np.array([*SIZES[kind], 0.0, 0.0][:3]), r.T @ n
    radial, half = np.hypot(*local[:2]), np.abs(local[2])
    return {
        "sphere": size[0],
        "capsule": size[0] + size[1] * half,
        "cylinder": size[0] * radial + size[1] * half,
        "box": np.abs(local) @ size,
        "ellipsoid": np.linalg.norm(local * size),
    }[kind]


def excess(kind: str, p: np.ndarray, r: np.ndarray, point: np.ndarray) -> float:
    """How far a point is outside a shape, m; negative inside. For an ellipsoid about so."""
    size, local = np.array([*SIZES[kind], 0.0, 0.0][:3]), r.T @ (point - p)
    along = np.array([0.0, 0.0, np.clip(local[2], -size[1], size[1])])
    return {
        "sphere": np.linalg.norm(local) - size[0],
        "capsule": np.linalg.norm(local - along) - size[0],
        "cylinder": max(np.hypot(*local[:2]) - size[0], abs(local[2]) - size[1]),
        "box": np.max(np.abs(local) - size),
        "ellipsoid": (np.linalg.norm(local / np.where(size > 0, size, 1.0)) - 1) * size.min(),
    }[kind]


def lies_flat(pose: Pose) -> bool:
    """Whether something is so flat on something else that there may be several contacts: axes nearly across or along."""
    turn = np.abs(pose[1].T @ pose[3])
    return bool(np.any(turn < 0.1) | np.any(turn > 0.99))


@pytest.mark.parametrize("name", ITERATED)
def test_nearest_points_are_what_defines_them(name: str) -> None:
    """Both points are on their shapes, the line between them is the normal, and no plane separates the shapes better.

    The last is weak duality: of two convex shapes apart, the distance is the largest gap along any direction.
    """
    first, second = name.split("-")
    poses = [pose for pose in general_poses(900) if PAIRS[first, second].candidates == 1 or not lies_flat(pose)]
    distances, positions, frames = ours(name, poses)
    checked = 0
    for (p1, r1, p2, r2), distance, position, frame in zip(poses, distances[:, 0], positions[:, 0], frames[:, 0]):
        if distance > MARGIN:
            continue
        checked += 1
        n = frame[0]
        gap = n @ (p2 - p1) - extent(first, r1, n) - extent(second, r2, n)
        assert abs(gap - distance) < 1e-11
        assert abs(excess(first, p1, r1, position - 0.5 * distance * n)) < 1e-9
        assert abs(excess(second, p2, r2, position + 0.5 * distance * n)) < 1e-9
        np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-12)
    assert checked > 250


@pytest.mark.parametrize("name", ITERATED)
def test_nearest_points_of_the_c_library(name: str) -> None:
    """As the C library with one contact for each pair: distances to 1e-8, normals and positions as well as it knows them.

    A distance to 1e-12 tells a normal on a round side to 1e-6 only. Deep inside, one way out of thousands is missed.
    """
    first, second = name.split("-")
    poses = [pose for pose in general_poses(2000) if PAIRS[first, second].candidates == 1 or not lies_flat(pose)]
    distances, positions, frames = ours(name, poses)
    worse = better = touching = 0
    for pose, d, p, f in zip(poses, distances[:, 0], positions[:, 0], frames[:, 0]):
        found = theirs(name, pose, many=False)
        assert bool(found) == (d <= MARGIN) or abs(d - MARGIN) < SAME
        if not found:
            continue
        touching += 1
        (distance, position, normal) = found[0]
        if abs(d - distance) > SAME:
            # One of both has stopped early, or missed the shortest way out: what separates the shapes more is right.
            p1, r1, p2, r2 = pose
            gap = normal @ (p2 - p1) - extent(first, r1, normal) - extent(second, r2, normal)
            assert distance < SHALLOW
            worse, better = worse + (gap > d + SAME), better + (gap <= d + SAME)
            continue
        if distance > SHALLOW:
            np.testing.assert_allclose(f[0], normal, atol=5e-5)
            np.testing.assert_allclose(p, position, atol=5e-6)
    assert touching > 400
    assert worse <= 1 and better <= touching // 100, (worse, better)


def flat_poses(name: str, count: int) -> list[Pose]:
    """A line on a face, within three degrees: of a capsule on an end, of a side on an end, of a side on a face."""
    rng, poses = np.random.default_rng(3), []
    for _ in range(count):
        tilt, turn = rng.uniform(-0.05, 0.05), rng.uniform(0, 2 * np.pi)
        c, s = np.cos(np.pi / 2 + tilt), np.sin(np.pi / 2 + tilt)
        lying = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]) @ np.array(
            [[c, 0, s], [0, 1, 0], [-s, 0, c]]
        )
        height = SIZES[name.split("-")[0]][0] + (SIZES["box"][2] if "box" in name else SIZES["cylinder"][1])
        place = np.array([*rng.uniform(-0.03, 0.03, 2), height - rng.uniform(-0.003, 0.02)])
        world, origin = random_rotation(rng, False), rng.normal(size=3)
        poses.append((origin + world @ place, world @ lying, origin, world))
    return poses


@pytest.mark.parametrize("name", ["capsule-cylinder", "cylinder-cylinder", "cylinder-box"])
def test_lines_on_faces_touch_at_both_ends(name: str) -> None:
    """Two contacts, those of the C library in its default options: distances, positions and normals.

    Its lines are as exact as the direction of the nearest points, which it knows to 1e-6.

    Where it gives one point twice or one point alone, which its release notes call an error, there is nothing to compare.
    """
    poses = flat_poses(name, 400)
    compared = 0
    for pose, d, p, f in zip(poses, *ours(name, poses)):
        there = d <= MARGIN
        assert there.sum() == 2
        found = theirs(name, pose, many=True)
        if len(found) != 2 or np.abs(found[0][1] - found[1][1]).max() < 1e-9:
            continue
        order = np.argmin([np.abs(q - p[there][0]).max() for _, q, _ in found])
        for k, (distance, position, normal) in enumerate((found[order], found[1 - order])):
            np.testing.assert_allclose(d[there][k], distance, atol=5 * SAME)
            np.testing.assert_allclose(p[there][k], position, atol=1e-6)
            np.testing.assert_allclose(f[there][k, 0], normal, atol=SAME)
        compared += 1
    assert compared > 300, compared


@pytest.mark.parametrize("name", ["cylinder-cylinder", "cylinder-box"])
def test_ends_on_faces_touch_at_four_corners(name: str) -> None:
    """Four contacts under an end that stands on a face, on its outline and around its middle, at their own depths.

    The C library also takes four of the corners, not always the same ones.
    """
    rng, poses = np.random.default_rng(4), []
    height = SIZES["cylinder"][1] + (SIZES["box"][2] if "box" in name else SIZES["cylinder"][1])
    for k in range(200):
        tilt = rng.uniform(-0.03, 0.03) * (k % 2)
        leaning = np.array([[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]])
        place = np.array([*rng.uniform(-0.04, 0.04, 2), height - rng.uniform(0.005, 0.02)])
        world = random_rotation(rng, False)
        poses.append((world @ place, world @ leaning, np.zeros(3), world))
    for k, (pose, d, p, f) in enumerate(zip(poses, *ours(name, poses))):
        p1, r1, p2, r2 = pose
        found = theirs(name, pose, many=True)
        assert len(found) == 4 and np.all(d <= MARGIN)
        for point, distance, frame in zip(p, d, f):
            on_end, on_face = (point + side * 0.5 * distance * frame[0] for side in (-1, 1))
            assert abs((r2.T @ (on_face - p2))[2] + SIZES["cylinder"][1] - height) < 1e-9
            assert abs((r1.T @ (on_end - p1))[2] + SIZES["cylinder"][1]) < 1e-9
        np.testing.assert_allclose(f[:, 0], np.broadcast_to(found[0][2], (4, 3)), atol=SAME)
        if k % 2 == 0:
            np.testing.assert_allclose(d, [c[0] for c in found], atol=SAME)
        arms = (p - p.mean(0)) @ r2[:, :2]
        area = abs(np.linalg.det([arms[2] - arms[0], arms[3] - arms[1]]))
        other = (np.array([c[1] for c in found]) - p2) @ r2[:, :2]
        other = other[np.argsort(np.arctan2(*(other - other.mean(0)).T))]
        assert area > 0.8 * abs(np.linalg.det([other[2] - other[0], other[3] - other[1]]))


def separated(poses: list[Pose]) -> list[Pose]:
    """Poses at which no rule is about to change: centres apart, nothing nearly flat."""
    return [pose for pose in poses if not lies_flat(pose) and np.linalg.norm(pose[2] - pose[0]) > 0.1]


@SOME_SLOW
def test_derivatives(name: str) -> None:
    """Of distances, positions and normals by poses and sizes: finite differences at two steps, forward against reverse."""
    one, _ = in_lanes(name)
    poses = separated(general_poses(400, seed=1))[:64]
    p1, r1, p2, r2, size1, size2 = stacked(poses, sizes_of(name))

    def values(p1, turn, p2, size1, size2, r1, r2):
        # a rotation to first order is enough for first derivatives
        cross = jnp.array([[0.0, -turn[2], turn[1]], [turn[2], 0.0, -turn[0]], [-turn[1], turn[0], 0.0]])
        c = one(p1, r1, p2, r2 + cross @ r2, size1, size2)
        there = c.distance[0] < MARGIN
        return jnp.where(there, jnp.concatenate([c.distance[:1], c.position[0], c.frame[0, 0]]), 0.0)

    rng = np.random.default_rng(0)
    at = [p1, jnp.zeros_like(p1), p2, size1, size2]
    along = [jnp.asarray(rng.normal(size=x.shape)) for x in at]
    weights = jnp.asarray(rng.normal(size=(7, len(poses))))
    run = jax.jit(wl.lanes(values))
    push = jax.jit(wl.lanes(lambda at, along, *rest: jax.jvp(lambda *at: values(*at, *rest), at, along)[1]))
    pull = jax.jit(wl.lanes(lambda at, w, *rest: jax.vjp(lambda *at: values(*at, *rest), *at)[1](w)))
    forward, reverse = np.asarray(push(at, along, r1, r2)), pull(at, weights, r1, r2)
    assert np.isfinite(forward).all() and all(np.isfinite(x).all() for x in reverse)
    products = sum(np.sum(np.asarray(x) * np.asarray(y), 0) for x, y in zip(reverse, along))
    np.testing.assert_allclose(products, np.sum(np.asarray(weights) * forward, 0), rtol=1e-9, atol=1e-10)
    errors = []
    for step in (1e-5, 1e-6):
        ends = [np.asarray(run(*(x + s * step * d for x, d in zip(at, along)), r1, r2)) for s in (1, -1)]
        errors.append(np.abs((ends[0] - ends[1]) / (2 * step) - forward).max(0) / (1 + np.abs(forward).max(0)))
    # Where a contact comes or goes or the way out changes within the step there is no slope.
    assert np.sum(np.minimum(*errors) > 1e-6) <= len(poses) // 20, np.sort(np.minimum(*errors))[-8:]


@pytest.mark.slow
def test_second_derivatives_of_a_capsule_on_a_cylinder() -> None:
    """Of the distance against finite differences of first ones."""
    one, _ = in_lanes("capsule-cylinder")
    poses = separated(general_poses(200, seed=2))[:16]
    p1, r1, p2, r2, size1, size2 = stacked(poses, sizes_of("capsule-cylinder"))
    slope = jax.grad(lambda p2, *rest: one(rest[0], rest[1], p2, *rest[2:]).distance[0])
    rest = (p1, r1, r2, size1, size2)
    along = jnp.asarray(np.random.default_rng(1).normal(size=p2.shape))
    run = jax.jit(wl.lanes(slope))
    bend = jax.jit(wl.lanes(lambda p2, along, *rest: jax.jvp(lambda p2: slope(p2, *rest), (p2,), (along,))[1]))
    expected = (run(p2 + 1e-6 * along, *rest) - run(p2 - 1e-6 * along, *rest)) / 2e-6
    error = np.abs(np.asarray(bend(p2, along, *rest)) - np.asarray(expected)).max(0)
    assert np.sum(error > 1e-5 * (1 + np.abs(np.asarray(expected)).max())) == 0, np.sort(error)[-4:]


@SOME_SLOW
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_degenerate_poses_have_numbers_and_derivatives(name: str, dtype: type) -> None:
    """Centres that coincide, touching surfaces, axes along each other, shapes without length."""
    one, _ = in_lanes(name)
    turns = (np.eye(3), np.diag([1.0, -1, -1]), np.eye(3)[[1, 2, 0]])
    places = ([0.0, 0, 0], [0, 0, 0.2], [0.2, 0, 0], [0, 0, -0.1], [0.05, 0.02, 0.01])
    poses = [(np.zeros(3), np.eye(3), np.array(p), turn) for p in places for turn in turns]

    def total(*at):
        c = one(*at)
        there = c.distance < ABSENT
        frames = jnp.sum(jnp.where(there[:, None, None], c.frame, 0.0))
        return jnp.sum(jnp.where(there, c.distance, 0.0)) + frames + jnp.sum(c.position[0]), c

    run = jax.jit(wl.lanes(jax.value_and_grad(total, tuple(range(6)), has_aux=True)))
    for sizes in (sizes_of(name), [np.array([0.1, 0.0, 0.1])] * 2):
        (_, contacts), slopes = run(*stacked(poses, sizes, dtype))
        for x in jax.tree.leaves((contacts, slopes)):
            assert x.dtype == dtype and np.isfinite(x).all()
        frames = np.moveaxis(np.asarray(contacts.frame), -1, 0)
        gram = np.einsum("pkij,pklj->pkil", frames, frames)
        np.testing.assert_allclose(gram, np.broadcast_to(np.eye(3), gram.shape), atol=1e-5)


@SOME_SLOW
def test_single_precision(name: str) -> None:
    """The contacts of double precision: distances and positions to 1e-5 m, but for ways out that are as good."""
    poses = separated(general_poses(400, seed=5))
    exact, rough = ours(name, poses), ours(name, poses, np.float32)
    touching = exact[0][:, 0] < MARGIN - 1e-4
    assert rough[0].dtype == np.float32
    errors = [np.abs(x[:, 0] - y[:, 0])[touching] for x, y in zip(exact, rough)]
    assert errors[0].max() < 2e-5
    assert np.mean(errors[1].max(1) > 2e-4) < 0.03


PUSHED = """<mujoco><option timestep="0.002" gravity="0 0 -9.81" ccd_tolerance="1e-12" ccd_iterations="200" tolerance="0"
  iterations="100" ls_iterations="100" ls_tolerance="1e-12"/><worldbody>
  <body><joint name="pan" axis="0 0 1"/><joint name="lift" axis="0 1 0"/>
    <geom type="capsule" fromto="0 0 0 0.4 0 0" size="0.05" mass="1"/></body>
  <body pos="0.35 0 -0.1"><freejoint/><geom type="{kind}" size="{size}" mass="0.5" margin="0.01"/></body>
</worldbody></mujoco>"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cylinder", "ellipsoid"])
def test_an_arm_pushes_a_body_as_in_the_c_library(kind: str, tmp_path) -> None:
    """Velocities after one step with contact and friction in random states, as well as the C library knows normals.

    That is 1e-6, whatever its tolerance. Capsules on the rim of a flat end, to which it gives the normal of the end, are
    the few exceptions.
    """
    mujoco = pytest.importorskip("mujoco", reason="needs the C library, the extra `rigid`")
    path = tmp_path / "pushed.xml"
    path.write_text(PUSHED.format(kind=kind, size=" ".join(map(str, SIZES[kind]))))
    model, theirs = wl.rigid.load(path), mujoco.MjModel.from_xml_path(str(path))
    data, rng, before, after = mujoco.MjData(theirs), np.random.default_rng(0), [], []
    while len(before) < 200:
        mujoco.mj_resetData(theirs, data)
        data.qpos[:2] = 0.2 * rng.normal(size=2)
        data.qpos[2:5] += 0.05 * rng.normal(size=3)
        data.qpos[5:] = rng.normal(size=4)
        data.qpos[5:] /= np.linalg.norm(data.qpos[5:])
        data.qvel[:] = rng.normal(size=theirs.nv)
        mujoco.mj_forward(theirs, data)
        if data.ncon and data.contact.dist.min() > SHALLOW:
            before.append((data.qpos.copy(), data.qvel.copy()))
            mujoco.mj_step(theirs, data)
            after.append(data.qvel.copy())
    q, v = (jnp.asarray(np.stack(x, -1)) for x in zip(*before))
    run = jax.jit(wl.lanes(lambda q, v: wl.simulate(model, model.state(q, v), steps=1).final.v))
    after, v = np.stack(after, -1), np.asarray(v)
    error = np.abs(np.asarray(run(q, v)) - after).max(0) / np.abs(after - v).max(0)
    assert np.median(error) < 1e-6 and np.mean(error > 1e-4) <= 0.02, np.sort(error)[-20:]

"""Contacts of every pair of shapes against the C library, on random poses: apart, touching, deep, aligned."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shape_poses import ITERATED, MARGIN, PAIR_NAMES, SIZES, random_poses, random_rotation

import worldline as wl
from worldline.physics.rigid.collision import ABSENT, collide

SAME = 1e-10  # m, and for directions
SLOW = ("box-box", "capsule-box", "capsule-capsule")
SOME_SLOW = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in PAIR_NAMES if n not in ITERATED],
)


@functools.cache
def scene(first: str, second: str):
    """The two shapes, each on a body that is set where it is wanted, in the C library."""
    mujoco = pytest.importorskip("mujoco", reason="needs the C library, the extra `rigid`")
    shape = lambda kind: f'<geom type="{kind}" size="{" ".join(map(str, SIZES[kind]))}" margin="{MARGIN / 2}"/>'
    body = lambda kind, at: f'<body mocap="true" pos="{at} 0 0">{shape(kind)}</body>'
    second_body = f'<body pos="3 0 0"><freejoint/>{shape(second)}</body>'
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{body(first, 0)}{second_body}</worldbody></mujoco>")
    return mujoco, model, mujoco.MjData(model)


def in_the_c_library(first: str, second: str, pose: tuple[np.ndarray, ...]) -> list[tuple]:
    """(distance, position, frame) of each contact."""
    mujoco, model, data = scene(first, second)
    p1, r1, p2, r2 = pose
    data.geom_xpos[:] = [p1, p2]
    data.geom_xmat[:] = [r1.ravel(), r2.ravel()]
    mujoco.mj_collision(model, data)
    return [(c.dist, np.array(c.pos), np.array(c.frame).reshape(3, 3)) for c in data.contact]


@functools.cache
def compiled(first: str, second: str):
    """The candidates of many poses at once."""
    sizes = [jnp.asarray([*SIZES[kind], 0.0, 0.0][:3]) for kind in (first, second)]
    one = lambda p1, r1, p2, r2: collide(first, second, p1, r1, sizes[0], p2, r2, sizes[1], jnp.asarray(MARGIN))
    return jax.jit(jax.vmap(one))


def ours(first: str, second: str, poses: list[tuple[np.ndarray, ...]]) -> list[list[tuple]]:
    """For each pose (distance, position, frame) of each candidate within the margin."""
    found = compiled(first, second)(*(jnp.asarray(np.stack(x)) for x in zip(*poses)))
    return [
        [(float(d), p, f) for d, p, f in zip(*each) if d <= MARGIN] for each in zip(*(np.asarray(x) for x in found))
    ]


@pytest.mark.parametrize("name", [name for name in PAIR_NAMES if name not in ITERATED])
def test_contacts_of_the_c_library(name: str) -> None:
    """As many contacts, with the same distances, positions and frames, in any order."""
    first, second = name.split("-")
    poses = random_poses(first, 1500)
    touching = 0
    for pose, mine in zip(poses, ours(first, second, poses)):
        theirs = in_the_c_library(first, second, pose)
        touching += bool(theirs)
        assert len(mine) == len(theirs), pose
        rest = list(mine)
        for d, p, f in theirs:
            if np.abs(f @ f.T - np.eye(3)).max() > SAME:
                # A capsule upright on a plane whose normal is x: its tangents are no axes in the C library.
                assert name == "plane-capsule" and abs(f[0, 0]) == 1
                f = np.array([f[0], [0, 1, 0], np.cross(f[0], [0, 1, 0])])
            error = [max(abs(d - e), np.abs(p - q).max(), np.abs(f - g).max()) for e, q, g in rest]
            assert min(error) < SAME, (pose, theirs, mine)
            rest.pop(int(np.argmin(error)))
    assert touching > 300


def test_nearly_parallel_capsules_touch_twice_as_in_the_c_library() -> None:
    """From exactly parallel to a fifth of a degree, which is on both sides of where one contact replaces two."""
    rng, poses = np.random.default_rng(5), []
    for angle in [0.0, *10 ** rng.uniform(-7.0, -2.5, 200)]:
        c, s = np.cos(angle), np.sin(angle)
        turned = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
        r1 = random_rotation(rng, aligned=False)
        apart = r1 @ np.array([0.15, 0.0, rng.uniform(-0.2, 0.2)])
        poses.append((np.zeros(3), r1, apart, r1 @ turned))
    counts = []
    for pose, mine in zip(poses, ours("capsule", "capsule", poses)):
        theirs = in_the_c_library("capsule", "capsule", pose)
        counts.append(len(theirs))
        assert len(mine) == len(theirs)
        # Where axes cross at so small an angle, places along them are known to 1e-8 of their length only.
        np.testing.assert_allclose(sorted(x[0] for x in mine), sorted(x[0] for x in theirs), atol=1e-9)
    assert counts.count(1) > 50 and counts.count(2) > 50


def separated(first: str, second: str, count: int) -> list[tuple[np.ndarray, ...]]:
    """Poses at which no rule is about to change: not aligned, centres apart."""
    return [pose for k, pose in enumerate(random_poses(first, count, seed=1)) if k % 3]


@SOME_SLOW
def test_derivatives(name: str) -> None:
    """Of distances and positions in both modes, against finite differences at two steps."""
    first, second = name.split("-")
    sizes = [jnp.asarray([*SIZES[kind], 0.0, 0.0][:3]) for kind in (first, second)]

    def values(p1, turn, p2, size1, size2, r1, r2):
        # a rotation to first order is enough for first derivatives
        cross = jnp.array([[0.0, -turn[2], turn[1]], [turn[2], 0.0, -turn[0]], [-turn[1], turn[0], 0.0]])
        c = collide(first, second, p1, r1, size1, p2, r2 + cross @ r2, size2, jnp.asarray(MARGIN))
        there = c.distance < MARGIN
        return jnp.where(there, c.distance, 0.0), jnp.where(there[:, None], c.position, 0.0)

    places = range(5)
    forward = jax.jit(jax.jacfwd(values, places))
    reverse = jax.jit(jax.jacrev(values, places))
    push = jax.jit(lambda at, along, *poses: jax.jvp(lambda *at: values(*at, *poses), at, along)[1])
    run, disagree, checked = jax.jit(values), 0, 0
    rng = np.random.default_rng(0)
    for p1, r1, p2, r2 in separated(first, second, 60):
        at = [jnp.asarray(x) for x in (p1, np.zeros(3), p2, *sizes)]
        poses = [jnp.asarray(r1), jnp.asarray(r2)]
        f, r = forward(*at, *poses), reverse(*at, *poses)
        for x, y in zip(jax.tree.leaves(f), jax.tree.leaves(r)):
            assert np.isfinite(x).all()
            np.testing.assert_allclose(x, y, atol=1e-11)
        along = [jnp.asarray(rng.normal(size=3)) for _ in at]
        expected = push(at, along, *poses)
        errors = []
        for step in (1e-6, 1e-7):
            ends = [run(*(x + s * step * d for x, d in zip(at, along)), *poses) for s in (1, -1)]
            slopes = jax.tree.map(lambda x, y: (x - y) / (2 * step), *ends)
            errors.append(max(float(jnp.abs(x - y).max()) for x, y in zip(slopes, expected)))
        checked += 1
        disagree += min(errors) > 1e-6
    # Where a candidate comes or goes within the step there is no slope.
    assert disagree <= checked // 20


@SOME_SLOW
@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.slow)])
def test_degenerate_poses_have_numbers_and_derivatives(name: str, dtype: type) -> None:
    """Centres that coincide, touching surfaces, axes along each other, shapes without length."""
    first, second = name.split("-")
    for size in (SIZES, {kind: [0.1, 0.0, 0.1] for kind in SIZES}):
        sizes = [jnp.asarray([*size[kind], 0.0, 0.0][:3], dtype) for kind in (first, second)]

        def total(p1, r1, p2, r2, sizes):
            c = collide(first, second, p1, r1, sizes[0], p2, r2, sizes[1], jnp.asarray(1.0, dtype))
            there = c.distance < ABSENT
            return jnp.sum(jnp.where(there, c.distance, 0.0)) + jnp.sum(
                jnp.where(there[:, None, None], c.frame, 0.0)
            ), c

        run = jax.jit(jax.value_and_grad(total, (0, 1, 2, 3, 4), has_aux=True))
        for p in (np.zeros(3), [0, 0, 0.2], [0.2, 0, 0], [0, 0, -0.1]):
            for turn in (np.eye(3), np.diag([1.0, -1, -1]), np.eye(3)[[1, 2, 0]]):
                at = [jnp.asarray(x, dtype) for x in (np.zeros(3), np.eye(3), p, turn)]
                (_, c), slopes = run(*at, sizes)
                for x in jax.tree.leaves((c, slopes)):
                    assert x.dtype == dtype and np.isfinite(x).all(), (p, turn)
                gram = np.einsum("kij,klj->kil", c.frame, c.frame)
                np.testing.assert_allclose(gram, np.broadcast_to(np.eye(3), gram.shape), atol=1e-5)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in ITERATED else n for n in PAIR_NAMES])
def test_lanes_agree_with_vmap(name: str) -> None:
    first, second = name.split("-")
    sizes = [jnp.asarray([*SIZES[kind], 0.0, 0.0][:3]) for kind in (first, second)]
    one = lambda p1, r1, p2, r2: collide(first, second, p1, r1, sizes[0], p2, r2, sizes[1], jnp.asarray(MARGIN))
    poses = [jnp.asarray(np.stack(x, -1)) for x in zip(*random_poses(first, 100))]
    assert wl.lanes.explain(one, *poses).native
    native, xla = jax.jit(wl.lanes(one))(*poses), jax.jit(jax.vmap(one, -1, -1))(*poses)
    there = np.asarray(xla.distance) < ABSENT
    np.testing.assert_array_equal(np.asarray(native.distance) < ABSENT, there)
    for x, y in zip(native, xla):
        x, y = (np.moveaxis(np.asarray(v), -1, 1)[there] for v in (x, y))
        np.testing.assert_allclose(x, y, atol=1e-11)

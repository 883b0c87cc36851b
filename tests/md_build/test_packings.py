"""Random packings: the smallest distance by brute force over images, in boxes of any shape."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import worldline as wl

Box = wl.md.Box
KEY = jax.random.key(7)


def smallest_distance(position, box):
    """Over all pairs and images, a particle's own included."""
    vectors, position = np.asarray(box.vectors), np.asarray(position)
    inverse_heights = np.linalg.norm(np.linalg.inv(vectors), axis=0)
    reach = np.linalg.norm(vectors, axis=1)[list(box.periodic)].min(initial=0.0)
    most = np.where(box.periodic, np.ceil(reach * inverse_heights) + 1, 0).astype(int)
    smallest = np.inf
    for cell in np.ndindex(*(2 * most + 1)):
        shift = (np.array(cell) - most) @ vectors
        apart = np.linalg.norm(position[:, None] - position - shift, axis=-1)
        if not shift.any():
            np.fill_diagonal(apart, np.inf)
        smallest = min(smallest, apart.min())
    return smallest


BOXES = {
    "cube": Box.cubic(6.0),
    "skewed": Box.triclinic([[5.0, 0, 0], [4.0, 3.0, 0], [2.0, -2.5, 4.0]]),
    "left-handed": Box.triclinic([[0, 5.0, 0], [5.0, 0, 0.5], [0, 0, 5.0]]),
    "slab": Box.orthorhombic(6.0, 6.0, 5.0, (True, True, False)),
    "thin": Box.orthorhombic(1.3, 8.0, 8.0),
    "wire": Box.triclinic([[6.0, 1.0, 0], [0, 5.0, 2.0], [0, 0, 5.0]], (False, False, True)),
    "vessel": Box.cubic(5.0, periodic=False),
}


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize("density", [0.3, 0.85])
def test_no_pair_is_too_close(box, density):
    count = int(density * float(box.volume()))
    position, same = wl.md.random_packing(count, box=box, distance=1.0, key=KEY)
    assert same is box and position.shape == (count, 3) and position.dtype == np.float64
    assert smallest_distance(position, box) >= 1.0
    fractions = np.asarray(box.fractional(position))
    assert (fractions >= -1e-12).all() and (fractions <= 1 + 1e-12).all()


@settings(max_examples=15, deadline=None)
@given(
    edges=st.lists(st.floats(-4, 4), min_size=9, max_size=9),
    periodic=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    share=st.floats(0.05, 0.4),
    seed=st.integers(0, 1000),
)
def test_any_box(edges, periodic, share, seed):
    vectors = np.reshape(edges, (3, 3)) + 5 * np.eye(3)
    if np.linalg.svd(vectors)[1][-1] < 1.5:
        return
    box = Box.triclinic(vectors, periodic)
    count = max(1, int(share * float(box.volume()) / (np.pi / 6)))
    position, _ = wl.md.random_packing(count, box=box, distance=1.0, key=jax.random.key(seed))
    assert smallest_distance(position, box) >= 1.0


def test_a_density_makes_a_cube():
    position, box = wl.md.random_packing(500, density=0.9, distance=1.0, key=KEY)
    assert 500 / float(box.volume()) == pytest.approx(0.9, rel=1e-14)
    assert smallest_distance(position, box) >= 1.0


def test_packings_are_random_and_repeatable():
    first, again, other = (
        wl.md.random_packing(100, density=0.7, distance=1.0, key=jax.random.key(seed))[0] for seed in (0, 0, 1)
    )
    assert (first == again).all() and (first != other).any()
    # Mean of fractional coordinates: 1/2 with standard error below sqrt(1/12/100).
    assert abs(np.asarray(first).mean() / (100 / 0.7) ** (1 / 3) - 0.5) < 4 * (1 / 1200) ** 0.5


def test_particles_at_one_place_are_parted(monkeypatch):
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape, dtype: np.full(shape, 0.25, dtype))
    position, box = wl.md.random_packing(4, box=Box.cubic(4.0), distance=1.0, key=KEY)
    assert smallest_distance(position, box) >= 1.0


def test_single_precision_keeps_the_distance():
    with jax.enable_x64(False):
        position, box = wl.md.random_packing(200, density=0.8, distance=1.0, key=jax.random.key(3))
    assert position.dtype == np.float32
    vectors = np.asarray(box.vectors, np.float64)
    assert smallest_distance(np.asarray(position, np.float64), Box.triclinic(vectors)) >= 1.0


def test_what_is_refused():
    for arguments, message in [
        (dict(count=0, density=1.0), "count=0"),
        (dict(count=1.5, density=1.0), "count=1.5"),
        (dict(count=10), "box= .* or density="),
        (dict(count=10, density=1.0, box=Box.cubic(3.0)), "one of the two"),
        (dict(count=10, density=-1.0), "density is -1"),
        (dict(count=10, density=1.0, distance=0.0), "distance is 0"),
        (dict(count=10, density=2.0), "would fill 1.05 of the box"),
        (dict(count=1, box=Box.orthorhombic(0.9, 9.0, 9.0)), "0.9 from a particle to its own image"),
        (dict(count=60, density=1.35), "too full for a random packing"),
    ]:
        with pytest.raises(ValueError, match=message):
            wl.md.random_packing(arguments.pop("count"), **{"distance": 1.0, "key": KEY, **arguments})
    with pytest.raises(TypeError, match="cannot be traced"):
        jax.jit(lambda key: wl.md.random_packing(5, density=0.1, distance=1.0, key=key)[0])(KEY)

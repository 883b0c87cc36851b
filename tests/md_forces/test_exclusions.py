"""Excluded and scaled pairs: left out of the sum, of the nearest images only, in boxes of all kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_sums import BOXES, box, nearest_only, pair_sum, places

import worldline as wl
from worldline.physics.md.images import nearest_images

CUTOFF = 1.7
COUNT = 7
BONDS = [(0, 1), (1, 2), (2, 3), (2, 4), (5, 6)]
# By hand: 1-2, 1-3 and 1-4 pairs of the chain 0-1-2-3 with 4 at 2.
APART = {1: {(0, 1), (1, 2), (2, 3), (2, 4), (5, 6)}, 2: {(0, 2), (1, 3), (1, 4), (3, 4)}, 3: {(0, 3), (0, 4)}}


def listed(pairs: Any) -> set[tuple[int, int]]:
    return {(int(min(p)), int(max(p))) for p in np.asarray(pairs)}


def test_pairs_by_how_many_bonds_they_are_apart() -> None:
    found = wl.md.Exclusions.from_bonds(BONDS, COUNT, reach=3, scale={3: 0.5, 2: 0.25})
    assert listed(found.excluded) == APART[1]
    by_level = {float(found.scale[k]): listed(np.asarray(found.scaled)[np.asarray(found.level) == k]) for k in (0, 1)}
    assert by_level == {0.5: APART[3], 0.25: APART[2]}
    assert listed(wl.md.Exclusions.from_bonds(BONDS, COUNT, reach=2).excluded) == APART[1] | APART[2]
    ring = wl.md.Exclusions.from_bonds([(0, 1), (1, 2), (2, 0)], 3, reach=3)
    assert listed(ring.excluded) == {(0, 1), (1, 2), (0, 2)} and len(ring.excluded) == 3


@eqx.filter_jit
def forces(system: wl.md.System, state: wl.md.State) -> Any:
    return system.forces(state)


def assert_excluded(name: str) -> None:
    x = places(name, COUNT, seed=3)
    exclusions = wl.md.Exclusions.from_bonds(BONDS, COUNT, reach=3, scale={2: 0.3, 3: 0.6})
    factors = {pair: f for apart, f in ((1, 0.0), (2, 0.3), (3, 0.6)) for pair in APART[apart]}
    term = wl.md.Pair(lambda r, p: p["a"] / r**3, {"a": 0.4}, CUTOFF, exclusions=exclusions)
    system = wl.md.System(term, {"A": COUNT})
    state = system.state(x, None, box(name))
    energy, force, virial = pair_sum(
        x, name, CUTOFF, lambda r, i, j: 0.4 / r**3, lambda r, i, j: -1.2 / r**4, nearest_only(x, name, factors)
    )
    found = forces(system.sized(state), state)
    size = 1 + np.abs(force).max()
    assert abs(float(found.energy) - energy) < 1e-12 * size
    np.testing.assert_allclose(found.force, force, rtol=0, atol=1e-12 * size)
    np.testing.assert_allclose(found.virial, virial, rtol=0, atol=1e-12 * size)


@pytest.mark.parametrize("name", ["free", "triclinic", "left-handed", "tiny", pytest.param("wire", marks=pytest.mark.slow)])
def test_each_box(name: str) -> None:
    assert_excluded(name)


@pytest.mark.parametrize("name", ["triclinic", *(pytest.param(n, marks=pytest.mark.slow) for n in ("free", "tiny", "slab"))])
def test_rows(name: str, in_rows: None) -> None:
    assert_excluded(name)


def test_excluded_pairs_at_one_place_are_no_matter() -> None:
    """They are not evaluated, so that neither values nor derivatives of any order are touched by them."""
    exclusions = wl.md.Exclusions.of_pairs(4, [(0, 1)])
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 3.0, exclusions=exclusions), {"A": 4})
    x = np.array([[0.0, 0, 0], [0.0, 0, 0], [1.2, 0, 0], [0, 1.3, 0.2]])
    state = system.state(x)
    system = system.sized(state)
    found = forces(system, state)
    lj = lambda r: 4 * (r**-12 - r**-6)
    r = {"a": 1.2, "b": np.hypot(1.3, 0.2), "c": np.sqrt(1.2**2 + 1.3**2 + 0.2**2)}
    assert float(found.energy) == pytest.approx(2 * lj(r["a"]) + 2 * lj(r["b"]) + lj(r["c"]), rel=1e-13)
    assert np.isfinite(found.force).all()
    energy = lambda x: system.potential_energy(eqx.tree_at(lambda s: s.position, state, x))
    assert np.isfinite(jax.jit(jax.hessian(energy))(jnp.asarray(x))).all()


def test_factors_are_parameters() -> None:
    exclusions = wl.md.Exclusions.from_bonds(BONDS, COUNT, reach=3, scale={2: 0.3, 3: 0.6})
    system = wl.md.System(wl.md.Morse(1.0, 2.0, 1.0, CUTOFF, exclusions=exclusions), {"A": COUNT})
    state = system.state(places("triclinic", COUNT, 3), None, box("triclinic"))
    system, name = system.sized(state), "morse.exclusions.scale"
    energy = lambda scale: system.replace({name: scale}).potential_energy(state)
    both = jax.jit(lambda scale: (*jax.value_and_grad(energy)(scale), jax.jvp(energy, (scale,), (jnp.ones(2),))[1]))
    start = jnp.array([0.3, 0.6])
    value, slope, forward = both(start)
    # The energy is linear in the factors.
    for k in range(2):
        assert float(both(start.at[k].add(1.0))[0] - value) == pytest.approx(float(slope[k]), rel=1e-11)
    assert float(forward) == pytest.approx(float(jnp.sum(slope)), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), periodic=st.sampled_from([(1, 1, 1), (1, 0, 1), (0, 1, 0), (1, 1, 0)]))
def test_nearest_images_in_skew_boxes(seed: int, periodic: tuple[int, int, int]) -> None:
    """Against all images of a cell that is not skew, of the same lattice."""
    random = np.random.default_rng(seed)
    chosen = np.array(periodic, bool)
    good = np.linalg.qr(random.normal(size=(3, 3)))[0] * random.uniform(0.5, 2.0, (3, 1))
    good += 0.25 * random.uniform(-1, 1, (3, 3)) * good.min()
    turn = np.eye(3)
    for _ in range(4):
        i, j = random.permutation(3)[:2]
        if chosen[i] and chosen[j]:
            turn[i] += random.integers(-3, 4) * turn[j]
    if not chosen.all():  # an edge that is not periodic has no part in distances
        good[~chosen] += 5 * random.normal(size=((~chosen).sum(), 3))
    edges = turn @ good
    d = 4 * random.normal(size=(6, 3))
    given = wl.md.Box(jnp.asarray(edges), tuple(bool(p) for p in periodic))
    shifts, limit = jax.jit(nearest_images)(given, jnp.asarray(d))
    rows = good[chosen]
    steps = np.stack(np.meshgrid(*[np.arange(-4, 5)] * len(rows), indexing="ij"), -1).reshape(-1, len(rows))
    home = d - np.round(d @ np.linalg.pinv(rows)) @ rows
    lengths = np.sort(np.linalg.norm(home[:, None] + steps @ rows, axis=-1), axis=1)
    assert (np.asarray(shifts)[:, ~chosen] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(d + np.asarray(shifts) @ edges, axis=1), lengths[:, 0], atol=1e-9)
    assert ((lengths[:, 0] <= limit + 1e-9) & (limit <= lengths[:, 1] + 1e-9)).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: wl.md.Exclusions.of_pairs(4, [(0, 4)]), r"excluded\[0\] = \[0, 4\]: there are 4 particles"),
        (lambda: wl.md.Exclusions.of_pairs(4, [(0, 1), (2, 2)]), r"excluded\[1\] = \[2, 2\]"),
        (lambda: wl.md.Exclusions.of_pairs(4, [(0, 1)], scaled=[(1, 0)], scale=0.5), "listed twice"),
        (lambda: wl.md.Exclusions.of_pairs(4, [(0, 1, 2)]), "shape"),
        (lambda: wl.md.Exclusions.of_pairs(4, scaled=[(0, 1)]), "factors in scale"),
        (lambda: wl.md.Exclusions.from_bonds([(0, 1)], 4, reach=2, scale={3: 0.5}), "reach=2"),
        (lambda: wl.md.Exclusions.from_bonds([(0, -1)], 4), "counted from 0"),
        (
            lambda: wl.md.System(wl.md.Morse(1.0, 1.0, 1.0, 2.0, exclusions=wl.md.Exclusions.of_pairs(4)), {"A": 5}),
            "for 4 particles, and the system has 5",
        ),
    ],
)
def test_lists_that_make_no_sense(make: Callable, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_what_is_no_list_of_exclusions() -> None:
    with pytest.raises(TypeError, match="Exclusions.from_bonds"):
        wl.md.Morse(1.0, 1.0, 1.0, 2.0, exclusions=[(0, 1)])  # type: ignore[arg-type]


def test_boxes_of_this_file_are_skew() -> None:
    """The nearest image in the triclinic box is not always that of the least fractional coordinates."""
    vectors = np.array(BOXES["triclinic"][0])
    d = np.random.default_rng(0).normal(size=(200, 3)) * 3
    plain = d - np.round(d @ np.linalg.inv(vectors)) @ vectors
    shifts, _ = jax.jit(nearest_images)(box("triclinic"), jnp.asarray(d))
    assert (np.linalg.norm(d + np.asarray(shifts) @ vectors, axis=1) < np.linalg.norm(plain, axis=1) - 1e-6).any()

"""Pair potentials against sums over all images in numpy, in boxes of all kinds and both layouts of neighbors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pair_sums import BOXES, box, pair_sum, places

import worldline as wl

CUTOFF = 1.9
ROUNDING = 1e-12  # of sums of some hundred terms, relative to the largest


def gaussian(r: Any, p: Any) -> Any:
    return p["height"] * jnp.exp(-((r / p["width"]) ** 2))


@dataclass(frozen=True)
class Case:
    """A potential with u and du/dr of two kinds of particles in closed form; p(i, j) are the kinds."""

    term: wl.md.PairPotential
    u: Callable
    slope: Callable
    cutoff: float = CUTOFF


def table(values: list[list[float]]) -> Callable:
    return lambda i, j: np.array(values)[KINDS[i], KINDS[j]]


KINDS = np.array([0, 1, 1, 0, 1, 0, 0, 1])
NAMES = ["A" if k == 0 else "B" for k in KINDS]
COUNT = len(KINDS)
depth = table([[0.9, np.sqrt(0.9 * 0.4)], [np.sqrt(0.9 * 0.4), 0.4]])
length = table([[1.15, 1.05], [1.05, 0.95]])
height = table([[0.7, 0.3], [0.3, -0.2]])
CASES = {
    "morse": Case(
        wl.md.Morse([0.9, 0.4], 3.1, [1.15, 0.95], CUTOFF),
        lambda r, i, j: depth(i, j) * ((1 - np.exp(-3.1 * (r - length(i, j)))) ** 2 - 1),
        lambda r, i, j: 6.2 * depth(i, j) * (np.exp(-3.1 * (r - length(i, j))) - np.exp(-6.2 * (r - length(i, j)))),
    ),
    "buckingham": Case(
        wl.md.Buckingham(300.0, [0.2, 0.16], [1.2, 0.3], CUTOFF),
        lambda r, i, j: 300 * np.exp(-r / table([[0.2, 0.18], [0.18, 0.16]])(i, j))
        - table([[1.2, 0.6], [0.6, 0.3]])(i, j) / r**6,
        lambda r, i, j: -300 / table([[0.2, 0.18], [0.18, 0.16]])(i, j) * np.exp(-r / table([[0.2, 0.18], [0.18, 0.16]])(i, j))
        + 6 * table([[1.2, 0.6], [0.6, 0.3]])(i, j) / r**7,
    ),
    "soft sphere": Case(
        wl.md.SoftSphere(2.0, [1.15, 0.95], CUTOFF, exponent=2.5),
        lambda r, i, j: 2 / 2.5 * np.maximum(1 - r / length(i, j), 0) ** 2.5,
        lambda r, i, j: -2 / length(i, j) * np.maximum(1 - r / length(i, j), 0) ** 1.5,
    ),
    "yukawa": Case(
        wl.md.Yukawa(2.5, 1.7, CUTOFF, shape="force_shift"),
        lambda r, i, j: 2.5 * (np.exp(-1.7 * r) / r - END - (r - CUTOFF) * END_SLOPE),
        lambda r, i, j: 2.5 * (-np.exp(-1.7 * r) * (1.7 / r + 1 / r**2) - END_SLOPE),
    ),
    "own function": Case(
        wl.md.Pair(gaussian, {"height": [[0.7, 0.3], [0.3, -0.2]], "width": 0.8}, CUTOFF, shape="shift"),
        lambda r, i, j: height(i, j) * (np.exp(-((r / 0.8) ** 2)) - np.exp(-((CUTOFF / 0.8) ** 2))),
        lambda r, i, j: -2 * height(i, j) * r / 0.64 * np.exp(-((r / 0.8) ** 2)),
    ),
}
END = np.exp(-1.7 * CUTOFF) / CUTOFF
END_SLOPE = -np.exp(-1.7 * CUTOFF) * (1.7 / CUTOFF + 1 / CUTOFF**2)


@eqx.filter_jit
def forces(system: wl.md.System, state: wl.md.State) -> Any:
    return system.forces(state)


def assert_same(found: Any, expected: tuple[float, np.ndarray, np.ndarray], tolerance: float = ROUNDING) -> None:
    energy, force, virial = expected
    size = 1 + np.abs(force).max()
    assert abs(float(found.energy) - energy) <= tolerance * size
    np.testing.assert_allclose(found.force, force, rtol=0, atol=tolerance * size)
    np.testing.assert_allclose(found.virial, virial, rtol=0, atol=tolerance * size)


def prepared(term: wl.md.Term, name: str, seed: int = 0) -> tuple[wl.md.System, wl.md.State]:
    system = wl.md.System(term, NAMES)
    state = system.state(places(name, COUNT, seed), None, box(name))
    return system.sized(state), state


def test_all_potentials_and_their_sum() -> None:
    system, state = prepared(wl.md.Sum.of(*(case.term for case in CASES.values())), "triclinic")
    sums = [pair_sum(np.asarray(state.position), "triclinic", c.cutoff, c.u, c.slope) for c in CASES.values()]
    parts = system.energies(state)
    for name, expected in zip(CASES, sums):
        part = parts["pair" if name == "own function" else name.replace(" ", "_")]
        assert abs(float(part) - expected[0]) < ROUNDING * (1 + abs(expected[0])), name
    total = tuple(sum(parts) for parts in zip(*sums))
    assert_same(forces(system, state), total)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_each_potential_by_rows(case: Case, in_rows: None) -> None:
    system, state = prepared(case.term, "triclinic")
    expected = pair_sum(np.asarray(state.position), "triclinic", case.cutoff, case.u, case.slope)
    assert_same(forces(system, state), expected)


@pytest.mark.parametrize("name", BOXES)
def test_each_box_in_pairs(name: str) -> None:
    case = CASES["morse"]
    system, state = prepared(case.term, name)
    assert_same(forces(system, state), pair_sum(np.asarray(state.position), name, case.cutoff, case.u, case.slope))


ROWS_AT_ONCE = ("triclinic", "left-handed")  # these share a program


@pytest.mark.parametrize("name", [n if n in ROWS_AT_ONCE else pytest.param(n, marks=pytest.mark.slow) for n in BOXES])
def test_each_box_in_rows(name: str, in_rows: None) -> None:
    case = CASES["morse"]
    system, state = prepared(case.term, name)
    assert_same(forces(system, state), pair_sum(np.asarray(state.position), name, case.cutoff, case.u, case.slope))


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edges=st.lists(st.floats(0.9, 4.5), min_size=3, max_size=3),
    skew=st.lists(st.floats(-2.5, 2.5), min_size=3, max_size=3),
    periodic=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    seed=st.integers(0, 1000),
)
def test_random_boxes(edges: list, skew: list, periodic: tuple, seed: int, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.diag(edges) + np.array([[0, 0, 0], [skew[0], 0, 0], [skew[1], skew[2], 0]])
    monkeypatch.setitem(BOXES, "drawn", (vectors.tolist(), periodic))
    case = CASES["own function"]
    system, state = prepared(case.term, "drawn", seed)
    expected = pair_sum(np.asarray(state.position), "drawn", case.cutoff, case.u, case.slope)
    assert_same(forces(system, state), expected)


@pytest.mark.parametrize("name", ["own function", pytest.param("morse", marks=pytest.mark.slow)])
def test_derivatives_by_parameters_and_positions(name: str, layout: str) -> None:
    """First and second derivatives forward, in reverse and by differences of two step sizes."""
    system, state = prepared(CASES[name].term, "triclinic")
    random = np.random.default_rng(1)
    chosen = [key for key in system.parameters if key.startswith(("morse", "pair"))]
    start = {key: system.parameters[key] for key in chosen}
    symmetric = lambda v: 0.5 * (v + v.T) if v.ndim == 2 else v
    along = {key: jnp.asarray(symmetric(random.normal(size=np.shape(v)))) for key, v in start.items()}
    push = jnp.asarray(random.normal(size=state.position.shape))

    def energy(p: dict, x: jax.Array) -> jax.Array:
        return system.replace(p).potential_energy(eqx.tree_at(lambda s: s.position, state, x))

    def at(h: jax.Array) -> jax.Array:
        return energy({key: start[key] + h * along[key] for key in chosen}, state.position + h * push)

    dot = lambda a, b: sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)))
    slope = jax.jit(lambda h: dot(jax.grad(energy, (0, 1))(
        {key: start[key] + h * along[key] for key in chosen}, state.position + h * push), (along, push)))  # fmt: skip
    forward, (reverse, second) = jax.jit(jax.jacfwd(at))(0.0), jax.jvp(slope, (0.0,), (1.0,))
    assert abs(float(forward - reverse)) < 1e-11 * abs(float(forward))
    value = jax.jit(at)
    for h in (1e-4, 2e-5):
        assert abs(float((value(h) - value(-h)) / (2 * h) - forward)) < 30 * h**2 * abs(float(second)) + 1e-10 / h * 1e-2
        assert abs(float((slope(h) - slope(-h)) / (2 * h) - second)) < 3e-6 * abs(float(second))


def test_virial_is_the_derivative_by_strain(layout: str) -> None:
    """The box as a whole strained, not the engine's own strain."""
    system, state = prepared(CASES["morse"].term, "slab")
    random = np.random.default_rng(2)
    strain = random.normal(size=(3, 3))

    @jax.jit
    def energy(h: jax.Array) -> jax.Array:
        turn = jnp.eye(3) + h * jnp.asarray(strain)
        strained = eqx.tree_at(lambda s: (s.position, s.box.vectors), state, (state.position @ turn, state.box.vectors @ turn))
        return system.potential_energy(strained)

    virial = np.asarray(forces(system, state).virial)
    h = 1e-5
    assert abs(float(energy(h) - energy(-h)) / (2 * h) + np.sum(virial * strain)) < 1e-6 * np.abs(virial).max()
    assert abs(float(jax.jacfwd(energy)(0.0)) + np.sum(virial * strain)) < 1e-11 * np.abs(virial).max()


def test_single_precision_is_near() -> None:
    term = CASES["morse"].term
    system, state = prepared(term, "triclinic")
    single = jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == jnp.float64 else x, state)
    found, exact = forces(system, single), forces(system, state)
    assert found.force.dtype == jnp.float32
    np.testing.assert_allclose(found.force, exact.force, rtol=0, atol=2e-4 * float(jnp.abs(exact.force).max()))


def test_a_module_of_ones_own_keeps_its_parameters() -> None:
    class Bump(eqx.Module):
        height: jax.Array

        def __call__(self, r: jax.Array, p: dict) -> jax.Array:
            return self.height * jnp.exp(-r * r)

    system, state = prepared(wl.md.Pair(Bump(jnp.array(0.5)), {}, CUTOFF), "orthorhombic")
    assert "pair.function.height" in system.parameters
    value, slope = jax.value_and_grad(lambda h: system.replace({"pair.function.height": h}).potential_energy(state))(0.5)
    assert float(slope) == pytest.approx(float(value) / 0.5, rel=1e-12)


def test_overlaps_are_seen_and_never_hidden(layout: str) -> None:
    """Two atoms at one place: large or no numbers, and a run ends with a status."""
    system, state = prepared(wl.md.LennardJones(1.0, 1.0, CUTOFF), "orthorhombic")
    near = eqx.tree_at(lambda s: s.position, state, state.position.at[1].set(state.position[0] + 1e-3))
    assert float(forces(system, near).energy) > 1e30
    same = eqx.tree_at(lambda s: s.position, state, state.position.at[1].set(state.position[0]))
    found = forces(system, same)
    assert not np.isfinite(float(found.energy)) and not np.isfinite(np.asarray(found.force[:2])).all()
    nowhere = eqx.tree_at(lambda s: s.position, state, state.position.at[1, 0].set(jnp.nan))
    assert np.isnan(float(forces(system, nowhere).energy))
    with pytest.raises(wl.SimulationError, match="non-finite"):
        wl.simulate(system, same, steps=3, dt=1e-3)


def test_the_fall_behind_the_maximum_of_buckingham() -> None:
    u = wl.md.Buckingham(300.0, 0.2, 1.2, CUTOFF).potential
    p = {"repulsion": 300.0, "length": 0.2, "dispersion": 1.2}
    assert float(u(jnp.asarray(0.9), p)) > float(u(jnp.asarray(0.05), p)) > float(u(jnp.asarray(0.01), p))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: wl.md.Morse(1.0, 2.0, 1.0, 0.0), "cutoff=0"),
        (lambda: wl.md.Morse(1.0, 2.0, 1.0, -1.0), "cutoff=-1"),
        (lambda: wl.md.Morse(1.0, np.nan, 1.0, 2.0), "steepness = nan"),
        (lambda: wl.md.Buckingham(1.0, 0.0, 1.0, 2.0), "length = 0.0"),
        (lambda: wl.md.SoftSphere(1.0, 2.5, 2.0), "cutoff=2 is less than sigma=2.5"),
        (lambda: wl.md.Yukawa(1.0, 1.0, 2.0, shape="smooth"), "shape='smooth'"),
        (lambda: wl.md.Yukawa([[1.0, 2.0], [3.0, 1.0]], 1.0, 2.0), "symmetric"),
        (lambda: wl.md.Pair(lambda r, p: p["depth"] * r, {"height": 1.0}, 2.0), "asks for the parameter 'depth'"),
        (lambda: wl.md.Pair(lambda r, p: jnp.stack([r, r]), {}, 2.0), "one number"),
        (lambda: wl.md.Morse(1.0, 2.0, 1.0, 2.0, mixing={"width": "geometric"}), "width"),
        (lambda: wl.md.System(wl.md.Morse([1.0, 2.0, 3.0], 2.0, 1.0, 2.0), NAMES), "depth has shape"),
    ],
)
def test_numbers_that_make_no_sense(make: Callable, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_spheres_that_outgrow_their_cutoff_are_no_numbers() -> None:
    system, state = prepared(wl.md.SoftSphere(1.0, 1.0, 1.2), "orthorhombic")
    larger = system.replace({"soft_sphere.sigma": 1.3})
    assert np.isfinite(float(system.potential_energy(state))) and np.isnan(float(larger.potential_energy(state)))


def test_a_tail_takes_the_precision_of_positions():
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 2.0, tail=True), {"A": 2})
    state = system.state(np.eye(3, dtype=np.float32)[:2], None, wl.md.Box.cubic(np.float32(5.0)))
    assert system.forces(state).force.dtype == system.potential_energy(state).dtype == np.float32

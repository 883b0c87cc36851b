"""Ewald's sum: published energies, constants of crystals, and what must hold of it in any box."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

# Constants of M. Born's lattice sums, of the distance between nearest neighbors: R. E. Crandall, J. P. Buhler,
# J. Phys. A 20 (1987) 5497, and Y. Sakamoto, J. Chem. Phys. 28 (1958) 164.
CRYSTALS = {
    "NaCl": (1.747564594633182, [[0, 1, 1], [1, 0, 1], [1, 1, 0]], 0.5),
    "CsCl": (1.762674773070988, (2 / np.sqrt(3) * np.eye(3)).tolist(), 0.5),
    "ZnS": (1.638055053388791, (2 / np.sqrt(3) * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])).tolist(), 0.25),
}
SHEARS = ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[1, 0, 0], [2, 1, 0], [-1, 2, 1]])


@eqx.filter_jit
def energy_of(system: wl.md.System, state: wl.md.State) -> Any:
    return system.potential_energy(state)


@eqx.filter_jit
def forces(system: wl.md.System, state: wl.md.State) -> Any:
    return system.forces(state)


@pytest.mark.parametrize("name", ["NaCl", *(pytest.param(n, marks=pytest.mark.slow) for n in ("CsCl", "ZnS"))])
def test_constants_of_crystals_in_cells_of_any_shape(name: str) -> None:
    constant, vectors, place = CRYSTALS[name]
    for shear in SHEARS:
        x = np.array([[0, 0, 0], [place] * 3]) @ np.array(vectors)
        system = wl.md.System(wl.md.Coulomb(2.6, accuracy=1e-13), {"+": 1, "-": 1}, charge={"+": 1.0, "-": -1.0})
        state = system.state(x, None, wl.md.Box.triclinic(np.array(shear, float) @ np.array(vectors)))
        found = forces(system.sized(state), state)
        assert float(found.energy) == pytest.approx(-constant, rel=1e-10)
        # An energy that goes as 1 / length: the virial is the energy.
        assert float(jnp.trace(found.virial)) == pytest.approx(-constant, rel=1e-9)
        np.testing.assert_allclose(found.force, 0, atol=1e-10)


def water(shared: Path) -> tuple[wl.md.System, wl.md.State, wl.md.Coulomb]:
    lines = (shared / "data/nist_molecular/spce_config1.xyz").read_text().split("\n")[2:302]
    words = [line.split() for line in lines]
    bonds = [(3 * k, 3 * k + h) for k in range(100) for h in (1, 2)]
    exclusions = wl.md.Exclusions.from_bonds(bonds, 300, reach=2)
    coulomb = wl.md.Coulomb(10.0, alpha=5.6 / 20, waves=5, waves_square=26, exclusions=exclusions)
    kelvin = wl.md.units("real").boltzmann
    oxygen = wl.md.LennardJones([78.19743111 * kelvin, 0.0], [3.16555789, 1.0], 10.0, tail=True, exclusions=exclusions)
    charge = {"O": -0.8476, "H": 0.4238}
    system = wl.md.System(oxygen + coulomb, [w[4] for w in words], charge=charge, units="real")
    state = system.state(np.array([[float(v) for v in w[1:4]] for w in words]), None, wl.md.Box.cubic(20.0))
    return system.sized(state), state, coulomb


def test_water_as_published(shared: Path) -> None:
    """NIST's reference energies of SPC/E water, to the six digits given."""
    expected = json.loads((shared / "reference/spce.json").read_text())["kelvin"]
    system, state, coulomb = water(shared)
    kelvin = system.units.boltzmann
    parts, energies = jax.jit(lambda: (coulomb.parts(system.surroundings(state)), system.energies(state)))()
    for name in ("real", "fourier", "self", "intra"):
        assert float(parts[name]) / kelvin == pytest.approx(expected[name], rel=1e-6)
    assert float(energies["lennard_jones"]) / kelvin == pytest.approx(expected["dispersion"] + expected["long_range"], rel=1e-6)
    assert float(sum(energies.values())) / kelvin == pytest.approx(expected["total"], rel=2e-6)


COUNT = 6
CHARGES = np.array([0.9, -0.4, -0.5, 0.7, 0.3, -1.0])
BOX = np.array([[3.1, 0.2, 0], [1.2, 2.9, 0.1], [-0.8, 0.9, 3.3]])
PLACES = np.array([[0.1, 0.2, 0.3], [0.3, 0.25, 0.35], [0.15, 0.5, 0.4], [0.7, 0.8, 0.1], [0.6, 0.1, 0.8], [2.9, -1.5, 0.6]]) @ BOX


def salt(
    term: wl.md.Coulomb, x: np.ndarray = PLACES, vectors: np.ndarray = BOX, charges: np.ndarray = CHARGES
) -> tuple[wl.md.System, wl.md.State]:
    names = [f"Q{k}" for k in range(len(charges))]
    system = wl.md.System(term, names, charge=dict(zip(names, map(float, charges))))
    state = system.state(x, None, wl.md.Box.triclinic(vectors))
    return system.sized(state), state


def exclusions() -> wl.md.Exclusions:
    return wl.md.Exclusions.of_pairs(COUNT, [(0, 1)], scaled=[(0, 2), (3, 4)], scale=0.4)


@pytest.mark.slow
def test_neither_the_split_nor_the_cell_matters() -> None:
    """Cutoff and accuracy share the sum between both spaces differently; two cells of a lattice hold the same crystal."""
    sheared = np.array([[1, 0, 0], [1, 1, 0], [-1, 2, 1]]) @ BOX
    terms = [wl.md.Coulomb(cutoff, accuracy=1e-13, exclusions=exclusions()) for cutoff in (2.0, 2.5)]
    found = [forces(*salt(term, vectors=vectors)) for term, vectors in zip(terms, (BOX, sheared))]
    for other in found[1:]:
        assert float(other.energy) == pytest.approx(float(found[0].energy), rel=1e-11)
        np.testing.assert_allclose(other.force, found[0].force, atol=1e-9)
        np.testing.assert_allclose(other.virial, found[0].virial, atol=1e-9)
    assert float(jnp.trace(found[0].virial)) == pytest.approx(float(found[0].energy), rel=1e-9)


def test_excluded_pairs_do_not_interact() -> None:
    """A pair, in a wide box: excluded it has only the interaction with its images, a dipole's, which falls as 1 / L³."""
    x, wide = np.array([[10.0, 10, 10], [10.4, 10.2, 10]]), 40.0 * np.eye(3)
    without, scaled = (
        float(energy_of(*salt(wl.md.Coulomb(9.0, accuracy=1e-10, exclusions=e), x, wide, np.array([1.0, -1.0]))))
        for e in (wl.md.Exclusions.of_pairs(2, [(0, 1)]), wl.md.Exclusions.of_pairs(2, scaled=[(0, 1)], scale=0.3))
    )
    r = np.hypot(0.4, 0.2)
    assert scaled - without == pytest.approx(-0.3 / r, rel=1e-9)
    assert abs(without) == pytest.approx(2 * np.pi / 3 * r**2 / 40.0**3, rel=1e-2)


def test_excluded_charges_at_one_place() -> None:
    """The correction erf(alpha r) / r and its derivatives have their limits at r = 0."""
    system, state = salt(wl.md.Coulomb(2.0, accuracy=1e-6, exclusions=wl.md.Exclusions.of_pairs(COUNT, [(0, 1)])))
    near = lambda x: eqx.tree_at(lambda n: n.position, system.surroundings(state), x)
    intra = lambda x: system.interaction.terms["coulomb"].parts(near(x))["intra"]
    alpha = system.interaction.terms["coulomb"].alpha
    found = jax.jit(lambda x: (intra(x), jax.grad(intra)(x), jax.hessian(intra)(x)))
    product = CHARGES[0] * CHARGES[1]
    second = product * 4 * alpha**3 / (3 * np.sqrt(np.pi))  # the second derivative of -erf(alpha r) / r at 0
    for apart in (0.0, 1e-9, 1e-3):
        value, slope, curvature = found(jnp.asarray(PLACES).at[1].set(PLACES[0] + apart * np.array([1.0, 0, 0])))
        limit = -product * 2 * alpha / np.sqrt(np.pi) * (1 - (alpha * apart) ** 2 / 3)
        assert float(value) == pytest.approx(limit, rel=1e-9)
        np.testing.assert_allclose(slope[1], [second * apart, 0, 0], atol=1e-5 * abs(second) * apart + 1e-13)
        np.testing.assert_allclose(np.asarray(curvature)[0, :, 0, :], second * np.eye(3), rtol=0, atol=1e-4 * abs(second))


@pytest.mark.slow
def test_derivatives_by_positions_charges_and_box() -> None:
    """First and second derivatives along one line through all of them: in reverse, forward, and by differences."""
    system, state = salt(wl.md.Coulomb(2.2, accuracy=1e-13, exclusions=exclusions()))
    random = np.random.default_rng(5)
    along = random.normal(size=COUNT)
    push, strain = jnp.asarray(random.normal(size=(COUNT, 3))), jnp.asarray(random.normal(size=(3, 3)))
    charge = jnp.asarray(along - along.mean())

    def energy(q: jax.Array, x: jax.Array, edges: jax.Array) -> jax.Array:
        moved = eqx.tree_at(lambda s: (s.position, s.box.vectors), state, (x, edges))
        return eqx.tree_at(lambda s: s.charge, system, q).potential_energy(moved)

    line = lambda h: (system.charge + h * charge, state.position + h * push, state.box.vectors + h * strain)
    dot = lambda a: jnp.vdot(a[0], charge) + jnp.vdot(a[1], push) + jnp.vdot(a[2], strain)
    at = lambda h: energy(*line(h))
    slope = lambda h: dot(jax.grad(energy, (0, 1, 2))(*line(h)))
    value, forward = jax.jit(lambda h: jax.jvp(at, (h,), (1.0,)))(0.0)
    both = jax.jit(lambda h: (at(h), *jax.jvp(slope, (h,), (1.0,))))
    _, reverse, second = both(0.0)
    assert float(forward) == pytest.approx(float(reverse), rel=1e-11)
    for h in (1e-4, 2e-5):
        up, down = both(h), both(-h)
        assert float((up[0] - down[0]) / (2 * h)) == pytest.approx(float(forward), rel=2e-6)
        assert float((up[1] - down[1]) / (2 * h)) == pytest.approx(float(second), rel=2e-6)


@pytest.mark.slow
def test_energy_is_a_square_in_the_charges_whatever_their_sum() -> None:
    """q · dU/dq = 2 U; and with the background the split matters neither to derivatives out of neutrality."""
    slopes = []
    for cutoff in (2.0, 3.0):
        system, state = salt(wl.md.Coulomb(cutoff, accuracy=1e-13))
        energy = lambda q: eqx.tree_at(lambda s: s.charge, system, q).potential_energy(state)
        value, slope = jax.jit(jax.value_and_grad(energy))(system.charge)
        assert float(jnp.vdot(system.charge, slope)) == pytest.approx(2 * float(value), rel=1e-12)
        slopes.append((slope, jax.jit(jax.grad(energy))(system.charge.at[0].add(0.5))))
    np.testing.assert_allclose(slopes[0][0], slopes[1][0], atol=1e-10)
    np.testing.assert_allclose(slopes[0][1], slopes[1][1], atol=1e-10)


@pytest.mark.slow
def test_accuracy_is_kept() -> None:
    """Errors of forces fall with what is asked for."""
    exact = forces(*salt(wl.md.Coulomb(2.0, accuracy=1e-13))).force
    for accuracy in (1e-4, 1e-8):
        found = forces(*salt(wl.md.Coulomb(2.0, accuracy=accuracy))).force
        assert float(jnp.abs(found - exact).max()) < 20 * accuracy * float(jnp.abs(exact).max())


def test_boxes_that_outgrow_the_waves_are_told() -> None:
    system, state = salt(wl.md.Coulomb(2.0, accuracy=1e-6))
    larger = eqx.tree_at(lambda s: (s.position, s.box.vectors), state, (2 * state.position, 2 * state.box.vectors))
    assert np.isnan(float(energy_of(system, larger)))
    grown = system.grown(larger)
    assert grown is not None
    again = float(energy_of(grown, larger))
    assert again == pytest.approx(0.5 * float(energy_of(system, state)), rel=1e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: salt(wl.md.Coulomb(2.0), charges=CHARGES + 0.1), "sum to 0.6"),
        (lambda: wl.md.Coulomb(0.0), "cutoff=0"),
        (lambda: wl.md.Coulomb(2.0, accuracy=0.0), "accuracy=0"),
        (lambda: wl.md.Coulomb(2.0, alpha=1.0), "alpha and waves together"),
        (lambda: wl.md.Coulomb(2.0, alpha=1.0, waves=3, accuracy=1e-5), "accuracy alone"),
        (lambda: wl.md.Coulomb(2.0, alpha=-1.0, waves=3), "alpha=-1"),
        (lambda: wl.md.Coulomb(2.0, alpha=1.0, waves=(3, 0, 3)), "waves=\\(3, 0, 3\\)"),
        (lambda: wl.md.Coulomb(2.0, waves_square=9), "waves_square=9"),
        (lambda: wl.md.System(wl.md.Coulomb(2.0), {"A": 2}), "no particle has a charge"),
        (
            lambda: wl.md.System(wl.md.Coulomb(2.0), ["+", "-"], charge={"+": 1.0, "-": -1.0}).sized(State((2, 3))),
            "repeats along all its edges",
        ),
    ],
)
def test_what_makes_no_sense(make: Callable, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_waves_must_be_known_before_jit() -> None:
    system = wl.md.System(wl.md.Coulomb(2.0), {"+": 1, "-": 1}, charge={"+": 1.0, "-": -1.0})
    state = system.state(np.eye(3)[:2], None, wl.md.Box.cubic(3.0))
    with pytest.raises(TypeError, match="sized"):
        jax.jit(lambda state: system.potential_energy(state))(state)


def State(shape: tuple[int, int]) -> wl.md.State:
    """A state in free space."""
    return wl.md.System(wl.md.Morse(1.0, 1.0, 1.0, 1.0), {"A": shape[0]}).state(np.arange(6.0).reshape(shape))

"""Bonds, angles and dihedral angles: closed forms, straight angles, and bonds that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pair_sums import box, places

import worldline as wl

COUNT = 6


@eqx.filter_jit
def forces(system: wl.md.System, state: wl.md.State) -> Any:
    return system.forces(state)


def alone(term: wl.md.Term, x: Any, name: str = "free") -> tuple[wl.md.System, wl.md.State]:
    system = wl.md.System(term, {"A": len(x)})
    state = system.state(x, None, box(name))
    return system.sized(state), state


def bent(theta: float, long: float = 1.3) -> np.ndarray:
    return np.array([[1.0, 0, 0], [0, 0, 0], [long * np.cos(theta), long * np.sin(theta), 0]])


def test_values_in_closed_form() -> None:
    """Each of them, with kinds, in one sum."""
    x = np.array([[0.0, 0, 0], [1.2, 0, 0], [1.2, 0.9, 0], [1.2, 1.2, 1.1]])
    terms = (
        wl.md.Bonds([(0, 1), (1, 2)], [2.0, 5.0], [1.0, 1.1], kind=[0, 1])
        + wl.md.FeneBonds([(1, 2)], 3.0, 1.5, epsilon=0.7, sigma=0.95)
        + wl.md.MorseBonds([(1, 2)], 2.0, 1.5, 1.0)
        + wl.md.Angles([(0, 1, 2)], 3.0, 1.2)
        + wl.md.CosineAngles([(0, 1, 2)], 1.7)
        + wl.md.CosineSquaredAngles([(0, 1, 2)], 1.7, 2.0)
        + wl.md.Dihedrals([(0, 1, 2, 3)], 2.0, 3, 0.4)
        + wl.md.DistanceRestraints([(0, 1), (0, 2)], 2.0, 1.0, 1.6, kind=[0, 0])
    )
    system, state = alone(terms, x)
    found = {name: float(u) for name, u in system.energies(state).items()}
    right, r = np.pi / 2, 0.9
    assert found["bonds"] == pytest.approx(0.5 * 2 * 0.2**2 + 0.5 * 5 * 0.2**2, rel=1e-13)
    core = 4 * 0.7 * ((0.95 / r) ** 12 - (0.95 / r) ** 6) + 0.7
    assert found["fene_bonds"] == pytest.approx(-0.5 * 3 * 2.25 * np.log(1 - (r / 1.5) ** 2) + core, rel=1e-13)
    assert found["morse_bonds"] == pytest.approx(2 * (1 - np.exp(1.5 * 0.1)) ** 2, rel=1e-13)
    assert found["angles"] == pytest.approx(1.5 * (right - 1.2) ** 2, rel=1e-13)
    assert found["cosine_angles"] == pytest.approx(1.7, rel=1e-13)
    assert found["cosine_squared_angles"] == pytest.approx(0.85 * np.cos(2.0) ** 2, rel=1e-13)
    # Looking along y from 1 to 2, 0 lies at -x and 3 at +z: a quarter turn clockwise.
    assert found["dihedrals"] == pytest.approx(2 * (1 + np.cos(3 * right - 0.4)), rel=1e-13)
    diagonal = np.hypot(1.2, 0.9)
    assert found["distance_restraints"] == pytest.approx(
        sum((max(d - 1.0, 0) + min(d - 1.6, 0)) ** 2 for d in (1.2, diagonal)), rel=1e-12
    )


def test_dihedral_angles_are_those_of_turns() -> None:
    """0 in cis, 180 degrees in trans, positive where the farther bond is turned clockwise."""
    for phi in (0.3, 1.5, 2.8, -2.0):
        # Looking along the middle bond, +z, clockwise is from x to -y seen from behind, which is from x to y here.
        x = np.array([[1.0, 0, -0.3], [0, 0, 0], [0, 0, 1.1], [0.9 * np.cos(phi), 0.9 * np.sin(phi), 1.5]])
        system, state = alone(wl.md.Dihedrals([(0, 1, 2, 3)], 1.0, 1, 0.5), x)
        assert float(system.potential_energy(state)) == pytest.approx(1 + np.cos(phi - 0.5), rel=1e-12)


@pytest.mark.parametrize("name", ["triclinic", pytest.param("slab", marks=pytest.mark.slow)])
def test_forces_and_virial_by_differences(name: str) -> None:
    x = places(name, COUNT, 7)
    terms = (
        wl.md.Bonds([(0, 1), (4, 5)], 2.0, 1.0)
        + wl.md.FeneBonds([(1, 2)], 3.0, 9.0, epsilon=0.7, sigma=0.95)
        + wl.md.Angles([(0, 1, 2), (2, 3, 4)], 3.0, [1.2, 2.0], kind=[1, 0])
        + wl.md.CosineSquaredAngles([(0, 1, 5)], 1.7, 2.0)
        + wl.md.Dihedrals([(0, 1, 2, 3), (2, 3, 4, 5)], 2.0, 3, 0.4)
    )
    system, state = alone(terms, x, name)
    found = forces(system, state)

    @jax.jit
    def energy(x: jax.Array, strain: jax.Array) -> jax.Array:
        turn = jnp.eye(3) + strain
        moved = eqx.tree_at(lambda s: (s.position, s.box.vectors), state, (x @ turn, state.box.vectors @ turn))
        return system.potential_energy(moved)

    random, h, none = np.random.default_rng(1), 1e-5, np.zeros((3, 3))
    push, strain = random.normal(size=x.shape), random.normal(size=(3, 3))
    along = float(energy(x + h * push, none) - energy(x - h * push, none)) / (2 * h)
    assert along == pytest.approx(-float(np.sum(np.asarray(found.force) * push)), rel=1e-7)
    along = float(energy(x, h * strain) - energy(x, -h * strain)) / (2 * h)
    assert along == pytest.approx(-float(np.sum(np.asarray(found.virial) * strain)), rel=1e-7)
    np.testing.assert_allclose(jnp.sum(found.force, 0), 0, atol=1e-12)


def test_parameters_of_each_kind_are_fitted() -> None:
    x = places("free", COUNT, 7)
    system, state = alone(wl.md.Bonds([(0, 1), (1, 2), (3, 4)], [2.0, 3.0], [1.0, 1.1], kind=[0, 1, 1]), x)
    r = np.linalg.norm([x[1] - x[0], x[2] - x[1], x[4] - x[3]], axis=1)
    energy = lambda k: system.replace({"bonds.stiffness": k}).potential_energy(state)
    slope = jax.grad(energy)(system.parameters["bonds.stiffness"])
    np.testing.assert_allclose(slope, [0.5 * (r[0] - 1) ** 2, 0.5 * ((r[1:] - 1.1) ** 2).sum()], rtol=1e-12)


def test_straight_and_folded_angles() -> None:
    """Energies are those of the closed form however near they come, gradients finite, and stiffness at 180 degrees right."""
    angle = wl.md.Angles([(0, 1, 2)], 3.0, 1.0)
    energy = jax.jit(lambda x, rest: angle.replace(angle=rest).potential(jnp.diff(x, axis=0), {"stiffness": 3.0, "angle": rest}))
    slope, curvature = jax.jit(jax.grad(energy)), jax.jit(jax.hessian(energy))
    for rest in (0.0, 1.0, np.pi):
        for off in (0.0, 1e-12, 1e-6, 1e-3, 0.0999, 0.1001, 0.5):
            for theta in (off, np.pi - off):
                x = jnp.asarray(bent(theta)).at[2, 1].multiply(off > 0)
                assert float(energy(x, rest)) == pytest.approx(1.5 * (theta - rest) ** 2, rel=1e-9, abs=1e-15)
                gradient = np.asarray(slope(x, rest))
                assert np.isfinite(gradient).all()
                if off:  # the far particle feels dU/dtheta / length
                    assert np.linalg.norm(gradient[2]) == pytest.approx(3 * abs(theta - rest) / 1.3, rel=1e-6, abs=1e-9)
                else:
                    np.testing.assert_allclose(gradient, 0, atol=1e-12)
    exact = np.asarray(curvature(jnp.asarray(bent(np.pi)).at[2, 1].set(0.0), np.pi))
    # U = k/2 (y_0 / 1 + y_2 / 1.3 - y_1 (1 + 1 / 1.3))², and the same for z.
    lever = np.array([1.0, -1 - 1 / 1.3, 1 / 1.3])
    for direction in (1, 2):
        np.testing.assert_allclose(exact[:, direction, :, direction], 3 * np.outer(lever, lever), atol=1e-9)


def test_bonds_that_are_torn_are_no_numbers() -> None:
    """Beyond its extension the derivative of the logarithm is a number again; it must not be used."""
    for r in (1.5, 1.6):
        system, state = alone(wl.md.FeneBonds([(0, 1)], 30.0, 1.5), np.array([[0.0, 0, 0], [r, 0, 0]]))
        found = forces(system, state)
        assert not np.isfinite(float(found.energy)) and not np.isfinite(np.asarray(found.force)).all()


def test_a_run_with_a_torn_bond_ends_with_a_status() -> None:
    system, state = alone(wl.md.FeneBonds([(0, 1)], 30.0, 1.5), np.array([[0.0, 0, 0], [1.6, 0, 0]]))
    with pytest.raises(wl.SimulationError, match="non-finite"):
        wl.simulate(system, state, steps=3, dt=1e-3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: wl.md.Bonds([(0, 1), (3, 3)], 1.0, 1.0), r"pairs\[1\] = \[3, 3\]"),
        (lambda: wl.md.Bonds([(0, 1, 2)], 1.0, 1.0), "2 a row"),
        (lambda: wl.md.Bonds([(0, 1)], [1.0, 2.0], 1.0), "without kind="),
        (lambda: wl.md.Bonds([(0, 1)], [1.0], 1.0, kind=[1]), "give one number or 2"),
        (lambda: wl.md.Bonds([(0, 1)], 1.0, np.nan), "length = nan"),
        (lambda: wl.md.Bonds([(0, 1)], 1.0, 1.0, kind=[0, 1]), "kind has shape"),
        (lambda: wl.md.Angles([(0, 1, 0)], 1.0, 1.0), r"triples\[0\] = \[0, 1, 0\]"),
        (lambda: wl.md.Dihedrals([(0, 1, 2, 3)], 1.0, 1.5), "whole numbers"),
        (lambda: wl.md.System(wl.md.Bonds([(0, 1), (1, 4)], 1.0, 1.0), {"A": 4}), r"pairs\[1\] = \[1, 4\]: there are 4"),
    ],
)
def test_rows_that_make_no_sense(make: Callable, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()

"""Fields, traps, walls and restraints, in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

X = np.array([[0.3, 0.2, 0.9], [-1.0, 0.5, 1.4], [2.0, -0.7, 3.1]])
CHARGE = {"A": 1.0, "B": -0.5}


def alone(term: wl.md.Term) -> tuple[wl.md.System, wl.md.State]:
    system = wl.md.System(term, ["A", "B", "B"], charge=CHARGE)
    state = system.state(X)
    return system.sized(state), state


def wave(x: Any, p: Any) -> Any:
    return p["height"] * jnp.cos(jnp.vdot(p["k"], x))


K = np.array([1.0, 2.0, 0.5])
Z = X[:, 2] + 0.4  # distances from a wall at z = -0.4


def steele(z: Any) -> Any:
    return 0.7 * (2 / 15 * (0.9 / z) ** 9 - (0.9 / z) ** 3)


def steele_slope(z: Any) -> Any:
    return 0.7 * (-9 * 2 / 15 * (0.9 / z) ** 9 + 3 * (0.9 / z) ** 3) / z


UP = np.array([0.0, 0, 1])
PLACES = X + np.array([[0.1, 0, 0], [0, -0.2, 0], [0.3, 0, 0.1]])
# Terms, energies and forces.
CASES: dict[str, tuple[wl.md.Term, float, np.ndarray]] = {
    "uniform force": (
        wl.md.UniformForce([1.0, 2.0, 3.0], which=[0, 2]), -float((X[[0, 2]] @ [1.0, 2.0, 3.0]).sum()),
        np.array([[1.0, 2, 3], [0, 0, 0], [1, 2, 3]]),
    ),
    "electric field": (
        wl.md.ElectricField([0.5, 0.0, -1.0]), -float(([1, -0.5, -0.5] * (X @ [0.5, 0, -1.0])).sum()),
        np.outer([1, -0.5, -0.5], [0.5, 0, -1.0]),
    ),
    "trap": (
        wl.md.HarmonicTrap([1.0, 0.0, 2.0], [0.1, 9.0, 0.2]),
        0.5 * float((np.array([1.0, 0, 2]) * (X - [0.1, 9, 0.2]) ** 2).sum()), -np.array([1.0, 0, 2]) * (X - [0.1, 9, 0.2]),
    ),
    "wall": (
        wl.md.Wall93(0.7, 0.9, point=[5.0, 5.0, -0.4], normal=[0.0, 0.0, 2.0]), float(steele(Z).sum()),
        -steele_slope(Z)[:, None] * UP,
    ),
    "wall with an end": (
        wl.md.Wall93(0.7, 0.9, point=[0.0, 0.0, -0.4], normal=[0.0, 0.0, 1.0], cutoff=1.9),
        float((steele(Z[:2]) - steele(1.9)).sum()), -np.where(Z < 1.9, steele_slope(Z), 0)[:, None] * UP,
    ),
    "own field": (
        wl.md.Field(wave, {"height": 0.6, "k": K}), 0.6 * float(np.cos(X @ K).sum()), 0.6 * np.sin(X @ K)[:, None] * K,
    ),
    "places": (
        wl.md.PositionRestraints([1.0, 2.0, 3.0], PLACES),
        0.5 * float((np.array([1.0, 2, 3]) * ((X - PLACES) ** 2).sum(1)).sum()), -np.array([[1.0], [2], [3]]) * (X - PLACES),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_energies_and_forces(name: str) -> None:
    term, energy, force = CASES[name]
    system, state = alone(term)
    found = jax.jit(lambda: system.forces(state))()
    assert float(found.energy) == pytest.approx(energy, rel=1e-13)
    np.testing.assert_allclose(found.force, force, atol=1e-13 * (1 + np.abs(force).max()))
    # A field stands still when space is strained: W = sum of x (x) f, made symmetric.
    virial = X.T @ force
    np.testing.assert_allclose(found.virial, 0.5 * (virial + virial.T), atol=1e-12 * (1 + np.abs(virial).max()))


def test_parameters_by_name() -> None:
    system, state = alone(CASES["own field"][0])
    slope = jax.grad(lambda h: system.replace({"field.height": h}).potential_energy(state))(0.6)
    assert float(slope) == pytest.approx(np.cos(X @ K).sum(), rel=1e-12)
    assert set(wl.md.System(CASES["places"][0], {"A": 3}).parameters) >= {
        "position_restraints.stiffness", "position_restraints.reference",
    }  # fmt: skip


def test_behind_a_wall_there_are_no_numbers() -> None:
    system, state = alone(wl.md.Wall93(0.7, 0.9, point=[0, 0, 1.0], normal=[0, 0, 1.0], cutoff=2.0))
    found = system.forces(state)
    assert np.isnan(float(found.energy)) and np.isnan(np.asarray(found.force)[0]).any()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: wl.md.UniformForce([1.0, 2.0]), "force has shape"),
        (lambda: wl.md.UniformForce([1.0, 2.0, np.inf]), "finite"),
        (lambda: wl.md.HarmonicTrap([1.0, 2.0]), "stiffness has shape"),
        (lambda: wl.md.Wall93(1.0, 1.0, point=[0, 0, 0], normal=[0, 0, 0]), "normal = "),
        (lambda: wl.md.Wall93(1.0, 1.0, point=[0, 0, 0], normal=[0, 0, 1], cutoff=-1.0), "cutoff=-1"),
        (lambda: wl.md.Field(lambda x, p: x, {}), "one number"),
        (lambda: wl.md.UniformForce([1.0, 2.0, 3.0], which=[1, 1]), "twice"),
        (lambda: alone(wl.md.UniformForce([1.0, 2.0, 3.0], which=[3])), "there are 3 particles"),
        (lambda: alone(wl.md.PositionRestraints(1.0, X[:2])), "which="),
        (lambda: wl.md.PositionRestraints([1.0, 2.0], X), "stiffness has shape"),
    ],
)
def test_what_makes_no_sense(make: Callable, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()

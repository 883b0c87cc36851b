"""Embedded atoms against loops over tables as LAMMPS reads them, their derivatives, and files."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from many_body_loops import CASES, agrees, embedded_atom, slope, system_and_state

import worldline as wl

BY_DIFFERENCES = 1e-7
STEP = 1e-5  # second derivatives of the cubics jump, which differences over more than an interval of the tables feel
CUTOFF, DR, DRHO = 4.1, 0.11, 0.35
R, RHO = DR * np.arange(39), DRHO * np.arange(31)


def tables(species=2):
    """Invented tables of one or two elements; densities of these cases also lie beyond the last embedding energy."""
    fade = np.clip(1 - (R / CUTOFF) ** 2, 0.0, None) ** 3
    density = np.stack([3.0 * np.exp(-1.6 * (R - 2.5)), 2.2 * np.exp(-1.3 * (R - 2.7))]) * fade
    embedding = np.stack([-1.1 * np.sqrt(RHO + 0.2), -0.9 * np.sqrt(RHO + 0.3) + 0.002 * RHO**2])
    phi = lambda a, r0: R * a * (np.exp(-3.0 * (R - r0)) - 1.4 * np.exp(-1.5 * (R - r0))) * fade
    pair = np.array([[phi(0.30, 2.5), phi(0.26, 2.6)], [phi(0.26, 2.6), phi(0.22, 2.8)]])
    return embedding[:species], density[:species], pair[:species, :species]


def alloy(species=2):
    return wl.md.EmbeddedAtom(("Xa", "Xb")[:species], *tables(species), drho=DRHO, dr=DR, cutoff=CUTOFF)


def loops(kinds):
    given = tables(max(kinds) + 1)
    return lambda x, edges: embedded_atom(x, edges, kinds, given, DRHO, DR, CUTOFF)


@pytest.mark.parametrize("case", ["triclinic", *(pytest.param(case, marks=pytest.mark.slow) for case in ("free", "narrow"))])
def test_an_alloy_agrees_with_loops(case, layout):
    # The second element comes first: tables are found by name.
    kinds = [1 - k % 2 for k in range(len(CASES[case][0]))]
    agrees(alloy(), loops(kinds), case, [("Xa", "Xb")[k] for k in kinds], BY_DIFFERENCES, STEP)


def test_one_element_agrees_with_loops(in_rows):
    agrees(alloy(1), loops([0] * 6), "periodic", ["Xa"] * 6, BY_DIFFERENCES, STEP)


@pytest.mark.slow
def test_derivatives_by_tables(layout):
    x, edges = CASES["triclinic"]
    kinds = [k % 2 for k in range(len(x))]
    system, state = system_and_state(alloy(), x, edges, [("Xa", "Xb")[k] for k in kinds])
    names = ("embedding", "density", "pair")
    value = lambda p: system.replace({f"embedded_atom.{n}": v for n, v in zip(names, p)}).potential_energy(state)
    given = tuple(jnp.asarray(t) for t in tables())
    rng = np.random.default_rng(4)
    change = [0.1 * rng.normal(size=t.shape) for t in given]
    change[2] = 0.5 * (change[2] + change[2].swapaxes(0, 1))
    gradient = jax.jit(jax.grad(value))(given)
    forward = jax.jit(lambda p, v: jax.jvp(value, (p,), (v,))[1])(given, tuple(map(jnp.asarray, change)))
    np.testing.assert_allclose(forward, sum(jnp.vdot(a, b) for a, b in zip(gradient, change)), rtol=1e-11)
    for k in range(3):
        moved = lambda t, k=k: tuple(a + t * c * (m == k) for m, (a, c) in enumerate(zip(tables(), change)))
        along = slope(lambda t: embedded_atom(x, edges, kinds, moved(t), DRHO, DR, CUTOFF), 1e-3)
        np.testing.assert_allclose(jnp.vdot(gradient[k], change[k]), along, rtol=1e-7, err_msg=names[k])


@pytest.mark.slow
def test_second_derivatives(layout):
    x, edges = CASES["periodic"]
    system, state = system_and_state(alloy(), x, edges, ["Xa", "Xb"] * 3)
    energy = lambda x: system.potential_energy(eqx.tree_at(lambda s: s.position, state, x))
    slopes = jax.jit(jax.grad(energy))
    change = jnp.asarray(np.random.default_rng(3).normal(size=x.shape))
    forward = jax.jit(lambda x: jax.jvp(jax.grad(energy), (x,), (change,))[1])(jnp.asarray(x))
    reverse = jax.jit(jax.grad(lambda x: jnp.vdot(jax.grad(energy)(x), change)))(jnp.asarray(x))
    np.testing.assert_allclose(reverse, forward, rtol=0, atol=1e-11 * np.abs(forward).max())
    # So near that no pair comes to another interval of its table.
    along = slope(lambda t: np.asarray(slopes(jnp.asarray(x) + t * change)), 1e-5)
    np.testing.assert_allclose(forward, along, rtol=0, atol=1e-7 * np.abs(forward).max())


def test_a_file_gives_the_same_energies_in_all_units(tmp_path):
    x, edges = CASES["periodic"]
    embedding, density, pair = tables()
    path = tmp_path / "invented.eam.alloy"
    made = wl.md.Setfl(
        ("Xa", "Xb"), np.array([29, 30]), np.array([60.0, 90.0]), np.array([3.6, 3.6]), ("fcc", "fcc"), DRHO, DR, CUTOFF,
        embedding, density, pair,
    )  # fmt: skip
    wl.md.write_setfl(path, made)
    energies = {}
    for units in ("metal", "real"):
        term = wl.md.EmbeddedAtom.from_setfl(path, units)
        system, state = system_and_state(term, x, edges, ["Xb", "Xa"] * 3, units)
        energies[units] = float(jax.jit(lambda state, system=system: system.potential_energy(state))(state))
    np.testing.assert_allclose(energies["metal"], loops([1, 0] * 3)(x, edges), rtol=1e-12)
    np.testing.assert_allclose(energies["real"], energies["metal"] * wl.md.units("real").factor("eV"), rtol=1e-12)
    system, state = system_and_state(wl.md.EmbeddedAtom.from_setfl(path), x, edges, ["Xa"] * 6, "real")
    with pytest.raises(ValueError, match=r"tables are in units 'metal', the system in 'real': write .*units='real'"):
        system.potential_energy(state)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="tables for Xa, Xb, and the system has particles of 'Cu'"):
        wl.md.System(alloy(), ["Xa", "Cu"])
    wl.md.System(alloy(), ["Xa", "Xb"])
    given = tables()
    with pytest.raises(ValueError, match=r"pair has shape \(2, 2, 38\): for the elements Xa, Xb it must be \(2, 2, 39\)"):
        wl.md.EmbeddedAtom(("Xa", "Xb"), given[0], given[1], given[2][..., 1:], drho=DRHO, dr=DR, cutoff=CUTOFF)
    with pytest.raises(ValueError, match="embedding has 4 entries: polynomials are laid through at least 5"):
        wl.md.EmbeddedAtom(("Xa", "Xb"), given[0][:, :4], *given[1:], drho=DRHO, dr=DR, cutoff=CUTOFF)
    with pytest.raises(ValueError, match="dr=-1: the step of a table"):
        wl.md.EmbeddedAtom(("Xa", "Xb"), *given, drho=DRHO, dr=-1.0, cutoff=CUTOFF)

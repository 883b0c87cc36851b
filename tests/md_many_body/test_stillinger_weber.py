"""Stillinger and Weber's potential against loops over triplets, its derivatives, its end, and silicon."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from many_body_loops import CASES, agrees, forces_of, slope, stillinger_weber, system_and_state

import worldline as wl

BY_DIFFERENCES = 2e-8  # differences of sixth order lose this much
NAMES = ("epsilon", "sigma", "A", "B", "p", "q", "a", "gamma", "strength", "cosine")
SILICON = dict(
    epsilon=2.1683, sigma=2.0951, A=7.049556277, B=0.6022245584, p=4.0, q=0.0, a=1.8, gamma=1.2, strength=21.0, cosine=-1 / 3
)


def tables(p, species=1):
    return {n: np.full((species,) * (3 if n in ("strength", "cosine") else 2), v) for n, v in p.items()}


def of_two_kinds():
    """Parameters that differ between all pairs and triplets of two kinds."""
    rng = np.random.default_rng(2)
    p = tables(SILICON, 2)
    for name, table in p.items():
        table *= 1 + 0.1 * rng.random(table.shape)
        p[name] = 0.5 * (table + table.swapaxes(-1, -2))
    p["q"] += np.array([[0.0, 0.3], [0.3, 0.7]])
    return p


QUICK, SLOW = ("periodic", "narrow"), ("free", "triclinic")


@pytest.mark.parametrize("case", [*QUICK, *(pytest.param(case, marks=pytest.mark.slow) for case in SLOW)])
def test_silicon_agrees_with_loops(case, layout):
    x, _ = CASES[case]
    energy = lambda x, edges: stillinger_weber(x, edges, [0] * len(x), tables(SILICON))
    agrees(wl.md.StillingerWeber.silicon(), energy, case, ["Si"] * len(x), BY_DIFFERENCES)


@pytest.mark.parametrize("case", ["narrow", pytest.param("triclinic", marks=pytest.mark.slow)])
def test_two_species_agree_with_loops(case, layout):
    x, _ = CASES[case]
    kinds, p = [k % 2 for k in range(len(x))], of_two_kinds()
    energy = lambda x, edges: stillinger_weber(x, edges, kinds, p)
    agrees(wl.md.StillingerWeber(**p), energy, case, ["AB"[k] for k in kinds], BY_DIFFERENCES)


@pytest.mark.slow
def test_derivatives_by_parameters(layout):
    x, edges = CASES["triclinic"]
    p = of_two_kinds()
    kinds = [k % 2 for k in range(len(x))]
    system, state = system_and_state(wl.md.StillingerWeber(**p), x, edges, ["AB"[k] for k in kinds])
    value = lambda p: system.replace({f"stillinger_weber.{n}": v for n, v in p.items()}).potential_energy(state)
    given = {n: jnp.asarray(v) for n, v in p.items()}
    gradient = jax.jit(jax.grad(value))(given)
    change = {n: 0.1 * (v + v.swapaxes(-1, -2)) for n, v in jax.tree.map(lambda v: v * jnp.cos(7 * v), given).items()}
    forward = jax.jit(lambda p, v: jax.jvp(value, (p,), (v,))[1])(given, change)
    np.testing.assert_allclose(forward, sum(jnp.vdot(gradient[n], change[n]) for n in NAMES), rtol=1e-11)
    for name in NAMES:
        along = slope(lambda t, n=name: stillinger_weber(x, edges, kinds, {**p, n: p[n] + t * np.asarray(change[n])}), 3e-4)
        np.testing.assert_allclose(jnp.vdot(gradient[name], change[name]), along, rtol=3e-8, atol=1e-8, err_msg=name)


@pytest.mark.slow
def test_second_derivatives(layout):
    x, edges = CASES["periodic"]
    system, state = system_and_state(wl.md.StillingerWeber.silicon(), x, edges, ["Si"] * len(x))

    @jax.jit
    def slopes(x, sigma):
        at = lambda x, s: system.replace({"stillinger_weber.sigma": s}).potential_energy(
            eqx.tree_at(lambda s: s.position, state, x)
        )
        return jax.grad(at, (0, 1))(x, sigma)

    rng = np.random.default_rng(3)
    point, change = (jnp.asarray(x), jnp.asarray(2.0951)), (jnp.asarray(rng.normal(size=x.shape)), jnp.asarray(0.3))
    forward = jax.jit(lambda p, v: jax.jvp(slopes, p, v)[1])(point, change)
    along = lambda k: slope(lambda t: np.asarray(slopes(point[0] + t * change[0], point[1] + t * change[1])[k]), 3e-4)
    for k in range(2):
        np.testing.assert_allclose(forward[k], along(k), rtol=0, atol=1e-7 * np.abs(forward[k]).max())
    dot = lambda p: sum(jnp.vdot(a, b) for a, b in zip(slopes(*p), change))
    reverse = jax.jit(jax.grad(dot))(point)
    for k in range(2):
        np.testing.assert_allclose(reverse[k], forward[k], rtol=1e-10, atol=1e-10 * np.abs(forward[k]).max())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_smooth_where_it_ends(dtype):
    """At and just inside a sigma the energy and its first three derivatives are finite, and vanish with the distance."""
    end = dtype(1.8) * dtype(2.0951)
    system = wl.md.System(wl.md.StillingerWeber.silicon(), {"Si": 3}, units="metal")
    near = [np.nextafter(end, dtype(0)), end, np.nextafter(end, dtype(9)), *(end - dtype(g) for g in np.geomspace(1e-6, 0.02, 15))]

    def energy(r):
        zero, one = jnp.zeros((), dtype), jnp.ones((), dtype)
        x = jnp.stack([jnp.stack([zero, zero, zero]), jnp.stack([r, zero, zero]), jnp.stack([zero, 2.3 * one, zero])])
        state = eqx.tree_at(lambda s: s.position, start, x)
        return system.potential_energy(state)

    start = system.state(np.array([[0, 0, 0], [3.5, 0, 0], [0, 2.3, 0]], dtype))
    system = system.sized(start)
    orders = [energy, jax.grad(energy), jax.grad(jax.grad(energy)), jax.grad(jax.grad(jax.grad(energy)))]
    values = np.asarray(jax.jit(jax.vmap(lambda r: jnp.stack([f(r) for f in orders])))(jnp.asarray(near, dtype)))
    assert values.dtype == dtype
    assert np.isfinite(values).all()
    # 0.01 inside the end exp(-gamma sigma / 0.01) is below 1e-100.
    gaps = end - np.asarray(near)
    assert np.abs(values[gaps < 0.01, 1:]).max() < 1e-20
    assert np.abs(values[-1, 1:]).max() < 1e-15


def test_silicon_has_the_energy_and_size_of_its_crystal():
    x, box = wl.md.lattice("diamond", constant=5.431)
    system, state = system_and_state(wl.md.StillingerWeber.silicon(), x, np.asarray(box.vectors), ["Si"] * 8)

    def at(constant):
        x, box = wl.md.lattice("diamond", constant=constant)
        return system.potential_energy(system.state(x, None, box)) / 8

    # Balamane, Halicioglu and Tiller, Physical Review B 46, 2250 (1992): -4.3363 eV at 5.4309 angstrom.
    energy, rise = map(float, jax.jit(jax.value_and_grad(at))(5.431))
    np.testing.assert_allclose(energy, -4.3363, atol=5e-4)
    np.testing.assert_allclose(energy, -2 * 2.1683, rtol=1e-6)
    assert abs(rise) < 3e-3  # eV / angstrom: 1e-4 angstrom from the minimum


@pytest.mark.slow
def test_elastic_constants_of_silicon():
    """Published for this potential: C11 151.4, C12 76.4, C44 56.4 GPa; with atoms held in place C44 is that of loops."""
    edges = 0.5 * 5.431 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
    x = np.array([[0.0, 0, 0], [0.25 * 5.431] * 3])
    system, state = system_and_state(wl.md.StillingerWeber.silicon(), x, edges, ["Si"] * 2)

    def energy(variables):
        xx, yy, yz = variables[:3]
        strain = jnp.zeros((3, 3)).at[0, 0].set(xx).at[1, 1].set(yy).at[1, 2].set(yz / 2).at[2, 1].set(yz / 2)
        moved = (jnp.asarray(x) + jnp.zeros((2, 3)).at[1].set(variables[3:])) @ (jnp.eye(3) + strain)
        box = wl.md.Box.triclinic(jnp.asarray(edges) @ (jnp.eye(3) + strain))
        return system.potential_energy(eqx.tree_at(lambda s: (s.position, s.box), state, (moved, box)))

    def sheared(yz):
        deformation = np.eye(3) + yz / 2 * (np.eye(3)[[0, 2, 1]] - np.diag([1, 0, 0]))
        return stillinger_weber(x @ deformation, edges @ deformation, [0, 0], tables(SILICON))

    curvature = np.asarray(jax.jit(jax.hessian(energy))(jnp.zeros(6)))
    pressure = abs(np.linalg.det(edges)) * system.units.factor("GPa")
    held = curvature[:3, :3] / pressure
    relaxed = held - curvature[:3, 3:] @ np.linalg.solve(curvature[3:, 3:], curvature[3:, :3]) / pressure
    np.testing.assert_allclose([relaxed[0, 0], relaxed[0, 1], relaxed[2, 2]], [151.4, 76.4, 56.4], atol=0.1)
    by_loops = slope(lambda t: slope(lambda u: sheared(t + u), 1e-3), 1e-3) / pressure
    np.testing.assert_allclose(held[2, 2], by_loops, rtol=1e-8)


def test_range_that_outgrows_the_cutoff_is_an_error():
    silicon = wl.md.StillingerWeber.silicon()
    system, state = system_and_state(silicon, *CASES["periodic"], ["Si"] * 6)
    grown = system.replace({"stillinger_weber.sigma": 2.4})
    with pytest.raises(ValueError, match=r"ends at a sigma = 4.32, beyond cutoff=3.95974"):
        grown.potential_energy(state)
    assert np.isnan(jax.jit(lambda s: s.potential_energy(state))(grown))
    wide = wl.md.StillingerWeber.silicon(cutoff=4.5)
    p = tables({**SILICON, "sigma": 2.4})
    x, edges = CASES["periodic"]
    system, state = system_and_state(wide, x, edges, ["Si"] * 6)
    found = system.replace({"stillinger_weber.sigma": 2.4}).potential_energy(state)
    np.testing.assert_allclose(found, stillinger_weber(x, edges, [0] * 6, p), rtol=1e-12)


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match="sigma has 1 numbers that are not finite"):
        wl.md.StillingerWeber(**{**SILICON, "sigma": np.nan})
    with pytest.raises(ValueError, match=r"strength has shape \(2, 2\).*table \[s, s, s\]"):
        wl.md.StillingerWeber(**{**SILICON, "strength": np.ones((2, 2))})
    with pytest.raises(ValueError, match="must be symmetric"):
        wl.md.StillingerWeber(**{**SILICON, "epsilon": [[1.0, 2.0], [3.0, 1.0]]})
    with pytest.raises(ValueError, match=r"epsilon has shape \(2, 2\), and the species are Si"):
        wl.md.System(wl.md.StillingerWeber(**{**SILICON, "epsilon": np.ones((2, 2))}), {"Si": 3})
    with pytest.raises(ValueError, match="'lj' have no size"):
        wl.md.StillingerWeber.silicon("lj")


@pytest.mark.slow
def test_silicon_in_other_units():
    x, edges = CASES["periodic"]
    metal = forces_of(wl.md.StillingerWeber.silicon("metal"), x, edges, ["Si"] * 6)[0]
    in_kcal = forces_of(wl.md.StillingerWeber.silicon("real"), x, edges, ["Si"] * 6, "real")[0]
    np.testing.assert_allclose(in_kcal, metal * wl.md.units("real").factor("eV"), rtol=1e-12)

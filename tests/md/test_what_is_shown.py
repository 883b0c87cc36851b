"""What systems, boxes, states and thermostats say of themselves, and what is said of names and states that do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl


def salt():
    """Two ions, bonded to each other, in a cube."""
    interaction = wl.md.LennardJones([1.0, 2.0], 1.0, 2.5, shape="shift") + wl.md.Coulomb(3.0) + wl.md.Bonds([(0, 1)], 5.0, 1.0)
    charge = {"Na": 1.0, "Cl": -1.0}
    return wl.md.System(interaction, {"Na": 1, "Cl": 1}, mass={"Na": 22.99, "Cl": 35.45}, charge=charge, units="metal")


def test_a_system_says_its_particles_units_cutoffs_and_parameters():
    assert repr(salt()) == (
        "System(1 Na, 1 Cl, units='metal', LennardJones(epsilon=[1, 2], sigma=1, cutoff=2.5, shape='shift') + "
        "Coulomb(cutoff=3, accuracy=1e-06) + Bonds(stiffness=5, length=1, 1 pairs), "
        "mass=[0.00238275, 0.00367413] (1 amu is 0.000103643), charge=[1, -1])"
    )
    assert repr(wl.md.Coulomb(3.0, alpha=1.0, waves=4)) == "Coulomb(cutoff=3, alpha=1, waves=(4, 4, 4))"
    assert "shape='switch', onset=1.5" in repr(wl.md.Morse(1.0, 1.0, 1.0, 2.0, shape="switch", onset=1.5))


def test_traced_batched_and_differentiated_systems_can_be_shown():
    system, seen = salt(), []
    jax.jit(lambda system, box: seen.append((repr(system), repr(box))))(system, wl.md.Box.cubic(9.0))
    assert "epsilon=traced float64[2]" in seen[0][0] and seen[0][1].startswith("Box(traced float64[3, 3]")
    many = wl.vmap(lambda k: system.replace({"bonds.stiffness": k}))(jnp.arange(20.0))
    assert "stiffness=float64[20]" in repr(many)
    slope = wl.grad(lambda s: jnp.sum(s.masses))(system)
    assert repr(slope).startswith("System(Na, Cl, units='metal', ") and "mass=[1, 1]" in repr(slope)


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (wl.md.Box.cubic(10.0), "Box.cubic(10)"),
        (wl.md.Box.orthorhombic(1, 2.5, 4, (True, True, False)), "Box.orthorhombic(1, 2.5, 4, periodic=(True, True, False))"),
        (wl.md.Box.triclinic([[10.0, 0, 0], [3, 9, 0], [1, 2, 8]]), "Box.triclinic([[10, 0, 0], [3, 9, 0], [1, 2, 8]])"),
        (wl.md.Box.free(), "Box.free()"),
        (wl.md.Langevin(94.4, 1), "Langevin(temperature=94.4, friction=1)"),
    ],
)
def test_boxes_and_thermostats_are_shown_as_they_are_written(made, shown):
    assert repr(made) == shown


def test_a_state_shows_its_box_and_step():
    state = salt().state(np.zeros((2, 3)), None, wl.md.Box.cubic(9.0))
    assert repr(state) == "State(position=float64[2, 3], velocity=float64[2, 3], extended=float64[0], box=Box.cubic(9), step=0)"


@pytest.mark.parametrize("measure", [wl.md.potential_energy, wl.md.temperature, wl.md.pressure, wl.md.RadialDistribution(2.0, 5)])
def test_many_states_are_refused_where_one_is_needed(measure):
    system = salt()
    state = system.state(np.eye(3)[:2], None, wl.md.Box.cubic(9.0))
    with pytest.raises(ValueError, match=r"these are 4 states, and one is needed.*run\[-1\].*wl\.vmap"):
        measure(system, jax.tree.map(lambda x: jnp.stack([x] * 4), state))


def test_a_box_in_the_place_of_velocities_is_refused():
    with pytest.raises(TypeError, match=r"velocity is a Box: write system\.state\(position, velocity, box\)"):
        salt().state(np.zeros((2, 3)), wl.md.Box.cubic(9.0))


@pytest.mark.parametrize(
    ("module", "name", "near"),
    [
        (wl, "minimize", "wl.minimise"),
        (wl, "simulat", "wl.simulate"),
        (wl, "LennardJones", "wl.md.LennardJones"),
        (wl.md, "minimize", "wl.minimise"),
        (wl.md, "Lennardjones", "wl.md.LennardJones"),
        (wl.md, "blockaverage", "wl.md.block_average"),
    ],
)
def test_names_near_to_a_wrong_one_are_offered(module, name, near):
    with pytest.raises(AttributeError, match=f"Did you mean {near}\\?"):
        getattr(module, name)
    assert not hasattr(module, "_none")

"""ASE's atoms both ways: numbers kept exactly, and kinetic energies equal in both programs' own units."""

import subprocess
import sys

import ase
import ase.build
import ase.units
import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.data import atomic_masses
from hypothesis import given, settings
from hypothesis import strategies as st

import worldline as wl


def water(**options):
    atoms = ase.Atoms("OHHOHH", positions=np.arange(18.0).reshape(6, 3) / 7, **options)
    atoms.set_momenta(np.sin(np.arange(18.0)).reshape(6, 3))
    return atoms


def kinetic_energy(structure):
    mass = np.array([structure.mass[name] for name in structure.species]) * wl.md.units(structure.units).mass
    return (mass[:, None] * structure.velocity**2).sum() / 2


def same_atoms(one, other):
    for name in ("numbers", "positions", "masses", "initial_charges"):
        np.testing.assert_array_equal(getattr(one, f"get_{name}" if name != "numbers" else "get_atomic_numbers")(),
                                      getattr(other, f"get_{name}" if name != "numbers" else "get_atomic_numbers")())
    np.testing.assert_allclose(one.get_momenta(), other.get_momenta(), rtol=4e-16, atol=0)
    np.testing.assert_array_equal(one.pbc, other.pbc)
    np.testing.assert_array_equal(one.cell[:], other.cell[:])


@pytest.mark.parametrize("units", ["metal", "real", "lj"])
def test_there_and_back(units):
    atoms = water(cell=[[9.0, 0, 0], [1, 8, 0], [-2, 1, 7]], pbc=(True, False, True))
    atoms.set_masses([15.9, 1.0, 1.0] * 2)
    atoms.set_initial_charges([-0.8, 0.4, 0.4] * 2)
    structure = wl.md.from_ase(atoms, units=units)
    assert structure.species == ("O", "H", "H") * 2
    assert structure.mass == {"O": 15.9, "H": 1.0} and structure.charge == {"O": -0.8, "H": 0.4}
    same_atoms(wl.md.to_ase(structure), atoms)


@pytest.mark.parametrize("units", ["metal", "real"])
def test_kinetic_energy_and_speed(units):
    atoms = water()
    structure = wl.md.from_ase(atoms, units=units)
    factor = wl.md.units(units).factor("eV")
    assert kinetic_energy(structure) == pytest.approx(atoms.get_kinetic_energy() * factor, rel=1e-14)
    # By ASE's clock, whose constants are those of 2014 (the unit of mass differs by 1.7e-8).
    per_time = ase.units.fs * wl.md.units(units).factor("angstrom/fs")
    np.testing.assert_allclose(structure.velocity, atoms.get_velocities() * per_time, rtol=2e-8)


def test_a_system_is_made_of_it_and_written_again():
    atoms = water(cell=np.eye(3) * 12, pbc=True)
    atoms.set_initial_charges([-0.8, 0.4, 0.4] * 2)
    structure = wl.md.from_ase(atoms, units="real")
    interaction = wl.md.LennardJones(epsilon=0.1, sigma=3.0, cutoff=5.0)
    system = wl.md.System(
        interaction, species=structure.species, mass=structure.mass, charge=structure.charge, units=structure.units
    )
    state = system.state(structure.position, structure.velocity, structure.box)
    back = wl.md.to_ase(system, state)
    np.testing.assert_allclose(back.get_masses(), atoms.get_masses(), rtol=4e-16)
    back.set_masses(atoms.get_masses())
    np.testing.assert_allclose(back.get_momenta(), atoms.get_momenta(), rtol=1e-15)
    back.set_momenta(atoms.get_momenta())
    same_atoms(back, atoms)
    assert float((system.masses[:, None] * state.velocity**2).sum() / 2) == pytest.approx(
        atoms.get_kinetic_energy() * wl.md.units("real").factor("eV"), rel=1e-14
    )


def test_isotopes_and_charges_make_species():
    atoms = ase.Atoms("HHOHH", positions=np.eye(5, 3) * 3, masses=[1.0, 2.0, 16.0, 1.0, 1.0])
    atoms.set_initial_charges([0.1, 0.1, -0.4, 0.1, 0.2])
    structure = wl.md.from_ase(atoms)
    assert structure.species == ("H", "H_2", "O", "H", "H_3")
    assert structure.mass == {"H": 1.0, "H_2": 2.0, "O": 16.0, "H_3": 1.0}
    assert structure.charge == {"H": 0.1, "H_2": 0.1, "O": -0.4, "H_3": 0.2}
    same_atoms(wl.md.to_ase(structure), atoms)


def test_masses_that_nobody_gave():
    atoms = ase.Atoms("ArTcX", positions=np.eye(3) * 4)
    assert wl.md.from_ase(atoms).mass["Ar"] == atomic_masses[18]
    assert wl.md.from_ase(atoms, units="lj").mass == {"Ar": 1.0, "Tc": 1.0, "X": 1.0}


# What ASE calls: periodic directions, cell rows given.
CELLS = {
    "free": ((0, 0, 0), np.zeros((3, 3))),
    "vacuum around": ((0, 0, 0), np.diag([10.0, 11, 12])),
    "slab": ((1, 1, 0), np.array([[4.0, 0, 0], [2, 3.5, 0], [0, 0, 0]])),
    "tilted slab": ((1, 0, 1), np.array([[4.0, 1, 0], [0, 0, 0], [0.5, 2, 3]])),
    "slab with vacuum": ((1, 1, 0), np.array([[4.0, 0, 0], [2, 3.5, 0], [1, 0, 20]])),
    "wire": ((0, 0, 1), np.array([[0.0, 0, 0], [0, 0, 0], [0, 0, 3.0]])),
    "tilted wire": ((0, 1, 0), np.array([[0.0, 0, 0], [1, 2, 3], [0, 0, 0]])),
    "left-handed": ((1, 1, 1), np.array([[0.0, 3, 0], [4, 0, 0], [0, 0, 5]])),
}


@pytest.mark.parametrize(("pbc", "cell"), CELLS.values(), ids=CELLS)
def test_cells(pbc, cell):
    atoms = ase.Atoms("Ar2", positions=[[0, 0, 0], [1, 2, 3]], cell=cell, pbc=pbc)
    structure = wl.md.from_ase(atoms)
    vectors = np.asarray(structure.box.vectors)
    assert structure.box.periodic == tuple(map(bool, pbc))
    for row in range(3):
        if cell[row].any():
            np.testing.assert_array_equal(vectors[row], cell[row])
        else:
            assert np.linalg.norm(vectors[row]) == pytest.approx(1, rel=1e-15)
            np.testing.assert_allclose(np.delete(vectors, row, 0) @ vectors[row], 0, atol=1e-15)
    if not cell.any(1).all():
        assert np.linalg.det(vectors) > 0
    same_atoms(wl.md.to_ase(structure), atoms)


def test_made_up_edges_are_along_the_axes_where_they_can_be():
    atoms = ase.Atoms("Ar", cell=[[0, 0, 0], [0, 7, 0], [0, 0, 0]], pbc=(0, 1, 0))
    np.testing.assert_array_equal(wl.md.from_ase(atoms).box.vectors, np.diag([1.0, 7.0, 1.0]))


def test_results_of_a_calculator_and_what_else_was_said():
    atoms = ase.build.bulk("Ar", cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.set_tags([0, 1, 2, 3])
    atoms.info["origin"] = "a crystal"
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.0103, rc=8.0)
    assert "energy" not in wl.md.from_ase(atoms).info  # nothing is computed
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    structure = wl.md.from_ase(atoms, units="real")
    factor = wl.md.units("real").factor("eV")
    assert structure.info["origin"] == "a crystal" and structure.info["energy"] == energy * factor
    np.testing.assert_array_equal(structure.arrays["forces"], forces * factor)
    np.testing.assert_array_equal(structure.arrays["tags"], [0, 1, 2, 3])
    np.testing.assert_array_equal(structure.info["stress"], atoms.get_stress(voigt=False) * factor)
    back = wl.md.to_ase(structure)
    assert isinstance(back.calc, SinglePointCalculator) and back.get_potential_energy() == pytest.approx(energy, rel=1e-15)
    np.testing.assert_allclose(back.get_forces(), forces, rtol=1e-15)
    np.testing.assert_allclose(back.get_stress(), stress, rtol=1e-15)
    assert back.info["origin"] == "a crystal" and list(back.get_tags()) == [0, 1, 2, 3]
    atoms.positions += 0.1
    atoms.rattle(0.1)
    assert not {"energy", "stress"} & set(wl.md.from_ase(atoms).info)  # results of other positions


def test_constraints_are_named():
    atoms = ase.Atoms("Ar2", positions=[[0, 0, 0], [4, 0, 0]], constraint=FixAtoms([0]))
    assert "FixAtoms" in wl.md.from_ase(atoms).info["left out"]


@settings(max_examples=30, deadline=None)
@given(
    numbers=st.lists(st.integers(1, 4), min_size=1, max_size=8),
    masses=st.lists(st.sampled_from([1.0, 2.5, 7.0]), min_size=8, max_size=8),
    charges=st.lists(st.sampled_from([0.0, -1.0, 0.3]), min_size=8, max_size=8),
)
def test_any_isotopes(numbers, masses, charges):
    count = len(numbers)
    atoms = ase.Atoms(numbers, positions=np.eye(count, 3), masses=masses[:count])
    atoms.set_initial_charges(charges[:count])
    structure = wl.md.from_ase(atoms)
    kinds = set(zip(numbers, masses, charges))
    assert len(set(structure.species)) == len(kinds) == len(structure.mass)
    same_atoms(wl.md.to_ase(structure), atoms)


def test_what_is_refused():
    atoms = ase.Atoms("Ar2", positions=[[0, 0, 0], [np.nan, 0, 0]])
    with pytest.raises(ValueError, match=r"position of atom 1 \(Ar\)"):
        wl.md.from_ase(atoms)
    with pytest.raises(ValueError, match=r"mass of atom 1 \(H\) is -1"):
        wl.md.from_ase(ase.Atoms("H2", masses=[1, -1]))
    with pytest.raises(ValueError, match="periodic along edge c"):
        wl.md.from_ase(ase.Atoms("H", cell=[1, 1, 0], pbc=True))
    with pytest.raises(ValueError, match="one line"):
        wl.md.from_ase(ase.Atoms("H", cell=[[1, 0, 0], [2, 0, 0], [0, 0, 0]]))
    with pytest.raises(ValueError, match="no volume"):
        wl.md.from_ase(ase.Atoms("H", cell=[[1, 0, 0], [2, 0, 0], [0, 0, 1]]))
    with pytest.raises(ValueError, match="'metall'"):
        wl.md.from_ase(ase.Atoms("H"), units="metall")
    with pytest.raises(ValueError, match="empty"):
        wl.md.from_ase(ase.Atoms())
    with pytest.raises(TypeError, match="has type str"):
        wl.md.from_ase("argon.cif")
    many = ase.Atoms("H200", positions=np.ones((200, 3)))
    many.set_initial_charges(np.arange(200) / 7)
    with pytest.raises(ValueError, match="atoms of 1 elements have 200 different masses and charges"):
        wl.md.from_ase(many)
    structure = wl.md.from_ase(ase.Atoms("Ar"), units="lj")
    named = wl.md.Structure(**{**vars(structure), "species": ("A",), "mass": {"A": 1.0}})
    with pytest.raises(ValueError, match="'A' is no chemical element"):
        wl.md.to_ase(named)
    assert wl.md.to_ase(named, symbols={"A": "Ar"}).get_chemical_symbols() == ["Ar"]
    with pytest.raises(TypeError, match="a system and its state"):
        wl.md.to_ase(object())


def test_without_ase_there_is_one_sentence():
    program = (
        "import sys; sys.modules['ase'] = None\n"
        "import worldline as wl\n"
        "try: wl.md.from_ase(None)\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "from_ase needs the ase package: pip install 'worldline[md]'"

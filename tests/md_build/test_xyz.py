"""Extended XYZ there and back, and as ASE reads and writes it."""

import ase
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given, settings
from hypothesis import strategies as st

import worldline as wl

WATER = """3
Lattice="10.0 0.0 0.0 1.0 9.0 0.0 0.0 -2.0 8.0" Properties=species:S:1:pos:R:3:forces:R:3:tag:I:1:kept:L:1 energy=-14.25 pbc="T T F" config_type=water note="two words" done scale=[1, 2, 3]
O 0.0 0.0 0.117 0.1 0.2 0.3 1 T
H 0.0 0.757 -0.469 -0.1 -0.2 -0.3 2 F
H 0.0 -0.757 -0.469 0 0 0 3 true
"""  # noqa: E501


def read(tmp_path, text, **options):
    path = tmp_path / "some.xyz"
    path.write_text(text, encoding="utf-8")
    return wl.md.read_xyz(path, **options)


def same(one, other):
    assert one.species == other.species and one.units == other.units
    assert one.mass == other.mass and one.charge == other.charge
    np.testing.assert_array_equal(one.position, other.position)
    np.testing.assert_allclose(one.velocity, other.velocity, rtol=1e-15, atol=0)
    np.testing.assert_array_equal(one.box.vectors, other.box.vectors)
    assert one.box.periodic == other.box.periodic
    for mine, theirs in ((one.info, other.info), (one.arrays, other.arrays)):
        assert list(mine) == list(theirs)
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)
            assert np.asarray(mine[name]).dtype == np.asarray(theirs[name]).dtype


def test_a_frame_with_forces(tmp_path):
    water = read(tmp_path, WATER)
    assert water.species == ("O", "H", "H") and water.box.periodic == (True, True, False)
    np.testing.assert_array_equal(water.box.vectors, [[10, 0, 0], [1, 9, 0], [0, -2, 8]])
    np.testing.assert_array_equal(water.position, [[0, 0, 0.117], [0, 0.757, -0.469], [0, -0.757, -0.469]])
    np.testing.assert_array_equal(water.arrays["forces"], [[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3], [0, 0, 0]])
    assert water.arrays["tag"].tolist() == [1, 2, 3] and water.arrays["kept"].tolist() == [True, False, True]
    assert water.info.pop("scale").tolist() == [1, 2, 3]
    assert water.info == {"energy": -14.25, "config_type": "water", "note": "two words", "done": True}
    assert water.mass == {"O": 15.999, "H": 1.008} and not water.velocity.any()
    same(read(tmp_path, WATER.replace("Lattice", "lattice").replace("pbc", "PBC")), read(tmp_path, WATER))
    assert repr(water).startswith("Structure(3 atoms: 1 O, 2 H; periodic along ab; metal")


def test_plain_xyz(tmp_path):
    argon = read(tmp_path, "2\nargon, from a database (E = -1)\nAr 0 0 0\n\tAr\t0 0 1e1  \n\n")
    assert argon.info == {"comment": "argon, from a database (E = -1)"} and argon.box.periodic == (False,) * 3
    np.testing.assert_array_equal(argon.position, [[0, 0, 0], [0, 0, 10]])
    np.testing.assert_array_equal(argon.box.vectors, np.eye(3))
    assert read(tmp_path, "1\n\nAr 0 0 0").info == {}
    assert read(tmp_path, '1\nenergy=-2.5 name="a b"\nAr 0 0 0').info == {"energy": -2.5, "name": "a b"}
    assert read(tmp_path, '1\nit\'s "open\nAr 0 0 0').info == {"comment": "it's \"open"}


def test_energies_are_converted_and_other_columns_kept(tmp_path):
    text = WATER.replace("energy=", 'REF_energy=-1.0 stress="1 2 3 4 5 6 7 8 9" energy=').replace("forces", "REF_forces")
    metal, real = read(tmp_path, text), read(tmp_path, text, units="real")
    factor = wl.md.units("real").factor("eV")
    assert real.info["energy"] == -14.25 * factor and real.info["REF_energy"] == -factor
    np.testing.assert_array_equal(real.arrays["REF_forces"], metal.arrays["REF_forces"] * factor)
    np.testing.assert_array_equal(real.info["stress"], np.array([[1, 4, 7], [2, 5, 8], [3, 6, 9]]) * factor)
    assert real.arrays["tag"].tolist() == [1, 2, 3] and real.info["scale"].tolist() == [1, 2, 3]


def test_several_frames(tmp_path):
    text = WATER + "\n1\nplain\nAr 0 0 0\n" + WATER.replace("-14.25", "-14.5")
    (tmp_path / "many.xyz").write_text(text)
    frames = wl.md.read_xyz_frames(tmp_path / "many.xyz")
    assert [len(frame.species) for frame in frames] == [3, 1, 3] and frames[2].info["energy"] == -14.5
    assert read(tmp_path, text, frame=-1).info["energy"] == -14.5 and read(tmp_path, text, frame=1).species == ("Ar",)
    with pytest.raises(ValueError, match="3 frames: write read_xyz"):
        read(tmp_path, text)
    with pytest.raises(ValueError, match="frame=3, but .* holds 3 frames"):
        read(tmp_path, text, frame=3)
    wl.md.write_xyz(tmp_path / "again.xyz", frames)
    for one, other in zip(wl.md.read_xyz_frames(tmp_path / "again.xyz"), frames, strict=True):
        same(one, other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.xyz", "many.xyz", "some.xyz"]


def test_atomic_numbers_instead_of_symbols(tmp_path):
    assert read(tmp_path, "2\nProperties=Z:I:1:pos:R:3\n18 0 0 0\n1 1 1 1\n").species == ("Ar", "H")


def random_structure(units, seed=0, velocity=True):
    random = np.random.default_rng(seed)
    return wl.md.Structure(
        position=random.normal(size=(5, 3)) * 10.0 ** random.integers(-8, 8, (5, 3)),
        velocity=random.normal(size=(5, 3)) * velocity,
        box=wl.md.Box.triclinic(random.normal(size=(3, 3)) + 4 * np.eye(3), (True, False, True)),
        species=("Na", "Cl", "Cl_2", "Na", "Xx"),
        mass={"Na": 22.98976928, "Cl": 34.96885, "Cl_2": 36.9659, "Xx": 0.1 + 0.2},
        charge={"Na": 1.0, "Cl": -1.0, "Cl_2": -1.0, "Xx": 1 / 3},
        units=units,
        info={"energy": 0.1 + 0.2, "label": "5", "stress": random.normal(size=(3, 3)), "parts": {"a": [1, None]}},
        arrays={"forces": random.normal(size=(5, 3)), "tags": np.arange(5), "name": np.array(list("abcde"))},
    )


@pytest.mark.parametrize("units", ["metal", "lj"])
def test_there_and_back(tmp_path, units):
    for seed in range(5):
        structure = random_structure(units, seed)
        wl.md.write_xyz(tmp_path / "a.xyz", structure)
        same(wl.md.read_xyz(tmp_path / "a.xyz", units=units), structure)


def test_real_units_there_and_back(tmp_path):
    structure = random_structure("real")
    wl.md.write_xyz(tmp_path / "a.xyz", structure)
    back = wl.md.read_xyz(tmp_path / "a.xyz", units="real")
    for name in ("energy", "stress"):
        np.testing.assert_allclose(back.info.pop(name), structure.info.pop(name), rtol=4e-16)
    np.testing.assert_allclose(back.arrays.pop("forces"), structure.arrays.pop("forces"), rtol=4e-16)
    same(back, structure)


def test_reduced_units_are_not_taken_for_others(tmp_path):
    wl.md.write_xyz(tmp_path / "a.xyz", random_structure("lj"))
    with pytest.raises(ValueError, match="line 1: these numbers are in reduced units: write units='lj'"):
        wl.md.read_xyz(tmp_path / "a.xyz")
    assert read(tmp_path, WATER.replace(" note", " units=eV note")).info["units"] == "eV"


TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NUMBERS = st.one_of(st.floats(allow_nan=False), st.integers(-(2**62), 2**62))


@settings(max_examples=150, deadline=None)
@given(
    info=st.dictionaries(
        st.text("ab_-=\"' {}[]é:\\", min_size=1, max_size=6),
        st.one_of(
            TEXT, NUMBERS, st.booleans(), st.none(), st.lists(TEXT, max_size=3),
            st.sampled_from(["T", "1 2", "nan", "_JSON 1", "1_0", "a\nb", "\\", '"', "[1", "{", "1,2", "inf", "", " a "]),
            st.lists(st.floats(allow_nan=False), min_size=2, max_size=4).map(np.array),
            st.lists(st.booleans(), min_size=2, max_size=4).map(np.array),
        ),
        max_size=4,
    ),
    column=st.lists(st.one_of(st.floats(allow_nan=False)), min_size=2, max_size=2),
)  # fmt: skip
def test_any_field_there_and_back(tmp_path_factory, info, column):
    path = tmp_path_factory.mktemp("xyz") / "a.xyz"
    structure = wl.md.Structure(
        np.zeros((2, 3)), np.zeros((2, 3)), wl.md.Box.free(), ("Ar", "Ar"), {"Ar": 39.95}, {"Ar": 0.0}, "metal", info,
        {"x": np.array(column)},
    )  # fmt: skip
    wl.md.write_xyz(path, structure)
    same(wl.md.read_xyz(path), structure)


def ase_atoms():
    atoms = ase.Atoms("ArKrAr", positions=np.arange(9.0).reshape(3, 3) / 7, cell=[[9, 0, 0], [1, 8, 0], [2, 3, 7]])
    atoms.pbc = (True, False, True)
    atoms.set_masses([40.0, 84.0, 40.0])
    atoms.set_initial_charges([0.1, -0.2, 0.1])
    atoms.set_momenta(np.cos(np.arange(9.0)).reshape(3, 3))
    atoms.set_tags([3, 1, 2])
    atoms.info.update({"note": "two words", "number": 7, "flags": np.array([True, False]), "list": ["a", 1]})
    stress = np.array([1.0, 2, 3, 4, 5, 6])
    atoms.calc = SinglePointCalculator(atoms, energy=-1.5, forces=np.ones((3, 3)) / 3, stress=stress)
    return atoms


def test_what_ase_writes(tmp_path):
    ase.io.write(tmp_path / "ase.xyz", ase_atoms(), format="extxyz")
    theirs = ase.io.read(tmp_path / "ase.xyz", format="extxyz")
    ours, through = wl.md.read_xyz(tmp_path / "ase.xyz"), wl.md.from_ase(theirs)
    assert ours.species == through.species and ours.mass == through.mass and ours.charge == through.charge
    for name in ("position", "velocity"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(through, name))
    np.testing.assert_array_equal(ours.box.vectors, through.box.vectors)
    for name in ("energy", "stress", "note", "number", "flags", "list"):
        np.testing.assert_array_equal(ours.info[name], through.info[name], err_msg=name)
    for name in ("forces", "tags"):
        np.testing.assert_array_equal(ours.arrays[name], through.arrays[name])


def test_what_ase_reads(tmp_path):
    atoms = ase_atoms()
    wl.md.write_xyz(tmp_path / "ours.xyz", wl.md.from_ase(atoms))
    theirs = ase.io.read(tmp_path / "ours.xyz", format="extxyz")
    for name in ("positions", "masses", "initial_charges", "tags", "forces", "chemical_symbols"):
        np.testing.assert_array_equal(getattr(theirs, f"get_{name}")(), getattr(atoms, f"get_{name}")(), err_msg=name)
    np.testing.assert_allclose(theirs.get_momenta(), atoms.get_momenta(), rtol=4e-16)
    np.testing.assert_array_equal(theirs.cell[:], atoms.cell[:])
    np.testing.assert_array_equal(theirs.pbc, atoms.pbc)
    np.testing.assert_array_equal(theirs.get_stress(), atoms.get_stress())
    assert theirs.get_potential_energy() == -1.5 and theirs.info["note"] == "two words" and theirs.info["number"] == 7
    assert theirs.info["list"] == ["a", 1] and list(theirs.info["flags"]) == [True, False]


def test_the_files_of_the_reference_configurations_are_read_by_hand(tmp_path, shared):
    """They number their atoms and give the box on the second line: not this format, and said to be none."""
    path = shared / "data" / "nist_molecular" / "spce_config1.xyz"
    with pytest.raises(ValueError, match="line 3: atom 1 of 300 has 5 columns, and species:S:1:pos:R:3 are 4"):
        wl.md.read_xyz(path)
    rows = [line.split() for line in path.read_text().splitlines()[2:]]
    structure = wl.md.Structure(
        position=np.array([row[1:4] for row in rows], float),
        velocity=np.zeros((300, 3)),
        box=wl.md.Box.cubic(20.0),
        species=tuple(row[4] for row in rows),
        mass={"O": 15.9994, "H": 1.008},
        charge={"O": -0.8476, "H": 0.4238},
        units="real",
    )
    wl.md.write_xyz(tmp_path / "a.xyz", structure)
    same(wl.md.read_xyz(tmp_path / "a.xyz", units="real"), structure)

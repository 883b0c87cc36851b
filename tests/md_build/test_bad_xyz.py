"""XYZ files that are wrong: each ends in one sentence with the line, and no half-written file is left behind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import worldline as wl

PROPERTIES = "Properties=species:S:1:pos:R:3"
CASES = {
    "empty": ("", "bad.xyz is empty"),
    "blank": ("\n\n", "bad.xyz is empty"),
    "no number of atoms": ("Ar 0 0 0\n", "line 1: 'Ar 0 0 0' where the number of atoms should be"),
    "no atoms": ("0\n\n", "line 1: '0' where the number"),
    "fewer than none": ("-3\n\n", "line 1: '-3' where the number"),
    "count alone": ("2", "line 1: the file ends after the number of atoms"),
    "truncated": ("3\n\nAr 0 0 0\nAr 1 0 0\n", "line 4: the file ends after 2 of 3 atoms; it is truncated, or the 3 on line 1"),
    "truncated at once": ("3\n\n", "line 2: the file ends after 0 of 3 atoms"),
    "truncated in a row": ("2\n\nAr 0 0 0\nAr 1 0", "line 4: atom 2 of 2 has 3 columns, and species:S:1:pos:R:3 are 4"),
    "a row too few": ("3\n\nAr 0 0 0\nAr 1 0 0\n2\n\nAr 0 0 0\nAr 1 0 0\n", "line 5: atom 3 of 3 has 1 columns.*the 3 on line 1"),
    "a row too many": (
        "1\n\nAr 0 0 0\nAr 1 0 0\n",
        "line 4: 'Ar 1 0 0' where the number of atoms should be.*the frame before, from line 1, should have 1 atoms",
    ),
    "blank row": ("2\n\nAr 0 0 0\n\nAr 1 0 0", "line 4: atom 2 of 2 has 0 columns"),
    "too many columns": ("1\n\nAr 0 0 0 5\n", "line 3: atom 1 of 1 has 5 columns"),
    "a word for a number": ("2\n\nAr 0 0 0\nAr 1 one 0\n", "line 4: '1 one 0' for 'pos' is not a number each"),
    "underscores": ("1\n\nAr 0 0 1_0\n", "line 3: '0 0 1_0' for 'pos' is not a number"),
    "position that is none": ("1\n\nAr 0 nan 0\n", r"line 3: the position \[0.0, nan, 0.0\] is not finite"),
    "endless position": ("2\n\nAr 0 0 0\nAr 0 inf 0\n", "line 4: the position"),
    "half a count": (f"1\n{PROPERTIES}:n:I:1\nAr 0 0 0 1.5\n", "line 3: '1.5' for 'n' is not a whole number"),
    "maybe": (f"1\n{PROPERTIES}:n:L:1\nAr 0 0 0 maybe\n", "line 3: 'maybe' for 'n' is not T or F"),
    "type": (f"1\n{PROPERTIES}:n:Q:1\nAr 0 0 0 1\n", "line 2: .*type 'Q' of 'n' is not known: write S, R, I or L"),
    "no columns": (f"1\n{PROPERTIES}:n:R:0\nAr 0 0 0 1\n", "line 2: .*'n' has '0' columns"),
    "two words": (f"1\n{PROPERTIES}:n:R\nAr 0 0 0 1\n", "line 2: .*three words for each"),
    "twice": (f"1\n{PROPERTIES}:pos:R:3\nAr 0 0 0 1 1 1\n", "line 2: .*'pos' is listed twice"),
    "no positions": ("1\nProperties=species:S:1\nAr\n", "line 2: .*species:S:1 .* and pos:R:3 are needed"),
    "flat positions": ("1\nProperties=species:S:1:pos:R:2\nAr 0 0\n", "line 2: .*'pos' must be pos:R:3"),
    "whole positions": ("1\nProperties=species:S:1:pos:I:3\nAr 0 0 0\n", "line 2: .*'pos' must be pos:R:3"),
    "short lattice": ('1\nLattice="1 0 0"\nAr 0 0 0\n', "line 2: Lattice=.*nine numbers"),
    "lattice of words": ('1\nLattice="a b c"\nAr 0 0 0\n', "line 2: Lattice='a b c'"),
    "flat lattice": ('1\nLattice="1 0 0 0 1 0 1 1 0"\nAr 0 0 0\n', "line 2: .*no volume"),
    "unclosed": ('1\nLattice="1 0 0 0 1 0 1 1 0\nAr 0 0 0\n', "line 2: column 9: what \" opens is not closed"),
    "periodic without a cell": ('1\npbc="T T T"\nAr 0 0 0\n', "line 2: the box is periodic along edge a, but the cell gives"),
    "pbc": ('1\nLattice="1 0 0 0 1 0 0 0 1" pbc="T T"\nAr 0 0 0\n', "line 2: pbc=.*three flags"),
    "pbc of numbers": ('1\nLattice="1 0 0 0 1 0 0 0 1" pbc="1 2 0"\nAr 0 0 0\n', "line 2: pbc="),
    "mass": (f"2\n{PROPERTIES}:masses:R:1\nAr 0 0 0 1\nAr 1 0 0 0\n", r"frame that begins on line 1: mass of atom 1 \(Ar\) is 0"),
    "momenta": (f"1\n{PROPERTIES}:momenta:R:3\nQq 0 0 0 1 1 1\n", "line 1: momenta of 'Qq' are given but no mass"),
    "charge": (f"1\n{PROPERTIES}:initial_charges:R:1\nAr 0 0 0 nan\n", "line 1: charge of atom 0"),
    "atomic number": ("1\nProperties=Z:I:1:pos:R:3\n200 0 0 0\n", "line 1: Z holds 200 to 200"),
    "second frame": ("1\n\nAr 0 0 0\n2\n\nAr 0 0 0\n", "line 6: the file ends after 1 of 2 atoms"),
}


@pytest.mark.parametrize(("text", "message"), CASES.values(), ids=CASES)
def test_wrong_files_name_the_line(tmp_path, text, message):
    path = tmp_path / "bad.xyz"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        wl.md.read_xyz_frames(path)


def test_no_text_file(tmp_path):
    (tmp_path / "bad.xyz").write_bytes(b"1\n\n\xff\xfe 0 0 0")
    with pytest.raises(ValueError, match="bad.xyz is no text file"):
        wl.md.read_xyz(tmp_path / "bad.xyz")
    with pytest.raises(FileNotFoundError):
        wl.md.read_xyz(tmp_path / "none.xyz")
    with pytest.raises(ValueError, match="units='si'"):
        wl.md.read_xyz(tmp_path / "bad.xyz", units="si")


@pytest.mark.parametrize("kept", range(1, 30))
def test_every_truncation_is_noticed(tmp_path, kept):
    lines = ["28", "", *(f"Ar {k} 0 0" for k in range(28))]
    (tmp_path / "bad.xyz").write_text("\n".join(lines[:kept]) + "\n")
    with pytest.raises(ValueError, match=rf"line {kept}: the file ends"):
        wl.md.read_xyz(tmp_path / "bad.xyz")


FRAME = (
    '2\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3:masses:R:1:f:I:1:g:L:1 pbc="T F T" e=-1.5 a="b c" d=[1, 2]\n'
    "Ar 0.5 0 1e-3 39.95 1 T\nKr 1 -2 3 83.8 2 F\n"
)
MARKS = '"=:[]{} \\\n_TFx0.-\'é'


@settings(max_examples=300, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, len(FRAME)), st.integers(0, 3), st.text(MARKS, max_size=3)), max_size=3))
def test_any_slip_is_read_or_named(tmp_path_factory, changes):
    text = FRAME
    for at, lost, more in changes:
        text = text[:at] + more + text[at + lost :]
    path = tmp_path_factory.getbasetemp() / "slip.xyz"
    path.write_text(text, encoding="utf-8")
    try:
        frames = wl.md.read_xyz_frames(path)
    except ValueError as error:
        assert "slip.xyz" in str(error)
    else:
        assert all(np.isfinite(frame.position).all() and len(frame.species) for frame in frames)


def structure(**changes):
    said = dict(
        position=np.zeros((2, 3)), velocity=np.zeros((2, 3)), box=wl.md.Box.free(), species=("Ar", "Ar"),
        mass={"Ar": 1.0}, charge={"Ar": 0.0},
    )  # fmt: skip
    return wl.md.Structure(**{**said, **changes})


REFUSED = [
    (dict(info={"pbc": 1}), ValueError, r"info\['pbc'\]: this key has a meaning"),
    (dict(info={"x": object()}), TypeError, r"info\['x'\] has type object"),
    (dict(info={"a\nb": 1}), TypeError, "has the key"),
    (dict(arrays={"pos": np.zeros(2)}), ValueError, r"arrays\['pos'\]: a column"),
    (dict(arrays={"a b": np.zeros(2)}), ValueError, r"arrays\['a b'\]: a column"),
    (dict(arrays={"x": np.zeros((2, 3, 3))}), ValueError, r"arrays\['x'\] is float64 of shape \(2, 3, 3\)"),
    (dict(arrays={"x": np.zeros(2, complex)}), ValueError, r"arrays\['x'\] is complex128"),
    (dict(arrays={"x": np.array(["a b", "c"])}), ValueError, "x holds the text 'a b'"),
    (dict(arrays={"x": np.zeros(3)}), ValueError, r"arrays\['x'\] has shape \(3,\): it needs one row for each of 2"),
    (dict(velocity=np.zeros((1, 3))), ValueError, r"velocity has shape \(1, 3\): 2 species need \(2, 3\)"),
    (dict(species="Ar"), ValueError, "species='Ar': give one name an atom"),
    (dict(velocity=np.ones((2, 3)), mass={}), ValueError, "species 'Ar' has velocities and no mass"),
]


@pytest.mark.parametrize(("changes", "error", "message"), REFUSED)
def test_what_is_not_written_leaves_the_old_file(tmp_path, changes, error, message):
    path = tmp_path / "kept.xyz"
    path.write_text("what was there")
    with pytest.raises(error, match=message):
        wl.md.write_xyz(path, [structure(), structure(**changes)])
    assert path.read_text() == "what was there" and list(tmp_path.iterdir()) == [path]


def test_columns_that_look_like_velocities_or_charges_are_told(tmp_path):
    path = tmp_path / "other.xyz"
    path.write_text("1\nProperties=species:S:1:pos:R:3:velo:R:3:charge:R:1\nAr 0 0 0 1 2 3 0.5\n")
    with pytest.warns(UserWarning) as told:
        found = wl.md.read_xyz(path)
    assert ["'charge'" in str(told[0].message), "'velo' is kept" in str(told[1].message)] == [True, True]
    np.testing.assert_array_equal(found.arrays["velo"], [[1, 2, 3]])
    with pytest.raises(ValueError, match="frame=0.5: it must be a whole number"), pytest.warns(UserWarning):
        wl.md.read_xyz(path, frame=0.5)

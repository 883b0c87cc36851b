"""Setfl files: tables against the functions they were made of and against ASE's reader; wrong files name their line."""

import numpy as np
import pytest
from ase.calculators.eam import EAM
from hypothesis import given, settings
from hypothesis import strategies as st

import worldline as wl

NRHO, NR = 23, 17


def tables(many=2, nrho=NRHO, nr=NR, seed=0):
    random = np.random.default_rng(seed)
    pair = random.normal(size=(many, many, nr))
    return wl.md.Setfl(
        elements=("Cu", "Ag", "Au")[:many],
        atomic_number=np.array([29, 47, 79])[:many],
        mass=np.array([63.546, 107.8682, 196.96657])[:many],
        lattice_constant=np.array([3.615, 4.09, 4.08])[:many],
        lattice=("fcc",) * many,
        drho=0.05,
        dr=0.3,
        cutoff=5.0,
        embedding=random.normal(size=(many, nrho)) * 10.0 ** random.integers(-12, 12, (many, nrho)),
        density=random.normal(size=(many, nr)),
        pair=pair + pair.swapaxes(0, 1),
        comment=("made of random numbers", "", "  third"),
    )


def same(one, other):
    for name, value in vars(other).items():
        np.testing.assert_array_equal(getattr(one, name), value, err_msg=name)


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "two.eam.alloy"
    wl.md.write_setfl(path, tables())
    return path.read_text().split("\n")


def read(tmp_path, lines):
    path = tmp_path / "changed.eam.alloy"
    path.write_text("\n".join(lines))
    return wl.md.read_setfl(path)


@pytest.mark.parametrize("many", [1, 2, 3])
def test_there_and_back(tmp_path, many):
    wl.md.write_setfl(tmp_path / "a.eam.alloy", tables(many))
    same(wl.md.read_setfl(tmp_path / "a.eam.alloy"), tables(many))


def test_as_ase_reads_it(tmp_path):
    path = tmp_path / "three.eam.alloy"
    made = tables(3, 40, 30)
    wl.md.write_setfl(path, made)
    theirs, ours = EAM(potential=str(path)), wl.md.read_setfl(path)
    assert list(theirs.elements) == list(ours.elements)
    np.testing.assert_allclose(theirs.mass, ours.mass)
    assert (theirs.nrho, theirs.drho, theirs.nr, theirs.dr, theirs.cutoff) == (40, ours.drho, 30, ours.dr, ours.cutoff)
    np.testing.assert_allclose(theirs.embedded_data, ours.embedding, rtol=1e-15)
    np.testing.assert_allclose(theirs.density_data, ours.density, rtol=1e-15)
    for i in range(3):
        for j in range(i + 1):
            np.testing.assert_allclose(theirs.rphi_data[j, i], ours.pair[i, j], rtol=1e-15)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_numbers_are_broken_over_lines_anywhere(tmp_path_factory, data):
    made = tables(2, 5, 7)
    blocks = [made.pair[0, 0], made.pair[1, 0], made.pair[1, 1]]
    lines = ["", "", "", "2 Cu Ag", f"5 {made.drho} 7 {made.dr} 1.5"]

    def broken(numbers):
        words = [f"{x!r}" for x in np.asarray(numbers).tolist()]
        if data.draw(st.booleans()):
            words = [f"{x:.16E}".replace("E", "D") for x in numbers]
        while words:
            take = data.draw(st.integers(1, len(words)))
            lines.append(" " * data.draw(st.integers(0, 2)) + "\t ".join(words[:take]))
            lines.extend([""] * data.draw(st.integers(0, 1)))
            words = words[take:]

    for k in range(2):
        lines.append(f"{made.atomic_number[k]} {made.mass[k]} {made.lattice_constant[k]} fcc")
        broken(np.concatenate([made.embedding[k], made.density[k]]))
    broken(np.concatenate(blocks))
    folder = tmp_path_factory.mktemp("setfl")
    (folder / "f").write_bytes(data.draw(st.sampled_from(["\n", "\r\n"])).join(lines).encode())
    found = wl.md.read_setfl(folder / "f")
    np.testing.assert_array_equal(found.embedding, made.embedding)
    np.testing.assert_array_equal(found.density, made.density)
    np.testing.assert_array_equal(found.pair, made.pair)


# Of the file of two elements: lines 1 to 3 are comment, 4 the elements, 5 the sizes, 6 about Cu, 7 to 11 its
# embedding (5 a line, 23), 12 to 15 its density (17), 16 about Ag, and so on.
def test_the_lines_are_where_the_cases_below_expect_them(lines):
    assert lines[3] == "2 Cu Ag" and lines[5].startswith("29 ") and lines[15].startswith("47 ")
    assert len(lines[10].split()) == 3 and len(lines[14].split()) == 2 and len(lines) == 25 + 12 + 1


CASES = [
    (4, lambda line: "3 Cu Ag", r"line 4: the line says 3 elements and names 2: Cu Ag"),
    (4, lambda line: "2 Cu", r"line 4: the line says 2 elements and names 1"),
    (4, lambda line: "Cu Ag", r"line 4: 'Cu' where the number of elements should be, a whole number"),
    (4, lambda line: "2 Cu Cu", r"line 4: an element is named twice"),
    (5, lambda line: "23 0.05 17 0.3", r"line 5: 4 words where Nrho, drho, Nr, dr and the cutoff should be, too few"),
    (5, lambda line: "23 0.05 17 0.3 5.0 6.0", r"line 5: 6 words .* too many"),
    (5, lambda line: "23 0.05 17.5 0.3 5.0", r"line 5: '17.5' where Nr should be, a whole number"),
    (5, lambda line: "23 -0.05 17 0.3 5.0", r"line 5: drho is -0.05; it must be positive"),
    (5, lambda line: "23 0.05 17 0.3 nan", r"line 5: 'nan' where the cutoff should be"),
    (5, lambda line: "23 0.05 1 0.3 5.0", r"line 5: Nrho is 23 and Nr 1"),
    (5, lambda line: "23 0.05 17 0.2 5.0", r"line 5: the tables end at \(Nr - 1\) dr = 3.2, before the cutoff 5"),
    (6, lambda line: "29 63.546 3.615", r"line 6: '29 63.546 3.615' where atomic number, mass, lattice constant and lattice of Cu"),
    (6, lambda line: "29 -1 3.615 fcc", r"line 6: the mass of Cu is -1"),
    (6, lambda line: "29.5 63.546 3.615 fcc", r"line 6: '29.5' where the atomic number of Cu"),
    (8, lambda line: "1 2 3 four 5", r"line 8: 'four' where number 9 of the 23 embedding energies of Cu should be"),
    (8, lambda line: "1 2 inf 4 5", r"line 8: 'inf' where number 8 of the 23"),
    (12, lambda line: "1 2 3 4", r"line 16: 'fcc' where number 20 of the 17|line 16: 'fcc'|line 16: numbers are left"),
    (14, lambda line: "", r"line 16: numbers are left|line 16: 'fcc' where number 16 of the 17 densities of Cu"),
    (15, lambda line: line + " 7", r"line 15: numbers are left .* 23 embedding energies and 17 densities of Cu: '7'"),
    (15, lambda line: line + "\n1 2 3 4 5", r"line 16: '1 2 3 4 5' where .* lattice of Ag should be; perhaps .* too many"),
    (30, lambda line: "1 2 3 4 x", r"line 30: 'x' where number 5 of the 17 values of r phi of Ag-Cu"),
    (37, lambda line: line + " 1.0", r"line 37: numbers are left on the line after the 17 values of r phi"),
    (37, lambda line: line + "\n\n2 3", r"line 39: the file goes on after the 17 values of r phi of the last pair: '2 3'"),
]


@pytest.mark.parametrize(("line", "change", "message"), CASES)
def test_wrong_files_name_the_line(tmp_path, lines, line, change, message):
    lines[line - 1] = change(lines[line - 1])
    with pytest.raises(ValueError, match=rf"changed.eam.alloy, ({message})"):
        read(tmp_path, lines)


@pytest.mark.parametrize("kept", range(37))
def test_a_truncated_file_says_where_it_ends(tmp_path, lines, kept):
    with pytest.raises(ValueError, match=rf"line {kept}: the file ends here, and .* should follow"):
        read(tmp_path, [*lines[:kept], ""])


@settings(max_examples=200, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 4), st.text("\n 01.e-Dx", max_size=3)), max_size=3))
def test_any_slip_is_read_or_named(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "slip.eam.alloy"
    wl.md.write_setfl(path, tables(1, 4, 4))
    text = path.read_text()
    for at, lost, more in changes:
        text = text[:at] + more + text[at + lost :]
    path.write_text(text)
    try:
        found = wl.md.read_setfl(path)
    except ValueError as error:
        assert "slip.eam.alloy, line " in str(error)
    else:
        assert np.isfinite(found.pair).all() and np.isfinite(found.embedding).all() and found.mass[0] > 0


def test_what_is_said_of_a_table_that_ends_early(tmp_path, lines):
    with pytest.raises(ValueError, match="line 13: .* densities of Cu, of which 10 of 17 are there"):
        read(tmp_path, lines[:13])


def test_tables_that_do_not_fit():
    made = vars(tables())
    with pytest.raises(ValueError, match=r"density has shape \(17,\): for 2 elements it must be \(2, 17\)"):
        wl.md.Setfl(**{**made, "density": made["density"][0]})
    with pytest.raises(ValueError, match="pair has shape"):
        wl.md.Setfl(**{**made, "pair": made["pair"][..., :-1]})


def test_what_is_not_written(tmp_path):
    made = vars(tables())
    with pytest.raises(ValueError, match="not symmetric"):
        wl.md.write_setfl(tmp_path / "x", wl.md.Setfl(**{**made, "pair": made["pair"] + np.arange(4.0).reshape(2, 2, 1)}))
    with pytest.raises(ValueError, match="must be one line"):
        wl.md.write_setfl(tmp_path / "x", wl.md.Setfl(**{**made, "comment": ("a\nb", "", "")}))
    assert not (tmp_path / "x").exists()


def test_it_is_printed_in_short():
    assert repr(tables()) == "Setfl(Cu, Ag; 23 densities, 17 distances, cutoff 5 angstrom)"

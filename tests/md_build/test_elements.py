"""Symbols and standard masses of the elements, against ASE's list."""

import ase.data
import numpy as np
import pytest

import worldline as wl


def test_masses_of_all_elements(tmp_path):
    symbols = ase.data.chemical_symbols[1:]
    rows = "".join(f"{number} 0 0 {number}\n" for number in range(1, len(symbols) + 1))
    (tmp_path / "all.xyz").write_text(f"{len(symbols)}\nProperties=Z:I:1:pos:R:3\n{rows}")
    read = wl.md.read_xyz(tmp_path / "all.xyz")
    assert read.species == tuple(symbols) and len(symbols) == 118
    stable = {symbol for symbol in symbols[:83] if symbol not in ("Tc", "Pm")} | {"Th", "Pa", "U"}
    assert set(read.mass) == stable
    for symbol in stable:
        # Abridged to four or five digits; weights of some elements were revised between the lists.
        listed = ase.data.atomic_masses_iupac2016[symbols.index(symbol) + 1]
        assert read.mass[symbol] == pytest.approx(listed, rel=3e-4), symbol


def test_a_system_without_a_mass_says_which(tmp_path):
    (tmp_path / "a.xyz").write_text("2\n\nAr 0 0 0\nTc 0 0 5\n")
    read = wl.md.read_xyz(tmp_path / "a.xyz")
    interaction = wl.md.LennardJones(epsilon=0.1, sigma=3.0, cutoff=5.0)
    with pytest.raises(ValueError, match="mass lacks 'Tc'"):
        wl.md.System(interaction, species=read.species, mass=read.mass, units=read.units)
    assert wl.md.read_xyz(tmp_path / "a.xyz", units="lj").mass == {"Ar": 1.0, "Tc": 1.0}


def test_single_precision_reads_all_digits(tmp_path):
    """Positions are NumPy's, so that JAX's default type takes no digits from what is only read and written."""
    import jax

    (tmp_path / "a.xyz").write_text("1\n\nAr 0.1234567890123456 0 0\n")
    with jax.enable_x64(False):
        assert wl.md.read_xyz(tmp_path / "a.xyz").position[0, 0] == 0.1234567890123456
    assert isinstance(wl.md.read_xyz(tmp_path / "a.xyz").position, np.ndarray)

"""Units by name: their constants against numbers published elsewhere, and consistency of each system."""

import pytest
from scipy import constants

import worldline as wl

METAL, REAL = wl.md.units("metal"), wl.md.units("real")


def test_constants_are_those_of_the_tables():
    # CODATA 2022, digits as the National Institute of Standards and Technology lists them.
    assert METAL.boltzmann == pytest.approx(8.617333262e-5, rel=1e-10)
    assert METAL.coulomb == pytest.approx(14.3996454, rel=1e-8)
    assert REAL.boltzmann == pytest.approx(8.31446261815324 / 4184, rel=1e-14)
    assert REAL.coulomb == pytest.approx(332.0637130, rel=1e-9)
    # LAMMPS 2020: 1 amu (angstrom/ps)^2 in eV, with older values of the constants; and 1 bar in eV/angstrom^3.
    assert METAL.mass == pytest.approx(1.0364269e-4, rel=1e-6)
    assert METAL.pressure(1.0, "bar") == pytest.approx(1 / 1.6021765e6, rel=1e-6)
    # In real units the same force is 48.88821291^2 times that of 1 amu angstrom/fs^2.
    assert REAL.mass == pytest.approx(48.88821291**2, rel=1e-6)
    assert REAL.pressure(1.0, "atm") == pytest.approx(1 / 68568.415, rel=1e-6)


@pytest.mark.parametrize("name", ["metal", "real"])
def test_a_system_of_units_is_consistent(name):
    units = wl.md.units(name)
    for own in (units.length, units.energy, units.time, units.temperature, "e", f"{units.energy}/{units.length}^3"):
        assert units.factor(own) == 1.0, own
    assert units.factor("amu") == pytest.approx(units.mass, rel=1e-15)
    # The thermal speed of argon at 300 K, computed in SI units.
    speed = (constants.Boltzmann * 300 / (39.95 * constants.atomic_mass)) ** 0.5
    own = (units.boltzmann * 300 / (39.95 * units.mass)) ** 0.5
    assert own == pytest.approx(speed * units.factor("m/s"), rel=1e-14)
    # Bjerrum energy of two charges a nanometre apart.
    joules = constants.e**2 / (4 * constants.pi * constants.epsilon_0 * 1e-9)
    assert units.coulomb / (10 * units.factor("angstrom")) == pytest.approx(joules * units.factor("J"), rel=1e-14)


def test_units_are_composed():
    assert METAL.factor("kcal/mol") == pytest.approx(0.0433641042, rel=1e-9)
    assert METAL.factor("g/cm^3") / METAL.mass == pytest.approx(1e-27 / constants.atomic_mass, rel=1e-14)
    assert METAL.factor("kg*m^2/s^2") == pytest.approx(METAL.factor("J"), rel=1e-15)
    assert METAL.factor("eV/angstrom") == METAL.factor("eV*angstrom^-1") == 1.0
    assert METAL.factor("hartree") == pytest.approx(27.211386245981, rel=1e-12)
    assert METAL.factor("bohr") == pytest.approx(0.529177210544, rel=1e-12)


def test_reduced_units_are_one():
    lj = wl.md.units("lj")
    assert (lj.boltzmann, lj.coulomb, lj.mass) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="multiples of sigma, epsilon"):
        lj.pressure(1.0, "bar")


def test_wrong_names():
    with pytest.raises(ValueError, match="'metall'.*did you mean 'metal'"):
        wl.md.units("metall")
    with pytest.raises(ValueError, match="did you mean 'lj'"):
        wl.md.units("LJ")
    with pytest.raises(ValueError, match="there are 'lj', 'metal' and 'real'"):
        wl.md.units("si")
    with pytest.raises(ValueError, match="'Bar' is not known.*'bar'"):
        METAL.factor("Bar")
    for bad in ("", "eV/", "eV^x", "eV//angstrom"):
        with pytest.raises(ValueError, match="is not known"):
            METAL.factor(bad)
    with pytest.raises(ValueError, match="no unit of pressure"):
        METAL.pressure(1.0, "eV")


def test_units_are_values():
    assert wl.md.units("metal") == METAL and hash(METAL) == hash(wl.md.units("metal")) and METAL != REAL
    with pytest.raises(AttributeError):
        METAL.mass = 1.0

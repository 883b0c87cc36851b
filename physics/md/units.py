"""Systems of units by name: what the numbers of a simulation mean, all computed from the CODATA values in SciPy.

Inside one system of units no conversion factors occur: force is mass times acceleration, pressure is energy by volume.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from math import prod
from typing import TypeVar

from jaxtyping import Array
from scipy import constants

Number = TypeVar("Number", float, Array)
Dimension = tuple[int, int, int, int]  # exponents of length, energy, time and charge

LENGTH, ENERGY, TIME, CHARGE, PURE = (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 0, 0, 0)
MASS, PRESSURE = (-2, 1, 2, 0), (-3, 1, 0, 0)

# What one of each is in SI units, and of what dimension.
SIZES: dict[str, tuple[float, Dimension]] = {
    "m": (1.0, LENGTH),
    "cm": (1e-2, LENGTH),
    "nm": (1e-9, LENGTH),
    "angstrom": (constants.angstrom, LENGTH),
    "bohr": (constants.physical_constants["Bohr radius"][0], LENGTH),
    "kg": (1.0, MASS),
    "g": (1e-3, MASS),
    "amu": (constants.atomic_mass, MASS),
    "s": (1.0, TIME),
    "ns": (1e-9, TIME),
    "ps": (1e-12, TIME),
    "fs": (1e-15, TIME),
    "C": (1.0, CHARGE),
    "e": (constants.elementary_charge, CHARGE),
    "J": (1.0, ENERGY),
    "kJ": (1e3, ENERGY),
    "eV": (constants.electron_volt, ENERGY),
    "meV": (1e-3 * constants.electron_volt, ENERGY),
    "kcal": (1e3 * constants.calorie, ENERGY),
    "hartree": (constants.physical_constants["Hartree energy"][0], ENERGY),
    "Pa": (1.0, PRESSURE),
    "MPa": (1e6, PRESSURE),
    "GPa": (1e9, PRESSURE),
    "bar": (constants.bar, PRESSURE),
    "kbar": (1e3 * constants.bar, PRESSURE),
    "atm": (constants.atm, PRESSURE),
    "mol": (constants.Avogadro, PURE),
    "K": (1.0, PURE),
}


@dataclass(frozen=True)
class Units:
    """A consistent system of units; `units("metal")` gives one.

    | field | meaning |
    | --- | --- |
    | `boltzmann` | energy by temperature |
    | `coulomb` | energy times length of two elementary charges, e^2 / (4 pi epsilon_0) |
    | `mass` | the mass of 1 amu, in energy time^2 / length^2 (of 1 in "lj", where masses have no other unit) |
    | `length`, `energy`, `time`, `temperature` | names of the units; charges are in elementary charges |
    """

    name: str
    boltzmann: float
    coulomb: float
    mass: float
    length: str
    energy: str
    time: str
    temperature: str
    _base: tuple[float, float, float, float] | None = field(default=None, repr=False)  # SI: length, energy, time, charge

    def factor(self, unit: str) -> float:
        """How many of its own units one of another unit is: `units("metal").factor("kcal/mol")` is 0.0434 (eV).

        A unit may be composed, as "g/cm^3", "angstrom/fs" or "eV/angstrom^3". What is inside is shown in another unit by
        division: `pressure / units("metal").factor("GPa")`.

        **Raises** `ValueError` for names that are not known, listing those that are, and in "lj", whose numbers are
        multiples of the sigma, epsilon and mass that the user has in mind.
        """
        size, dimension = _parse(unit)
        if self._base is None:
            raise ValueError(
                f"units {self.name!r} have no size in {unit!r}: their numbers are multiples of sigma, epsilon and the mass "
                "of a particle. Work in wl.md.units('metal') or 'real', or divide by your own epsilon and sigma."
            )
        return size / prod(base**power for base, power in zip(self._base, dimension))

    def pressure(self, value: Number, unit: str) -> Number:
        """A pressure given in "bar", "atm" or "GPa" as energy by volume in these units.

        **Raises** `ValueError` for units that are not of pressure, and as `factor` does.
        """
        if _parse(unit)[1] != PRESSURE:
            raise ValueError(f"unit={unit!r} is no unit of pressure: write 'bar', 'atm', 'GPa' or 'eV/angstrom^3'.")
        return value * self.factor(unit)


def units(name: str) -> Units:
    """The system of units of this name.

    | name | length | energy | time | mass | temperature | charge |
    | --- | --- | --- | --- | --- | --- | --- |
    | "lj" | sigma | epsilon | sigma sqrt(m / epsilon) | m | epsilon / k | reduced, k_e e^2 = 1 |
    | "metal" | angstrom | eV | ps | given in amu | K | e |
    | "real" | angstrom | kcal/mol | fs | given in amu | K | e |

    **Raises** `ValueError` for another name.
    """
    if name not in _SYSTEMS:
        near = difflib.get_close_matches(str(name).lower(), _SYSTEMS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"units={name!r}: no such system of units; {hint}there are 'lj', 'metal' and 'real'.")
    return _SYSTEMS[name]


def _parse(unit: str) -> tuple[float, Dimension]:
    """Size in SI units and dimension of a product such as "kcal/mol/angstrom" or "amu*angstrom^2/fs^2"."""
    size, dimension = 1.0, PURE
    for operator, word in re.findall(r"(^|[*/])([^*/]*)", unit.replace(" ", "")):
        name, _, power = word.partition("^")
        if name not in SIZES or not (power == "" or re.fullmatch(r"-?\d+", power)):
            near = difflib.get_close_matches(name, SIZES, n=1, cutoff=0.4)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(
                f"unit={unit!r}: {word!r} is not known{hint}; there are {', '.join(SIZES)}, with '*', '/' and '^2' between."
            )
        exponent = int(power or 1) * (-1 if operator == "/" else 1)
        one, own = SIZES[name]
        size *= one**exponent
        dimension = tuple(have + exponent * more for have, more in zip(dimension, own))  # type: ignore[assignment]
    return size, dimension


def _physical(name: str, length: str, energy: str, time: str) -> Units:
    (metres, _), (joules, _), (seconds, _) = (_parse(unit) for unit in (length, energy, time))
    kilograms = joules * (seconds / metres) ** 2
    charge = constants.elementary_charge
    return Units(
        name=name,
        boltzmann=constants.Boltzmann / joules,
        coulomb=charge**2 / (4 * constants.pi * constants.epsilon_0) / (joules * metres),
        mass=constants.atomic_mass / kilograms,
        length=length,
        energy=energy,
        time=time,
        temperature="K",
        _base=(metres, joules, seconds, charge),
    )


_SYSTEMS = {
    "lj": Units("lj", 1.0, 1.0, 1.0, "sigma", "epsilon", "sigma sqrt(m/epsilon)", "epsilon/k"),
    "metal": _physical("metal", "angstrom", "eV", "ps"),
    "real": _physical("real", "angstrom", "kcal/mol", "fs"),
}

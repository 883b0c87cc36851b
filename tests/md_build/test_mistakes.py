"""Mistakes in building and running systems of particles end in one sentence that says what to write."""

import numpy as np
import pytest

import worldline as wl

FLUID = wl.md.LennardJones(1.0, 1.0, 2.0, shape="force_shift")
PAIR = wl.md.System(FLUID, {"A": 2})
TAILED = wl.md.System(wl.md.LennardJones(1.0, 1.0, 2.0, tail=True), {"A": 2})
PLACES = [[0.0, 0.0, 0.0], [1.2, 0.0, 0.0]]


def together():
    return PAIR.state(np.zeros((2, 3)))


def shrinking():
    position, box = wl.md.lattice("fcc", density=0.8, cells=2)
    system = wl.md.System(FLUID, {"A": 32})
    barostat = wl.md.CellRescaling(1.0, 1e3, relaxation=0.1, cell_relaxation=0.1, compressibility=0.1)
    state = system.state(position, wl.md.thermal_velocities(system.masses, 1.0, 0), box)
    return wl.simulate(system, state, dt=0.005, t1=5.0, solver=barostat, key=0)


@pytest.mark.parametrize(
    "make, error, words",
    [
        (lambda: wl.md.System(FLUID, "A"), TypeError, r"how many of each, {'A': 100}"),
        (lambda: wl.md.System(FLUID, 5), TypeError, r"species=5: give one name a particle"),
        (lambda: wl.md.System(FLUID, [0, 0, 1]), TypeError, "species names 0: a species has a name"),
        (lambda: wl.md.System(FLUID, {"A": -3}), ValueError, "species has -3 of 'A'"),
        (lambda: wl.md.System(FLUID, {"A": 3.0}), ValueError, "species has 3.0 of 'A': how many there are is a whole number"),
        (lambda: wl.md.System(FLUID, {"A": 0}), ValueError, "species is empty"),
        (lambda: wl.md.LennardJones(1.0, 1.0, [2.0, 2.5]), TypeError, r"cutoff=\[2.0, 2.5\]: it must be one number"),
        (lambda: TAILED.energies(TAILED.state(PLACES)), ValueError, "tail=True spreads particles evenly over the volume of a box"),
        (
            lambda: wl.simulate(PAIR, PAIR.state(PLACES), dt=0.01, t1=1.0, solver=wl.md.Langevin(1.0, [1.0] * 3), key=0),
            ValueError, r"friction has shape \(3,\) for 2 particles",
        ),
        (lambda: wl.minimise(wl.ode.System(lambda t, y, p: -y, {}), 1.0), TypeError, "minimise is for particles"),
        (lambda: wl.simulate(PAIR, PLACES, dt=0.01, t1=1.0), TypeError, r"particles start from system.state\(position"),
        (
            lambda: wl.simulate(PAIR, PAIR.state(PLACES), dt=0.01, t1=1.0, solver="langevin"),
            ValueError, r"write solver=wl.md.Langevin\(temperature, friction\)",
        ),
        (
            lambda: wl.simulate(PAIR, together(), dt=0.01, t1=1.0),
            wl.SimulationError,
            r"at t = 0, step 0. Before that step particle 0 \(A\) had no finite force, and particle 1 was nearest, 0 away",
        ),
        (shrinking, wl.SimulationError, "the box shrinks or grows without end"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_what_to_write(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_what_was_computed_before_a_failure_is_kept():
    well = wl.md.System(wl.md.HarmonicTrap(1e4), {"A": 2})
    with pytest.raises(wl.SimulationError, match="take a smaller dt") as raised:
        wl.simulate(well, well.state(PLACES), dt=0.05, steps=1000)
    states, bad = raised.value.trajectory.states, int(raised.value.status.step)
    assert bad > 0 and np.isfinite(states.position[: bad + 1]).all()


def test_silicon_in_other_units_than_its_system_is_refused():
    position, box = wl.md.lattice("diamond", constant=5.43)
    system = wl.md.System(wl.md.StillingerWeber.silicon(), {"Si": 8})
    with pytest.raises(ValueError, match=r"in units 'metal', the system's in 'lj': write wl.md.System\(..., units='metal'\)"):
        wl.md.potential_energy(system, system.state(position, None, box))

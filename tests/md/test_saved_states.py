"""States in files: a run that goes on from one is the run that was never stopped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

DT = 0.005


def fluid():
    """A small fluid and its state."""
    position, box = wl.md.lattice("fcc", density=0.6, cells=2)
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 1.5, shape="force_shift"), {"A": len(position)})
    return system, system.state(position, wl.md.thermal_velocities(system.masses, 1.0, 1), box)


def through_a_file(state, like, path):
    """As docs/md_runs.md has it."""
    np.savez(path, *jax.tree.leaves(state))
    with np.load(path) as file:
        return jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(file[name]) for name in file])


@pytest.mark.parametrize("solver", [wl.md.Langevin(1.0, 1.0), wl.md.NoseHoover(1.0, 0.5)], ids=["langevin", "nose_hoover"])
def test_a_run_goes_on_from_a_file(tmp_path, solver):
    system, state = fluid()
    run = lambda state, t1: wl.simulate(system, state, dt=DT, t1=t1, solver=solver, key=3).final
    half = run(state, 0.25)
    saved = through_a_file(half, state, tmp_path / "run.npz")
    assert jax.tree.structure(saved) == jax.tree.structure(half)
    for ours, theirs in zip(jax.tree.leaves(saved), jax.tree.leaves(half)):
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    whole = run(state, 0.5)
    on = run(saved, 0.25)
    np.testing.assert_allclose(on.position, whole.position, atol=1e-10)
    np.testing.assert_allclose(on.extended, whole.extended, atol=1e-10)
    assert int(on.step) == int(whole.step) == 100


def test_a_trajectory_goes_through_xyz_without_steps_and_thermostats(tmp_path):
    system, state = fluid()
    run = wl.simulate(system, state, dt=DT, ts=[0.05, 0.1], t0=0.0, solver=wl.md.NoseHoover(1.0, 0.5))
    path = tmp_path / "run.xyz"
    wl.md.write_xyz(path, (wl.md.Structure.of(system, run[k], {"time": float(run.ts[k])}) for k in range(len(run))))
    frame = wl.md.read_xyz(path, frame=1, units="lj")
    assert frame.info["time"] == 0.1
    np.testing.assert_array_equal(frame.position, run.states.position[1])
    np.testing.assert_array_equal(frame.velocity, run.states.velocity[1])
    again = system.state(frame.position, frame.velocity, frame.box)
    assert int(again.step) == 0 and again.extended.size == 0 and run[1].extended.size == 6

"""Runs of particles: derivatives three ways, recording, continuing, lanes, compile counts, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

DT = 0.004
_compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda name, *_, **__: _compiled.append(name) if name.endswith("backend_compile_duration") else None
)


def fluid(cells=2, density=0.6, cutoff=1.5, **keywords):
    """A small fluid, and its state with thermal velocities."""
    position, box = wl.md.lattice("fcc", density=density, cells=cells)
    term = wl.md.LennardJones(1.0, 1.0, cutoff, shape="switch", onset=1.2)
    system = wl.md.System(term, {"A": len(position)}, **keywords)
    velocity = wl.md.thermal_velocities(system.masses, 1.0, 1)
    return system, system.state(position, velocity, box)


def end_of(system, state, steps, gradient="auto"):
    """A number that depends on all of a run, of epsilon and the initial positions."""

    def of(epsilon, position):
        changed = system.replace({"lennard_jones.epsilon": epsilon})
        start = wl.md.State(position, state.velocity, state.box, state.extended, state.step)
        run = wl.simulate(changed.sized(state), start, t1=steps * DT, dt=DT, gradient=gradient)
        return jnp.sum(jnp.sin(run.final.position) * run.final.velocity)

    return of, (system.interaction.terms["lennard_jones"].epsilon, state.position)


def test_derivatives_of_a_run_forward_reverse_and_by_differences(layout):
    of, (epsilon, position) = end_of(*fluid(**layout), 30)
    reverse = end_of(*fluid(**layout), 30, "reverse")[0]
    v = jnp.cos(jnp.arange(position.size, dtype=float)).reshape(position.shape)
    slope = lambda h: (of(epsilon + h, position + h * v) - of(epsilon - h, position - h * v)) / (2 * h)
    back = jax.jit(jax.grad(reverse, (0, 1)))(epsilon, position)
    along = float(back[0] + jnp.sum(back[1] * v))
    ahead = end_of(*fluid(**layout), 30, "tangent")[0]
    forward = float(jax.jit(lambda e, x: jax.jvp(ahead, (e, x), (jnp.ones(()), v))[1])(epsilon, position))
    assert along == pytest.approx(forward, rel=1e-8)
    assert [float(slope(h)) for h in (1e-4, 1e-5)] == pytest.approx([forward] * 2, rel=2e-5)


def test_what_is_recorded_is_measured_of_the_states(layout):
    system, state = fluid(cells=3, **layout)
    ts = np.linspace(0.0, 0.08, 5)
    states = wl.simulate(system, state, ts=ts, dt=DT).states
    run = wl.simulate(system, state, ts=ts, dt=DT, record=lambda s, x: {"U": s.potential_energy(x), "T": wl.md.temperature(s, x)})
    for k in range(5):
        one = jax.tree.map(lambda x: x[k], states)
        assert float(run.states["U"][k]) == pytest.approx(float(system.potential_energy(one)), rel=1e-11)
        assert float(run.states["T"][k]) == pytest.approx(float(wl.md.temperature(system, one)), rel=1e-11)
    assert run.final.position.shape == state.position.shape


def test_what_is_recorded_may_be_the_state_and_numbers():
    system = wl.md.System(wl.md.HarmonicTrap(1.0), {"A": 2})
    state = system.state(np.eye(3)[:2])
    run = wl.simulate(system, state, dt=0.1, steps=3, record=lambda system, state: {"state": state, "n": (2, True)})
    np.testing.assert_array_equal(run.states["state"].position, wl.simulate(system, state, dt=0.1, steps=3).states.position)
    assert run.states["state"].neighbors is None and run.states["n"][0].tolist() == [2] * 4
    with pytest.raises(TypeError, match="record returned 'warm': it must return numbers"):
        wl.simulate(system, state, dt=0.1, steps=3, record=lambda system, state: "warm")


def test_two_runs_are_one_and_steps_are_counted(layout):
    system, state = fluid(cells=3, **layout)
    system = system.sized(state)
    whole = wl.simulate(system, state, steps=20, dt=DT)
    first = wl.simulate(system, state, steps=8, dt=DT)
    second = wl.simulate(system, first.final, steps=12, dt=DT)
    np.testing.assert_allclose(second.final.position, whole.final.position, atol=1e-11)
    assert int(second.final.step) == 20 and whole.states.position.shape[0] == 21


def test_an_ensemble_runs_whole_systems_in_lanes():
    system, state = fluid(density=0.3)
    epsilons = jnp.linspace(0.5, 1.5, 20)
    one = lambda e: wl.simulate(system.replace({"lennard_jones.epsilon": e}), state, t1=0.2, dt=DT)
    many = wl.ensemble(one)(epsilons)
    assert int(np.max(many.stats.lanes)) > 1
    alone = one(epsilons[7])
    np.testing.assert_allclose(many.final.position[7], alone.final.position, atol=1e-10)


def test_runs_of_like_states_compile_once():
    system, state = fluid(cells=4, cutoff=1.6)
    run = wl.simulate(system, state, t1=0.2, dt=DT)
    system = system.sized(run.final)
    begin = wl.simulate(system, run.final, t1=0.1, dt=DT).final
    changed = system.replace({"lennard_jones.epsilon": 1.001})
    _compiled.clear()
    wl.simulate(changed, begin, t1=0.1, dt=DT)
    for _ in range(3):
        begin = wl.simulate(system, begin, t1=0.1, dt=DT).final
    assert not _compiled


@pytest.mark.parametrize("cells", [2, 4])
def test_particles_in_one_place_or_a_step_too_large_end_in_a_status(cells):
    system, state = fluid(cells=cells)
    same = system.state(state.position.at[1].set(state.position[0]), None, state.box)
    where = r"non-finite at t = 0, step 0. Before that step particle [01] \(A\) had no finite force, and particle [01] was nearest"
    with pytest.raises(wl.SimulationError, match=where):
        wl.simulate(system, same, t1=0.1, dt=DT)
    with pytest.raises(wl.SimulationError, match="non-finite|capacity") as caught:
        wl.simulate(system, state, ts=[0.0, 4.0, 400.0], dt=4.0)
    assert np.isfinite(caught.value.trajectory.states.position[0]).all()


def test_bad_input_is_named():
    system, state = fluid()
    n = len(state.position)
    with pytest.raises(ValueError, match=r"position of particle 3 is \[nan"):
        system.state(state.position.at[3].set(jnp.nan), None, state.box)
    with pytest.raises(ValueError, match="give one row each"):
        system.state(state.position[:-1], None, state.box)
    with pytest.raises(ValueError, match="must be positive and finite"):
        wl.md.LennardJones(1.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="edge b of the box is -1"):
        wl.md.Box.orthorhombic(1.0, -1.0, 1.0)
    with pytest.raises(ValueError, match="lie in one plane"):
        wl.md.Box.triclinic([[1.0, 0, 0], [0, 1.0, 0], [1.0, 1.0, 0]])
    with pytest.raises(ValueError, match="mass names 'B', which the system does not have"):
        wl.md.System(system.interaction, {"A": n}, mass={"A": 1.0, "B": 2.0})
    with pytest.raises(ValueError, match=r"sigma has shape \(2,\), and the species are A"):
        wl.md.System(wl.md.LennardJones(1.0, [1.0, 2.0], 2.0), {"A": n})
    with pytest.raises(TypeError, match="particles start from system.state"):
        wl.simulate(system, state.position, t1=0.1, dt=DT)
    with pytest.raises(ValueError, match="particles move by steppers of their own"):
        wl.simulate(system, state, t1=0.1, solver="tsit5")
    with pytest.raises(ValueError, match="takes fixed steps"):
        wl.simulate(system, state, t1=0.1)
    with pytest.raises(TypeError, match=r"write system = system.sized\(state\) outside"):
        jax.jit(lambda s: wl.simulate(system, s, t1=0.1, dt=DT))(state)


def test_a_fit_finds_epsilon_and_sigma_from_positions():
    position = np.array([[0.0, 0.0, 0.0], [1.15, 0.0, 0.0], [0.5, 1.0, 0.0], [0.4, 0.5, 1.0]])
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 5.0), {"A": 4})
    state, ts = system.state(position), np.linspace(0.05, 1.0, 20)
    wanted = {"lennard_jones.epsilon": 1.3, "lennard_jones.sigma": 1.05}
    run = wl.simulate(system.replace(wanted), state, ts=ts, t0=0.0, dt=0.01)
    noise = 1e-3 * np.random.default_rng(0).normal(size=(20, 4, 3))
    seen = wl.Observations(ts, np.asarray(run.states.position) + noise, wl.Normal(1e-3), observe=lambda s: s.position)
    result = wl.fit(system, seen, state, t0=0.0, dt=0.01, free={name: wl.Positive() for name in wanted}, starts=1)
    assert result.success
    for name, value in wanted.items():
        assert abs(result.values[name] - value) < 4 * result.standard_errors[name]

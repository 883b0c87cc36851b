"""Long runs of fixed steps go in pieces: they are those of one program, with the states before a failure, and a bar."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl

DT = 0.01


@pytest.fixture
def short_pieces(monkeypatch):
    monkeypatch.setattr("worldline.sim.pieces.FEWEST_STEPS", 7)
    monkeypatch.setattr("worldline.sim.pieces.WORK", 1)


@pytest.fixture(scope="module")
def molecules():
    """A cold cluster, whose motion rounding does not change within the runs here."""
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 2.5, shape="force_shift"), {"A": 4})
    position = 1.12 * np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.9, 0], [0.5, 0.3, 0.8]])
    return system, system.state(position, 0.1 * np.random.default_rng(0).normal(size=(4, 3)))


def agree(pieces, whole):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), pieces.states, whole.states)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), pieces.final, whole.final)
    assert int(pieces.stats.steps) == int(whole.stats.steps)
    assert int(pieces.status.code) == int(whole.status.code)
    assert int(pieces.status.step) == int(whole.status.step)


UNEVEN = np.array([0.0, 0.02, 0.025, 0.1, 0.101, 0.5, 0.505, 0.51, 0.6])
TIMES = {
    "every step": dict(steps=50),
    "a prime number of steps": dict(steps=43),
    "the end": dict(t1=0.5),
    "an end that no step divides": dict(t1=0.5037),
    "outputs": dict(ts=np.linspace(0.0, 0.6, 21)),
    "uneven outputs": dict(ts=UNEVEN),
    "later outputs": dict(ts=UNEVEN[2:], t0=0.0),
}


NOISE = wl.md.Langevin(0.01, 1.0)
CASES = [pytest.param("auto", times, id=name) for name, times in TIMES.items()]
CASES += [pytest.param(NOISE, TIMES[name], id=f"noise, {name}") for name in ("every step", "outputs")]


@pytest.mark.parametrize("solver, times", CASES)
def test_pieces_agree_with_the_whole(molecules, short_pieces, monkeypatch, solver, times):
    system, state = molecules
    pieces = wl.simulate(system, state, dt=DT, solver=solver, key=3, **times)
    monkeypatch.undo()
    agree(pieces, wl.simulate(system, state, dt=DT, solver=solver, key=3, **times))


def test_what_is_recorded_has_one_row_an_output(molecules, short_pieces, monkeypatch):
    system, state = molecules
    ts = np.linspace(0.0, 0.6, 21)
    record = lambda system, state: {"E": wl.md.total_energy(system, state), "x": state.position}
    pieces = wl.simulate(system, state, ts=ts, dt=DT, record=record)
    monkeypatch.undo()
    agree(pieces, wl.simulate(system, state, ts=ts, dt=DT, record=record))


@pytest.mark.parametrize("times", [dict(steps=300), dict(ts=np.linspace(0.0, 6.0, 100)), dict(t1=6.0)])
def test_a_failure_in_a_later_piece_keeps_what_was_before(short_pieces, monkeypatch, times):
    class Pit(wl.md.Term):
        """A push that grows without end, out to where the energy has no value."""

        def energy(self, near):
            x = near.position[:, 0]
            return -jnp.sum(x**2) + jnp.sum(jnp.sqrt(8.0 - x))

    system = wl.md.System(Pit(), {"A": 2})
    state = system.state([[1.0, 0, 0], [0.5, 1, 0]])
    pieces = wl.simulate(system, state, dt=0.02, throw=False, **times)
    monkeypatch.undo()
    whole = wl.simulate(system, state, dt=0.02, throw=False, **times)
    assert bool(whole.status.failed) and int(whole.status.step) > 20
    agree(pieces, whole)
    np.testing.assert_allclose(pieces.status.t, whole.status.t, rtol=1e-12)


def test_the_limit_is_that_of_the_whole_run(molecules, short_pieces, monkeypatch):
    system, state = molecules
    for times in (dict(t1=0.5), dict(steps=50), dict(ts=UNEVEN)):
        pieces = wl.simulate(system, state, dt=DT, max_steps=23, throw=False, **times)
        assert pieces.status.code == wl.core.Code.STEP_LIMIT and int(pieces.stats.steps) == 23
    monkeypatch.undo()
    agree(pieces, wl.simulate(system, state, dt=DT, max_steps=23, throw=False, ts=UNEVEN))


def test_runs_of_several_pieces_show_a_bar(molecules, short_pieces, capsys):
    system, state = molecules
    wl.simulate(system, state, dt=DT, t1=0.5, progress=True)
    assert "%|" in capsys.readouterr().err
    wl.simulate(system, state, dt=DT, t1=0.5)  # no terminal here
    wl.simulate(system, state, dt=DT, t1=0.5, progress=False)
    assert capsys.readouterr().err == ""

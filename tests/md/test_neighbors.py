"""Lists of neighbors against brute force, in boxes of any shape and size, also while particles and boxes move."""

import functools

import brute_force
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import worldline as wl
from worldline.physics.md.neighborhood import Capacity, plan, search, still_right

PLAIN = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
COUNT = 20
# One size for all examples, so that few programs are compiled.
ROOMY = Capacity(images=(6, 6, 6), room=(400, 1600, 6000), cells=(6, 6, 6), row=2400)


@st.composite
def systems(draw):
    """Positions, edges and periodicity: tiny, long, flat, strongly skewed, with particles far outside."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    edges = np.exp(rng.uniform(np.log(0.6), np.log(6.0), 3))
    skew = np.tril(rng.normal(size=(3, 3)), -1) * draw(st.sampled_from([0.0, 0.5, 2.0])) * edges.min()
    vectors = (np.diag(edges) + skew) @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    periodic = draw(st.sampled_from([(True, True, True), (True, False, True), (False, False, False), (False, True, False)]))
    inside = rng.random((COUNT, 3)) * draw(st.sampled_from([1.0, 0.05]))
    far = rng.integers(-3, 4, (COUNT, 3)) * np.array(periodic) * draw(st.sampled_from([0, 1]))
    return (inside + far) @ vectors, vectors, periodic, draw(st.sampled_from([0.3, 0.8, 1.4]))


@functools.partial(jax.jit, static_argnames=("periodic", "capacity", "native"))
def searched(position, vectors, reach, periodic, capacity, native=True):
    return search(position, wl.md.Box(vectors, periodic), reach, capacity, native)


def rows_of(position, vectors, periodic, reach):
    box = wl.md.Box.triclinic(vectors, periodic)
    needed = plan(position, box, reach, reach, ROOMY)
    assume(needed.images <= ROOMY.images and needed.room == ROOMY.room and needed.row == ROOMY.row)
    lists = searched(position, vectors, reach, periodic, ROOMY)
    assert int(lists.code) == 0
    return lists, box


def found_distances(lists, position, box, cutoff):
    x = np.asarray(position + lists.home @ box.vectors)
    table = x[np.asarray(lists.parent)] + np.asarray(lists.shift) @ np.asarray(box.vectors)
    found = []
    for k in range(len(x)):
        row = int(lists.rank[k])
        own, places = int(lists.own[row]), np.asarray(lists.rows[row])
        r = np.linalg.norm(table[places[places != own]] - table[own], axis=-1)
        found.append(np.sort(r[r < cutoff]))
    return found


def agree(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        assert len(a) == len(b)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)


@PLAIN
@given(systems())
def test_rows_hold_all_images_of_all_neighbors(case):
    position, vectors, periodic, reach = case
    lists, box = rows_of(position, vectors, periodic, reach)
    agree(found_distances(lists, position, box, reach), brute_force.distances(position, vectors, periodic, reach))


@PLAIN
@given(systems(), st.integers(0, 2**32 - 1), st.floats(0.0, 0.2), st.floats(-0.05, 0.05))
def test_rows_said_to_be_right_are_right_for_moved_particles_in_a_strained_box(case, seed, size, strain):
    position, vectors, periodic, cutoff = case
    reach = 1.3 * cutoff
    lists, box = rows_of(position, vectors, periodic, reach)
    rng = np.random.default_rng(seed)
    deformation = np.eye(3) + strain * rng.normal(size=(3, 3))
    deformation = deformation if all(periodic) else np.eye(3)
    moved = position @ deformation + size * cutoff * rng.uniform(-1, 1, position.shape)
    now = wl.md.Box.triclinic(vectors @ deformation, periodic)
    if bool(still_right(lists, jnp.asarray(moved), now, cutoff, reach)):
        wanted = brute_force.distances(moved, np.asarray(now.vectors), periodic, cutoff)
        agree(found_distances(lists, moved, now, cutoff), wanted)
    elif size < 0.05 and abs(strain) < 0.005:
        pytest.fail("lists were given up although hardly anything moved")


@PLAIN
@given(systems())
def test_a_plan_has_room_for_what_the_search_finds(case):
    position, vectors, periodic, reach = case
    lists, box = rows_of(position, vectors, periodic, reach)
    planned = plan(position, box, reach, reach, Capacity((0, 0, 0), (0, 0, 0), (1, 1, 1), 4))
    assert planned.row >= int(jnp.max(lists.count))
    used = np.abs(np.asarray(lists.shift)[np.asarray(lists.rows)])
    assert (used.max((0, 1)) <= planned.images).all()


@settings(PLAIN, max_examples=15)
@given(systems(), st.sampled_from(["row", "room", "images"]))
def test_too_little_room_is_always_seen(case, which):
    position, vectors, periodic, reach = case
    lists, box = rows_of(position, vectors, periodic, reach)
    smaller = dict(row=dict(row=4), room=dict(room=(8, 8, 8)), images=dict(images=(1, 1, 1)))[which]
    small = searched(position, vectors, reach, periodic, Capacity(**{**vars(ROOMY), **smaller}))
    if which == "row":
        assert (int(small.code) != 0) == (int(jnp.max(lists.count)) > 4)
    if int(small.code) == 0:
        agree(
            found_distances(small, position, box, reach), brute_force.distances(position, vectors, periodic, reach)
        )


def test_memory_of_lists_grows_with_particles_and_not_their_square():
    def bytes_for(cells):
        position, box = wl.md.lattice("fcc", density=0.8, cells=cells)
        capacity = plan(np.asarray(position), box, 2.5, 2.8)
        program = jax.jit(lambda x, box: search(x, box, 2.8, capacity, True))
        return len(position), program.lower(position, box).compile().memory_analysis().temp_size_in_bytes

    (few, small), (many, large) = bytes_for(8), bytes_for(16)
    assert large / small < 1.3 * many / few


@pytest.mark.parametrize("native", [True, False])
def test_hundreds_of_steps_end_with_the_right_neighbors(native, in_rows):
    position, box = wl.md.lattice("fcc", density=0.5, cells=3)
    n = len(position)
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 1.6, shape="force_shift"), {"A": n}, native=native)
    velocity = np.random.default_rng(0).normal(size=(n, 3))
    state = system.state(position, velocity - velocity.mean(0), box)
    steps = 500 if native else 200
    run = wl.simulate(system, state, t1=0.004 * steps, dt=0.004)
    energy = lambda s: float(system.potential_energy(s) + 0.5 * jnp.sum(s.velocity**2))
    assert abs(energy(run.final) - energy(state)) < 2e-3 * n
    sized = system.sized(run.final)
    lists = sized.lists(run.final)
    agree(
        found_distances(lists, run.final.position, run.final.box, 1.6),
        brute_force.distances(run.final.position, np.asarray(box.vectors), (True,) * 3, 1.6),
    )


def test_a_run_that_outgrows_its_lists_is_that_of_lists_large_enough(in_rows):
    # Particles fly together: many times the neighbors that there were at the start.
    position = wl.md.lattice("sc", constant=1.5, cells=4)[0]
    velocity = 1.0 * (3.0 - position)
    system = wl.md.System(wl.md.LennardJones(0.02, 0.3, 1.0, shape="force_shift"), {"A": 64})
    state = system.state(position, velocity, wl.md.Box.cubic(6.0))
    grown = wl.simulate(system, state, ts=np.linspace(0.1, 0.7, 7), dt=0.002)
    roomy = system.sized(system.state(3.0 + 0.1 * (position - 3.0), velocity, wl.md.Box.cubic(6.0)))
    whole = wl.simulate(roomy, state, ts=np.linspace(0.1, 0.7, 7), dt=0.002)
    assert system.sized(state).capacity.row < roomy.capacity.row
    np.testing.assert_allclose(grown.states.position, whole.states.position, atol=1e-9)
    assert int(grown.stats.steps) == int(whole.stats.steps)


def test_under_jit_too_little_room_is_a_status_and_states_before_it_are_kept(in_rows):
    position = wl.md.lattice("sc", constant=1.5, cells=4)[0]
    system = wl.md.System(wl.md.LennardJones(0.02, 0.3, 1.0, shape="force_shift"), {"A": 64})
    state = system.state(position, 1.0 * (3.0 - position), wl.md.Box.cubic(6.0))
    sized = system.sized(state)
    run = jax.jit(lambda s: wl.simulate(sized, s, ts=np.linspace(0.1, 0.7, 7), dt=0.002))(state)
    assert run.status.message().startswith("capacity overflow")
    assert np.isfinite(run.states.position[0]).all() and np.isnan(run.states.position[-1]).all()

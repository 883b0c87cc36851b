"""The convex problem of soft constraints: optimality, other solvers, the C library's forces, derivatives, lanes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from jax.test_util import check_grads

import worldline as wl
from worldline.solvers import ContactProblem, solve_contact

solve = jax.jit(solve_contact)
# Rounding errors of a product of a few hundred numbers.
ROUNDING = 1e-13


def random_problem(
    seed: int, n: int, rows: int, stiffness: tuple[float, float] = (0, 3), absent: float = 0.2
) -> ContactProblem:
    """Rows of all three kinds, a share absent, half this share with a bound of zero, with stiffness between two powers of ten."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n))
    bound = rng.uniform(1, 20, rows) * (rng.random(rows) >= absent / 2)
    kind = rng.integers(0, 3, rows)
    infinite = np.full(rows, np.inf)
    values = (
        root @ root.T + 0.1 * np.eye(n),
        rng.normal(size=n) * 10,
        rng.normal(size=(rows, n)) * (rng.random((rows, n)) < 0.7),
        rng.normal(size=rows) * 10,
        10 ** rng.uniform(*stiffness, rows) * (rng.random(rows) >= absent),
        np.choose(kind, [-infinite, -bound, np.zeros(rows)]),
        np.choose(kind, [infinite, bound, infinite]),
    )
    return ContactProblem(*(jnp.asarray(x) for x in values))


def cost(problem: ContactProblem, a: np.ndarray) -> float:
    """The cost as the documentation of the C library writes it, kind by kind."""
    p = jax.tree.map(np.asarray, problem)
    total = 0.5 * (a - p.free) @ p.mass @ (a - p.free)
    for r, d, low, high in zip(p.jacobian @ a - p.target, p.stiffness, p.lower, p.upper):
        if d == 0:
            continue
        if low == -np.inf:
            total += 0.5 * d * r**2
        elif low == 0 and high == np.inf:
            total += 0.5 * d * min(r, 0.0) ** 2
        else:
            total += 0.5 * d * r**2 if abs(d * r) <= high else high * abs(r) - 0.5 * high**2 / d
    return float(total)


def imbalance(problem: ContactProblem, a: np.ndarray, force: np.ndarray) -> float:
    """Newton's decrement at the answer, as a share of the square root of the cost at rest.

    This is the distance to the optimum in the norm of the Hessian, which is what a solver can make small.
    """
    p = jax.tree.map(np.asarray, problem)
    pushed = -p.stiffness * (p.jacobian @ a - p.target)
    inside = (pushed > p.lower) & (pushed < p.upper)
    hessian = p.mass + (p.jacobian.T * np.where(inside, p.stiffness, 0.0)) @ p.jacobian
    gradient = p.mass @ (a - p.free) - force @ p.jacobian
    size = p.free @ p.mass @ p.free + np.sum(p.stiffness * p.target**2)
    return float(np.sqrt(gradient @ np.linalg.solve(hessian, gradient) / size))


@pytest.mark.parametrize(("n", "rows"), [(1, 1), (3, 7), (6, 32), (6, 33), (14, 70), (27, 203)])
def test_force_law_and_balance(n: int, rows: int) -> None:
    for seed in range(5):
        problem = random_problem(seed, n, rows)
        answer = solve(problem)
        a, force = np.asarray(answer.acceleration), np.asarray(answer.force)
        assert answer.converged
        law = np.clip(-problem.stiffness * (problem.jacobian @ a - problem.target), problem.lower, problem.upper)
        np.testing.assert_allclose(force, law, rtol=1e-10, atol=1e-10 * np.abs(law).max(initial=0.0))
        assert imbalance(problem, a, force) < ROUNDING
        np.testing.assert_allclose(answer.cost, cost(problem, a), rtol=1e-11)


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(st.integers(0, 2**31), st.sampled_from([(0.0, 8.0), (6.0, 8.0), (-8.0, 8.0), (-2.0, 2.0)]))
def test_badly_scaled_problems(seed: int, stiffness: tuple[float, float]) -> None:
    """Hessians here have condition numbers up to 1e10, of which the step loses as many digits."""
    problem = random_problem(seed, 5, 12, stiffness)
    answer = solve(problem)
    assert answer.converged
    assert imbalance(problem, np.asarray(answer.acceleration), np.asarray(answer.force)) < 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_against_scipy(seed: int) -> None:
    problem = random_problem(seed, 6, 20)
    answer = solve(problem)
    least = cost(problem, np.asarray(answer.acceleration))
    for method in ("L-BFGS-B", "trust-exact"):
        total = jax.jit(lambda a: smooth_cost(problem, a))
        derivatives = {"jac": jax.jit(jax.grad(total))}
        if method == "trust-exact":
            derivatives["hess"] = jax.jit(jax.hessian(total))
        found = scipy.optimize.minimize(total, problem.free, method=method, **derivatives, tol=1e-10)
        assert least <= found.fun * (1 + 1e-12)
        # The cost is flat at its least: half the digits of the cost are digits of the point.
        np.testing.assert_allclose(answer.acceleration, found.x, atol=1e-5 * np.abs(found.x).max())


def smooth_cost(problem: ContactProblem, a: jax.Array) -> jax.Array:
    """The cost, in one expression."""
    r = problem.jacobian @ a - problem.target
    soft = jnp.where(problem.stiffness > 0, problem.stiffness, 1.0)
    force = jnp.clip(-problem.stiffness * r, problem.lower, problem.upper)
    d = a - problem.free
    return 0.5 * d @ problem.mass @ d - jnp.sum(jnp.where(problem.stiffness > 0, force * r + 0.5 * force**2 / soft, 0))


@pytest.mark.parametrize("seed", range(6))
def test_against_all_active_sets(seed: int) -> None:
    """Every row below, inside or above its limits: one of the linear systems gives a point that agrees with its guess."""
    problem = random_problem(seed, 3, 5)
    p = jax.tree.map(np.asarray, problem)
    found = []
    for guess in itertools.product(("below", "inside", "above"), repeat=5):
        inside = np.array([g == "inside" for g in guess])
        fixed = np.array(
            [{"below": low, "inside": 0.0, "above": high}[g] for g, low, high in zip(guess, p.lower, p.upper)]
        )
        if not np.isfinite(fixed).all():
            continue
        active = np.where(inside, p.stiffness, 0.0)
        hessian = p.mass + (p.jacobian.T * active) @ p.jacobian
        a = np.linalg.solve(hessian, p.mass @ p.free + p.jacobian.T @ (active * p.target + fixed))
        pushed = -p.stiffness * (p.jacobian @ a - p.target)
        place = np.where(pushed <= p.lower, "below", np.where(pushed >= p.upper, "above", "inside"))
        same = (place == guess) | ((p.lower == p.upper) & (np.array(guess) != "inside"))
        if same.all():
            found.append(a)
    assert found
    for a in found:
        np.testing.assert_allclose(solve(problem).acceleration, a, rtol=1e-12, atol=1e-12 * np.abs(a).max())


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e6])
def test_any_start_leads_to_the_same_answer(scale: float) -> None:
    problem = random_problem(3, 9, 40)
    cold = solve(problem)
    warm = solve(problem, cold.acceleration * (1 + 1e-9))
    other = solve(problem, scale * jnp.arange(9.0))
    assert int(warm.iterations) == 1
    for answer in (warm, other):
        assert answer.converged
        np.testing.assert_allclose(answer.acceleration, cold.acceleration, rtol=1e-11, atol=1e-11)


def test_without_rows_the_free_acceleration_stays() -> None:
    for problem in (random_problem(0, 4, 0), random_problem(0, 4, 5)):
        problem = ContactProblem(*(x * 0 if name == "stiffness" else x for name, x in vars(problem).items()))
        answer = solve(problem, jnp.full(4, 1e3))
        np.testing.assert_allclose(answer.acceleration, problem.free, rtol=1e-14)
        assert answer.converged and not answer.force.any() and answer.cost == 0


def test_iterations_that_do_not_suffice_are_reported() -> None:
    problem = random_problem(1, 14, 70)
    needed = int(solve(problem).iterations)
    assert needed > 2
    assert not solve_contact(problem, max_iterations=needed - 1).converged
    assert solve_contact(problem, max_iterations=needed).converged


def test_float32_converges_to_its_own_rounding() -> None:
    for seed in range(20):
        problem = random_problem(seed, 9, 40)
        answer = solve(jax.tree.map(lambda x: x.astype(jnp.float32), problem))
        assert answer.converged and answer.acceleration.dtype == jnp.float32
        reference = solve(problem).acceleration
        np.testing.assert_allclose(answer.acceleration, reference, atol=3e-4 * float(jnp.abs(reference).max()))


def one_row(mass, free, jacobian, target, stiffness, lower, upper) -> jax.Array:
    """The answer of a problem of one acceleration and one row."""
    wide = [jnp.reshape(x, (1,)) for x in (free, target, stiffness, lower, upper)]
    problem = ContactProblem(mass.reshape(1, 1), wide[0], jacobian.reshape(1, 1), *wide[1:])
    return solve_contact(problem).acceleration[0]


# Mass 2, free -3, Jacobian 1.5, target 0.7, stiffness 11: inside, pushed as far as it goes, and let go.
CASES = [
    (0.0, np.inf, 0.7, "inside"),
    (-4.0, 4.0, 0.7, "upper"),
    (-4.0, 4.0, -90.0, "lower"),
    pytest.param(0.0, np.inf, -90.0, "lower", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("lower", "upper", "target", "place"), CASES)
def test_derivatives_in_closed_form(lower: float, upper: float, target: float, place: str) -> None:
    def closed(mass, free, jacobian, target, stiffness, lower, upper):
        if place == "inside":
            return (mass * free + stiffness * jacobian * target) / (mass + stiffness * jacobian**2)
        return free + jacobian * (upper if place == "upper" else lower) / mass

    at = tuple(jnp.asarray(x) for x in (2.0, -3.0, 1.5, target, 11.0, lower, upper))
    np.testing.assert_allclose(one_row(*at), closed(*at), rtol=1e-14, atol=1e-14)
    places = [k for k, x in enumerate(at) if jnp.isfinite(x)]
    kinds = (jax.grad, jax.jacfwd, jax.hessian)
    derivatives = lambda f: jax.jit(lambda *at: [kind(f, places)(*at) for kind in kinds])(*at)
    for got, wanted in zip(jax.tree.leaves(derivatives(one_row)), jax.tree.leaves(derivatives(closed))):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-13)


def of_floats(problem: ContactProblem) -> tuple[Callable, tuple]:
    """A function of the arrays that are finite, with a symmetric mass, and these arrays."""
    finite = jnp.isfinite(problem.upper) & jnp.isfinite(problem.lower)
    bound = jnp.where(finite, problem.upper, 0.0)

    def answer(mass, free, jacobian, target, stiffness, bound):
        lower = jnp.where(finite, -bound, problem.lower)
        upper = jnp.where(finite, bound, problem.upper)
        mass = 0.5 * (mass + mass.T)
        s = solve_contact(ContactProblem(mass, free, jacobian, target, stiffness, lower, upper))
        return s.acceleration, s.force, s.cost

    return answer, (problem.mass, problem.free, problem.jacobian, problem.target, problem.stiffness, bound)


@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 2))])
def test_derivatives_by_finite_differences(seed: int) -> None:
    """In both modes, with respect to everything. Steps that cross into another piece would not agree: these seeds have
    none."""
    answer, at = of_floats(random_problem(seed, 4, 9, (0, 1), absent=0.0))
    answer = jax.jit(answer)
    for step in (1e-4, 1e-5):
        check_grads(answer, at, order=1, modes=("fwd", "rev"), eps=step, rtol=1e-6, atol=1e-6)
    if seed:
        check_grads(answer, at, order=2, modes=("fwd", "rev"), eps=1e-4, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_forward_agrees_with_reverse_and_products_with_the_hessian() -> None:
    answer, at = of_floats(random_problem(5, 6, 40))
    first = lambda *at: answer(*at)[0] @ jnp.arange(1.0, 7.0)
    forward = jax.jit(jax.jacfwd(first, range(6)))(*at)
    for f, r in zip(forward, jax.jit(jax.grad(first, range(6)))(*at)):
        np.testing.assert_allclose(f, r, rtol=1e-9, atol=1e-11 * float(jnp.abs(f).max()))
    along = jax.tree.map(lambda x: jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape), at)
    forward_over_reverse = jax.jit(lambda at: jax.jvp(jax.grad(first, range(6)), at, along)[1])(at)
    reverse_over_forward = jax.jit(lambda at: jax.grad(lambda at: jax.jvp(first, at, along)[1])(at))(at)
    for f, r in zip(forward_over_reverse, reverse_over_forward):
        np.testing.assert_allclose(f, r, rtol=1e-8, atol=1e-10 * float(jnp.abs(f).max()))


def test_derivatives_are_finite_where_nothing_acts() -> None:
    problem = random_problem(2, 4, 8)
    for change in ("stiffness", "jacobian", "both bounds"):
        names = ("lower", "upper") if change == "both bounds" else (change,)
        p = ContactProblem(
            *(x * 0 if name in names and jnp.isfinite(x).all() else x for name, x in vars(problem).items())
        )
        if change == "both bounds":
            p = ContactProblem(p.mass, p.free, p.jacobian, p.target, p.stiffness, jnp.zeros(8), jnp.zeros(8))
        answer, at = of_floats(p)
        total = lambda *at: sum(jnp.sum(x) for x in answer(*at))
        both = jax.jit(lambda *at: (jax.grad(total, range(6))(*at), jax.hessian(total, (1, 4))(*at)))
        for g in jax.tree.leaves(both(*at)):
            assert jnp.isfinite(g).all()


def many(count: int, n: int, rows: int, dtype: type) -> ContactProblem:
    """Problems side by side, lanes last."""
    return jax.tree.map(
        lambda *xs: jnp.stack(xs, -1).astype(dtype), *(random_problem(seed, n, rows) for seed in range(count))
    )


@pytest.mark.parametrize(("n", "rows"), [(3, 5), (9, 50), (11, 150)])
def test_lanes_agree_with_vmap(n: int, rows: int) -> None:
    problems = many(21, n, rows, jnp.float64)
    run = lambda p: solve_contact(p, 0.5 * p.free)
    assert wl.lanes.explain(run, problems).native
    native = jax.jit(wl.lanes(run))(problems)
    xla = jax.jit(jax.vmap(run, -1, -1))(problems)
    np.testing.assert_allclose(native.acceleration, xla.acceleration, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(native.force, xla.force, rtol=1e-9, atol=1e-9 * float(jnp.abs(xla.force).max()))
    np.testing.assert_allclose(native.cost, xla.cost, rtol=1e-10)
    assert native.converged.all()


@pytest.mark.parametrize("rows", [7, pytest.param(40, marks=pytest.mark.slow)])
def test_derivatives_in_lanes(rows: int) -> None:
    problems = many(19, 5, rows, jnp.float64)
    loss = lambda p: jnp.sum(solve_contact(p).acceleration ** 2)
    inner = jax.jit(wl.lanes(jax.grad(loss)))(problems)
    outer = jax.jit(jax.grad(lambda ps: jnp.sum(wl.lanes(loss)(ps))))(problems)
    xla = jax.jit(jax.vmap(jax.grad(loss), -1, -1))(problems)
    for a, b, c in zip(*map(jax.tree.leaves, (inner, outer, xla))):
        np.testing.assert_allclose(a, c, rtol=1e-8, atol=1e-9 * float(jnp.abs(c).max()))
        np.testing.assert_allclose(b, c, rtol=1e-8, atol=1e-9 * float(jnp.abs(c).max()))
    curved = lambda p: jax.jvp(jax.grad(loss), (p,), (p,))[1].free
    np.testing.assert_allclose(
        jax.jit(wl.lanes(curved))(problems), jax.jit(jax.vmap(curved, -1, -1))(problems), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("rows", [7, 50])
def test_a_lane_that_is_not_a_number_changes_no_other(rows: int) -> None:
    problems = many(20, 5, rows, jnp.float32)
    run = jax.jit(wl.lanes(solve_contact))
    clean = run(problems)
    for name in ("mass", "free", "jacobian", "target", "stiffness"):
        broken = {k: x.at[..., 4].set(jnp.nan) if k == name else x for k, x in vars(problems).items()}
        spoiled = run(ContactProblem(**broken))
        assert not spoiled.converged[4]
        others = np.arange(20) != 4
        for a, b in zip(jax.tree.leaves(clean), jax.tree.leaves(spoiled)):
            np.testing.assert_array_equal(np.asarray(a)[..., others], np.asarray(b)[..., others])


def test_wrong_shapes_are_named() -> None:
    problem = random_problem(0, 3, 4)
    with pytest.raises(ValueError, match=r"jacobian has shape \(3, 4\).*must be \(4, 3\)"):
        solve_contact(ContactProblem(**(vars(problem) | {"jacobian": problem.jacobian.T})))
    with pytest.raises(ValueError, match="start has shape"):
        solve_contact(problem, jnp.zeros(4))
    with pytest.raises(ValueError, match="max_iterations is 0"):
        solve_contact(problem, max_iterations=0)


BALL_AND_ARM = """
<mujoco><option cone="pyramidal" jacobian="dense" tolerance="0" iterations="100" ls_iterations="100" ls_tolerance="1e-14"/>
<default><geom density="700" friction=".8 .02 .001" condim="4"/><joint frictionloss=".05" armature=".01"/></default>
<worldbody><geom type="plane" size="5 5 1"/>
<body pos="0 0 .1"><freejoint/><geom type="box" size=".1 .2 .1"/></body>
<body pos=".5 0 .3"><joint axis="0 1 0" range="-30 30" limited="true"/><geom type="capsule" fromto="0 0 0 .3 0 -.2" size=".06"/>
<body pos=".3 0 -.2"><joint axis="0 1 0" range="-5 5" limited="true"/><joint axis="0 0 1"/>
<geom type="capsule" fromto="0 0 0 .2 .1 0" size=".05"/></body></body>
</worldbody></mujoco>"""


def test_the_forces_of_the_c_library() -> None:
    """From the C library's own rows, with its solver converged: 1e-9 of the largest force and acceleration."""
    mujoco = pytest.importorskip("mujoco", reason="needs the C library, the extra `rigid`")
    model = mujoco.MjModel.from_xml_string(BALL_AND_ARM)
    data, rng, touching = mujoco.MjData(model), np.random.default_rng(0), 0
    for _ in range(60):
        mujoco.mj_resetData(model, data)
        data.qvel[:] = rng.normal(size=model.nv)
        data.qfrc_applied[:] = rng.normal(size=model.nv)
        for _ in range(rng.integers(1, 60)):
            mujoco.mj_step(model, data)
        mujoco.mj_forward(model, data)
        mass = np.zeros((model.nv, model.nv))
        mujoco.mj_fullM(model, mass, data.qM) if hasattr(data, "qM") else mujoco.mj_fullM(model, data, mass)
        kinds = np.array(data.efc_type)
        equality, dry = kinds == 0, (kinds == 1) | (kinds == 2)
        lower = np.where(equality, -np.inf, np.where(dry, -data.efc_frictionloss, 0.0))
        upper = np.where(dry, data.efc_frictionloss, np.inf)
        jacobian = np.array(data.efc_J).reshape(-1, model.nv)
        rows = [jacobian, data.efc_aref, data.efc_D, lower, upper]
        pad = 80 - len(kinds)
        rows = [np.pad(x, [(0, pad)] + [(0, 0)] * (x.ndim - 1)) for x in rows]
        answer = solve(ContactProblem(*map(jnp.asarray, (mass, data.qacc_smooth, *rows))))
        touching += len(kinds) > 3
        assert answer.converged
        got, force = np.asarray(answer.acceleration), np.asarray(answer.force)[: len(kinds)]
        np.testing.assert_allclose(got, data.qacc, rtol=0, atol=1e-9 * np.abs(data.qacc).max())
        # Forces are not unique where rows depend on each other, but what they do is, and by their law so are they.
        np.testing.assert_allclose(force, data.efc_force, rtol=0, atol=1e-9 * np.abs(data.efc_force).max(initial=1e-9))
    assert touching > 30

"""The zoo: equations, closed forms, gradients by hand and invariants of a problem agree with each other."""

import re
import textwrap
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import worldline as wl

zoo = wl.ode.zoo
NAMES = zoo.names()
SOLVED = [name for name in NAMES if zoo.problem(name).solution]
CONSERVING = [name for name in NAMES if zoo.problem(name).invariants]

# Both sides are exact formulas: only rounding separates them, a few hundred times over.
EXACT = 1e-11


def close(ours, theirs, tolerance=EXACT):
    """Same structure, types and shapes, and equal relative to the largest number in each leaf."""
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        assert a.shape == b.shape and a.dtype == b.dtype
        largest = max(1.0, float(jnp.max(jnp.abs(b))))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * largest)


def nearby_states(problem, count=4):
    """Times in the span and, stacked, states around the initial one, none of whose numbers is zero."""
    start, unravel = ravel_pytree(problem.initial())
    largest = jnp.max(jnp.abs(start))
    scale = jnp.maximum(jnp.abs(start), jnp.where(largest > 0.0, 0.1 * largest, 1.0))
    noise = jax.random.uniform(jax.random.key(7), (count, start.size), start.dtype, 0.05, 0.3)
    # An invariant may grow with time, and the span of some problems is very long.
    times = jnp.linspace(problem.span[0], min(problem.span[1], 1e3), count)
    return times, jax.vmap(unravel)(start + scale * noise)


def derivative(problem, system, t, y):
    """dy/dt, with the problem's own controls where it has them."""
    return system.vector_field(t, y, None if problem.controls is None else problem.controls(t))


def flat(tree):
    return ravel_pytree(tree)[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_problem_describes_itself(name):
    problem = zoo.problem(name)
    assert problem.name == name
    assert problem.summary.endswith(".") and problem.source
    assert problem.span[0] < problem.span[1]
    assert len(problem.names) == flat(problem.initial()).size
    assert problem.times(11)[0] == problem.span[0] and problem.times(11)[-1] == problem.span[1]
    if problem.reference:
        assert problem.reference["t"] == problem.span[1] and problem.reference["source"]
        assert len(problem.reference["state"]) == len(problem.names)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("double", [True, False])
def test_fields_are_finite_and_follow_the_precision(name, double):
    with jax.enable_x64(double):
        problem = zoo.problem(name)
        y, system = problem.initial(), problem.system()
        rate = derivative(problem, system, jnp.asarray(0.5, jnp.result_type(float)), y)
        assert jax.tree.structure(rate) == jax.tree.structure(y)
        for leaf, of in zip(jax.tree.leaves(rate), jax.tree.leaves(y)):
            assert leaf.dtype == (jnp.float64 if double else jnp.float32)
            assert leaf.shape == of.shape
            assert jnp.all(jnp.isfinite(leaf))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_a_leaf_the_gradient_reaches(name):
    problem = zoo.problem(name)
    system = problem.system()
    values = system.parameters
    assert values and all(value.dtype == jnp.float64 for value in values.values())

    def summary(values):
        changed = system.replace(values)
        rates = jax.vmap(lambda t, y: flat(derivative(problem, changed, t, y)))(*nearby_states(problem))
        return jnp.sum(rates**2)

    for parameter, slope in jax.jit(jax.grad(summary))(values).items():
        assert jnp.isfinite(slope) and slope != 0.0, parameter


def satisfies_its_equation(problem, system, start, times, tolerance=EXACT):
    """The closed form begins at the start, and its derivative by t is the field."""

    @jax.jit
    @jax.vmap
    def both_sides(t):
        y, rate = jax.jvp(lambda t: problem.solution(t, start, system), (t,), (jnp.ones_like(t),))
        return rate, derivative(problem, system, t, y)

    close(problem.solution(jnp.zeros(()), start, system), start)
    close(*both_sides(times), tolerance)


def has_the_gradient(problem, system, start, times, tolerance=EXACT):
    """The gradient by hand is the derivative of the closed form, for every parameter."""

    @jax.jit
    @jax.vmap
    def both(t):
        automatic = jax.jacfwd(lambda p: problem.solution(t, start, system.replace(p)))(system.parameters)
        return problem.gradient(t, start, system), automatic

    close(*both(times), tolerance)


@pytest.mark.parametrize("name", SOLVED)
def test_closed_form_starts_at_the_state_and_satisfies_the_equation(name):
    problem = zoo.problem(name)
    satisfies_its_equation(problem, problem.system(), problem.initial(), problem.times(7))


@pytest.mark.parametrize("name", SOLVED)
def test_gradient_by_hand_is_the_derivative_of_the_closed_form(name):
    problem = zoo.problem(name)
    has_the_gradient(problem, problem.system(), problem.initial(), problem.times(7))


@pytest.mark.parametrize("name", SOLVED)
def test_closed_form_has_the_same_derivative_backwards(name):
    problem = zoo.problem(name)
    system, start = problem.system(), problem.initial()
    at_end = lambda p: problem.solution(jnp.asarray(problem.span[1]), start, system.replace(p))
    close(jax.jit(jax.jacrev(at_end))(system.parameters), jax.jit(jax.jacfwd(at_end))(system.parameters))


@pytest.mark.parametrize("name", CONSERVING)
def test_invariants_do_not_change_along_the_field(name):
    problem = zoo.problem(name)
    system = problem.system()

    def change(invariant, t, y):
        """Rate of change of an invariant, and the size of the terms that must cancel in it."""
        rate = derivative(problem, system, t, y)
        value, by_time = jax.value_and_grad(invariant)(t, y, system)
        terms = flat(jax.grad(invariant, 1)(t, y, system)) * flat(rate)
        return by_time + jnp.sum(terms), jnp.abs(value) + jnp.sum(jnp.abs(terms))

    for label, invariant in problem.invariants.items():
        rate, size = jax.jit(jax.vmap(partial(change, invariant)))(*nearby_states(problem))
        assert rate.shape == size.shape == (4,)
        assert jnp.all(jnp.abs(rate) <= EXACT * size), label


@pytest.mark.parametrize("damping", [0.0, 0.5, 3.99, 4.0, 4.01, 9.0])
def test_oscillator_is_closed_for_weak_critical_and_strong_damping(damping):
    problem = zoo.problem("harmonic_oscillator")
    system, times = problem.system().replace(damping=damping), jnp.array([0.0, 0.03, 1.0, 8.0])
    satisfies_its_equation(problem, system, problem.initial(), times)
    has_the_gradient(problem, system, problem.initial(), times)


@pytest.mark.parametrize("speed", [1.0, 1.2, 1.39])
@pytest.mark.parametrize("mu", [1.0, 1.3])
def test_kepler_is_closed_from_the_circle_to_thin_ellipses(speed, mu):
    problem = zoo.problem("kepler")
    system = problem.system().replace(mu=mu)
    start, times = jnp.array([0.6, 0.8, -0.8 * speed, 0.6 * speed]), jnp.array([0.0, 0.4, 3.0, 50.0])
    # Eccentricity reaches 0.93 (speed 1.39, mu 1), where rounding is magnified near the pericentre.
    satisfies_its_equation(problem, system, start, times, 1e-9)
    has_the_gradient(problem, system, start, times, 1e-9)


def test_brusselator_takes_its_grid_from_the_state():
    system = zoo.problem("brusselator").system()
    for points in (3, 17):
        rate = jax.eval_shape(system.vector_field, 0.0, jnp.ones((2, points)))
        assert rate.shape == (2, points)
    # A uniform state at the values of its boundary is at rest.
    rest = jnp.tile(jnp.array([[1.0], [3.0]]), (1, 9))
    rate = jax.jit(lambda y: system.vector_field(0.0, y))(rest)
    np.testing.assert_allclose(rate, np.zeros((2, 9)), atol=EXACT)


def test_unknown_name_gives_near_ones():
    with pytest.raises(LookupError, match=r"name='lorents'.*did you mean 'lorenz'"):
        zoo.problem("lorents")


def example_of_contributing(root):
    """The file that CONTRIBUTING.md gives as an example."""
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    [block] = [part for part in re.findall(r"(?:^(?: {4}.*)?\n)+", text, re.MULTILINE) if "problem = Problem(" in part]
    return textwrap.dedent(block).strip() + "\n"


def test_the_file_of_the_contributing_guide_adds_a_problem(tmp_path, monkeypatch, root):
    (tmp_path / "cooling.py").write_text(example_of_contributing(root))
    monkeypatch.setattr(zoo, "__path__", [*zoo.__path__, str(tmp_path)])
    assert "cooling" in zoo.names()
    added = zoo.problem("cooling")
    system, start, times = added.system(), added.initial(), added.times(7)
    np.testing.assert_allclose(derivative(added, system, 0.0, start), [-0.3 * 70.0])
    satisfies_its_equation(added, system, start, times)
    has_the_gradient(added, system, start, times)
    report = wl.validation.validate_ode(["cooling"])
    assert report.passed, str(report)
    quantities = [check.quantity for check in report.rows[0].checks]
    assert quantities == ["state", "SciPy itself", "sensitivity", "closed form", "its gradient"]

"""Runs with limits, dry friction, couplings and contact against closed forms, and their derivatives against those."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_models
from small_models import G

import worldline as wl

r = wl.rigid
PUSHED = 0.95  # the constant impedance of the shapes of small_models


def spring(solref, impedance=PUSHED):
    """Stiffness k and damping b of a row's reference acceleration, after MuJoCo's documentation of solref."""
    time_constant, ratio = solref
    return 1 / (impedance**2 * time_constant**2 * ratio**2), 2 / (impedance * time_constant)


def bounces(height, solref, steps, dt):
    """Heights of a ball of 1 kg above a floor by Euler steps, by the formula of one row.

    The row's force minimises (a + g)²/2 + D (a - a_ref)²/2 for positive forces, D = d / (1 - d), when it touches.
    """
    k, b = spring(solref)
    q, v, found = height, 0.0, [height]
    for _ in range(steps):
        a = -G
        if q < 0:
            wanted = -b * v - PUSHED * k * q
            a = max(-G, (1 - PUSHED) * -G + PUSHED * wanted)
        v = v + dt * a
        q = q + dt * v
        found.append(q)
    return jnp.stack([jnp.asarray(x) for x in found])


@pytest.mark.parametrize("solref", [(0.02, 1.0), (0.05, 0.2)])
def test_a_ball_bounces_by_its_formula(solref):
    model = small_models.falling_ball(solref=solref)
    dt, steps = 0.002, 400
    run = wl.simulate(model, model.state([0, 0, 0.3, 1, 0, 0, 0]), dt=dt, steps=steps)
    np.testing.assert_allclose(run.states.q[:, 2] - 0.1, bounces(0.2, solref, steps, dt), rtol=0, atol=1e-11)
    assert float(run.states.q[:, 2].min()) < 0.1


def test_a_bouncing_ball_has_the_derivatives_of_its_formula():
    """By the height, the gravity and the time constant of the contact, through the bounce."""
    solref, dt, steps = (0.05, 0.2), 0.002, 150
    model = small_models.falling_ball(solref=solref)

    def height(z, ratio):
        both = model.replace(
            {f"{name}.solref": jnp.stack([jnp.asarray(solref[0]), ratio]) for name in ("shell", "floor")}
        )
        q = jnp.array([0.0, 0, 0, 1, 0, 0, 0]).at[2].set(z)
        return wl.simulate(both, both.state(q), t1=dt * steps, dt=dt).final.q[2]

    def formula(z, ratio):
        k = 1 / (PUSHED**2 * solref[0] ** 2 * ratio**2)
        b = 2 / (PUSHED * solref[0])
        q, v = z - 0.1, 0.0
        for _ in range(steps):
            held = (1 - PUSHED) * -G + PUSHED * (-b * v - PUSHED * k * q)
            v = v + dt * jnp.where((q < 0) & (held > -G), held, -G)
            q = q + dt * v
        return q + 0.1

    point = (jnp.asarray(0.3), jnp.asarray(solref[1]))
    expected = jax.jit(jax.grad(formula, (0, 1)))(*point)
    found = jax.jit(jax.grad(height, (0, 1)))(*point)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert float(jax.jit(height)(*point)) == pytest.approx(float(jax.jit(formula)(*point)), rel=1e-12)


def test_a_sliding_block_stops_after_the_distance_of_coulomb():
    """v² / (2 μ g), approached as the step shrinks; then it stays, but for the creep of soft friction."""
    friction, speed = 0.5, 2.0
    model = small_models.block(friction=friction)
    start = wl.simulate(model, model.state(), t1=0.5, dt=0.001).final  # at rest in the ground as deep as its weight
    moving = model.state(start.q, [speed, 0.0])
    run = wl.simulate(model, moving, t1=0.6, dt=0.0005)
    assert float(run.final.q[0] - start.q[0]) == pytest.approx(speed**2 / (2 * friction * G), rel=5e-3)
    assert abs(float(run.final.v[0])) < 1e-6


def test_a_sliding_block_has_the_derivatives_of_coulomb():
    """While it slides, dx/dμ = -g t²/2 and dx/dv = t, but for the first steps."""
    model = small_models.block(friction=0.4)
    rest = wl.simulate(model, model.state(), t1=0.5, dt=0.001).final

    def distance(friction, speed):
        numbers = jnp.stack([friction, 0.005, 0.0001])
        changed = model.replace({"box.friction": numbers, "floor.friction": numbers})
        end = wl.simulate(changed, changed.state(rest.q, jnp.stack([speed, 0.0])), t1=0.3, dt=0.001).final
        return end.q[0]

    by_friction, by_speed = jax.jit(jax.grad(distance, (0, 1)))(jnp.asarray(0.4), jnp.asarray(2.5))
    assert float(by_friction) == pytest.approx(-G * 0.3**2 / 2, rel=0.02)
    assert float(by_speed) == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize(("push", "moves"), [(1.5, False), (-1.9, False), (2.5, True), (-4.0, True)])
def test_dry_friction_sticks_and_slips(push, moves):
    """Below the loss of 2 N only creep; above it m dv/dt = push - loss."""
    model = small_models.slider()
    end = wl.simulate(model, model.state(), t1=0.5, dt=0.002, controls=lambda t: jnp.array([push])).final
    slipping = 0.5 * (push - np.sign(push) * 2.0) / 2.0
    assert float(end.v[0]) == (pytest.approx(slipping, rel=1e-9) if moves else pytest.approx(0.0, abs=2e-3))


def test_dry_friction_has_the_derivatives_of_its_formula():
    """Slipping: dv/dloss = -t / m, dv/dpush = t / m; sticking: none by the loss."""
    model = small_models.slider()

    def speed(loss, push):
        changed = model.replace({"rail.dry_friction.loss": loss})
        return wl.simulate(changed, changed.state(), t1=0.5, dt=0.002, controls=lambda t: push[None]).final.v[0]

    slopes = jax.jit(jax.grad(speed, (0, 1)))
    np.testing.assert_allclose(slopes(2.0, 3.0), (-0.25, 0.25), rtol=1e-9)
    assert float(slopes(2.0, 1.0)[0]) == pytest.approx(0.0, abs=1e-12)


def test_limits_hold_and_push_back():
    model = small_models.pendulum(limit=r.limit(-0.3, 0.5, solimp=small_models.FIRM))
    run = wl.simulate(model, model.state([0.0], [4.0]), dt=0.001, steps=2000, controls=lambda t: jnp.array([12.0]))
    angle = np.asarray(run.states.q[:, 0])
    assert angle.max() < 0.6
    # At rest the limit's force is the weight's and the torque's: D (k d depth) with D = d / (1 - d) / inverse weight.
    k, _ = spring((0.02, 1.0))
    weight = 0.7 * 1.3**2
    depth = angle[-1] - 0.5
    force = PUSHED / (1 - PUSHED) * weight * k * PUSHED * depth
    assert force == pytest.approx(12.0 - 0.7 * G * 1.3 * np.sin(angle[-1]), rel=1e-6)


def test_couplings_and_tendons_hold_in_runs(tmp_path):
    """One joint follows another; a limited tendon, their weighted sum, stays in its range."""
    path = tmp_path / "coupled.xml"
    path.write_text(
        """<mujoco><compiler angle="radian"/><option timestep="0.001" gravity="0 0 0"/><worldbody>
        <body><joint name="a" type="slide" axis="1 0 0"/><geom type="sphere" size="0.1" mass="1" contype="0"/></body>
        <body><joint name="b" type="slide" axis="0 1 0"/><geom type="sphere" size="0.1" mass="2" contype="0"/></body>
        <body><joint name="c" type="slide" axis="0 0 1"/><geom type="sphere" size="0.1" mass="3" contype="0"/></body>
        </worldbody><equality><joint joint1="b" joint2="a" polycoef="0.1 0.5 0.2 0 0"/></equality>
        <tendon><fixed name="cord" limited="true" range="-0.2 0.3"><joint joint="a" coef="1"/><joint joint="c" coef="2"/>
        </fixed></tendon><actuator><motor joint="c"/></actuator></mujoco>"""
    )
    model = r.load(path)
    run = wl.simulate(model, model.state(v=[0.3, 0.0, 0.0]), t1=2.0, controls=lambda t: jnp.array([1.0]))
    a, b, c = run.final.q
    assert float(b) == pytest.approx(float(0.1 + 0.5 * a + 0.2 * a**2), abs=2e-3)
    assert 0.28 < float(a + 2 * c) < 0.32


def test_a_block_on_a_slope_stays_below_the_angle_of_friction_and_slides_above():
    """a = g (sin φ - μ cos φ)."""
    for slope, moves in ((0.3, False), (0.6, True)):
        model = small_models.block(slope, friction=0.5)
        end = wl.simulate(model, model.state(), t1=0.5, dt=0.001).final
        expected = 0.5 * G * (np.sin(slope) - 0.5 * np.cos(slope)) if moves else 0.0
        assert float(end.v[0]) == pytest.approx(expected, rel=0.02, abs=0.02)

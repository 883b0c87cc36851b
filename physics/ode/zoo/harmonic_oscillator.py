"""A mass on a spring with a damper: closed form for weak, critical and strong damping alike."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ....core.arrays import stack
from ..system import System
from .definition import Problem, Time


def oscillator(t, y, p):
    """mass x'' + damping x' + stiffness x = 0."""
    position, velocity = y
    acceleration = -(p["damping"] * velocity + p["stiffness"] * position) / p["mass"]
    return stack(velocity, acceleration)


def _waves(w: Array, t: Array) -> tuple[Array, Array, Array]:
    """Return C = cos(sqrt(w) t), S = sin(sqrt(w) t) / sqrt(w) and dS/dw, smooth through w = 0.

    Negative w (strong damping) turns them into hyperbolic functions; near zero their series are used, because
    both closed forms divide by zero there.
    """
    z = w * t * t
    near_zero = jnp.abs(z) < 1e-2
    safe = jnp.where(near_zero, 1.0, z)
    turning = safe > 0.0
    forward = jnp.sqrt(jnp.where(turning, safe, 1.0))
    decaying = jnp.sqrt(jnp.where(turning, 1.0, -safe))
    cosine = jnp.where(turning, jnp.cos(forward), jnp.cosh(decaying))
    sine = jnp.where(turning, jnp.sin(forward) / forward, jnp.sinh(decaying) / decaying)
    slope = 0.5 * (cosine - sine) / safe
    cosine_series = 1.0 - z / 2.0 * (1.0 - z / 12.0 * (1.0 - z / 30.0 * (1.0 - z / 56.0)))
    sine_series = 1.0 - z / 6.0 * (1.0 - z / 20.0 * (1.0 - z / 42.0 * (1.0 - z / 72.0)))
    slope_series = -1.0 / 6.0 + z / 60.0 - z**2 / 1680.0 + z**3 / 90720.0 - z**4 / 7983360.0
    return (
        jnp.where(near_zero, cosine_series, cosine),
        t * jnp.where(near_zero, sine_series, sine),
        t**3 * jnp.where(near_zero, slope_series, slope),
    )


def solution(t: Time, state: Float[Array, "2"], system: System) -> Float[Array, "2"]:
    """x = exp(-a t) (x0 (C + a S) + v0 S) and v = exp(-a t) (v0 (C - a S) - b x0 S).

    a = damping / (2 mass), b = stiffness / mass, w = b - a^2, C = cos(sqrt(w) t), S = sin(sqrt(w) t)/sqrt(w).
    """
    p = system.parameters
    a, b = p["damping"] / (2.0 * p["mass"]), p["stiffness"] / p["mass"]
    cosine, sine, _ = _waves(b - a * a, t)
    x0, v0 = state
    return jnp.exp(-a * t) * stack(
        x0 * (cosine + a * sine) + v0 * sine,
        v0 * (cosine - a * sine) - b * x0 * sine,
    )


def gradient(t: Time, state: Float[Array, "2"], system: System) -> dict[str, Array]:
    """The solution differentiated by a and b (dw = db - 2 a da, dC/dw = -t S / 2), then the chain rule."""
    p = system.parameters
    mass = p["mass"]
    a, b = p["damping"] / (2.0 * mass), p["stiffness"] / mass
    cosine, sine, sine_w = _waves(b - a * a, t)
    cosine_w = -0.5 * t * sine
    x0, v0 = state
    fade = jnp.exp(-a * t)
    by_w = stack(
        x0 * (cosine_w + a * sine_w) + v0 * sine_w,
        v0 * (cosine_w - a * sine_w) - b * x0 * sine_w,
    )
    by_a = fade * (stack(x0 * sine, -v0 * sine) - 2.0 * a * by_w) - t * solution(t, state, system)
    by_b = fade * (stack(jnp.zeros_like(sine), -x0 * sine) + by_w)
    return {
        "mass": -(a * by_a + b * by_b) / mass,
        "damping": by_a / (2.0 * mass),
        "stiffness": by_b / mass,
    }


def swelled_energy(t: Time, y: Float[Array, "2"], system: System) -> Float[Array, ""]:
    """exp(2 a t) (m v^2 + c x v + k x^2) / 2: the energy, when there is no damping."""
    p = system.parameters
    position, velocity = y
    energy = p["mass"] * velocity**2 + p["damping"] * position * velocity + p["stiffness"] * position**2
    return 0.5 * jnp.exp(p["damping"] / p["mass"] * t) * energy


problem = Problem(
    name="harmonic_oscillator",
    summary="A mass on a spring with a viscous damper; damping 0 gives the plain oscillator.",
    source="Landau, Lifshitz, Mechanics, 3rd ed., section 25",
    system=lambda: System(oscillator, {"mass": 1.0, "damping": 0.2, "stiffness": 4.0}),
    state=[1.0, 0.5],
    span=(0.0, 10.0),
    names=("position", "velocity"),
    solution=solution,
    gradient=gradient,
    invariants={"swelled_energy": swelled_energy},
)

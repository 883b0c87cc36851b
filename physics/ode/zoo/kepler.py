"""The two-body problem in the plane, with its closed form through Kepler's equation."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ....core.arrays import stack
from ..system import System
from .definition import Problem, Time

NEWTON_STEPS = 10  # 8 reach rounding for every eccentricity to 0.99, from the start used here


def attraction(t, y, p):
    """r'' = -mu r / |r|^3."""
    position, velocity = y[:2], y[2:]
    distance = jnp.sqrt(jnp.sum(position**2))
    return jnp.concatenate([velocity, -p["mu"] * position / distance**3])


class _Orbit(NamedTuple):
    """An ellipse through a starting point, and how far round it the body is."""

    r0: Array  # distance at the start
    a: Array  # semi-major axis: 1/a = 2/r0 - v0^2/mu
    n: Array  # mean motion: sqrt(mu / a^3)
    c: Array  # e cos E0 = 1 - r0/a
    s: Array  # e sin E0 = (r0 . v0) / sqrt(mu a)
    turn: Array  # E - E0


def _orbit(t: Array, state: Array, mu: Array) -> _Orbit:
    """Solve Kepler's equation from the starting point: n t = E - c sin E + s (1 - cos E), E from E0."""
    position, velocity = state[:2], state[2:]
    r0 = jnp.sqrt(jnp.sum(position**2))
    a = 1.0 / (2.0 / r0 - jnp.sum(velocity**2) / mu)
    n = jnp.sqrt(mu / a**3)
    c, s = 1.0 - r0 / a, jnp.sum(position * velocity) / jnp.sqrt(mu * a)

    def newton(_, turn):
        excess = turn - c * jnp.sin(turn) + s * (1.0 - jnp.cos(turn)) - n * t
        return turn - excess / (1.0 - c * jnp.cos(turn) + s * jnp.sin(turn))

    # The answer does not depend on the start, whose own derivative does not exist on a circle.
    start = _danby_start(*jax.lax.stop_gradient((n * t, c, s)))
    return _Orbit(r0, a, n, c, s, jax.lax.fori_loop(0, NEWTON_STEPS, newton, start))


def _danby_start(swept: Array, c: Array, s: Array) -> Array:
    """E - E0 from M + 0.85 e sign(sin M), with the mean anomaly M counted from pericentre.

    Without it Newton's method wanders off above eccentricity 0.8.
    """
    anomaly = jnp.arctan2(s, c)
    mean = swept + anomaly - s
    return mean + 0.85 * jnp.hypot(c, s) * jnp.sign(jnp.sin(mean)) - anomaly


def solution(t: Time, state: Float[Array, "4"], system: System) -> Float[Array, "4"]:
    """r = f r0 + g v0 and v = f' r0 + g' v0 with Lagrange's coefficients; elliptic orbits only.

    f = 1 - a/r0 (1 - cos E), g = t - (E - sin E)/n, f' = -sqrt(mu a)/(r r0) sin E, g' = 1 - a/r (1 - cos E).
    """
    mu = system.parameters["mu"]
    r0, a, n, c, s, turn = _orbit(t, state, mu)
    cosine, sine = jnp.cos(turn), jnp.sin(turn)
    r = a * (1.0 - c * cosine + s * sine)
    f, g = 1.0 - a / r0 * (1.0 - cosine), t - (turn - sine) / n
    f_dot, g_dot = -jnp.sqrt(mu * a) / (r * r0) * sine, 1.0 - a / r * (1.0 - cosine)
    position, velocity = state[:2], state[2:]
    return jnp.concatenate([f * position + g * velocity, f_dot * position + g_dot * velocity])


def gradient(t: Time, state: Float[Array, "4"], system: System) -> dict[str, Array]:
    """dy/dmu: Lagrange's coefficients differentiated, with dE/dmu from Kepler's equation."""
    mu = system.parameters["mu"]
    r0, a, n, c, s, turn = _orbit(t, state, mu)
    position, velocity = state[:2], state[2:]
    cosine, sine = jnp.cos(turn), jnp.sin(turn)
    stretch = 1.0 - c * cosine + s * sine
    r = a * stretch

    inverse_a_mu = jnp.sum(velocity**2) / mu**2
    a_mu = -(a**2) * inverse_a_mu
    n_mu = n * (0.5 / mu - 1.5 * a_mu / a)
    c_mu = -r0 * inverse_a_mu
    s_mu = -0.5 * s * (1.0 / mu + a_mu / a)
    turn_mu = (t * n_mu + c_mu * sine - s_mu * (1.0 - cosine)) / stretch
    r_mu = a_mu * stretch + a * (-c_mu * cosine + s_mu * sine + (c * sine + s * cosine) * turn_mu)

    f_mu = -a_mu / r0 * (1.0 - cosine) - a / r0 * sine * turn_mu
    g_mu = -(1.0 - cosine) * turn_mu / n + (turn - sine) * n_mu / n**2
    f_dot = -jnp.sqrt(mu * a) / (r * r0) * sine
    f_dot_mu = f_dot * (0.5 / mu + 0.5 * a_mu / a - r_mu / r) - jnp.sqrt(mu * a) / (r * r0) * cosine * turn_mu
    g_dot_mu = (a * r_mu / r - a_mu) / r * (1.0 - cosine) - a / r * sine * turn_mu
    by_mu = [f_mu * position + g_mu * velocity, f_dot_mu * position + g_dot_mu * velocity]
    return {"mu": jnp.concatenate(by_mu)}


def energy(t: Time, y: Float[Array, "4"], system: System) -> Float[Array, ""]:
    """|v|^2 / 2 - mu / |r|."""
    return 0.5 * jnp.sum(y[2:] ** 2) - system.parameters["mu"] / jnp.sqrt(jnp.sum(y[:2] ** 2))


def angular_momentum(t: Time, y: Float[Array, "4"], system: System) -> Float[Array, ""]:
    """x v_y - y v_x."""
    return y[0] * y[3] - y[1] * y[2]


def eccentricity(t: Time, y: Float[Array, "4"], system: System) -> Float[Array, ""]:
    """The length of the Laplace-Runge-Lenz vector, (v x L) / mu - r / |r|."""
    momentum, mu = angular_momentum(t, y, system), system.parameters["mu"]
    distance = jnp.sqrt(jnp.sum(y[:2] ** 2))
    pericentre = stack(y[3] * momentum / mu - y[0] / distance, -y[2] * momentum / mu - y[1] / distance)
    return jnp.sqrt(jnp.sum(pericentre**2))


problem = Problem(
    name="kepler",
    summary="A planet on an ellipse of eccentricity 0.5, three times round.",
    source="Hull et al., SIAM J. Numer. Anal. 9 (1972), problem D3; closed form: Bate, Mueller, White, "
    "Fundamentals of Astrodynamics, chapter 4",
    system=lambda: System(attraction, {"mu": 1.0}),
    state=[0.5, 0.0, 0.0, 3.0**0.5],
    span=(0.0, 20.0),
    names=("x", "y", "vx", "vy"),
    solution=solution,
    gradient=gradient,
    invariants={"energy": energy, "angular_momentum": angular_momentum, "eccentricity": eccentricity},
)

"""Small systems with closed forms, shared by the tests of solvers and runs so that each is compiled once."""

import jax.numpy as jnp

import worldline as wl


def _decay(t, y, p):
    return -p["rate"] * y


def decay():
    """y' = -rate y."""
    return wl.ode.System(_decay, {"rate": 0.7})


def _orders(t, y, p):
    return wl.stack(p["gain"] * y[0] * jnp.cos(t), -(y[1] ** 2))


def nonautonomous():
    """y0' = gain y0 cos t, y1' = -y1^2 from (1, 1): time and nonlinearity both matter to the order of a
    method."""
    return wl.ode.System(_orders, {"gain": 1.0})


def nonautonomous_solution(t):
    """The state of `nonautonomous` at times t, [n, 2]."""
    return jnp.stack([jnp.exp(jnp.sin(t)), 1.0 / (1.0 + t)], axis=-1)


def _fall(t, y, p):
    return wl.stack(y[1], -p["g"])


def _height(t, y, p):
    return y[0]


def _speed_limit(t, y, p):
    return y[1] + p["limit"]


def ball(*events):
    """A ball that falls: y = (height, velocity); without arguments the run ends on the ground."""
    return wl.ode.System(_fall, {"g": 9.81, "limit": 9.0}, event=list(events) or wl.ode.Event(_height, -1))


GROUND = wl.ode.Event(_height, -1)
UPWARDS = wl.ode.Event(_height, 1)
SPEED = wl.ode.Event(_speed_limit)


def _predator_prey(t, y, p):
    prey, predator = y
    eaten = prey * predator
    return wl.stack(p["birth"] * prey - eaten, p["growth"] * eaten - p["death"] * predator)


def predator_prey():
    """Lotka-Volterra with three parameters; y0 = (1, 1) is a lively start."""
    return wl.ode.System(_predator_prey, {"birth": 1.5, "death": 3.0, "growth": 1.0})


def _velocity(t, p, c):
    return p


def _force(t, q, c):
    return -c["mu"] * q / jnp.sum(q * q) ** 1.5


def planet():
    """The planar two-body problem as positions and momenta; ([1, 0], [0, 1]) is the circle of period 2 pi."""
    return wl.ode.Separable(_velocity, _force, {"mu": 1.0})


def _explode(t, y, p):
    return p["rate"] * y * y


def explosion():
    """y' = rate y^2: infinite at t = 1 / (rate y0)."""
    return wl.ode.System(_explode, {"rate": 1.0})


def _follow(t, y, p, u):
    return p["gain"] * u + 0.0 * y


def integrator():
    """x' = gain u(t)."""
    return wl.ode.System(_follow, {"gain": 1.0})


def _drift(t, y, p):
    return -p["theta"] * y


def _sigma(t, y, p):
    return p["sigma"]


def ornstein_uhlenbeck():
    """dy = -theta y dt + sigma dW."""
    return wl.ode.System(_drift, {"theta": 1.0, "sigma": 0.5}, noise=_sigma)

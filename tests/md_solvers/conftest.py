"""Small systems of particles."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import worldline as wl


class Nothing(wl.md.Term):
    """No interaction: an ideal gas."""

    def energy(self, near):
        return jnp.zeros((), near.position.dtype)


@pytest.fixture(scope="session")
def ideal_gas():
    """A function of a number of particles."""
    return lambda count: wl.md.System(Nothing(), {"A": count})


@pytest.fixture(scope="session")
def few():
    """Eight Lennard-Jones particles of a liquid, moving, and their state."""
    grid = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    system = wl.md.System(wl.md.LennardJones(1.0, 1.0, 2.0, shape="switch", onset=1.5), {"A": 8})
    velocity = np.random.default_rng(1).normal(size=(8, 3))
    state = system.state(1.25 * grid, velocity - velocity.mean(0), wl.md.Box.cubic(4.2))
    return system.sized(state), state

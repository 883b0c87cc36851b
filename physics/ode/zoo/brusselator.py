"""The Brusselator with diffusion on a line: a partial differential equation by the method of lines."""

import jax.numpy as jnp
import numpy as np

from ..system import System
from .definition import Problem

# Inner grid points; the field takes any number, from the shape of its state. Stiffness grows with their
# square; at 40 explicit methods are still the faster ones.
POINTS = 40


def reaction_diffusion(t, y, p):
    """u_t = feed + u^2 v - (conversion + 1) u + diffusion u_xx;  v_t = conversion u - u^2 v + diffusion v_xx.

    Central differences on 0 < x < 1 with fixed values at both ends; y has shape [2, points], rows u and v.
    """
    u, v = y
    boundary = jnp.stack([p["boundary_u"], p["boundary_v"]])[:, None]
    padded = jnp.concatenate([boundary, y, boundary], axis=1)
    points = y.shape[1]
    spread = p["diffusion"] * (points + 1) ** 2 * (padded[:, :-2] - 2.0 * y + padded[:, 2:])
    consumed = u * u * v
    made = p["conversion"] * u
    return spread + jnp.stack([p["feed"] + consumed - made - u, made - consumed])


def initial(points: int) -> list[list[float]]:
    """u = 1 + sin(2 pi x), v = 3 on a grid of that many inner points."""
    x = np.arange(1, points + 1) / (points + 1)
    return [(1.0 + np.sin(2.0 * np.pi * x)).tolist(), [3.0] * points]


problem = Problem(
    name="brusselator",
    summary="An oscillating reaction of two species that diffuse along a line.",
    source="Hairer, Wanner II, eqs. IV.(1.6)-(1.6')",
    system=lambda: System(
        reaction_diffusion,
        {"feed": 1.0, "conversion": 3.0, "diffusion": 0.02, "boundary_u": 1.0, "boundary_v": 3.0},
    ),
    state=initial(POINTS),
    span=(0.0, 10.0),
    names=tuple(f"{species}{i}" for species in "uv" for i in range(1, POINTS + 1)),
)

"""The derivative of a minimum by what it is a minimum of, through the implicit function theorem.

At a minimum the gradient g(x, p) is zero, so that H dx = -(dg/dp) dp with H = dg/dx: one linear system for each direction,
solved by conjugate gradients on products H v. Changes of x that cost no energy, such as of the whole from place to place,
are left out of dx.
"""

from __future__ import annotations

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .descent import Landscape, Rows

RESIDUAL = 1e-10  # relative, of conjugate gradients in float64
UNSOLVED = 1e-4  # a residual above which there is no derivative


def settled(landscape: Landscape, rows: Rows, lists: PyTree) -> Rows:
    """The rows of a minimum, with their derivative by all numbers of the landscape. Those where no derivative is found,
    as in a saddle, have the derivative NaN."""
    arrays, rest = eqx.partition((landscape, lists), eqx.is_array)
    return _settled(rest, jax.lax.stop_gradient(rows), arrays)


def energy_of_minimum(landscape: Landscape, rows: Rows, lists: PyTree) -> Float[Array, ""]:
    """The energy of a minimum, whose first derivative needs none of the rows."""
    arrays, rest = eqx.partition((landscape, lists), eqx.is_array)
    return _lowest(rest, jax.lax.stop_gradient(rows), arrays)


def _energy(rest: PyTree, rows: Rows, arrays: PyTree) -> Array:
    landscape, lists = eqx.combine(arrays, rest)
    return landscape.energy(rows, lists)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _lowest(rest: Any, rows: Rows, arrays: PyTree) -> Array:
    return _energy(rest, rows, arrays)


@_lowest.defjvp
def _lowest_jvp(rest, primals, tangents):
    rows, arrays = primals
    here = _settled(rest, rows, arrays)
    _, change = jax.jvp(lambda p: _energy(rest, here, p), (arrays,), (tangents[1],))
    return _lowest(rest, rows, arrays), change


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _settled(rest: Any, rows: Rows, arrays: PyTree) -> Rows:
    return rows


@_settled.defjvp
def _settled_jvp(rest, primals, tangents):
    rows, arrays = primals
    here = _settled(rest, rows, arrays)
    slope = jax.grad(_energy, 1)
    _, push = jax.jvp(lambda p: slope(rest, here, p), (arrays,), (tangents[1],))
    _, curvature = jax.linearize(lambda x: slope(rest, x, arrays), here)  # traced once, though applied in many places
    landscape, _ = eqx.combine(arrays, rest)
    soft = _soft_modes(landscape, here, curvature)
    return here, -_solved(curvature, jax.lax.stop_gradient(soft), push)


def _solved(curvature: Any, soft: Float[Array, "k m 3"], right: Rows) -> Rows:
    """H^-1 b in the space without the soft modes, or NaN where conjugate gradients do not find it."""

    def stiff(v: Rows) -> Rows:
        return v - jnp.tensordot(jnp.tensordot(soft, v, 2), soft, 1)

    def product(v: Rows) -> Rows:
        return stiff(curvature(stiff(v)))

    tolerance = max(RESIDUAL, 10 * float(jnp.finfo(right.dtype).eps))

    def solve(product: Any, b: Rows) -> Rows:
        x = jax.scipy.sparse.linalg.cg(product, b, tol=tolerance, maxiter=10 * b.size)[0]
        left = jnp.sqrt(jnp.sum((product(x) - b) ** 2))
        return jnp.where(left <= UNSOLVED * jnp.sqrt(jnp.sum(b**2)), x, jnp.nan)

    return stiff(jax.lax.custom_linear_solve(product, stiff(right), solve, solve, symmetric=True))


def _soft_modes(landscape: Landscape, rows: Rows, curvature: Any) -> Float[Array, "k m 3"]:
    """Orthonormal modes among translations, and turns in free space, along which the gradient does not change; zeros for
    those of the six along which it does."""
    rows = jax.lax.stop_gradient(rows)
    count = landscape.state.position.shape[0]
    unit = jnp.eye(3, dtype=rows.dtype)
    x = rows[:count] - jnp.mean(rows[:count], 0)
    modes = [jnp.broadcast_to(unit[a], (count, 3)) for a in range(3)]
    if not any(landscape.state.box.periodic):
        modes += [jnp.cross(unit[a], x) for a in range(3)]
    none = jnp.zeros((rows.shape[0] - count, 3), rows.dtype)
    candidates = jnp.stack([jnp.concatenate([mode, none]) for mode in modes]).reshape(len(modes), -1)
    eps = jnp.finfo(rows.dtype).eps
    # An orthonormal basis; particles on a line have a turn that moves none of them.
    sizes, mixing = jnp.linalg.eigh(candidates @ candidates.T)
    there = sizes > 1e3 * eps * sizes[-1]
    basis = jnp.where(there[:, None], (mixing.T @ candidates) / jnp.sqrt(jnp.where(there, sizes, 1.0))[:, None], 0.0)
    probe = jax.random.normal(jax.random.key(0), (1, rows.size), rows.dtype)
    bent = lambda v: jax.lax.stop_gradient(curvature(v.reshape(rows.shape))).ravel()
    answers = jax.lax.map(bent, jnp.concatenate([basis, probe]))
    answers, scale = answers[:-1], jnp.sum(answers[-1] ** 2) / rows.size
    strengths, turned = jnp.linalg.eigh(answers @ answers.T)
    soft = strengths <= jnp.sqrt(eps) * scale
    found = jnp.where(soft[:, None], turned.T @ basis, 0.0)
    return found.reshape(-1, *rows.shape)

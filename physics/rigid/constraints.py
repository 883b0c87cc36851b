"""Soft constraints: from how far and how fast a row is off to the acceleration it asks for and how hard it asks.

A row is one direction of a constraint: J v is its velocity, r its position. It asks for the acceleration `reference`
along J, against a compliance 1/D, so that alone it would reach d reference + (1 - d) (its acceleration without force):

    reference = -b (J v) - k d(r) (r - margin)        1/D = (1 - d(r)) / d(r) / (1 / inverse weight)

The impedance d rises from solimp[0] at the margin to solimp[1] at the distance solimp[2] from it, as a spline of power
solimp[4] with its inflection at the fraction solimp[3]. With solref = (timeconst, dampratio), both positive,

    b = 2 / (solimp[1] timeconst)        k = 1 / (solimp[1] timeconst dampratio)²

and with solref = (-stiffness, -damping), b = damping / solimp[1] and k = stiffness / solimp[1]².

**Source**: the documentation of MuJoCo, "Computation", constraint parameters, and "Modeling", solver parameters; the
bounds are those of its code.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float

SMALLEST = 1e-15  # what is divided by is no smaller
LOWEST_IMPEDANCE, HIGHEST_IMPEDANCE = 1e-4, 1 - 1e-4
_LOWEST_FRICTION = 1e-5


class Rows(NamedTuple):
    """Rows of one kind in a state. Friction rows have a bound of their force, others None there."""

    jacobian: Float[Array, "row nv"]
    position: Float[Array, "row"]  # m or rad
    margin: Float[Array, "row"]
    inverse_weight: Float[Array, "row"]  # 1/kg or 1/(kg m²)
    solref: Float[Array, "row 2"]
    solimp: Float[Array, "row 5"]
    loss: Float[Array, "row"] | None = None  # N or N m


def response(
    position: Float[Array, "*row"],
    velocity: Float[Array, "*row"],
    inverse_weight: Float[Array, "*row"],
    solref: Float[Array, "*row 2"],
    solimp: Float[Array, "*row 5"],
    margin: Float[ArrayLike, "*row"] = 0.0,
    *,
    dt: Float[ArrayLike, ""],
    safe: bool = True,
) -> tuple[Float[Array, "*row"], Float[Array, "*row"]]:
    """(reference, D) of rows, as the head of this file says.

    With `safe`, time constants below 2 `dt` (s) count as 2 `dt`. Friction rows have position and margin zero.
    """
    d = impedance(solimp, position - margin)
    k, b = spring_and_damper(solref, solimp, dt, safe)
    reference = -b * velocity - k * d * (position - margin)
    return reference, 1 / jnp.maximum((1 - d) / d * inverse_weight, SMALLEST)


def contact_response(
    distance: Float[Array, "*contact"],
    velocity: Float[Array, "*contact edge"],
    inverse_weight: Float[Array, "*contact"],
    friction: Float[Array, "*contact"],
    solref: Float[Array, "*contact 2"],
    solimp: Float[Array, "*contact 5"],
    margin: Float[Array, "*contact"],
    *,
    ratio: float = 1.0,
    dt: Float[ArrayLike, ""],
    safe: bool = True,
) -> tuple[Float[Array, "*contact edge"], Float[Array, "*contact"]]:
    """(reference, D) of contacts; D is the same for all edges of a contact's pyramid.

    `velocity` is that along each edge, normal ± friction_k tangent_k; one entry (condim 1) is the normal alone.
    `inverse_weight` is the sum of both bodies' translational ones, `friction` the first sliding coefficient, `ratio`
    the model's `friction_impedance`. With the compliance R of an edge along the first tangent, all edges have

        1/D = 2 friction² / ratio R

    which makes the pyramid as stiff along the normal as a frictionless contact of compliance R.
    """
    d = impedance(solimp, distance - margin)
    k, b = spring_and_damper(solref, solimp, dt, safe)
    reference = -b[..., None] * velocity - (k * d * (distance - margin))[..., None]
    compliance = (1 - d) / d * inverse_weight
    if velocity.shape[-1] > 1:
        square = jnp.square(friction)
        compliance = jnp.maximum(compliance * (1 + square), SMALLEST) * 2 * square / ratio
    return reference, 1 / jnp.maximum(compliance, SMALLEST)


def impedance(solimp: Float[Array, "*row 5"], depth: Float[Array, "*row"]) -> Float[Array, "*row"]:
    """d at a distance of `depth`, of either sign, from the margin."""
    ends = jnp.clip(solimp[..., :2], LOWEST_IMPEDANCE, HIGHEST_IMPEDANCE)
    first, last, width = ends[..., 0], ends[..., 1], solimp[..., 2]
    middle = jnp.clip(solimp[..., 3], LOWEST_IMPEDANCE, HIGHEST_IMPEDANCE)
    power = jnp.maximum(solimp[..., 4], 1.0)
    wide = width > SMALLEST
    x = jnp.minimum(jnp.abs(depth) / jnp.where(wide, width, 1.0), 1.0)
    # One power for both halves: of x measured from the nearer end, in units of that half.
    lower = x <= middle
    half = jnp.where(lower, middle, 1 - middle)
    part = half * _power(jnp.where(lower, x, 1 - x) / half, power)
    spline = jnp.where(power == 1.0, x, jnp.where(lower, part, 1 - part))
    return jnp.where(wide, first + spline * (last - first), 0.5 * (first + last))


def spring_and_damper(
    solref: Float[Array, "*row 2"], solimp: Float[Array, "*row 5"], dt: Float[ArrayLike, ""], safe: bool
) -> tuple[Float[Array, "*row"], Float[Array, "*row"]]:
    """(k, b) of rows; solref with entries of opposite signs counts as (0.02, 1)."""
    one, two = solref[..., 0], solref[..., 1]
    direct = (one <= 0) & (two <= 0)
    mixed = (one > 0) != (two > 0)
    constant = jnp.where(direct, 1.0, jnp.where(mixed, 0.02, one))
    constant = jnp.maximum(constant, 2 * jnp.asarray(dt)) if safe else constant
    ratio = jnp.where(direct | mixed, 1.0, two)
    last = jnp.clip(solimp[..., 1], LOWEST_IMPEDANCE, HIGHEST_IMPEDANCE)
    k = 1 / jnp.maximum(jnp.square(last * constant * ratio), SMALLEST)
    b = 2 / jnp.maximum(last * constant, SMALLEST)
    return jnp.where(direct, -one / jnp.square(last), k), jnp.where(direct, -two / last, b)


def friction_floor(friction: Array) -> Array:
    """Friction coefficients of contacts as they are used: no smaller than MuJoCo's bound."""
    return jnp.maximum(friction, _LOWEST_FRICTION)


@jax.custom_jvp
def _power(x: Array, power: Array) -> Array:
    """x ** power for x from 0 to 1 and powers from 1: fast for squares, which they nearly always are."""
    return lax.cond(jnp.all(power == 2.0), lambda: x * x, lambda: jnp.where(x > 0, _positive(x) ** power, 0.0))


@_power.defjvp
def _power_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (x, power), (dx, dpower) = primals, tangents
    # x ** (power - 1) rather than a quotient by x: right at zero too.
    slope = lax.cond(
        jnp.all(power == 2.0), lambda: x, lambda: jnp.where(x > 0, _positive(x) ** (power - 1), power == 1.0)
    )
    value = x * slope
    return value, power * slope * dx + value * jnp.log(_positive(x)) * dpower


def _positive(x: Array) -> Array:
    return jnp.where(x > 0, x, 1.0)

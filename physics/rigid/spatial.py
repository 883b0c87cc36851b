"""Rotations and spatial vectors on small arrays: quaternions, six-dimensional motions, forces and inertias.

Spatial vectors are (angular, linear), written in world axes about one chosen point, after Featherstone, Rigid Body
Dynamics Algorithms (Springer, 2008), chapter 2. Quaternions are (w, x, y, z) and turn vectors of a body's frame into
those of its parent. Each function is a `jit` of its own so that it is traced once and not at every joint.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Vector = Float[Array, "3"]
Quaternion = Float[Array, "4"]
Matrix = Float[Array, "3 3"]
Spatial = Float[Array, "6"]
SpatialMatrix = Float[Array, "6 6"]

# Below this squared angle, series stand for quotients that are 0/0 at zero. Their first omitted terms are smaller than
# the rounding of float64: 1e-3 ** 5 / 11 for the arc tangent, far less for the sine and the cosine.
_SMALL = 1e-3


@jax.jit
def unit(x: Float[Array, "n"]) -> Float[Array, "n"]:
    """x / |x|; not a number for a zero vector."""
    return x / jnp.sqrt(jnp.sum(x * x))


@jax.jit
def multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """The product a b: the rotation b followed, seen from outside, by a."""
    (aw, ax, ay, az), (bw, bx, by, bz) = a, b
    return jnp.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ]
    )


@jax.jit
def conjugate(q: Quaternion) -> Quaternion:
    """The opposite rotation of a unit quaternion."""
    return jnp.stack([q[0], -q[1], -q[2], -q[3]])


@jax.jit
def rotation(q: Quaternion) -> Matrix:
    """The matrix of a unit quaternion: `rotation(q) @ x` turns x."""
    w, x, y, z = q
    return jnp.stack(
        [
            jnp.stack([w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)]),
            jnp.stack([2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)]),
            jnp.stack([2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z]),
        ]
    )


@jax.jit
def about(axis: Vector, angle: Float[Array, ""]) -> Quaternion:
    """The rotation by `angle` about a unit axis."""
    half = 0.5 * angle
    return jnp.concatenate([jnp.cos(half)[None], jnp.sin(half) * axis])


@jax.jit
def exponential(turn: Vector) -> Quaternion:
    """The rotation about the direction of `turn` by its length: (cos h, sin h / 2h turn) with h = |turn| / 2.

    Smooth at zero, where h is not: both entries are series in h² there.
    """
    square = 0.25 * jnp.sum(turn * turn)
    small = square < _SMALL
    h = jnp.sqrt(jnp.where(small, 1.0, square))
    sine = jnp.where(small, 1 - square / 6 * (1 - square / 20 * (1 - square / 42 * (1 - square / 72))), jnp.sin(h) / h)
    cosine = jnp.where(small, 1 - square / 2 * (1 - square / 12 * (1 - square / 30 * (1 - square / 56))), jnp.cos(h))
    return jnp.concatenate([cosine[None], 0.5 * sine * turn])


@jax.jit
def logarithm(q: Quaternion) -> Vector:
    """The shortest turn whose `exponential` is the unit quaternion q or -q, of length at most pi.

    Smooth but for half turns, where the shortest way jumps from one side to the other.
    """
    w, vector = q[0], q[1:]
    square = jnp.sum(vector * vector)
    side, w = jnp.where(w < 0, -1.0, 1.0), jnp.abs(w)
    small = square < _SMALL * w * w
    x = jnp.where(small, square, 0.0) / jnp.where(small, w * w, 1.0)
    series = (1 - x * (1 / 3 - x * (1 / 5 - x * (1 / 7 - x / 9)))) / jnp.where(small, w, 1.0)
    sine = jnp.sqrt(jnp.where(small, 1.0, square))
    return 2 * side * jnp.where(small, series, jnp.arctan2(sine, w) / sine) * vector


@jax.jit
def cross(a: Vector, b: Vector) -> Vector:
    """a x b."""
    (ax, ay, az), (bx, by, bz) = a, b
    return jnp.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


@jax.jit
def skew(a: Vector) -> Matrix:
    """The matrix of the cross product: `skew(a) @ b` is a x b."""
    x, y, z = a
    zero = jnp.zeros((), a.dtype)
    return jnp.stack([jnp.stack([zero, -z, y]), jnp.stack([z, zero, -x]), jnp.stack([-y, x, zero])])


@jax.jit
def motion_cross(v: Spatial, m: Spatial) -> Spatial:
    """v x m: the rate of change of a motion vector m that moves with velocity v (Featherstone eq. 2.31)."""
    return jnp.concatenate([cross(v[:3], m[:3]), cross(v[:3], m[3:]) + cross(v[3:], m[:3])])


@jax.jit
def force_cross(v: Spatial, f: Spatial) -> Spatial:
    """v x* f: the rate of change of a force vector f that moves with velocity v (Featherstone eq. 2.32)."""
    return jnp.concatenate([cross(v[:3], f[:3]) + cross(v[3:], f[3:]), cross(v[:3], f[3:])])


@jax.jit
def spatial_inertia(mass: Float[Array, ""], center: Vector, inertia: Matrix) -> SpatialMatrix:
    """[[I + m c× c×ᵀ, m c×], [m c×ᵀ, m 1]] of a body with centre of mass c (Featherstone eq. 2.63).

    `inertia` I is about the centre of mass, in world axes; kg m².
    """
    arm = skew(center)
    coupling = mass * arm
    corner = mass * jnp.eye(3, dtype=center.dtype)
    return jnp.block([[inertia + coupling @ arm.T, coupling], [coupling.T, corner]])

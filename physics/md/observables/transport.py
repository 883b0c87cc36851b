"""Diffusion and viscosity from correlations in time: Einstein's relation and those of Green and Kubo.

In a periodic box diffusion comes out too slow by kT xi / (6 pi eta L), xi = 2.837297 for a cube of edge L (I.-C. Yeh and
G. Hummer, J. Phys. Chem. B 108 (2004) 15873); viscosity does not depend on the size of the box.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .averages import Estimate
from .correlation import Correlation


def diffusion_from_displacement(displacement: Correlation, *, begin: float, end: float) -> Estimate:
    """D = 1/6 dM/dt, of the straight part of a mean squared displacement M(t) from `begin` to `end`; length² by time.

    **Raises** `ValueError` where fewer than two lags lie there.
    """
    return _scaled(displacement.slope(begin, end), 1 / 6)


def diffusion_from_velocity(correlation: Correlation, *, end: float | None = None) -> Estimate:
    """D = 1/3 integral from 0 to `end` of <v(0) . v(t)> dt, by default over all lags; length² by time.

    **Raises** `ValueError` for an end beyond the last lag.
    """
    return _scaled(correlation.integral_to(end), 1 / 3)


def viscosity_from_stress(
    correlation: Correlation, *, volume: ArrayLike, thermal_energy: ArrayLike, end: float | None = None
) -> Estimate:
    """eta = V / kT integral from 0 to `end` of <s(0) s(t)> dt, an energy by volume times a time.

    `correlation` is that of `shear_components` of recorded stress tensors, whose five entries have the same one in a fluid,
    so that nothing in the tensor is wasted. `thermal_energy` is kT.

    **Raises** `ValueError` for an end beyond the last lag.

    **Source**: P. J. Daivis, D. J. Evans, J. Chem. Phys. 100 (1994) 541.
    """
    return _scaled(correlation.integral_to(end), jnp.asarray(volume) / thermal_energy)


def shear_components(stress: Float[ArrayLike, "... 3 3"]) -> Float[Array, "... 5"]:
    """s = (xy, xz, yz, (xx - yy) / 2, (2 zz - xx - yy) / (2 sqrt 3)): all of a symmetric tensor but its trace.

    Sum of squares: half of that of the entries of the traceless tensor. **Raises** `ValueError` for another shape.
    """
    t = jnp.asarray(stress)
    if t.ndim < 2 or t.shape[-2:] != (3, 3):
        raise ValueError(f"stress has shape {t.shape}: record wl.md.stress at each time, [t, 3, 3].")
    xx, yy, zz = t[..., 0, 0], t[..., 1, 1], t[..., 2, 2]
    return jnp.stack(
        [t[..., 0, 1], t[..., 0, 2], t[..., 1, 2], 0.5 * (xx - yy), (2 * zz - xx - yy) / (2 * 3**0.5)], -1
    )


def _scaled(estimate: Estimate, factor: ArrayLike) -> Estimate:
    by = jnp.asarray(factor)
    return Estimate(by * estimate.mean, jnp.abs(by) * estimate.error, estimate.enough)

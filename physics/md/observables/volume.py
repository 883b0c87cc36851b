"""Which volume a density or a pressure is taken of."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from ..box import Box


def volume_of(box: Box, volume: ArrayLike | None) -> Float[Array, ""]:
    """The volume that was given, or that of a box which fills space.

    **Raises** `ValueError` where none was given and the box does not repeat along all edges, so that it has none.
    """
    if volume is not None:
        return jnp.asarray(volume, box.vectors.dtype)
    if not all(box.periodic):
        edges = "".join(edge for edge, flag in zip("abc", box.periodic) if flag)
        where = f"along {' and '.join(edges)} only" if edges else "along no edge"
        raise ValueError(
            f"the box repeats {where}, so that it does not say which volume the particles take: pass volume=..., in these "
            "units of length cubed."
        )
    return box.volume()

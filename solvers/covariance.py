"""Covariance of least-squares estimates, with directions the data do not determine named instead of hidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

SHARE = 1e-4  # an unknown is undetermined when it takes at least this part in an undetermined direction


@dataclass(frozen=True)
class Covariance:
    """Covariance of estimates, and what of them is determined.

    `matrix` [n, n]: NaN in rows and columns of undetermined unknowns. `undetermined` [n];
    `directions` [n, n - rank]: changes of the unknowns, per their natural scale, that leave the residuals unchanged.
    """

    matrix: Float[np.ndarray, "n n"]
    rank: int
    undetermined: Bool[np.ndarray, " n"]
    directions: Float[np.ndarray, "n free"]

    @property
    def standard_errors(self) -> Float[np.ndarray, " n"]:
        """One standard deviation of each unknown; NaN where undetermined."""
        return np.sqrt(np.diag(self.matrix))


def covariance(jacobian: ArrayLike, variance: float = 1.0, *, rank_tolerance: float = 1e-11) -> Covariance:
    """``variance * (J^T J)^-1`` on the unknowns that the Jacobian J [m, n] of the residuals determines.

    `variance` is that of each residual: 1 where residuals are in units of a known sigma, else ``|r|^2 / (m - n)``. The
    columns of J are scaled to length one; singular values below `rank_tolerance` of the largest count as zero, which
    should exceed the relative accuracy of J (about 1e-5 for one computed in single precision).

    **Raises** `ValueError` for a Jacobian that is not a finite matrix.
    """
    J = np.asarray(jacobian, dtype=np.float64)
    if J.ndim != 2 or not np.isfinite(J).all():
        raise ValueError(f"the Jacobian has shape {J.shape}; it must be a finite matrix [m, n].")
    norms = np.sqrt(np.sum(J * J, axis=0))
    scale = np.where(norms > 0, norms, 1.0)
    n = J.shape[1]
    _, singular, Vt = np.linalg.svd(np.linalg.qr(J / scale, mode="r"), full_matrices=True)
    largest = singular[0] if singular.size else 0.0
    rank = int(np.sum(singular > rank_tolerance * largest)) if largest > 0 else 0
    known, missing = Vt[:rank], Vt[rank:]
    undetermined = np.sqrt(np.sum(missing**2, axis=0)) > SHARE if rank < n else np.zeros(n, dtype=bool)
    root = known.T / singular[:rank] / scale[:, None]
    matrix = variance * (root @ root.T)
    matrix[undetermined, :] = np.nan
    matrix[:, undetermined] = np.nan
    return Covariance(matrix, rank, undetermined, missing.T)

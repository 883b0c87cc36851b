"""Rodas5P, a stiffly accurate Rosenbrock method of order 5 for stiff problems."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .one_step import Method, Proposal

# G. Steinebach, "Construction of Rosenbrock-Wanner method Rodas5P and numerical benchmarks within the Julia
# Differential Equations package", BIT Numerical Mathematics 63 (2023) 27. Coefficients in the form without
# matrix-vector products (Hairer & Wanner, Solving ODEs II, IV.7, equation 7.25).
ORDER = 5
GAMMA = 0.21193756319429014


def _lower(rows: list[list[float]]) -> np.ndarray:
    matrix = np.zeros((8, 8))
    for i, row in enumerate(rows):
        matrix[i, : len(row)] = row
    return matrix


_LAST = [-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946]
A = _lower([  # the last two stages start from the one before plus its increment
    [],
    [3.0],
    [2.849394379747939, 0.45842242204463923],
    [-6.954028509809101, 2.489845061869568, -10.358996098473584],
    [2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641],
    _LAST,
    [*_LAST, 1.0],
    [*_LAST, 1.0, 1.0],
])
C = _lower([
    [],
    [-14.155112264123755],
    [-17.97296035885952, -2.859693295451294],
    [147.12150275711716, -1.41221402718213, 71.68940251302358],
    [165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306],
    [24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471],
    [30.91273214028599, -3.1208243349937974, 77.79954646070892, 34.28646028294783, -19.097331116725623,
     -28.087943162872662],
    [37.80277123390563, -3.2571969029072276, 112.26918849496327, 66.9347231244047, -40.06618937091002,
     -54.66780262877968, -9.48861652309627],
])
TIMES = np.array([0.0, 0.6358126895828704, 0.4095798393397535, 0.9769306725060716, 0.4288403609558664, 1.0, 1.0, 1.0])
TIME_SLOPES = np.array(
    [GAMMA, -0.42387512638858027, -0.3384627126235924, 1.8046452872882734, 2.325825639765069, 0.0, 0.0, 0.0]
)
DENSE = np.array([
    [25.948786856663858, -2.5579724845846235, 10.433815404888879, -2.3679251022685204, 0.524948541321073,
     1.1241088310450404, 0.4272876194431874, -0.17202221070155493],
    [-9.91568850695171, -0.9689944594115154, 3.0438037242978453, -24.495224566215796, 20.176138334709044,
     15.98066361424651, -6.789040303419874, -6.710236069923372],
    [11.419903575922262, 2.8879645146136994, 72.92137995996029, 80.12511834622643, -52.072871366152654,
     -59.78993625266729, -0.15582684282751913, 4.883087185713722],
])


def rosenbrock_step(
    field: Callable,
    t: Float[Array, ""],
    y: Float[Array, " n"],
    f: Float[Array, " n"],
    h: Float[Array, ""],
    scale: Float[Array, " n"],
) -> Proposal:
    """One step of Rodas5P: (1/(gamma h) - J) k_i = f(t + c_i h, y + sum a_ij k_j) + sum c_ij k_j / h + d_i h f_t.

    The Jacobian J = df/dy and f_t = df/dt are exact, by forward mode; the matrix is factorised once a step. The new
    state is the argument of the eighth stage plus its increment, and that increment is the error estimate.

    `scale` are the sizes of the components. Elimination with row pivoting is accurate in norm only: in units of these
    sizes every component, and its derivatives, keep their digits where components differ by orders of magnitude.
    """
    jacobian = jax.jacfwd(lambda v: field(t, v))(y)
    slope = jax.jvp(lambda s: field(s, y), (t,), (jnp.ones_like(t),))[1]
    matrix = jnp.eye(y.shape[0], dtype=y.dtype) / (h * GAMMA) - jacobian
    factors = jax.scipy.linalg.lu_factor(matrix * scale / scale[:, None], check_finite=False)
    weights = [jnp.asarray(w, y.dtype) for w in (A, C, TIMES, TIME_SLOPES)]

    def stage(increments: Array, row: tuple) -> tuple[Array, None]:
        number, a, c, time, time_slope = row
        right = field(t + time * h, y + a @ increments) + c @ increments / h + time_slope * h * slope
        solved = scale * jax.scipy.linalg.lu_solve(factors, right / scale, check_finite=False)
        return increments.at[number].set(solved), None

    # One loop over the stages instead of eight copies of the field: an eighth of the code to compile.
    increments, _ = jax.lax.scan(stage, jnp.zeros((8, y.shape[0]), y.dtype), (jnp.arange(8), *weights))
    new = y + weights[0][7] @ increments + increments[7]
    probe = jnp.zeros((2, y.shape[0]), y.dtype)
    return Proposal(y=new, f=field(t + h, new), error=increments[7], stages=increments, probe=probe)


def _dense() -> np.ndarray:
    """Weights of the increments for y + theta (y_1 - y + (1 - theta) (H_1 + theta H_2 + theta^2 H_3))."""
    end, (h1, h2, h3) = A[7] + np.eye(8)[7], DENSE
    return np.stack([np.zeros(8), end + h1, h2 - h1, h3 - h2, -h3], axis=1)


RODAS5P = Method("rodas5p", ORDER, rosenbrock_step, stages=8, dense=_dense())

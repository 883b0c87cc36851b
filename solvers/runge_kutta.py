"""Explicit Runge-Kutta pairs as data, and the one step they all share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

DENSE_TERMS = 5  # powers 0 to 4 of theta: the degree of every dense output here


class Proposal(eqx.Module):
    """One attempted step from (t, y) to t + h.

    `dense` [5, n] holds the coefficients of y(t + theta h) as a polynomial in theta; `error` [n] the local error
    estimate. `probe` [2, n] holds h (f(y_a) - f(y_b)) and y_a - y_b for two states y_a, y_b at the same time: the ratio
    of their norms estimates h times the largest eigenvalue and never exceeds h |df/dy| (0 where a method has no such
    pair).
    """

    y: Float[Array, " n"]
    f: Float[Array, " n"]
    error: Float[Array, " n"]
    dense: Float[Array, "5 n"]
    probe: Float[Array, "2 n"]


@dataclass(frozen=True, eq=False)
class RungeKuttaPair:
    """Butcher tableau of an embedded pair whose last stage is the derivative at the new point.

    `a` [s, s] strictly lower, `b` = a[-1], `c` [s], `b_error` [s] the difference of the two solutions' weights,
    `dense` [s, 5] weights of each stage as polynomials in theta (constant term first).
    """

    name: str
    order: int
    a: np.ndarray
    c: np.ndarray
    b_error: np.ndarray
    dense: np.ndarray


def _tsit5() -> RungeKuttaPair:
    """Ch. Tsitouras, Computers & Mathematics with Applications 62 (2011) 770, table 1 and the interpolant after it."""
    a = np.zeros((7, 7))
    a[1, :1] = [0.161]
    a[2, :2] = [-0.008480655492356989, 0.335480655492357]
    a[3, :3] = [2.8971530571054935, -6.359448489975075, 4.3622954328695815]
    a[4, :4] = [5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525]
    a[5, :5] = [5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383]
    a[6, :6] = [0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774]
    c = np.array([0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0])
    b_error = np.array([0.0017800110522257773, 0.0008164344596567463, -0.007880878010261994, 0.14471100717326298,
                        -0.5823571654525553, 0.45808210592918686, -1.0 / 66.0])
    factors: list[Any] = [  # leading coefficient, then the factors of each stage's weight as polynomials in theta
        (-1.0530884977290216, [0, 1], [-1.3299890189751412, 1], [0.7139816917074209, -1.4364028541716351, 1]),
        (0.1017, [0, 0, 1], [1.2949852507374631, -2.1966568338249754, 1]),
        (2.490627285651252793, [0, 0, 1], [1.57803468208092486, -2.38535645472061657, 1]),
        (-16.54810288924490272, [0, 0, 1], [-1.21712927295533244, 1], [-0.61620406037800089, 1]),
        (47.37952196281928122, [0, 0, 1], [-1.203071208372362603, 1], [-0.658047292653547382, 1]),
        (-34.87065786149660974, [0, 0, 1], [-1.2, 1], [-2.0 / 3.0, 1]),
        (2.5, [0, 0, 1], [-1.0, 1], [-0.6, 1]),
    ]
    dense = np.zeros((7, DENSE_TERMS))
    for stage, (scale, *terms) in enumerate(factors):
        product = np.polynomial.Polynomial([scale])
        for term in terms:
            product = product * np.polynomial.Polynomial(term)
        dense[stage, : len(product.coef)] = product.coef
    return RungeKuttaPair("tsit5", 5, a, c, b_error, dense)


TSIT5 = _tsit5()


def runge_kutta_step(
    pair: RungeKuttaPair,
    field: Callable,
    t: Float[Array, ""],
    y: Float[Array, " n"],
    f: Float[Array, " n"],
    h: Float[Array, ""],
) -> Proposal:
    """One explicit step: k_i = f(t + c_i h, y + h sum_j a_ij k_j), y_1 = y + h sum_j b_j k_j.

    `f` is the field at (t, y), the first stage; the last stage is the field at the new point and is handed on.
    The two last stages, both at t + h, are the probe for stiffness (Hairer & Wanner, Solving ODEs II, IV.2).
    """
    stages = [f]
    previous = point = y
    for row in range(1, len(pair.c)):
        increment = sum(float(w) * k for w, k in zip(pair.a[row], stages, strict=False) if w != 0.0)
        previous, point = point, y + h * increment
        stages.append(field(t + float(pair.c[row]) * h, point))
    probe = jnp.stack([h * (stages[-1] - stages[-2]), point - previous])
    error = h * sum(float(w) * k for w, k in zip(pair.b_error, stages, strict=True) if w != 0.0)
    dense = [y] + [
        h * sum(float(w) * k for w, k in zip(pair.dense[:, power], stages, strict=True) if w != 0.0)
        for power in range(1, DENSE_TERMS)
    ]
    return Proposal(y=point, f=stages[-1], error=error, dense=jnp.stack(dense), probe=probe)

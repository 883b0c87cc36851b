"""`FitResult`: the parameters found, how well they are known, and how the search ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import ArrayLike, Float

from ..trajectory import Trajectory
from .bounds import Free
from .unknowns import replace_named


@dataclass(frozen=True, eq=False)
class FitResult:
    """What `wl.fit` returns. `print(result)` shows a table, `result.plot()` the fit over the data.

    | attribute | meaning |
    | --- | --- |
    | `system`, `state` | the fitted system and initial state, ready for `wl.simulate` (lists with several experiments: `states`) |
    | `values`, `standard_errors` | by name; a standard error is NaN where the data do not determine the value |
    | `covariance`, `correlations` | [n, n], in the order of `names` |
    | `residuals` | [m], model - measured, in units of sigma (of the values or their logarithms where sigma was estimated) |
    | `sum_of_squares`, `chi_square` | of the residuals; the same where sigma was given |
    | `sigma` | estimated size of the noise, sqrt(sum of squares / degrees of freedom); None where it was given |
    | `aic` | Akaike's criterion, to compare models fitted to the same data |
    | `success`, `message` | whether the search converged, and how it ended |
    | `runs` | the fitted trajectory of each experiment |
    | `unknowns`, `unconstrained_covariance` | the bounds of the values, and the covariance of the numbers u that the search moved |

    Standard errors are sqrt(diag((J^T J)^-1)) sigma with the Jacobian J at the optimum, by the delta method for bounded
    unknowns; `relative_standard_errors` of positive unknowns are those of their logarithms.
    """

    names: tuple[str, ...]
    best: Float[np.ndarray, " n"]
    start: Float[np.ndarray, " n"]
    bounds: tuple[str, ...]
    covariance: Float[np.ndarray, "n n"]
    unconstrained_covariance: Float[np.ndarray, "n n"]
    residuals: Float[np.ndarray, " m"]
    sigma_known: bool
    success: bool
    message: str
    system: Any
    states: list[Any]
    experiments: list[Any]
    notes: tuple[str, ...] = ()
    evaluations: int = 0
    seconds: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)
    unknowns: tuple[Free, ...] = ()

    @property
    def values(self) -> dict[str, float]:
        """The fitted values by name."""
        return dict(zip(self.names, map(float, self.best), strict=True))

    @property
    def state(self) -> Any:
        """The fitted initial state of the (first) experiment."""
        return self.states[0]

    def replace(self, values: Mapping[str, ArrayLike], experiment: int = 0) -> tuple[Any, Any]:
        """The fitted system and initial state with other values of the unknowns, named as in `names`.

        For runs around a fit: `system, state = result.replace(draw)` for each of `wl.samples.from_fit(result, n)`. What is
        not named keeps its fitted value; works on traced values. `experiment`: whose initial state, where several were
        fitted.

        **Raises** `IndexError` for an experiment that does not exist, `UnknownParameter` for a name that no parameter has.
        """
        if not 0 <= experiment < len(self.states):
            raise IndexError(f"experiment={experiment}: this fit has {len(self.states)}, counted from 0.")
        return replace_named(self.system, self.states, values, experiment)

    @cached_property
    def runs(self) -> list[Trajectory]:
        """The fitted run of each experiment at its observation times; simulated when first asked for."""
        from ..simulate import simulate

        return [
            simulate(self.system, state, ts=e.ts, t0=e.start, controls=e.controls, throw=False, **self.options)
            for e, state in zip(self.experiments, self.states, strict=True)
        ]

    @property
    def trajectory(self) -> Trajectory:
        """The fitted run of the (first) experiment at its observation times."""
        return self.runs[0]

    @property
    def standard_errors(self) -> dict[str, float]:
        """One standard deviation of each value, by name."""
        return dict(zip(self.names, map(float, _roots(self.covariance)), strict=True))

    @property
    def relative_standard_errors(self) -> dict[str, float]:
        """Standard errors divided by the values, by name; of positive unknowns, the standard errors of the logarithms."""
        errors = self.standard_errors
        return {name: errors[name] / abs(value) if value else np.nan for name, value in self.values.items()}

    @property
    def correlations(self) -> Float[np.ndarray, "n n"]:
        """Correlations of the estimates; NaN in rows of undetermined unknowns."""
        spread = _roots(self.covariance)
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.covariance / np.outer(spread, spread)

    @property
    def sum_of_squares(self) -> float:
        """Sum of squared residuals."""
        return float(self.residuals @ self.residuals)

    @property
    def degrees_of_freedom(self) -> int:
        """Number of values less number of unknowns."""
        return len(self.residuals) - len(self.names)

    @property
    def sigma(self) -> float | None:
        """Estimated size of the noise; None where it was given, NaN without degrees of freedom."""
        if self.sigma_known:
            return None
        dof = self.degrees_of_freedom
        return float(np.sqrt(self.sum_of_squares / dof)) if dof > 0 else float("nan")

    @property
    def chi_square(self) -> float:
        """Sum of squared residuals in units of the noise; equal to the degrees of freedom where sigma is estimated."""
        return self.sum_of_squares if self.sigma_known else float(max(self.degrees_of_freedom, 0))

    @property
    def reduced_chi_square(self) -> float:
        """Chi-square per degree of freedom: near 1 for a model that describes data of known sigma."""
        dof = self.degrees_of_freedom
        return self.chi_square / dof if dof > 0 else float("nan")

    @property
    def aic(self) -> float:
        """2 n + chi-square for known sigma, else 2 (n + 1) + m log(sum of squares / m), up to the same constant."""
        n, m = len(self.names), len(self.residuals)
        if self.sigma_known:
            return 2.0 * n + self.sum_of_squares
        return 2.0 * (n + 1) + m * float(np.log(max(self.sum_of_squares, np.finfo(float).tiny) / m))

    def report(self) -> str:
        """The printed table: values, standard errors, starts, bounds, correlations, goodness of fit, status."""
        from .report import report

        return report(self)

    def __str__(self) -> str:
        return self.report()

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v:.6g}" for k, v in list(self.values.items())[:8])
        return f"FitResult({inside}, sum of squares {self.sum_of_squares:.6g}, {'ok' if self.success else 'failed'})"

    def plot(self, **options: Any) -> Any:
        """The fit over the data, with residuals below; returns the matplotlib figure."""
        from ..plot import plot_fit

        return plot_fit(self, **options)

    def to_dict(self) -> dict[str, Any]:
        """Everything a report needs, as plain numbers and strings; NaN becomes None."""

        def plain(x: Any) -> Any:
            if isinstance(x, dict):
                return {k: plain(v) for k, v in x.items()}
            if isinstance(x, (list, tuple)):
                return [plain(v) for v in x]
            if isinstance(x, float):
                return x if np.isfinite(x) else None
            return x

        return plain(
            {
                "success": self.success,
                "message": self.message,
                "notes": list(self.notes),
                "values": self.values,
                "standard_errors": self.standard_errors,
                "start": dict(zip(self.names, map(float, self.start), strict=True)),
                "bounds": dict(zip(self.names, self.bounds, strict=True)),
                "correlations": self.correlations.tolist(),
                "sum_of_squares": self.sum_of_squares,
                "sigma": self.sigma,
                "chi_square": self.chi_square,
                "reduced_chi_square": self.reduced_chi_square,
                "degrees_of_freedom": self.degrees_of_freedom,
                "aic": self.aic,
                "observations": len(self.residuals),
                "evaluations": self.evaluations,
                "seconds": self.seconds,
            }
        )

    def to_json(self) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=2)


def _roots(covariance: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.diag(covariance))

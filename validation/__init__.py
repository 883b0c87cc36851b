"""Each engine against other programs, published numbers and conservation laws."""

from .ode_vs_scipy import check_problem as check_ode
from .ode_vs_scipy import validate as validate_ode
from .report import Check, Report, Row

__all__ = ["Check", "Report", "Row", "check_ode", "validate_ode"]

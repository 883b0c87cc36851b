"""Each engine against other programs, published numbers and conservation laws."""

from .md_ensembles import validate as validate_md_ensembles
from .md_forces import validate as validate_md_forces
from .md_laws import validate as validate_md_laws
from .md_published import validate as validate_md
from .md_states import validate as validate_md_states
from .ode_vs_scipy import check_problem as check_ode
from .ode_vs_scipy import validate as validate_ode
from .report import Check, Report, Row
from .rigid_laws import validate as validate_rigid_laws
from .rigid_runs_vs_mujoco import check_runs as check_rigid_runs
from .rigid_runs_vs_mujoco import validate as validate_rigid_runs
from .rigid_vs_mujoco import check_model as check_rigid
from .rigid_vs_mujoco import validate as validate_rigid

__all__ = [
    "Check",
    "Report",
    "Row",
    "check_ode",
    "check_rigid",
    "check_rigid_runs",
    "validate_md",
    "validate_md_ensembles",
    "validate_md_forces",
    "validate_md_laws",
    "validate_md_states",
    "validate_ode",
    "validate_rigid",
    "validate_rigid_laws",
    "validate_rigid_runs",
]

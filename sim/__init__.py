"""What users call: runs, ensembles, fits, and what comes of them."""

from .ensemble import ensemble
from .fit import Bounded, Experiment, FitResult, Free, LogNormal, Normal, Observations, Positive, fit
from .minimise import Minimum, minimise
from .simulate import simulate
from .statistics import Statistics, Summary
from .trajectory import Trajectory

__all__ = [
    "Bounded", "Experiment", "FitResult", "Free", "LogNormal", "Minimum", "Normal", "Observations", "Positive",
    "Statistics", "Summary", "Trajectory", "ensemble", "fit", "minimise", "simulate",
]

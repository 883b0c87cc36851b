"""Fitting unknown parameters to measurements."""

from .bounds import Bounded, Free, Positive
from .fit import fit
from .observations import Experiment, LogNormal, Normal, Observations
from .result import FitResult

__all__ = ["Bounded", "Experiment", "FitResult", "Free", "LogNormal", "Normal", "Observations", "Positive", "fit"]

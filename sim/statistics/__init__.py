"""What an ensemble comes to, gathered tile by tile: mean, variance, extremes and quantiles of runs that are not kept."""

from .gathering import Gathering
from .summary import Statistics, Summary

__all__ = ["Gathering", "Statistics", "Summary"]

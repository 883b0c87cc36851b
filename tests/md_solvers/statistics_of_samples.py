"""Means of random samples, compared within the error that their scatter allows."""

import numpy as np


def assert_mean(values, expected, sigmas=4.0):
    """The mean of independent samples (along the first axis) is as expected, within some standard errors."""
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert abs(values.mean() - expected) < sigmas * error, f"{values.mean()} +- {error}, not {expected}"

"""Pictures of runs, fits and ensembles. matplotlib is loaded when the first one is drawn.

Each function returns a `matplotlib.figure.Figure` that belongs to no window and no global state, so it can be
drawn on a machine without a screen, and in threads; `path="run.png"` saves it too.
"""

from .band import plot_band, plot_statistics
from .fit import plot_fit
from .trajectory import plot_trajectory

__all__ = ["plot_band", "plot_fit", "plot_statistics", "plot_trajectory"]

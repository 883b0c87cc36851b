"""The demonstration: two measured systems fitted, the uncertainty of one as a band, a comparison with SciPy,
a page.
"""

from .run import demonstrate

__all__ = ["demonstrate"]

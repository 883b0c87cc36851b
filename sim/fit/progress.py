"""The bar of a fit: evaluations so far and the lowest sum of squares."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

SECONDS_BEFORE = 3.0  # on terminals, unless asked for: most fits end before


class SearchBar:
    """A tqdm bar without an end, for nobody knows how many evaluations a search takes; silent without tqdm.

    `shown` True: at once; None: on a terminal, after a few seconds; False: never.
    """

    def __init__(self, shown: bool | None):
        self._bar: Any = None
        if shown or (shown is None and sys.stderr.isatty()):
            try:
                from tqdm import tqdm
            except ImportError:
                return
            form = "fit: {n} evaluations in {elapsed}{postfix}"
            self._bar = tqdm(bar_format=form, leave=False, delay=0.0 if shown else SECONDS_BEFORE)

    def note(self, evaluations: int, lowest: float) -> None:
        """Show where the search is; `lowest` is infinite before a model was simulated to the end."""
        if self._bar is not None:
            words = f"sum of squares {lowest:.6g}" if np.isfinite(lowest) else "no run to the end yet"
            self._bar.set_postfix_str(words, refresh=False)
            self._bar.update(evaluations - self._bar.n)

    def __enter__(self) -> SearchBar:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()

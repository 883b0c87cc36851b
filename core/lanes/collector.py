"""Python's cyclic garbage collector, kept from running while a program is traced and compiled.

Tracing makes hundreds of thousands of objects that all live until it ends; the collector goes through them again and
again and finds nothing. That was a third of the time to trace the gradient of a chain of 23 joints.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """No collection within, unless another thread begins or ends one of these meanwhile; afterwards as before."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

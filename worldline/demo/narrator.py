"""Saying what a long job is doing, so that nobody is left waiting without a word."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SILENCE = 5.0  # seconds after which a line says that work goes on


class Narrator:
    """Prints numbered steps with the time each took, and a line every few seconds within a step."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._count = 0
        self._spoke = self._began

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._began

    def say(self, text: str) -> None:
        """Print one line at once."""
        print(text, flush=True)
        self._spoke = time.perf_counter()

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Announce a step, and say how long it took when it ends well."""
        self._count += 1
        self.say(f"[{self._count}] {text}")
        began, done = time.perf_counter(), threading.Event()
        watch = threading.Thread(target=self._remind, args=(began, done), daemon=True)
        watch.start()
        try:
            yield
        finally:
            done.set()
            watch.join()
        self.say(f"    done in {time.perf_counter() - began:.1f} s")

    def _remind(self, began: float, done: threading.Event) -> None:
        while not done.wait(0.5):
            if time.perf_counter() - self._spoke > SILENCE:
                self.say(f"    ... compiling and computing, {time.perf_counter() - began:.0f} s so far")

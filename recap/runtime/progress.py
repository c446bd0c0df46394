"""Progress of long work as plain lines: steps done, a note, and the time left.

The lines are plain because DVC and the flow pass them on to a terminal or a CI log.
"""

from __future__ import annotations

import sys
import time

INTERVAL = 3.0
"""Smallest number of seconds between two lines."""


class Progress:
    """``Progress("update", 80)``, then ``.step(12, "reward 0.61")`` after each piece of work."""

    def __init__(self, noun: str, total: int, *, done: int = 0) -> None:
        """``done``: pieces that an earlier, interrupted run has finished."""
        self._noun, self._total, self._first = noun, total, done
        self._start = self._last = time.monotonic()

    def step(self, done: int, note: str = "") -> None:
        """Print a line if the last one is some seconds old, or if all pieces are done."""
        now = time.monotonic()
        if now - self._last < INTERVAL and done < self._total:
            return
        self._last = now
        rate = (now - self._start) / max(done - self._first, 1)
        left = rate * (self._total - done)
        text = f"{self._noun} {done}/{self._total}  {note}".rstrip()
        print(f"{text}  {_duration(left)} left" if left else text, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"

"""The one way in which tests wait for another process: closely, for an event, up to a deadline."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

PATIENCE = 900.0
"""Seconds after which what should have happened counts as hanging."""


CLOSELY = 0.0005
"""Seconds between two looks for a moment that is over in milliseconds: a tenth of a core."""


def until(
    holds: Callable[[], bool],
    *,
    unless: Callable[[], bool] = lambda: False,
    seconds: float = PATIENCE,
    pause: float = 0.01,
) -> bool:
    """Wait for a condition; False if ``unless`` came true before it. Raises TimeoutError.

    ``seconds`` is less where the condition would hold by itself in the end. ``pause`` lies between
    two looks: longer where a look costs another process work, CLOSELY where the moment matters.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if unless():
            return holds()
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s; load {os.getloadavg()}")
        time.sleep(pause)
    return True


def until_served(url: str, process: subprocess.Popen[str], log: Path) -> None:
    """Wait until ``url`` answers; raises AssertionError with the log if the process ends first."""

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except OSError:
            return False

    until(answers, pause=0.2)

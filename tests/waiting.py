"""The one way in which tests wait for another process: closely, for an event, up to a deadline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

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

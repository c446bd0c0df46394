"""A flow that a Prefect worker started: it ends with that worker, and Prefect shows its lines.

The worker starts ``prefect.engine`` and asks nobody to watch over it. Killed, it would leave a run
that goes on, holds the clone and the deployment's one place, and that nobody can cancel. Leaves out
flows that ``python -m flows`` starts: the kernel ends those (recap/runtime/child.py).
"""

from __future__ import annotations

import os
import sys

from prefect import get_run_logger
from prefect.exceptions import MissingContextError

from flows.stage_run import GRACE
from recap.runtime.child import end_with_parent

PATIENCE = 2 * GRACE + 20.0
"""Seconds that a flow has to stop its stages and to report, before it just ends."""


def by_worker() -> bool:
    """Whether a Prefect worker, or another runner of Prefect's, started this process."""
    return "PREFECT__FLOW_RUN_ID" in os.environ


def end_with_worker() -> None:
    """Have the flow of this process crash, with all that it started, when its worker ends."""
    if by_worker():
        end_with_parent(PATIENCE)


def show(line: str) -> None:
    """Into the run's log in Prefect, and onto standard output, where a worker repeats the log.

    One write for a line: those of two stages never mix.
    """
    try:
        get_run_logger().info(line)
    except MissingContextError:  # outside of a run there is no log
        pass
    else:
        if by_worker():
            return
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

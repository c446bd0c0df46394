"""What every stage process does before and after its own work.

One thread, no telemetry, no network look-ups; it dies with its parent (an orphan would go on
writing outs that the next run deletes) and turns the user's errors into one message and an exit
code. Leaves out locks: DVC's own keep two runs of one stage apart.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

import typer

from recap.errors import RecapError

PR_SET_PDEATHSIG = 1
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "VLLM_NO_USAGE_STATS": "1",
}


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies (Linux only; elsewhere nothing happens)."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the call took effect
        sys.exit(128 + signal.SIGTERM)


def run_stage(main: Callable[..., None]) -> None:
    """Run a stage's ``main`` as a command: typed arguments, one message per error, exit code.

    Exit codes: 2 for the user's errors (see recap/errors.py), 1 with a traceback for our own.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    die_with_parent()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except RecapError as error:
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

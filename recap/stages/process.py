"""What every stage process does before and after its own work.

One thread, no telemetry, no network look-ups; it dies with its parent (an orphan would go on
writing outs that the next run deletes) and turns the user's errors into one message and an exit
code. Leaves out locks: DVC's own keep two runs of one stage apart.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

import typer

from recap.child import ENVIRONMENT, die_with_dvc, die_with_parent
from recap.errors import RecapError, SpaceError
from recap.rows import FULL


def run_stage(main: Callable[..., None]) -> None:
    """Run a stage's ``main`` as a command: typed arguments, one message per error, exit code.

    Exit codes: those of recap/errors.py for the user's errors (a full disk is one, wherever it
    shows), 1 with a traceback for our own.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    die_with_parent()
    die_with_dvc()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except RecapError as error:
        _leave(error)
    except OSError as error:
        if error.errno not in FULL:
            raise
        _leave(SpaceError(f"The disk is full: {error}. Free some space and run again."))


def _leave(error: RecapError) -> NoReturn:
    print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(error.exit_code)

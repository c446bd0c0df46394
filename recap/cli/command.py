"""Shared by all commands: one message for an error, children with exit codes, ``--follow``.

Leaves out the commands themselves.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from recap.errors import DataError, RecapError, SpaceError
from recap.runtime.child import spare_this_machine

ROOT = Path()

Follow = Annotated[
    bool,
    typer.Option("--follow", help="Mirror live metrics until standard input ends, then publish."),
]


class Guarded(TyperGroup):
    """A command group that shows the user's errors as one message with their exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        spare_this_machine(os.environ)
        try:
            return super().invoke(ctx)
        except RecapError as error:
            _leave(error)
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES):
                _leave(
                    DataError(
                        f"Expected to write in {Path.cwd()}, got: {error}. Make the folder "
                        "writable, or use a clone in one that is."
                    )
                )
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                _leave(SpaceError(f"The disk is full: {error}. Free some space and run again."))
            raise


def _leave(error: RecapError) -> NoReturn:
    print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(error.exit_code)


def input_ended() -> Callable[[], bool]:
    """A function that tells whether standard input has ended; a thread reads it from now on."""
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    return ended.is_set


def start_python(*arguments: str, folder: Path = ROOT) -> subprocess.Popen[str]:
    """Start ``python ARGUMENTS…`` in ``folder``."""
    from recap.runtime.child import start

    return start(arguments, cwd=folder)


def run_python(*arguments: str, folder: Path = ROOT) -> None:
    """Run ``python ARGUMENTS…`` to its end and exit with its code; it has printed its message."""
    process = start_python(*arguments, folder=folder)
    try:
        code = process.wait()
    except KeyboardInterrupt:  # the child got it too and cleans up
        process.wait()
        code = 130
    if code:
        raise typer.Exit(code if code > 0 else 128 - code)

"""File locks between processes of one clone; the kernel frees them when their holder dies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from recap.errors import BusyError

STATE = Path(".recap")
"""The folder of files that stay between runs and are not outputs: locks, logs, resume state."""


@contextlib.contextmanager
def exclusive(path: Path, *, busy: str | None = None) -> Iterator[None]:
    """Hold the lock ``path``; the file contains the holder's process id.

    Waits for the lock, or raises BusyError with the message ``busy``, in which ``{pid}`` is the
    holder's process id.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = _lock(path).acquire(timeout=0 if busy else -1)
    except Timeout as error:
        raise BusyError((busy or "").format(pid=_written(path))) from error
    with held:
        path.write_text(str(os.getpid()), encoding="utf-8")
        yield
        path.write_text("", encoding="utf-8")


def holder(path: Path) -> str | None:
    """The process id of the lock's holder; ``None`` if the lock is free."""
    if not path.is_file():
        return None
    try:
        with _lock(path).acquire(timeout=0):
            return None
    except Timeout:
        return _written(path)


def sole_run(root: Path) -> contextlib.AbstractContextManager[None]:
    """The lock of a run in ``root``; raises BusyError if another run holds it."""
    return exclusive(
        root / STATE / "run.lock",
        busy="Expected no other run in this clone, but process {pid} is at it. Wait for it, end "
        "it, or use a second clone with a shared DVC cache.",
    )


def _lock(path: Path) -> FileLock:
    """A kernel lock; one thread may take it and another release it."""
    return FileLock(path, fallback_to_soft=False, thread_local=False)


def _written(path: Path) -> str:
    """The process id in the file; empty until the holder has written it."""
    return path.read_text(encoding="utf-8").strip() or "unknown"

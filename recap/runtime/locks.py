"""File locks between processes of one clone; the kernel frees them when their holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from recap.errors import BusyError

STATE = Path(".recap")
"""Everything that is kept between runs and is no output: locks, logs, timings, resume state."""


@contextlib.contextmanager
def exclusive(path: Path, *, busy: str | None = None) -> Iterator[None]:
    """Hold the lock ``path``; the holder's process id stands in the file.

    Waits for its turn, or raises BusyError with the message ``busy`` where ``{pid}`` is the
    holder's process id.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError as error:
            stream.seek(0)
            raise BusyError((busy or "").format(pid=stream.read().strip() or "unknown")) from error
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield
        stream.truncate(0)


def sole_run(root: Path) -> contextlib.AbstractContextManager[None]:
    """The lock of a run in ``root``; raises BusyError when another run is under way."""
    return exclusive(
        root / STATE / "run.lock",
        busy="Expected no other run in this clone, but process {pid} is at it. Wait for it, end "
        "it, or use a second clone with a shared DVC cache.",
    )

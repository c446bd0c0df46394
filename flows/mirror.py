"""Tracking beside a run: a child mirrors live metrics into MLflow and publishes at the end.

Training never waits for it, and it may fail without failing the run: the truth is in files, and
``recap publish`` repeats what is missing.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from types import TracebackType
from typing import Self

from recap.runtime import child

LAST = 600.0
"""Seconds that the last publishing may take: a store that answers slowly must not hold a run."""
LIVE = "train"
"""Stages that write live metrics; the child starts with the first of them."""


class Mirror:
    """Context manager around the stages of a run."""

    def __init__(self, *command: str) -> None:
        """``recap COMMAND… --follow`` is started once there is something to follow."""
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def before(self, stage: str) -> None:
        """Tell that ``stage`` is about to start."""
        if stage.startswith(LIVE) and self._process is None:
            self._start("--follow")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Publish what the run made; after a failure just stop following."""
        if error is not None:
            if self._process is not None:
                self._process.terminate()
                self._process.wait()
            return
        if self._process is None:
            self._start()
        assert self._process is not None and self._process.stdin is not None
        assert self._reader is not None
        self._process.stdin.close()  # the end of its input tells the child to finish
        self._reader.join(LAST)
        if self._reader.is_alive():
            self._process.kill()
        if self._process.wait() != 0:
            print(
                "tracking | Warning: the results are in the files, but not in MLflow. "
                "`recap publish` tries again.",
                file=sys.stderr,
                flush=True,
            )

    def _start(self, *options: str) -> None:
        self._process = child.start(
            ["-m", "recap", *self._command, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        self._reader = threading.Thread(target=self._relay, args=[self._process], daemon=True)
        self._reader.start()

    @staticmethod
    def _relay(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                print(f"tracking | {line.rstrip()}", flush=True)

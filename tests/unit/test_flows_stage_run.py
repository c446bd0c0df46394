"""What a thread of the driver starts dies with it, at every moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flows.stage_run import start
from tests.integration.flow_project import alive
from tests.waiting import until

DVC = """
import subprocess
slow = ("echo $$ > pid.part && mv pid.part pid; sleep 1; "
        "exec python -m recap.runtime.child /bin/sleep 300")
subprocess.run(["/bin/sh", "-c", slow])
"""
"""Starts a stage, as DVC does, that takes a while until the kernel watches its parent."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")
def test_a_stage_that_begins_as_its_driver_dies_ends_too(tmp_path: Path) -> None:
    """The test, which goes on, stands for a process that was killed and is still seen."""
    begun: list[subprocess.Popen[str]] = []
    file = tmp_path / "pid"

    def drive() -> None:
        begun.append(start(["-c", DVC], tmp_path))
        until(file.exists)

    thread = threading.Thread(target=drive)
    thread.start()
    thread.join(60)
    stage = int(file.read_text())
    try:
        assert begun[0].wait(60) == -signal.SIGTERM
        until(lambda: not alive(stage), seconds=60)
    finally:
        if alive(stage):
            os.kill(stage, signal.SIGKILL)

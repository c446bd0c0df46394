"""A child that starts after its starter died leaves at once, also if nobody has collected it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from recap.child import STARTER, environment


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")
@pytest.mark.parametrize(("end", "code", "said"), [(True, 143, ""), (False, 0, "here\n")])
def test_whose_starter_is_dead_leaves(end: bool, code: int, said: str) -> None:
    starter = subprocess.Popen(["/bin/sleep", "60"])
    try:
        if end:
            starter.kill()
            os.waitid(os.P_PID, starter.pid, os.WEXITED | os.WNOWAIT)  # dead, not collected
        child = subprocess.run(
            [sys.executable, "-m", "recap.child", "/bin/echo", "here"],
            env=environment(**{STARTER: str(starter.pid)}),
            capture_output=True,
            text=True,
        )
    finally:
        starter.kill()
        starter.wait()
    assert (child.returncode, child.stdout) == (code, said)

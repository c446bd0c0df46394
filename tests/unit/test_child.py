"""A child that starts after its starter died leaves at once, also if nobody has collected it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from recap.runtime.child import STARTER, environment, spare_this_machine
from tests.waiting import until


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")
@pytest.mark.parametrize(("end", "code", "said"), [(True, 143, ""), (False, 0, "here\n")])
def test_whose_starter_is_dead_leaves(end: bool, code: int, said: str) -> None:
    starter = subprocess.Popen(["/bin/sleep", "60"])
    try:
        if end:
            starter.kill()
            os.waitid(os.P_PID, starter.pid, os.WEXITED | os.WNOWAIT)  # dead, not collected
        child = subprocess.run(
            [sys.executable, "-m", "recap.runtime.child", "/bin/echo", "here"],
            env=environment(**{STARTER: str(starter.pid)}),
            capture_output=True,
            text=True,
        )
    finally:
        starter.kill()
        starter.wait()
    assert (child.returncode, child.stdout) == (code, said)


ORPHAN = """
import os, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import os, time;"
    "from recap.runtime.child import end_with_parent; end_with_parent(60);"
    "print(os.getpid(), flush=True);"
    "time.sleep(300)"])
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")
def test_who_watches_its_parent_ends_with_it() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    assert parent.stdout is not None
    child = os.pidfd_open(int(parent.stdout.readline()))
    assert select.select([child], [], [], 0.2)[0] == []
    parent.kill()
    assert select.select([child], [], [], 60)[0] == [child]
    parent.communicate()


REPORTING = """
import os, queue, subprocess, sys
subprocess.Popen([sys.executable, "-c", '''
import pathlib, queue
from recap.runtime.child import ParentEnded, end_with_parent
end_with_parent(60)
try:
    print("waits", flush=True)
    queue.SimpleQueue().get()
except ParentEnded as ended:
    print("nobody reads this", flush=True)
    pathlib.Path("said").write_text(str(ended))
'''])
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")
def test_who_watches_its_parent_reports_before_it_ends(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", REPORTING],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "waits\n"
    parent.stdout.close()  # a line into this pipe is a signal or an error from here on
    parent.kill()
    parent.wait()
    said = tmp_path / "said"
    until(lambda: said.exists() and said.read_text() != "", seconds=120)
    assert said.read_text() == "the process that started this one has ended"


HERE = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("env", "excepted"),
    [
        ({}, HERE),
        ({"NO_PROXY": "corp.internal"}, f"corp.internal,{HERE}"),
        ({"no_proxy": "corp.internal, localhost"}, "corp.internal,localhost,127.0.0.1,::1"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, f"a,b,{HERE}"),
        ({"NO_PROXY": "*"}, f"*,{HERE}"),
    ],
)
def test_this_machine_is_reached_without_a_proxy(env: dict[str, str], excepted: str) -> None:
    spare_this_machine(env)
    assert (env["no_proxy"], env["NO_PROXY"]) == (excepted, excepted)
    spare_this_machine(env)
    assert env["no_proxy"] == excepted

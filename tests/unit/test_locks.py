"""Locks between processes.

1. One that does not wait says who holds the lock; one that waits gets its turn.
2. A lock goes with its process, also when it is killed and a child forked from it lives on.
3. The lock file stays, empty; a file left by a killed process locks nothing.
4. A thread may take a lock that another thread gives back.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recap.errors import BusyError
from recap.runtime.locks import exclusive, holder

HOLD = """
import os, sys, time
from pathlib import Path
from recap.runtime.locks import exclusive
with exclusive(Path(sys.argv[1])):
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        sys.stdin.read()
        os._exit(0)
    time.sleep(60)
"""


@contextlib.contextmanager
def killed(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that held the lock and was killed; its forked child lives until the block ends."""
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdin is not None and first.stdout is not None
    child = int(first.stdout.readline())
    assert holder(path) == str(first.pid)
    with (
        pytest.raises(BusyError, match=f"^process {first.pid} has it$"),
        exclusive(path, busy="process {pid} has it"),
    ):
        pass
    first.kill()
    first.wait()
    os.kill(child, 0)
    yield first
    first.stdin.close()


def test_a_lock_goes_with_its_process_not_with_a_forked_child(tmp_path: Path) -> None:
    path = tmp_path / "state/run.lock"
    with killed(path) as first:
        assert path.read_text() == str(first.pid)
        assert holder(path) is None
        with exclusive(path, busy="process {pid} has it"):
            assert path.read_text() == str(os.getpid())
            assert holder(path) == str(os.getpid())
    assert path.read_text() == ""


def test_a_lock_that_nobody_took_makes_no_file(tmp_path: Path) -> None:
    assert holder(tmp_path / "run.lock") is None
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_fails_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(KeyError), exclusive(tmp_path / "run.lock"):
        raise KeyError
    assert holder(tmp_path / "run.lock") is None


def test_processes_that_wait_get_their_turns(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")
    script = (
        "import sys; from pathlib import Path\n"
        "from recap.runtime.locks import exclusive\n"
        "folder = Path(sys.argv[1])\n"
        "for _ in range(20):\n"
        "    with exclusive(folder / 'count.lock'):\n"
        "        seen = int((folder / 'count').read_text())\n"
        "        (folder / 'count').write_text(str(seen + 1))\n"
    )
    adders = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(3)]
    assert [adder.wait(60) for adder in adders] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "60"


def test_another_thread_may_give_a_lock_back(tmp_path: Path) -> None:
    held = contextlib.ExitStack()
    with ThreadPoolExecutor(1) as thread:
        thread.submit(held.enter_context, exclusive(tmp_path / "run.lock")).result()
    assert holder(tmp_path / "run.lock") == str(os.getpid())
    held.close()
    assert holder(tmp_path / "run.lock") is None

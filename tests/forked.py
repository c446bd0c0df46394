"""Stages as processes that begin with their imports done: forked from one that has done them.

Not a test. A stage spends ten seconds of a core on imports, here that many times more than on its
work, and a test of kills starts one ten times. A forked stage imports the project's own modules,
runs as ``python -m`` runs it, and is a process of its own, that is killed, stopped and waited for
as any. Left out: what another interpreter does otherwise, other packages' imports and the order of
sets. So each file of tests that forks also starts a stage in earnest, whose outputs have to be
equal.

``python -m tests.forked SOCKET`` is the process that is forked; it lives as long as its starter.
"""

from __future__ import annotations

import array
import functools
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from recap.runtime.child import environment, start

IMPORTED = (
    "recap.attacks.conversations",
    "recap.attacks.journal",
    "recap.prefill.source",
    "recap.rl.cell",
    "recap.scoring.guardian",
    "recap.sft.cell",
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
)
"""Modules that import all that stages with a model need."""
ROOT = Path(__file__).parents[1]


class Forked:
    """A stage at work, with the methods of Popen that tests use; ``stderr`` is what it says."""

    def __init__(self, pid: int, stderr: int) -> None:
        """Watch a process by its id, which is kept from others until ``_ended`` was asked."""
        self.pid, self.returncode = pid, None
        self._handle, self._stderr = os.pidfd_open(pid), stderr

    def poll(self) -> int | None:
        """The exit code, negative for a signal; ``None`` while it runs."""
        return self._wait(0.0)

    def _wait(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._handle], [], [], seconds)[0]:
            os.close(self._handle)
            self.returncode = _ask({"ended": self.pid})
        return self.returncode

    def send_signal(self, number: int) -> None:
        """To the stage, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[None, str]:
        """Wait for its end; what it said. Raises TimeoutError after ``timeout`` seconds."""
        said = bytearray()
        while select.select([self._stderr], [], [], timeout)[0]:
            if not (part := os.read(self._stderr, 1 << 16)):
                os.close(self._stderr)
                if self._wait(timeout) is not None:
                    return None, said.decode(errors="replace")
                break
            said += part
        raise TimeoutError(f"stage {self.pid} is silent for {timeout} s; said {said!r}")


def fork(arguments: Sequence[str], folder: Path, env: dict[str, str]) -> Forked:
    """Start ``python -m MODULE …`` (``arguments``) in ``folder``."""
    reading, writing = os.pipe()
    question = {
        "module": arguments[0],
        "arguments": arguments[1:],
        "folder": str(folder.absolute()),
    }
    pid = _ask(question | {"env": env}, writing)
    os.close(writing)
    return Forked(pid, reading)


def _ask(question: dict[str, Any], *files: int) -> int:
    line, _ = _server()
    socket.send_fds(line, [json.dumps(question).encode()], files)
    answer = line.recv(64)
    assert answer, "the process that is forked has ended; its traceback stands above"
    return int(answer)


@functools.cache
def _server() -> tuple[socket.socket, subprocess.Popen[str]]:
    """The process to fork, of this process alone: started with the first stage."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = start(
        ["-m", "tests.forked", str(theirs.fileno())],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(ROOT)),
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    theirs.close()
    return ours, process


def serve(line: socket.socket) -> None:
    """Import, then answer questions until nobody is left to ask."""
    from recap.runtime.lean import import_less

    import_less()
    for name in IMPORTED:
        __import__(name)
    for name in list(sys.modules):  # a state of training knows what its process had loaded
        if name.split(".")[0] == "recap":
            del sys.modules[name]
    while True:
        message, ancillary, _, _ = line.recvmsg(1 << 20, socket.CMSG_LEN(8))
        if not message:
            return
        question = json.loads(message)
        if "ended" in question:
            _, status = os.waitpid(question["ended"], 0)
            line.send(str(os.waitstatus_to_exitcode(status)).encode())
            continue
        (writing,) = array.array("i", ancillary[0][2])
        if (pid := os.fork()) == 0:
            line.close()
            _become(question, writing)
        os.close(writing)
        line.send(str(pid).encode())


def _become(question: dict[str, Any], stderr: int) -> NoReturn:
    """Run the module as ``python -m`` does, and end as an interpreter ends."""
    code = 1
    try:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.environ.clear()
        os.environ.update(question["env"])
        os.chdir(question["folder"])
        sys.path[0] = ""
        sys.argv = ["", *question["arguments"]]
        runpy.run_module(question["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))

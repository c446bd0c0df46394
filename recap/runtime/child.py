"""Child processes of the command line and the flows: no telemetry, one thread, die with the parent.

``python -m recap.runtime.child COMMAND…`` asks the kernel for SIGTERM when its parent dies, then
execs the command. Otherwise an orphaned ``dvc repro`` would keep writing files that the next run
deletes. (A hook between fork and exec is not safe in a process with threads.) Leaves out the stage
itself (recap/runtime/stage.py).
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
STARTER = "RECAP_STARTER"
"""Environment variable: id of the process that called ``start``; grandchildren inherit it."""
AGAIN = 0.5
"""Seconds between two signals to a main thread that has not yet handled one."""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # two busy-waiting OpenMP threads on shared cores are slower than one
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",  # progress lines pass through pipes at once
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",  # a model is a local directory; the hub is never asked
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # with the default one call blocks for four minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Defaults for every child; the caller's environment takes precedence."""
THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
"""Addresses of this machine's Prefect API, tracking server or judge."""


def environment(**changes: str) -> dict[str, str]:
    """The environment of a child; its ``python`` is the current interpreter."""
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])
    env = {**ENVIRONMENT, **os.environ, "PATH": path, **changes}
    spare_this_machine(env)
    return env


def spare_this_machine(env: MutableMapping[str, str]) -> None:
    """Add this machine to ``no_proxy``; keep the user's exceptions.

    Clients differ in the spelling that they read first, so both spellings are set.
    """
    spellings = ("no_proxy", "NO_PROXY")
    excepted = [entry for name in spellings for entry in env.get(name, "").split(",") if entry]
    entries = ",".join(dict.fromkeys(entry.strip() for entry in (*excepted, *THIS_MACHINE)))
    for name in spellings:
        env[name] = entries


def start(arguments: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Start ``python ARGUMENTS…`` as a text-mode child that dies with this process.

    ``options`` go to Popen. The kernel watches the calling *thread*, which must outlive the child.
    """
    command = [sys.executable, "-m", "recap.runtime.child", sys.executable, *arguments]
    usual: dict[str, Any] = {"env": environment(), "text": True, "errors": "replace"}
    chosen = usual | options
    chosen["env"] = {**chosen["env"], STARTER: str(os.getpid())}
    return subprocess.Popen(command, **chosen)


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies (Linux only; elsewhere a no-op).

    Exits at once if the parent or the starter died before this call took effect.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    starter = os.environ.get(STARTER)
    if os.getppid() != parent or (starter and not _runs(starter)):
        sys.exit(128 + signal.SIGTERM)


def die_with_dvc() -> None:
    """Send SIGTERM to this stage when the ``dvc`` that started it dies (Linux only).

    DVC runs a command with ``$SHELL -c``. bash execs the command. dash, which is /bin/sh where
    SHELL is not set (containers, cron), stays as a process between the two and outlives a killed
    DVC.
    """
    if sys.platform != "linux" or "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()
    try:
        shell = Path(f"/proc/{parent}/cmdline").read_text().split("\0")[0]
        if shell != (os.environ.get("SHELL") or "/bin/sh"):
            return
        status = Path(f"/proc/{parent}/stat").read_text()
        watched = os.pidfd_open(int(status.rpartition(")")[2].split()[1]))
    except OSError:  # one of the two has just died
        sys.exit(128 + signal.SIGTERM)
    threading.Thread(target=_terminate_after, args=(watched,), daemon=True).start()


class ParentEnded(BaseException):
    """Raised when the parent process has ended."""

    def __init__(self) -> None:
        """Sets the message."""
        super().__init__("the process that started this one has ended")


def end_with_parent(patience: float) -> None:
    """Raise ParentEnded in the main thread when this process's parent has ended (Linux only).

    The main thread has ``patience`` seconds to clean up. Nobody reads its output then. Unlike the
    kernel's signal, this watches the whole parent and not the thread that started us. Call it in
    the main thread. It does not use SIGTERM, because Prefect's handler of SIGTERM kills the process
    that it should report on.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    try:
        watched = os.pidfd_open(parent)
    except OSError:  # it has just died, or is outside our container
        watched = None
    # init has adopted us, unless it started us itself; then we are in its process group.
    if os.getppid() != parent or (parent == 1 and os.getpgid(1) != os.getpgrp()):
        raise ParentEnded
    if watched is not None:
        told = threading.Event()

        def tell(*_: object) -> None:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            told.set()
            raise ParentEnded

        signal.signal(signal.SIGUSR1, tell)
        arguments = (watched, patience, told)
        threading.Thread(target=_end_after, args=arguments, daemon=True).start()


def _end_after(watched: int, patience: float, told: threading.Event) -> None:
    select.select([watched], [], [])  # a pidfd is readable once its process has ended
    # Writing to the dead parent's pipe would end us before we have reported (rich does this).
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    # A signal to the main thread wakes it from a lock that it may wait for. A signal that comes
    # just before the wait has no effect, so the signal is sent until it was handled.
    main, ends = threading.main_thread().ident or 0, time.monotonic() + patience
    while not told.is_set() and time.monotonic() < ends:
        signal.pthread_kill(main, signal.SIGUSR1)
        told.wait(AGAIN)
    time.sleep(max(0.0, ends - time.monotonic()))
    os._exit(1)


def _terminate_after(watched: int) -> None:
    select.select([watched], [], [])
    os.kill(os.getpid(), signal.SIGTERM)


def _runs(process: str) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


if __name__ == "__main__":
    die_with_parent()
    os.execv(sys.argv[1], sys.argv[1:])

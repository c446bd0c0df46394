"""Child processes of the command line and the flows: quiet, one thread each, gone with the parent.

``python -m recap.runtime.child COMMAND…`` asks the kernel for SIGTERM when its parent dies, then
becomes the command: an orphaned ``dvc repro`` would keep writing what the next run deletes. (A hook
between fork and exec could do the same, but not safely in a process with threads.) Leaves out what
a stage does once it runs: recap/runtime/stage.py.
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
"""Environment variable: process id of whoever called ``start``; grandchildren inherit it."""
AGAIN = 0.5
"""Seconds between two signals to a main thread that has not heard one."""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # two spinning OpenMP threads on shared cores are slower than one
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",  # progress lines pass through pipes as they come
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",  # a model is a local directory; nothing is looked up behind its back
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # by default one call blocks for four minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Defaults for every child; what the caller's environment sets already stays."""
THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
"""Where the Prefect API, a tracking server or a judge of this machine answer."""


def environment(**changes: str) -> dict[str, str]:
    """The environment of a child; ``python`` in it is the interpreter that runs now."""
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])
    env = {**ENVIRONMENT, **os.environ, "PATH": path, **changes}
    spare_this_machine(env)
    return env


def spare_this_machine(env: MutableMapping[str, str]) -> None:
    """Add this machine to what no proxy is asked for; what the user excepts stays.

    Clients differ in which spelling they read first, so that both get the same.
    """
    spellings = ("no_proxy", "NO_PROXY")
    excepted = [entry for name in spellings for entry in env.get(name, "").split(",") if entry]
    entries = ",".join(dict.fromkeys(entry.strip() for entry in (*excepted, *THIS_MACHINE)))
    for name in spellings:
        env[name] = entries


def start(arguments: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Start ``python ARGUMENTS…`` as a text-mode child that dies with this process.

    ``options`` go to Popen. The kernel watches the calling *thread*: it must outlive the child.
    """
    command = [sys.executable, "-m", "recap.runtime.child", sys.executable, *arguments]
    usual: dict[str, Any] = {"env": environment(), "text": True, "errors": "replace"}
    chosen = usual | options
    chosen["env"] = {**chosen["env"], STARTER: str(os.getpid())}
    return subprocess.Popen(command, **chosen)


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies (Linux only; elsewhere nothing happens).

    Exits at once if parent or starter died before the call took effect: a process takes a moment
    to get here.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    starter = os.environ.get(STARTER)
    if os.getppid() != parent or (starter and not _runs(starter)):
        sys.exit(128 + signal.SIGTERM)


def die_with_dvc() -> None:
    """Have a stage get SIGTERM when the ``dvc`` that started it dies (Linux only).

    DVC runs a command by ``$SHELL -c``. bash becomes the command; dash, which is /bin/sh where
    SHELL is not set (containers, cron), stays between the two, and outlives a DVC that is killed.
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
    """The process whose child this one is has ended; this one ends too."""

    def __init__(self) -> None:
        """The one message."""
        super().__init__("the process that started this one has ended")


def end_with_parent(patience: float) -> None:
    """Have the main thread get a ParentEnded once this process's parent has ended (Linux only).

    It has ``patience`` seconds to put its things in order; what it says then has no reader. Unlike
    the kernel's signal this watches the whole parent, and not the thread that started us. Called in
    the main thread. SIGTERM is left to whoever handles it: Prefect's handler kills the process that
    it should report on.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    try:
        watched = os.pidfd_open(parent)
    except OSError:  # it has just died, or lies outside our container
        watched = None
    # Adopted by init, unless init itself started us: then we are of its process group.
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
    # A line into the dead parent's pipe would end us before we have reported (rich does so).
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    # A signal of the main thread's own wakes it from the lock that it may wait in. One that comes
    # just before the wait begins wakes nobody, so it is sent until it was heard.
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
    """Whether a process runs; one that is dead and not yet collected does not."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


if __name__ == "__main__":
    die_with_parent()
    os.execv(sys.argv[1], sys.argv[1:])

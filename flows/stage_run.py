"""Stages as a child process: ``dvc repro -s <stage>…``, its lines passed on, its end explained.

Leaves out which stage when (flows/reproduce.py) and what a stage does after a kill (its own
business: training continues from its last state).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from flows.devices import environment
from recap.errors import SpaceError
from recap.runtime import child

DVC_CHATTER = re.compile(
    r"(Running stage '|> |Generating lock file|Updating lock file|To track the changes with git"
    r"|\tgit add |To enable auto staging|\tdvc config |Use `dvc push`|ERROR: failed to reproduce"
    r"|Verifying outputs|Pulling data for |WARNING: '.*' is empty\.$)"
)
RUNNING = re.compile(r"Running stage '(.*)':")
CACHED = re.compile(r"Stage '.*' (didn't change, skipping|is cached)")
CONTINUED = re.compile(r"continuing after update \d+")
FAULT = re.compile(r"(\w+(Error|Exception|Interrupt)\b.*:|Traceback \(most recent call last\))")
EXITED = re.compile(r"exited with (-?\d+)")
LOCKED = re.compile(r"is busy, it is being blocked by|Unable to acquire lock")
FULL = re.compile(r"ERROR: .*?(\[Errno (?:28|122)\].*)")
"""DVC met a full disk or quota itself, while it took the outputs into its cache."""
BUSY = os.EX_TEMPFAIL
RETRYABLE = frozenset({BUSY, -signal.SIGKILL, 128 + signal.SIGKILL})
"""Another writer, or a kill from outside (out of memory). A user's error would only come again."""
GRACE = 20.0
"""Seconds that a stopped stage has to finish its update and save."""

_running: set[subprocess.Popen[str]] = set()
_stopping = threading.Event()


class StageFailed(Exception):
    """A stage ended badly; ``message`` is its own explanation."""

    def __init__(self, stage: str, code: int, message: str) -> None:
        super().__init__(f"{stage} ended with exit code {code}")
        self.stage, self.code, self.message = stage, code, message

    @property
    def stopped(self) -> bool:
        """Whether it ended because the run was to stop: neither its fault nor its success."""
        return _stopping.is_set()

    @property
    def retryable(self) -> bool:
        """Whether a second try may end better."""
        return self.code in RETRYABLE and not self.stopped


@dataclass(frozen=True, slots=True)
class StageRun:
    """How long it took; ``startup`` is the part before the first command began.

    ``stages``: seconds of each stage that was not restored. ``cpu_seconds``: of all its processes.
    ``continued``: a stage went on from where a run before had left it.
    """

    seconds: float
    startup: float
    cached: bool
    stages: dict[str, float]
    cpu_seconds: float
    continued: bool


def run_stage(
    name: str,
    say: Callable[[str], None],
    *,
    stages: Sequence[str] = (),
    folder: Path = Path(),
    pull: bool = False,
    devices: Sequence[str] | None = None,
) -> StageRun:
    """Reproduce the stage ``name``, or several under that name, and hand on lines as they come.

    ``folder`` is the DVC project. What a stage needs is not reproduced; with ``pull`` it is, and
    what the project's remote has is restored from there. ``devices``: the GPUs that it may see
    (``None``: as this process does).

    From the line that names an error on, lines are kept back: they are the message of the
    StageFailed that follows, so that it is shown once. Should the stage go on after all, they are
    passed on at its end. A disk that DVC itself finds full is a SpaceError in words of ours, as it
    is in a stage (recap/runtime/stage.py).
    """
    begin = time.monotonic()
    process = start(
        ["-m", "dvc", "--wait-for-lock", "repro", "--pull" if pull else "-s", *(stages or [name])],
        folder,
        **environment(devices),
    )
    _running.add(process)
    kept: list[str] = []
    said: list[str] = []
    code, startup, cached, full, continued = None, None, False, "", False
    begun: dict[str, float] = {}
    try:
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.rstrip()
            if found := RUNNING.match(line):
                begun[found.group(1)] = time.monotonic()
            if line.startswith("> ") and startup is None:
                startup = time.monotonic() - begin
            if found := EXITED.search(line):
                code = int(found.group(1))
            if LOCKED.search(line):
                code = BUSY
            if found := FULL.search(line):
                full = full or found.group(1)
            cached = cached or bool(CACHED.match(line))
            continued = continued or bool(CONTINUED.search(line))
            if not line or DVC_CHATTER.match(line) or CACHED.match(line):
                continue
            if kept or FAULT.match(line) or FULL.search(line):
                kept.append(line)
            else:
                say(line)
                said = [*said[-9:], line]
        status, cpu = _wait(process)
    finally:
        _stop(process)
        _running.discard(process)
    if status != 0 and code is None and full:
        error = SpaceError(f"The disk is full: {full}. Free some space and run again.")
        raise StageFailed(name, error.exit_code, f"SpaceError: {error}")
    if status != 0:
        message = "\n".join(kept or said) or "no message"
        raise StageFailed(name, status if code is None else code, message)
    for line in kept:
        say(line)
    end = time.monotonic()
    moments = pairwise([*begun.values(), end])  # none where all was restored
    took = {stage: until - at for stage, (at, until) in zip(begun, moments, strict=True)}
    seconds = end - begin
    return StageRun(
        seconds=seconds,
        startup=seconds if startup is None else startup,
        cached=cached and not begun,
        stages=took,
        cpu_seconds=cpu,
        continued=continued,
    )


def follow(
    arguments: Sequence[str], folder: Path, say: Callable[[str], None]
) -> tuple[int, list[str]]:
    """Run ``python ARGUMENTS…`` and hand on its lines: its exit code, and what it said last.

    Lines from the one that names an error on are the message of a failure; they are kept back, and
    passed on at the end if there was none.
    """
    process = start(arguments, folder)
    _running.add(process)
    kept: list[str] = []
    said: list[str] = []
    try:
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.rstrip()
            if not line:
                continue
            if kept or FAULT.match(line):
                kept.append(line)
            else:
                say(line)
                said = [*said[-9:], line]
        code = process.wait()
    finally:
        _stop(process)
        _running.discard(process)
    if code == 0:
        for line in kept:
            say(line)
    return code, kept or said or ["no message"]


def start(arguments: Sequence[str], folder: Path, **variables: str) -> subprocess.Popen[str]:
    """As ``child.start``, with all lines in one stream; what it starts dies with this *thread*.

    A process that is killed may still be seen when its threads have ended, and DVC with them: a
    stage that begins at that moment must not take it for alive.
    """
    thread = f"{os.getpid()}/task/{threading.get_native_id()}"  # as /proc has it
    return subprocess.Popen(
        [sys.executable, "-m", "recap.runtime.child", sys.executable, *arguments],
        cwd=folder,
        env=child.environment(**{child.STARTER: thread}, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        process_group=0,  # a stop reaches DVC and the stage alike, and nobody else
        text=True,
        errors="replace",
    )


def _wait(process: subprocess.Popen[str]) -> tuple[int, float]:
    """How a process ended, and the CPU seconds of it and of what it had waited for."""
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except ChildProcessError:  # whoever stopped it saw its end first
        return process.wait(), 0.0
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime


def stop_all() -> None:
    """End every running stage: SIGTERM, time to save, then SIGKILL."""
    _stopping.set()
    threads = [threading.Thread(target=_stop, args=[process]) for process in list(_running)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _stop(process: subprocess.Popen[str]) -> None:
    """Signal the whole group of a process that has not ended; a group without members is done."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue

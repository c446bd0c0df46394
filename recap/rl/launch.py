"""A stage that starts itself several times on this machine, through torch's own launcher.

Each process runs the stage's command line again, with the variables of a launch; rank 0's messages
are shown, and every rank's are in a log of its own. SIGTERM and SIGINT go on to all of them, whose
exit codes say how they ended. When one fails the others are ended, and the message names the one
that failed first. Leaves out several machines: an outer launcher starts the stage there.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil
import torch
from torch.distributed.elastic.multiprocessing import LogsDest, LogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from recap.errors import ParameterError
from recap.params.train import Launch
from recap.processes import MACHINE_DEVICES, machine_devices

STOPPED = {128 + signal.SIGTERM, 128 + signal.SIGINT}
"""Exit codes of processes that saved their state because they were asked to stop."""
CONSEQUENCES = {1, -signal.SIGTERM}
"""Exit codes of processes that lost a peer: an error of the connection, or our signal."""
SHOWN_LINES = 15
"""Last lines of a failed rank's log in the message about it."""
PATIENCE = 1
"""Seconds between SIGTERM and SIGKILL for processes left over when this one ends by an error."""


def run_ranks(launch: Launch, cell: str, logs: Path) -> None:
    """Run this stage's own command in ``launch.processes`` processes, until all have ended.

    ``logs`` holds ``<cell>.rank-<n>.log`` of each. Raises ParameterError for more than one machine
    and for fewer GPUs than processes, and SystemExit with a failed process's code.
    """
    command = sys.orig_argv[1:]
    if launch.nodes > 1:
        raise ParameterError(_rendezvous(launch, cell, command))
    on_gpus = torch.cuda.is_available()
    if on_gpus and torch.cuda.device_count() < launch.processes:
        raise ParameterError(
            f"Expected a GPU for each of train.launch.processes {launch.processes}, got "
            f"{torch.cuda.device_count()}. Lower it, or train on a machine with more GPUs."
        )
    os.environ[MACHINE_DEVICES] = ",".join(machine_devices())  # for servers beside the trainers
    logs.mkdir(parents=True, exist_ok=True)
    files = {rank: logs / f"{cell}.rank-{rank}.log" for rank in range(launch.processes)}
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=launch.processes,
        logs_specs=_RankLogs(files),
        run_id=uuid.uuid4().hex,
        role="rank ",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",  # a machine's full name is not always one that it can look up
        max_restarts=0,  # the state on disk is for the next run, which someone has to want
        monitor_interval=0.02,  # the first to fail is known by who has ended at a look
        signals_to_handle="SIGHUP,SIGQUIT",  # the others are passed on, below
        shutdown_timeout=PATIENCE,
        virtual_local_rank=on_gpus,  # each process sees its own GPU alone, and so does its engine
    )
    try:
        with _passing_signals_on():
            elastic_launch(config, sys.executable)(*command)
    except ChildFailedError as error:
        _leave(error.failures, files)


class _RankLogs(LogsSpecs):
    """Each rank's messages to a file of its own; those of rank 0 are shown as well."""

    def __init__(self, files: Mapping[int, Path]) -> None:
        super().__init__()
        self._files = files

    @property
    def root_log_dir(self) -> str:
        return str(self._files[0].parent)

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        return LogsDest(
            stdouts=dict.fromkeys(envs, ""),  # as it is: nothing of a stage's is written there
            stderrs={rank: str(self._files[rank]) for rank in envs},
            tee_stderrs={0: str(self._files[0])},
            error_files=dict.fromkeys(envs, os.devnull),
        )


@contextmanager
def _passing_signals_on() -> Iterator[None]:
    """SIGTERM and SIGINT reach every process meanwhile, which are in sessions of their own."""

    def pass_on(number: int, _: FrameType | None) -> None:
        children = psutil.Process().children()
        if not children:
            raise SystemExit(128 + number)
        for child in children:
            with suppress(psutil.NoSuchProcess):  # it has just ended by itself
                child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(failures: Mapping[int, ProcessFailure], files: Mapping[int, Path]) -> NoReturn:
    """Say which process failed first, and exit as it did."""
    rank = first_failed(failures)
    code = failures[rank].exitcode
    if code in STOPPED:
        raise SystemExit(code)
    signalled = code < 0
    how = f"was ended by {signal.Signals(-code).name}" if signalled else f"ended with code {code}"
    lines = files[rank].read_text(encoding="utf-8", errors="replace").splitlines()
    print(
        f"\nRank {rank} of {len(files)} processes {how}; the others were ended. Its log, "
        f"{files[rank]}, ends with:\n" + "\n".join(f"  {line}" for line in lines[-SHOWN_LINES:]),
        file=sys.stderr,
    )
    raise SystemExit(128 - code if signalled else code)


def first_failed(failures: Mapping[int, ProcessFailure]) -> int:
    """The rank that failed first; within a second, one that did not just lose a peer."""
    return min(
        failures,
        key=lambda rank: (failures[rank].timestamp, failures[rank].exitcode in CONSEQUENCES),
    )


def _rendezvous(launch: Launch, cell: str, command: list[str]) -> str:
    return (
        f"Expected a launcher to have started this stage on {launch.nodes} machines "
        "(train.launch.nodes), got none: by itself it starts the processes of one machine. Run on "
        "each machine, in a folder that all share, with the first machine's name for HOST:\n"
        f"  torchrun --nnodes {launch.nodes} --nproc-per-node {launch.processes} "
        f"--rdzv-backend c10d --rdzv-endpoint HOST:29500 --rdzv-id {cell} {shlex.join(command)}\n"
        "and then `dvc commit` this stage."
    )

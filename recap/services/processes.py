"""Processes of the services: found by a mark in their environment, not by a file that may be stale.

They outlive the command that starts them. PostgreSQL overwrites its environment with its title; its
processes are known by their working directory, the cluster.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from recap.errors import ServiceError
from recap.runtime.child import environment
from recap.services.place import HOST, Place

MARK = "RECAP_SERVICE"
"""Environment variable of every process of a service; its children inherit it."""
PATIENCE = 30.0
"""Seconds for a service to end by itself; a worker's runs save their state in that time."""
ENDING = {"postgres": signal.SIGINT, "store": signal.SIGKILL}
"""The signal that ends a service, where it is not SIGTERM.

SIGINT is PostgreSQL's fast shutdown; at SIGTERM it would wait for its clients. At SIGTERM the store
stops its volumes and then tries without end to write a log to them. All that it has acknowledged is
in files at any moment.
"""
FOREIGN = ("MLFLOW_", "PREFECT_", "PG", "AWS_", "S3_", "WEED_", MARK)
"""Beginnings of variables of the caller's shell that would make servers of other settings."""


def found(place: Place, service: str) -> list[psutil.Process]:
    """The live processes of a service, its own first, then children."""
    mark = f"{service}@{place.root}"
    alive = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if service == "postgres":
                ours = process.cwd() == str(place.cluster) and process.name() == "postgres"
            else:
                ours = process.environ().get(MARK) == mark
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # ended, or of another user
            continue
        if ours:
            alive.append(process)
    return sorted(alive, key=lambda process: (process.create_time(), process.pid))


def start(
    place: Place,
    service: str,
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    folder: Path,
    user: str | None = None,
) -> None:
    """Start a process that outlives this one and says all it says in its log."""
    usual = {k: v for k, v in environment().items() if not k.startswith(FOREIGN)}
    with place.log(service).open("a", encoding="utf-8") as log:
        subprocess.Popen(
            command,
            env={**usual, **env, MARK: f"{service}@{place.root}"},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )


def stop(place: Place, service: str) -> int:
    """End a service and all its children; returns how many processes there were.

    Raises ServiceError when one cannot be ended.
    """
    processes = found(place, service)
    if not processes:
        return 0
    # MLflow's first process does not tell its children; PostgreSQL's and the worker's do so.
    many, told = len(processes), processes if service == "mlflow" else processes[:1]
    for process in told:
        _send(process, ENDING.get(service, signal.SIGTERM))
    if not _gone(place, service, PATIENCE):
        for process in found(place, service):
            _send(process, signal.SIGQUIT if service == "postgres" else signal.SIGKILL)
        if not _gone(place, service, PATIENCE):
            left = ", ".join(str(process.pid) for process in found(place, service))
            raise ServiceError(f"Expected {service} to end, but process {left} does not. End it.")
    return many


def check_port(service: str, port: int) -> None:
    """Raise ServiceError, naming the option, where something else has the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServiceError(
                f"Expected port {port} of {HOST} for {service}, got: {error.strerror}. Choose "
                f"another with --{service}-port, or end what has it."
            ) from error


def memory(processes: Sequence[psutil.Process]) -> int:
    """Bytes that the processes take, shared pages by their share (PSS)."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # ended, or of another user
            continue
    return total


def last_words(place: Place, service: str) -> str:
    """The last line of a service's log."""
    log = place.log(service)
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return "".join(text.strip().splitlines()[-1:]) or "it said nothing"


def _send(process: psutil.Process, number: int) -> None:
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:  # ended meanwhile
        return


def _gone(place: Place, service: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while found(place, service):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True

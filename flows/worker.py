"""Flow ``sweep-cell``: a worker's part of a sweep, one cell (or what cells share) in its own clone.

It refuses a clone that is not what the driver has, restores from the DVC remote what is done
elsewhere, runs the rest, and sends outputs and run cache back. While it works it counts up in a
Prefect artifact, its beat: a driver that sees no more of it takes the worker for dead and gives the
cell to another; a worker that learns of it stops. Leaves out who does what (flows/pool.py) and the
credentials of the remote, which are in the worker's environment.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.runtime import flow_run as this_run

from flows.book import cost
from flows.declared import recap_flow
from flows.engine import end_with_worker
from flows.remote import Entries, push
from flows.stage_run import StageFailed, run_stage, stop_all
from recap.errors import PipelineError
from recap.runtime.locks import STATE, exclusive
from recap.sweeps.project import Project, locked, read_project, write_project

BEAT = "sweep-beat"
"""Type of the artifact in which a run says that it lives, and at last what it made."""
INTERVAL = 2.0
"""Seconds between two beats. Prefect's own heartbeats come no more often than every 30."""


def head(root: Path) -> str:
    """The commit that is checked out."""
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    )
    if asked.returncode != 0:
        raise PipelineError(
            f"Expected {root} to be a git clone, got: {asked.stderr.strip()} A sweep on many "
            "machines compares commits."
        )
    return asked.stdout.strip()


@recap_flow("sweep-cell")
def sweep_cell(unit: str, stages: list[str], commit: str, expected: str) -> None:
    """Have ``stages`` done and on the remote; ``expected`` is their fingerprint at the driver's.

    Raises PipelineError where this clone has another commit or other files, and with a failing
    stage's own message.
    """
    end_with_worker()
    root, logger = Path.cwd(), get_run_logger()
    with _Beat(UUID(str(this_run.get_id()))) as beat:
        project = read_project(root)
        _check(root, project, stages, commit, expected)
        # As sole_run has it, but two runs of one worker take turns.
        with exclusive(project.folder / STATE / "run.lock"):
            write_project(project)
            before = locked(project.folder, stages)
            try:
                ran = run_stage(unit, logger.info, stages=stages, folder=project.folder, pull=True)
            except StageFailed as failed:
                lost = _keep(project, stages, before)
                raise PipelineError(
                    f"{unit} failed (exit code {failed.code}):\n{failed.message}{lost}"
                ) from failed
            done = ", ".join(f"{stage} {took:.0f} s" for stage, took in ran.stages.items())
            logger.info(f"{unit}: {done or 'all restored'}")
            beat.cost = cost(stages, ran).model_dump()
            beat.lock = push(project.folder, stages)


def _keep(project: Project, stages: list[str], before: Entries) -> str:
    """Send what ended before a failure, for whoever goes on; says what was in the way."""
    now = locked(project.folder, stages)
    ended = [stage for stage in stages if stage in now and now[stage] != before.get(stage)]
    try:
        if ended:
            push(project.folder, ended)
    except PipelineError as error:
        return f"\nWhat ended before that is here alone. {error}"
    return ""


def _check(root: Path, project: Project, stages: list[str], commit: str, expected: str) -> None:
    here = head(root)
    if here != commit:
        raise PipelineError(
            f"Expected this worker's clone to have commit {commit[:12]} checked out, got "
            f"{here[:12]}. Fetch and check out the driver's commit in it."
        )
    found = project.fingerprint(stages)
    if found != expected:
        raise PipelineError(
            f"Expected {', '.join(stages)} to depend on what the driver has ({expected}), got "
            f"{found}: this worker's clone or the driver's has changes that are not committed. "
            "`git status` in both shows them."
        )


class _Beat(threading.Thread):
    """Counts up in an artifact of this flow run while the block lasts, and once more at its end.

    ``lock``: what the run brought to the remote, ``cost``: what it took; the last beat says both.
    Once the run has an end that it did not set itself, its stages are stopped.
    """

    def __init__(self, run: UUID) -> None:
        super().__init__(name="beat", daemon=True)
        self.lock: Entries | None = None
        self.cost: dict[str, Any] | None = None
        self._run, self._count, self._over = run, 0, threading.Event()
        self._place = f"{socket.gethostname()}:{Path.cwd()}"

    def __enter__(self) -> _Beat:
        with get_client(sync_client=True) as client:
            made = client.create_artifact(
                ArtifactCreate(type=BEAT, data=self._data(), flow_run_id=self._run)
            )
        self._artifact = made.id
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self.join()
        if error is None:
            with get_client(sync_client=True) as client:
                self._beat(client)

    def run(self) -> None:
        """Beat until the block ends; a server that does not answer is asked again."""
        with get_client(sync_client=True) as client:
            while not self._over.wait(INTERVAL):
                try:
                    self._beat(client)
                    state = client.read_flow_run(self._run).state
                except httpx.HTTPError as error:
                    print(f"sweep-cell: no beat, the Prefect API does not answer ({error})")
                    continue
                if state is not None and state.is_final():
                    print(f"sweep-cell: stops, this run was set {state.name}", flush=True)
                    stop_all()
                    os._exit(os.EX_TEMPFAIL)  # nothing more of it may reach the remote

    def _beat(self, client: Any) -> None:
        self._count += 1
        client.update_artifact(self._artifact, ArtifactUpdate(data=self._data()))

    def _data(self) -> dict[str, Any]:
        return {"beat": self._count, "place": self._place, "lock": self.lock, "cost": self.cost}

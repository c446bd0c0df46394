"""A sweep on many machines: its cells as flow runs on a Prefect work pool, one driver watching.

What cells share is one run, then each cell is one, on whichever worker is free; a worker works in
its own clone (flows/worker.py). A run whose worker falls silent is set CRASHED and its cell goes to
another worker; so does one whose results are no longer on the DVC remote. At the end the driver
restores everything into its own project with ``dvc repro --pull``, which writes the dvc.lock that
one machine would, and records the cells. Leaves out starting workers (docs/sweeps.md, infra/).
"""

from __future__ import annotations

import configparser
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import ArtifactSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

from flows.book import Book
from flows.graph import read_graph
from flows.remote import lacks
from flows.stage_run import StageFailed, run_stage
from flows.worker import BEAT, head
from recap.errors import PipelineError
from recap.pipeline.graph import Pipeline
from recap.runtime import child
from recap.runtime.locks import STATE, exclusive
from recap.sweeps.design import Cell
from recap.sweeps.ledger import LEDGER, Cost, Ledger
from recap.sweeps.plan import computed_cells, make_plan
from recap.sweeps.project import Project, write_project

COMMITTED = ("recap", "flows", "infra", "params.yaml", "dvc.yaml", ".dvc/config")
PREFECT_FILE = "infra/sweep.yaml"
SHARED = "shared"
"""The run of what cells share."""
LEASE = 60.0
"""Seconds without a beat after which a worker counts as dead."""
START = 240.0
"""The same until the first beat: a container has to come, Prefect has to be imported."""
POLL = 1.0
PAGE = 50
"""Runs asked about in one call; the API answers with at most 200 rows, and a run may have beats
of some containers."""
ATTEMPTS = 3
"""Workers that a cell may lose before it counts as failed: it may be what kills them."""


@dataclass(slots=True)
class _Run:
    """A unit's run that is under way; ``seen``: what it last showed, and since when."""

    unit: str
    stages: list[str]
    attempt: int = 0
    id: UUID | None = None
    seen: tuple[str, int] = ("", -1)
    since: float = 0.0


def run_on_pool(
    project: Project, cells: Sequence[Cell], pool: str, *, lease: float = LEASE
) -> list[str]:
    """Have what is not recorded done by the workers of ``pool``, restored and recorded here.

    Returns the names of the cells that were added. Raises PipelineError at the end, naming the
    cells that failed in their own words; all others are recorded. An interruption cancels what is
    open. The project's lock is free in between: a worker may work in this very clone.
    """
    ledger = Ledger(project.root / LEDGER)
    if not make_plan(project, ledger, cells, ()).left():
        _show(f"All {len(cells)} cells are recorded.")
        return []
    _check_clone(project.root)
    with _turn(project):
        write_project(project)
        _check_remote(project)
        pipeline = read_graph(project.folder)
        plan = make_plan(project, ledger, cells, computed_cells(project, pipeline.stale()))
        book, added = Book(project), [p.cell for p in plan.left() if p.state == "computed"]
        for cell in added:
            book.record(cell)
            _show(f"{cell.name} was computed already: recorded")
    left = {p.cell.name: p.cell for p in plan.left() if p.state == "to do"}
    wanted = {name: project.stages(cell) for name, cell in left.items()}
    if not wanted:
        return [cell.name for cell in added]
    with get_client(sync_client=True) as client:
        driver = _Driver(client, project, _deployed(client, project, pool), lease)
        try:
            if shared := _shared(pipeline, wanted.values()):
                driver.work({SHARED: shared})
            if not driver.failed:
                driver.work(wanted)
        except BaseException:
            driver.cancel()
            raise
    done = {name: cost for name, cost in driver.done.items() if name in wanted}
    with _turn(project):
        _restore(project, [stage for name in done for stage in wanted[name]])
        for name, cost in done.items():
            book.record(left[name], cost)
    if driver.failed:
        raise PipelineError(_explain(driver, wanted))
    return [cell.name for cell in added] + list(done)


def _turn(project: Project) -> contextlib.AbstractContextManager[None]:
    """The project's lock, as sole_run has it, but waited for."""
    return exclusive(project.folder / STATE / "run.lock")


def _check_clone(root: Path) -> None:
    """Workers have commits: what is not in one would be refused by each of them."""
    asked = ["git", "status", "--porcelain", "--", *COMMITTED]
    done = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0 or done.stdout:
        raise PipelineError(
            f"Expected {', '.join(COMMITTED)} of this clone to be committed, so that workers can "
            f"have the same, got:\n{done.stdout or done.stderr}"
            "Commit and push, and check that commit out in the workers' clones."
        )


def _check_remote(project: Project) -> None:
    config = configparser.ConfigParser(interpolation=None)
    config.read(project.folder / ".dvc" / "config", encoding="utf-8")
    if not config.get("core", "remote", fallback=""):
        raise PipelineError(
            "Expected a default DVC remote, through which this clone and the workers' exchange "
            "results, found none. Add one and commit .dvc/config, for instance: dvc remote add -d "
            "store s3://BUCKET/PATH"
        )


def _shared(pipeline: Pipeline, units: Iterable[Sequence[str]]) -> list[str]:
    """The stages that the units need beside their own, in order."""
    own = {stage for stages in units for stage in stages}
    needed = set(own)
    for node in reversed(pipeline.nodes):
        if node.name in needed:
            needed |= set(node.upstream)
    return [node.name for node in pipeline.nodes if node.name in needed and node.name not in own]


def _deployed(client: SyncPrefectClient, project: Project, pool: str) -> UUID:
    """The deployment of sweep-cell on the pool, brought up to infra/sweep.yaml."""
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        raise PipelineError(
            f"Expected a work pool '{pool}' on {client.api_url}, found none. Create it: prefect "
            f"work-pool create --type process {pool}"
        ) from None
    env = child.environment(RECAP_POOL=pool)
    env.pop("RECAP_CLONE", None)  # stays a placeholder: every worker fills in its own
    done = subprocess.run(
        [
            *(sys.executable, "-m", "prefect", "--no-prompt"),
            *("deploy", "--all", "--prefect-file", PREFECT_FILE),
        ],
        cwd=project.root,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PipelineError(
            f"Expected Prefect to deploy {PREFECT_FILE} on '{pool}', got:\n"
            f"{(done.stdout + done.stderr).strip()[-2000:]}"
        )
    return client.read_deployment_by_name(f"sweep-cell/{pool}").id


class _Driver:
    """Submits runs and watches them; ``done`` has their cost, ``failed`` why they failed."""

    def __init__(
        self, client: SyncPrefectClient, project: Project, deployment: UUID, lease: float
    ) -> None:
        self._client, self._project = client, project
        self._deployment, self._lease = deployment, lease
        self._commit = head(project.root)
        self._runs: list[_Run] = []
        self.done: dict[str, Cost] = {}
        self.failed: dict[str, str] = {}

    def work(self, units: dict[str, list[str]]) -> None:
        """Have all units done, or failed."""
        _show(f"{len(units)} to do: {', '.join(units)}")
        for name, stages in units.items():
            self._submit(_Run(name, stages))
        while self._runs:
            time.sleep(POLL)
            try:
                self._look()
            except httpx.TransportError as error:
                _show(f"the Prefect API does not answer ({error}); asking again")
                for run in self._runs:  # nobody can beat while nobody answers
                    run.since = time.monotonic()

    def cancel(self) -> None:
        """Set all that is open CANCELLED; workers see it at their next beat and stop."""
        for run in self._runs:
            self._client.set_flow_run_state(self._id(run), Cancelled(), force=True)

    def _submit(self, run: _Run) -> None:
        run.attempt += 1
        made = self._client.create_flow_run_from_deployment(
            self._deployment,
            name=f"{run.unit}-{run.attempt}",
            parameters={
                "unit": run.unit,
                "stages": run.stages,
                "commit": self._commit,
                "expected": self._project.fingerprint(run.stages),
            },
            job_variables=self._job_variables(),
        )
        run.id, run.seen, run.since = made.id, ("", -1), time.monotonic()
        self._runs.append(run)

    def _job_variables(self) -> dict[str, Any]:
        """The commit, for a pool whose jobs make their clone themselves."""
        pool = self._client.read_deployment(self._deployment).work_pool_name
        assert pool is not None
        variables = self._client.read_work_pool(pool).base_job_template.get("variables", {})
        return {"commit": self._commit} if "commit" in variables.get("properties", {}) else {}

    def _look(self) -> None:
        ids = [self._id(run) for run in self._runs]
        states, beats = dict[UUID, FlowRun](), dict[UUID | None, Any]()
        for first in range(0, len(ids), PAGE):
            some = ids[first : first + PAGE]
            runs = FlowRunFilter(id=FlowRunFilterId(any_=some))
            states |= {row.id: row for row in self._client.read_flow_runs(flow_run_filter=runs)}
            wanted = ArtifactFilter(
                flow_run_id=ArtifactFilterFlowRunId(any_=some), type=ArtifactFilterType(any_=[BEAT])
            )
            # The newest last: a run that a container began anew has the beat of the first one too.
            found = self._client.read_artifacts(
                artifact_filter=wanted, sort=ArtifactSort.UPDATED_DESC
            )
            beats |= {artifact.flow_run_id: artifact.data for artifact in reversed(found)}
        for run in list(self._runs):
            self._judge(run, states[self._id(run)], beats.get(run.id))

    def _judge(self, run: _Run, row: FlowRun, beat: dict[str, Any] | None) -> None:
        assert row.state is not None
        kind, seen = row.state.type, (row.state.type.value, beat["beat"] if beat else -1)
        if seen != run.seen:
            if beat and run.seen[1] < 0:
                _show(f"{run.unit} runs at {beat['place']}")
            run.seen, run.since = seen, time.monotonic()
        if kind is StateType.COMPLETED:
            self._runs.remove(run)
            self._check(run, beat or {})
        elif kind is StateType.FAILED:
            self._runs.remove(run)
            self._fail(run, row.state.message or "no message")
        elif kind is StateType.CANCELLED:
            self._runs.remove(run)
            self._fail(run, "it was cancelled")
        elif kind is StateType.CRASHED:
            self._runs.remove(run)
            self._again(run, "its process died")
        elif kind in (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING):
            patience = self._lease if beat else max(self._lease, START)
            if (silent := time.monotonic() - run.since) > patience:
                self._runs.remove(run)
                lost = f"no sign of its worker for {silent:.0f} s"
                state: State[Any] = Crashed(message=f"sweep: {lost}")
                self._client.set_flow_run_state(self._id(run), state, force=True)
                self._again(run, lost)

    def _check(self, run: _Run, beat: dict[str, Any]) -> None:
        """Done is what the remote has."""
        if not beat.get("lock"):
            self._again(run, "it ended without saying what it made")
        elif missing := lacks(self._project.folder, beat["lock"]):
            self._again(run, f"the remote lacks {len(missing)} of its objects")
        else:
            self.done[run.unit] = Cost.model_validate(beat["cost"])
            _show(f"{run.unit} is done; {len(self._runs)} left")

    def _again(self, run: _Run, reason: str) -> None:
        if run.attempt >= ATTEMPTS:
            self._fail(run, f"given up after {run.attempt} tries, at the last {reason}")
        else:
            _show(f"{run.unit}: {reason}; another worker gets it")
            self._submit(run)

    def _fail(self, run: _Run, message: str) -> None:
        self.failed[run.unit] = message
        _show(f"{run.unit} failed; {len(self._runs)} left")

    def _id(self, run: _Run) -> UUID:
        assert run.id is not None
        return run.id


def _restore(project: Project, stages: list[str]) -> None:
    """Bring what is done elsewhere into this project; a stage that has to run here is named."""
    if not stages:
        return
    try:
        ran = run_stage("restore", _show, stages=stages, folder=project.folder, pull=True)
    except StageFailed as failed:
        raise PipelineError(
            f"Expected to restore {len(stages)} stages from the remote, got:\n{failed.message}"
        ) from failed
    if ran.stages:
        _show(f"not restored but run here: {', '.join(ran.stages)}")
    _show(f"{len(stages)} stages of cells are there")


def _explain(driver: _Driver, wanted: dict[str, list[str]]) -> str:
    parts = [f"{name}: {message}" for name, message in driver.failed.items()]
    if SHARED in driver.failed:
        parts.append(f"Not run, for they need it: {', '.join(wanted)}.")
    else:
        parts.append("All other cells are recorded; run again to do just these.")
    return "\n\n".join(parts)


def _show(line: str) -> None:
    """One write for a line: those of two stages never mix."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

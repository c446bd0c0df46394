"""What happened, in MLflow: one run for each trained cell, with its curve, rates and lineage.

A sweep is a run too, the parent of its cells' (MLflow shows them below it).

Rates, settings and digests are recorded; never prompts, completions or weights. The store is
``mlflow.db`` beside ``params.yaml`` unless MLFLOW_TRACKING_URI names another. Leaves out what is
published when (recap/cli/publish.py) and versions (recap/tracking/registry.py).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from recap.errors import TrackingError
from recap.params.whole import Params
from recap.pipeline.lock import digest, file_md5
from recap.rows import atomic_path
from recap.runtime.child import ENVIRONMENT
from recap.runtime.locks import STATE, exclusive
from recap.tracking.live import STEP, Line, agree
from recap.tracking.measures import named_rates, named_reflection
from recap.tracking.store import (
    URI,
    artifact_place,
    database,
    readdress,
    store_uri,
    without_password,
)
from recap.types.results import CellResult

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT, SWEEP_EXPERIMENT = "recap", "recap-sweep"
"""What a user ran, and what is recorded of a sweep: thrice twenty cells would hide three."""
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""For MLflow's page: an experiment of models that are trained, not of traces."""
FINGERPRINT, CELL = "fingerprint", "cell"
CLONE, WORLD = "clone", "world"
"""Tags that say whose an unfinished run is: of which clone, and of which world."""
SWEEP = "sweep"
PARENT = "mlflow.parentRunId"
BATCH = 1000
"""Metrics in one call, MLflow's own limit."""
COLLISIONS = (
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
)
"""How a store answers one of two who write the same at once, or to what is just deleted."""
ATTEMPTS = 5
Written = TypeVar("Written")


@dataclass(frozen=True, slots=True)
class CellRecord:
    """All that is recorded of one cell; ``curve`` is empty for a policy that was not trained.

    ``live``: the same updates with their speeds, where training left them. ``dynamics``: the rates
    of its snapshots, a line for each. ``data``: the digest of every data set, by name. ``owner``
    are tags of ``owner``.
    """

    name: str
    result: CellResult
    curve: Sequence[Line]
    live: Sequence[Line]
    dynamics: Sequence[Line]
    settings: Mapping[str, str]
    tags: Mapping[str, str]
    artifacts: Sequence[Path]
    data: Mapping[str, str]
    owner: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """Of what was set and measured; a commit may move without making a new run of it."""
        result = self.result.model_dump(mode="json")
        return digest([self.name, result, self.curve, self.dynamics, self.settings])


def owner(root: Path, params: Params) -> dict[str, str]:
    """Tags of a run that say whose it is: nobody else closes it while it is unfinished.

    A copy of a clone is another clone.
    """
    path = root / STATE / "clone"
    with exclusive(root / STATE / "clone.lock"):
        if not path.is_file():
            with atomic_path(path) as part:
                part.write_text(secrets.token_hex(8), encoding="utf-8")
    clone = digest([path.read_text(encoding="utf-8"), str(root.resolve())])
    world = digest({"seed": params.seed, "world": params.world.model_dump(mode="json")})
    return {CLONE: clone, WORLD: world}


@contextlib.contextmanager
def open_store(root: Path) -> Iterator[MlflowClient]:
    """A client of the store; MLflow's own exceptions become TrackingError.

    A fresh SQLite store is made under a lock: two processes migrating it at once both crash. One
    that was moved with its artifacts finds them again.
    """
    for name, value in ENVIRONMENT.items():
        if name.startswith("MLFLOW_"):
            os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = store_uri(root)
    named = os.environ.get(URI)
    os.environ[URI] = uri  # some calls of a client ask the default store all the same
    try:
        with exclusive(root / STATE / "mlflow.lock"):
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
            if file := database(root):
                readdress(file)
        yield client
    except MlflowException as error:
        reason = str(error).splitlines()[0][:300]
        raise TrackingError(
            f"Expected the tracking store {without_password(uri)} to answer, got: {reason}. "
            "Results are safe in files; `recap publish` tries again."
        ) from error
    finally:
        if named is None:
            del os.environ[URI]
        else:
            os.environ[URI] = named


def experiment_id(client: MlflowClient, root: Path, name: str = EXPERIMENT) -> str:
    """The experiment's id; it is made when missing, with artifacts beside a local store."""
    found = client.get_experiment_by_name(name)
    if found is None:
        from mlflow.exceptions import MlflowException

        try:
            place = artifact_place(root, name)
            return str(client.create_experiment(name, artifact_location=place, tags=dict(KIND)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.get_experiment_by_name(name)  # another process was faster
        assert found is not None
    for key, kind in KIND.items():
        if key not in found.tags:
            client.set_experiment_tag(found.experiment_id, key, kind)
    return str(found.experiment_id)


def record_cell(client: MlflowClient, experiment: str, record: CellRecord) -> str:
    """The finished run that holds ``record``; found by content, completed or made. Returns its id.

    A live mirror that reached the last update of this very training is completed, which keeps its
    speeds; other unfinished runs of the cell are closed as killed, if its owner began them. Where
    machines made a run each at the same moment, the first stays.
    """
    if done := _recorded_run(client, experiment, record):
        return done
    run_id = None
    for run in _unfinished(client, experiment, record):
        if run_id is None and record.curve and agree(record.curve[-1], run.data.metrics):
            run_id = run.info.run_id
        else:
            client.set_terminated(run.info.run_id, status="KILLED")
    if run_id is None:
        run_id = start_run(client, experiment, record.name, record.owner)
        log_lines(client, run_id, record.live or record.curve)
    from mlflow.entities import Param, RunTag

    _log_data(client, run_id, record.data)

    log_lines(client, run_id, record.dynamics)
    _log_points(
        client,
        run_id,
        [
            (name, value, 0)
            for name, value in (
                *named_rates(record.result.results),
                *named_reflection(record.result.reflection),
            )
        ],
    )
    client.log_batch(run_id, params=[Param(key, text) for key, text in record.settings.items()])
    for path in record.artifacts:
        client.log_artifact(run_id, str(path))
    tags = {**record.tags, FINGERPRINT: record.fingerprint}
    client.log_batch(run_id, tags=[RunTag(key, text) for key, text in tags.items()])
    return _recorded_run(client, experiment, record) or run_id


def _recorded_run(client: MlflowClient, experiment: str, record: CellRecord) -> str | None:
    """The run that has all of a record, finished and named; the fingerprint is its last tag.

    Not asked by status: another machine may have taken it for one that was left, and closed it.
    """
    run_id = _only(client, experiment, f"tags.{FINGERPRINT} = '{record.fingerprint}'")
    if run_id is not None:
        info, name = client.get_run(run_id).info, run_name(record.name, record.fingerprint)
        if info.status != "FINISHED":
            client.set_terminated(run_id, status="FINISHED")
        if info.run_name != name:
            client.update_run(run_id, name=name)
    return run_id


def run_name(cell: str, mark: str) -> str:
    """A name that no other run of the experiment has: the cell's, and eight digits of ``mark``.

    ``mark`` is the record's fingerprint; while the run is unfinished it is a random one.
    """
    return f"{cell.removeprefix(f'{SWEEP}/')}-{mark[:8]}"


def start_run(client: MlflowClient, experiment: str, cell: str, tags: Mapping[str, str]) -> str:
    """A new unfinished run of ``cell``; ``tags`` are its owner's and others. Returns its id.

    A sweep's cells are called ``sweep/<cell>``: they are measured otherwise than the run's own.
    """
    variant, replicate = cell.removeprefix(f"{SWEEP}/").rsplit("-", 1)
    own = {CELL: cell, "variant": variant, "replicate": replicate, **tags}
    name = run_name(cell, secrets.token_hex(4))
    return str(client.create_run(experiment, run_name=name, tags=own).info.run_id)


def sweep_run(client: MlflowClient, experiment: str, sweep: str) -> str:
    """The run that is the parent of a sweep's cells, found by ``sweep`` or made; returns its id.

    No store keeps two machines from making one each at the same moment: the first stays and gets
    the cells of the others, of those that are deleted already too.
    """
    from mlflow.entities import RunTag, ViewType

    query = f"tags.{SWEEP} = '{sweep}'"
    if not client.search_runs([experiment], query, max_results=1):
        client.create_run(experiment, run_name=run_name(SWEEP, sweep), tags={SWEEP: sweep})
    kept = _only(client, experiment, query)
    assert kept is not None
    for gone in client.search_runs([experiment], query, ViewType.DELETED_ONLY):
        of_it = f"tags.`{PARENT}` = '{gone.info.run_id}'"
        for child in client.search_runs([experiment], of_it):
            client.log_batch(child.info.run_id, tags=[RunTag(PARENT, kept)])
    return kept


def write_again(write: Callable[[], Written]) -> Written:
    """What ``write`` gives, which is done again where another machine wrote at the same moment.

    It has to be idempotent, as all publishing is. What fails otherwise, or the ATTEMPTS-th time,
    is raised as it came.
    """
    from mlflow.exceptions import MlflowException

    attempt = 0
    while True:
        attempt += 1
        try:
            return write()
        except MlflowException as error:
            if error.error_code not in COLLISIONS or attempt == ATTEMPTS:
                raise
        time.sleep(random.uniform(0, 0.5 * attempt))  # not in step with the other


def _only(client: MlflowClient, experiment: str, query: str) -> str | None:
    """The first of the runs that fit; the others are deleted, all machines choose alike."""
    found = list(client.search_runs([experiment], query))
    found.sort(key=lambda run: (run.info.start_time, run.info.run_id))
    for other in found[1:]:
        client.delete_run(other.info.run_id)
    return str(found[0].info.run_id) if found else None


def describe_sweep(
    client: MlflowClient,
    run_id: str,
    tags: Mapping[str, str],
    design: Mapping[str, Any],
    artifacts: Sequence[Path],
    *,
    recorded: int,
    cells: int,
) -> None:
    """Bring the parent run up to date; it is finished once all cells are recorded."""
    from mlflow.entities import RunTag

    known = client.get_run(run_id).data.tags
    for path in artifacts:
        name, content = f"artifact.{path.name}", file_md5(path)
        if known.get(name) != content:
            client.log_artifact(run_id, str(path))
            client.log_batch(run_id, tags=[RunTag(name, content)])
    if known.get("design") != digest(design):
        client.log_dict(run_id, dict(design), "design.json")
    counts = [("cells", float(cells), recorded), ("recorded", float(recorded), recorded)]
    _log_points(client, run_id, counts)
    own = {**tags, "design": digest(design)}
    client.log_batch(run_id, tags=[RunTag(key, text) for key, text in own.items()])
    client.set_terminated(run_id, status="FINISHED" if recorded == cells else "RUNNING")


def log_machine(client: MlflowClient, run_id: str, step: int) -> None:
    """What the whole machine does now, under MLflow's own names for it."""
    import psutil
    from mlflow.entities import Metric

    memory, now = psutil.virtual_memory(), int(time.time() * 1000)
    seen = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),  # since the last call
        "system/system_memory_usage_megabytes": memory.used / 1e6,
        "system/system_memory_usage_percentage": memory.percent,
    }
    client.log_batch(run_id, [Metric(name, value, now, step) for name, value in seen.items()])


def _log_data(client: MlflowClient, run_id: str, data: Mapping[str, str]) -> None:
    """The data sets as MLflow's inputs; only names and digests, nothing of what is in them."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if not data:
        return
    inputs = []
    for name, content in sorted(data.items()):
        source = json.dumps({"md5": content})
        used = "evaluation" if "eval" in name else "training"
        dataset = Dataset(name=name, digest=content, source_type="dvc", source=source)
        inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", used)]))
    client.log_inputs(run_id, datasets=inputs)


def log_lines(client: MlflowClient, run_id: str, lines: Sequence[Line]) -> None:
    """The numbers of some updates, each at its update's step."""
    points = [
        (name, value, int(line[STEP]))
        for line in lines
        for name, value in line.items()
        if name != STEP
    ]
    _log_points(client, run_id, points)


def _log_points(
    client: MlflowClient, run_id: str, points: Sequence[tuple[str, float, int]]
) -> None:
    """Log (name, value, step); the time follows from the step, so a repeated call adds nothing."""
    from mlflow.entities import Metric

    if not points:
        return
    start = client.get_run(run_id).info.start_time
    for first in range(0, len(points), BATCH):
        some = points[first : first + BATCH]
        batch = [Metric(name, value, start + step, step) for name, value, step in some]
        client.log_batch(run_id, metrics=batch)


def _unfinished(client: MlflowClient, experiment: str, record: CellRecord) -> Sequence[Run]:
    """Runs of a cell that its owner began and never completed, newest first."""
    own = {CELL: record.name, **record.owner}
    query = " and ".join(
        ["attributes.status = 'RUNNING'", *(f"tags.{key} = '{text}'" for key, text in own.items())]
    )
    return list(client.search_runs([experiment], query, order_by=["attributes.start_time DESC"]))


def model_revisions(params: Params) -> str:
    """Where every model comes from: a hub model with its commit, a folder, or made here."""
    origins: dict[str, str] = {str(name): place for name, place in params.models.origins.items()}
    origins.update({str(name): place for name, place in params.sources.origins.items()})
    return json.dumps(origins, sort_keys=True) if origins else "microworld"

"""Writes the content of the files to tracking and registry, during training and at the end.

``publish`` and ``publish_sweep`` are idempotent by content, so cached stages and lost stores are no
problem. ``follow`` mirrors live metrics during training. Leaves out MLflow itself (recap/tracking).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recap.errors import GateError, TrackingError
from recap.params.whole import Params, read_params
from recap.pipeline.lock import Lineage, digest, flat, read_lineage, trained_with
from recap.rows import atomic_path, read_json
from recap.runtime.locks import STATE, exclusive
from recap.sweeps.ledger import LEDGER
from recap.sweeps.project import read_project
from recap.sweeps.tracked import TrackedSweep, read_tracked_sweep, sweep_id
from recap.tracking.licences import licence_tags
from recap.tracking.live import STEP, Line, LiveFiles, numbers, spooled
from recap.tracking.manifest import Manifest, Provenance
from recap.tracking.measures import snapshot_lines
from recap.tracking.registry import adopt as registry_adopt
from recap.tracking.registry import aliases_of, ensure_registered
from recap.tracking.runs import (
    EXPERIMENT,
    PARENT,
    SWEEP,
    SWEEP_EXPERIMENT,
    CellRecord,
    describe_sweep,
    experiment_id,
    log_lines,
    log_machine,
    model_revisions,
    open_store,
    owner,
    record_cell,
    start_run,
    sweep_run,
    write_again,
)
from recap.tracking.store import LOCAL, URI, database, store_name, store_uri
from recap.types.results import CellResult, DynamicsResult
from recap.types.row import Row

if TYPE_CHECKING:
    from mlflow import MlflowClient

TABLES = Path("reports/tables.json")
DECISION = Path("results/decision.json")
REGISTERED = Path("results/registered.json")
EVIDENCE = Path("results/registered_evidence.json")
RECEIPT = STATE / "published.json"
Begin = Callable[["MlflowClient", str, str], str]
"""Creates the run of a cell in an experiment and returns the run's id."""
PAUSE = 3.0
"""Seconds between two reads of the live files."""


class Receipt(Row):
    """The record of a publication; ``state`` is a digest of files and store at that time."""

    state: str
    runs: dict[str, str]
    model: str | None
    version: str | None
    aliases: tuple[str, ...]


def publish(root: Path) -> Receipt:
    """Write the content of the files in ``root`` to tracking and registry.

    Leaves out cells without results. Raises TrackingError if the store cannot be used.
    """
    params, lineage, manifest = read_params(root / "params.yaml"), read_lineage(root), None
    if (root / REGISTERED).is_file():
        manifest = read_json(root / REGISTERED, Manifest)
    version, aliases, runs = None, tuple[str, ...](), dict[str, str]()
    records = list(_records(root, params, lineage))
    if records:
        with exclusive(root / STATE / "publish.lock"), open_store(root) as client:
            experiment = experiment_id(client, root)
            for record in records:
                write = partial(record_cell, client, experiment, record)
                runs[record.name] = write_again(write)
            if manifest is not None:
                provenance = _provenance(root, params, lineage, manifest.candidate)
                version = ensure_registered(client, root, manifest, root / EVIDENCE, provenance)
                aliases = aliases_of(client, manifest.name, version)
    receipt = Receipt(
        state=_state(root, lineage),
        runs=runs,
        model=manifest.name if manifest else None,
        version=version,
        aliases=aliases,
    )
    with atomic_path(root / RECEIPT) as part:
        part.write_text(receipt.model_dump_json(), encoding="utf-8")
    return receipt


def adopt(root: Path) -> int:
    """Bring versions, history and champion of the clone's ``mlflow.db`` to the server that is used.

    Returns the number of moves. Raises GateError where no server is used, or it has a history of
    its own.
    """
    if store_name(root) == LOCAL:
        raise GateError(
            f"Expected {URI} to name a server, found the clone's own store. Source the file that "
            "`recap services up` names."
        )
    name = read_params(root / "params.yaml").registration.name
    with exclusive(root / STATE / "publish.lock"), open_store(root) as client:
        return registry_adopt(client, root, name)


def last_receipt(root: Path) -> Receipt | None:
    """The receipt of ``publish`` if neither files nor store have changed since; imports no MLflow.

    A server's store cannot be inspected, so its receipt may be out of date.
    """
    if not (root / RECEIPT).is_file():
        return None
    receipt = read_receipt(root)
    return receipt if receipt.state == _state(root, read_lineage(root)) else None


def read_receipt(root: Path) -> Receipt:
    """The receipt of the last ``publish``."""
    return read_json(root / RECEIPT, Receipt)


def publish_sweep(root: Path, changed: Collection[str] | None = None) -> int:
    """Write the sweep's ledger to tracking; returns the number of cells in tracking.

    Reads only committed files, so a clone that never trained can do this. ``changed`` names the
    cells that tracking may lack (default: all).
    """
    sweep = read_tracked_sweep(root)
    if not sweep.records:
        return 0
    with exclusive(root / STATE / "publish.lock"), open_store(root) as client:
        experiment = experiment_id(client, root, SWEEP_EXPERIMENT)
        write_again(partial(_record_sweep, client, experiment, sweep, changed))
    return len(sweep.records)


def _record_sweep(
    client: MlflowClient, experiment: str, sweep: TrackedSweep, changed: Collection[str] | None
) -> None:
    parent = sweep_run(client, experiment, sweep.id)
    for record in sweep.records:
        if changed is not None and record.name.removeprefix(f"{SWEEP}/") not in changed:
            continue
        own = replace(record, tags={**record.tags, PARENT: parent})
        record_cell(client, experiment, own)
    describe_sweep(
        client,
        sweep_run(client, experiment, sweep.id),
        sweep.tags,
        sweep.design,
        sweep.artifacts,
        recorded=len(sweep.records),
        cells=sweep.cells,
    )


def follow_sweep(root: Path, stopped: Callable[[], bool], warn: Callable[[str], None]) -> None:
    """As ``follow``, for the child runs of a sweep; completes each cell when it is recorded."""
    project = read_project(root)
    sweep, published = sweep_id(project), _recorded(root)
    own = owner(root, Params.model_validate(dict(project.params)))

    def begin(client: MlflowClient, experiment: str, cell: str) -> str:
        parent = sweep_run(client, experiment, sweep)
        return start_run(client, experiment, f"{SWEEP}/{cell}", {**own, PARENT: parent})

    def recorded() -> Callable[[], None]:
        now = _recorded(root)
        changed = {cell for cell, when in now.items() if published.get(cell) != when}

        def complete() -> None:
            nonlocal published
            if changed:
                publish_sweep(root, changed)
                published = now

        return complete

    follow(
        root,
        stopped,
        warn,
        files=LiveFiles(project.folder),
        begin=begin,
        recorded=recorded,
        experiment=SWEEP_EXPERIMENT,
    )


def _recorded(root: Path) -> dict[str, int]:
    """The ledger's cells, with the times of their files."""
    return {path.stem: path.stat().st_mtime_ns for path in (root / LEDGER).glob("*.json")}


def follow(
    root: Path,
    stopped: Callable[[], bool],
    warn: Callable[[str], None],
    *,
    files: LiveFiles | None = None,
    begin: Begin | None = None,
    recorded: Callable[[], Callable[[], None]] = lambda: lambda: None,
    experiment: str = EXPERIMENT,
) -> None:
    """Mirror live metrics into unfinished runs until ``stopped``; ``publish`` completes them.

    A failing store gives one warning, and unsent lines are sent with the next ones. ``files`` are
    those of ``root`` by default. ``begin`` creates the run of a cell. ``recorded`` is called before
    the files are read; it returns a function to call afterwards, so that a cell is completed only
    when all its lines are sent.
    """
    files = files or LiveFiles(root)
    begin = begin or _beginning(owner(root, read_params(root / "params.yaml")))
    pending: dict[str, list[Line]] = {}
    runs: dict[str, str] = {}
    warned = False
    while True:
        last = stopped()
        complete = recorded()
        for fresh in files.fresh():
            if fresh.restarted:
                runs.pop(fresh.cell, None)
                pending.pop(fresh.cell, None)
            pending.setdefault(fresh.cell, []).extend(fresh.lines)
        try:
            _mirror(root, experiment, pending, runs, begin)
            complete()
        except TrackingError as error:
            if not warned:
                warn(str(error))
            warned = True
        if last:
            return
        until = time.monotonic() + PAUSE
        while time.monotonic() < until and not stopped():
            time.sleep(0.1)


def _beginning(own: Mapping[str, str]) -> Begin:
    """Creates runs for the cells of `recap run`."""

    def begin(client: MlflowClient, experiment: str, cell: str) -> str:
        return start_run(client, experiment, cell, own)

    return begin


def _mirror(
    root: Path,
    experiment: str,
    pending: dict[str, list[Line]],
    runs: dict[str, str],
    begin: Begin,
) -> None:
    """Send the pending lines and clear them; create a run for a cell that has none in ``runs``."""
    if not pending:
        return
    with open_store(root) as client:
        number = experiment_id(client, root, experiment)
        for cell in list(pending):
            if cell not in runs:
                runs[cell] = begin(client, number, cell)
            log_lines(client, runs[cell], pending[cell])
            log_machine(client, runs[cell], int(pending[cell][-1][STEP]))
            del pending[cell]


def _records(root: Path, params: Params, lineage: Lineage) -> Iterator[CellRecord]:
    """One record for each cell of the matrix that has rates."""
    own = owner(root, params)
    for variant in params.matrix.variants:
        for seed in params.matrix.seeds:
            name = f"{variant}-{seed}"
            rates = root / f"results/rates/{name}.json"
            if not rates.is_file():
                continue
            curve = _curve(root / f"results/train/{name}.jsonl")
            yield CellRecord(
                name=name,
                result=read_json(rates, CellResult),
                curve=curve,
                live=spooled(root, name, curve),
                dynamics=_dynamics(root / f"results/dynamics/{name}.json"),
                settings=trained_with(params, variant),
                tags=lineage.tags(name)
                | {"models": model_revisions(params)}
                | licence_tags(root, params),
                artifacts=[rates],
                data=lineage.data(),
                owner=own,
            )


def _curve(path: Path) -> list[dict[str, float]]:
    """The metrics of every update; empty for an untrained policy."""
    if not path.is_file():
        return []
    return [numbers(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _dynamics(path: Path) -> list[dict[str, float]]:
    """The rates of every snapshot; empty if none was measured."""
    return snapshot_lines(read_json(path, DynamicsResult)) if path.is_file() else []


def _provenance(root: Path, params: Params, lineage: Lineage, candidate: str) -> Provenance:
    """Where a candidate comes from, with all parameters as it was trained."""
    train = params.for_variant(candidate.rsplit("-", 1)[0])
    whole = params.model_dump(mode="json", by_alias=True) | {"train": train.model_dump(mode="json")}
    tags = lineage.tags(candidate) | licence_tags(root, params)
    return Provenance(tags=tags, params=dict(flat(whole)), data=lineage.data())


def _state(root: Path, lineage: Lineage) -> str:
    """A digest of the inputs of publishing: lock, parameters, manifest and the local store."""
    manifest, store = root / REGISTERED, database(root)
    status = store.stat() if store is not None and store.is_file() else None
    return digest(
        {
            "lock": lineage.lock,
            "commit": lineage.commit,
            "params": (root / "params.yaml").read_text(encoding="utf-8"),
            "manifest": manifest.read_text(encoding="utf-8") if manifest.is_file() else None,
            "store": [status.st_mtime_ns, status.st_size] if status else None,
            "uri": store_uri(root),
        }
    )

"""A sweep's records for MLflow, read from the ledger: one record for each current cell.

Leaves out MLflow (recap/tracking/runs.py) and the publication (recap/cli/publish.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.params.whole import Params
from recap.pipeline.lock import digest
from recap.sweeps.ledger import LEDGER, Ledger, Measured
from recap.sweeps.project import Project, read_project
from recap.tracking.live import STEP, spooled
from recap.tracking.measures import snapshot_lines
from recap.tracking.runs import SWEEP, CellRecord, model_revisions, owner

RESULTS = ("microworld.md", "claims.md")
"""Pages in docs/results about the sweep; they contain no prompt and no answer."""


@dataclass(frozen=True, slots=True)
class TrackedSweep:
    """``records`` of the current cells; ``cells`` is the number of all cells.

    ``tags``, ``design`` and ``artifacts`` belong to the sweep's own run.
    """

    id: str
    cells: int
    records: Sequence[CellRecord]
    tags: Mapping[str, str]
    design: Mapping[str, Any]
    artifacts: Sequence[Path]


def sweep_id(project: Project) -> str:
    """The identity of a sweep, which is its world; centre and values may change."""
    params = Params.model_validate(dict(project.params))
    return digest({"seed": params.seed, "world": params.world.model_dump(mode="json")})


def read_tracked_sweep(root: Path) -> TrackedSweep:
    """The sweep of the clone; raises ParameterError if params.yaml has no valid sweep."""
    project, ledger = read_project(root), Ledger(root / LEDGER)
    prints, params = project.fingerprints(), Params.model_validate(dict(project.params))
    models, own, records = model_revisions(params), owner(root, params), []
    for cell, fingerprint in prints.items():
        measured = ledger.read(cell)
        if measured is not None and measured.fingerprint == fingerprint:
            file = root / LEDGER / f"{cell.name}.json"
            records.append(_record(measured, project.folder, file, models, own))
    design = {
        "axes": {axis: list(values) for axis, values in project.design.axes.items()},
        "named": project.design.named,
        "seeds": project.design.seeds,
    }
    pages = [root / "docs/results" / name for name in RESULTS]
    pictures = sorted((root / "docs/results").glob("microworld_*.png"))
    return TrackedSweep(
        id=sweep_id(project),
        cells=len(prints),
        records=records,
        tags={"around": project.design.around, "models": models},
        design=design,
        artifacts=[path for path in (*pages, *pictures) if path.is_file()],
    )


def _record(
    measured: Measured, folder: Path, file: Path, models: str, own: Mapping[str, str]
) -> CellRecord:
    origin, curve = measured.origin, _lines(measured.curve)
    tags = {
        "seed": str(measured.seed),
        "models": models,
        "cell_fingerprint": measured.fingerprint,
        "dvc_lock": origin.lock,
        **{f"stage.{name}": content for name, content in origin.stages.items()},
        **{f"seconds.{stage}": str(took) for stage, took in measured.cost.seconds.items()},
    }
    if origin.commit is not None:
        tags["git_commit"] = origin.commit
    if measured.cost.cpu_seconds is not None:
        tags["cpu_seconds"] = str(measured.cost.cpu_seconds)
    return CellRecord(
        name=f"{SWEEP}/{measured.cell.name}",
        result=measured.result,
        curve=curve,
        live=spooled(folder, measured.cell.name, curve),
        dynamics=snapshot_lines(measured.dynamics) if measured.dynamics else [],
        settings=measured.settings,
        tags=tags,
        artifacts=[file],
        data={"questions-eval": measured.questions, **origin.data},
        owner=own,
    )


def _lines(curve: Mapping[str, Sequence[float | None]]) -> list[dict[str, float]]:
    """A line for each update; leaves out metrics without a value."""
    columns = [[(name, value) for value in values] for name, values in curve.items()]
    return [
        {STEP: float(update), **{name: value for name, value in line if value is not None}}
        for update, line in enumerate(zip(*columns, strict=True), start=1)
    ]

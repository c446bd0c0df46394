"""The attacks made anew on versions that serve: a file of the clone, and a curve in MLflow.

``records/watch/<name>.jsonl`` has a line for each, only ever appended. In MLflow the experiment
``recap-watch`` has a run for each version, whose metrics have the attack's number as their step.
Holds rates and digests. Leaves out the attack (recap/cli/watch.py).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from recap.rows import read_rows
from recap.tracking.live import STEP
from recap.tracking.measures import named_rates
from recap.tracking.runs import FINGERPRINT, experiment_id, log_lines, run_name
from recap.types.results import BenchmarkResult
from recap.types.row import Row

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "recap-watch"
RECORDS = Path("records/watch")


class Watched(Row):
    """One attack: when, by whom, on which version with which seed, what was measured and alarmed.

    ``number`` counts the days since 1970-01-01 unless the caller chose it; it is the seed too.
    """

    at: str
    by: str
    version: str
    fingerprint: str
    number: int
    results: tuple[BenchmarkResult, ...]
    alarms: tuple[str, ...]


def watched(root: Path, name: str) -> list[Watched]:
    """All attacks so far, oldest first."""
    path = root / RECORDS / f"{name}.jsonl"
    return read_rows(path, Watched) if path.is_file() else []


def remember(root: Path, name: str, line: Watched) -> None:
    """Append a line; it is on the disk when this returns."""
    path = root / RECORDS / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line.model_dump_json() + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def draw_curve(client: MlflowClient, root: Path, name: str, lines: list[Watched]) -> None:
    """Bring the curves in MLflow in line with the file; what is there is not logged again."""
    experiment = experiment_id(client, root, EXPERIMENT)
    for line in lines:
        query = f"tags.{FINGERPRINT} = '{line.fingerprint}'"
        found = client.search_runs([experiment], query, max_results=1)
        run = (
            found[0]
            if found
            else client.create_run(
                experiment,
                run_name=run_name(f"{name}-{line.version}", line.fingerprint),
                tags={FINGERPRINT: line.fingerprint, "version": line.version},
            )
        )
        values = dict(named_rates(line.results)) | {"alarms": float(len(line.alarms))}
        log_lines(client, run.info.run_id, [{STEP: float(line.number), **values}])

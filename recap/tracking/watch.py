"""The attacks made anew on versions that serve: a file of the clone, and a curve in MLflow.

``records/watch/<name>.jsonl`` has a line for each, only ever appended. In MLflow the experiment
``recap-watch`` has a run for each version, whose metrics have the attack's number as their step.
Holds rates and digests. Leaves out the attack (recap/cli/watch.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recap.tracking.lines import append_line, read_lines
from recap.tracking.live import STEP
from recap.tracking.measures import named_rates
from recap.tracking.runs import FINGERPRINT, experiment_id, log_lines, run_name
from recap.types.watch import Watched

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "recap-watch"
RECORDS = Path("records/watch")
PAGE = Path("reports/watch.html")
"""There is none before the first attack."""


def watched(root: Path, name: str) -> list[Watched]:
    """All attacks so far, oldest first."""
    return read_lines(root / RECORDS / f"{name}.jsonl", Watched)


def remember(root: Path, name: str, line: Watched) -> None:
    """Append a line; it is on the disk when this returns."""
    append_line(root / RECORDS / f"{name}.jsonl", line)


def draw_curve(client: MlflowClient, root: Path, name: str, lines: Sequence[Watched]) -> None:
    """Bring one version's curve in line with its ``lines``; what is there is not logged again."""
    experiment = experiment_id(client, root, EXPERIMENT)
    fingerprint, version = lines[-1].fingerprint, lines[-1].version
    found = client.search_runs([experiment], f"tags.{FINGERPRINT} = '{fingerprint}'", max_results=1)
    run = (
        found[0]
        if found
        else client.create_run(
            experiment,
            run_name=run_name(f"{name}-{version}", fingerprint),
            tags={FINGERPRINT: fingerprint, "version": version},
        )
    )
    log_lines(
        client,
        run.info.run_id,
        [
            {
                STEP: float(line.number),
                **dict(named_rates(line.results)),
                "alarms": float(len(line.alarms)),
            }
            for line in lines
        ],
    )
    client.set_terminated(run.info.run_id)

"""What MLflow holds of a sweep, for tests. Not a test."""

from __future__ import annotations

import re
from pathlib import Path

from mlflow.entities import Run

from recap.tracking.runs import PARENT, SWEEP_EXPERIMENT, open_store


def runs(folder: Path) -> list[Run]:
    with open_store(folder) as client:
        found = client.get_experiment_by_name(SWEEP_EXPERIMENT)
        return list(client.search_runs([found.experiment_id])) if found else []


def history(folder: Path, run: Run, metric: str) -> list[tuple[int, float]]:
    with open_store(folder) as client:
        points = client.get_metric_history(run.info.run_id, metric)
    return sorted((point.step, point.value) for point in points)


def names(found: list[Run]) -> list[str]:
    """Their names without the digits that make each unique, which they have to be."""
    assert len({run.info.run_name for run in found}) == len(found)
    return sorted(re.sub("-[0-9a-f]{8}$", "", run.info.run_name) for run in found)


def cells(found: list[Run]) -> dict[str, Run]:
    """By cell; each has one run."""
    children = [run for run in found if PARENT in run.data.tags]
    by_name = {run.data.tags["cell"].removeprefix("sweep/"): run for run in children}
    assert len(by_name) == len(children)
    return by_name

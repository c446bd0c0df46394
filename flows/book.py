"""Finished cells into the ledger, with what computing them took.

Leaves out what a record is (recap/sweeps/ledger.py) and who computed the cell (flows/sweep.py here,
flows/pool.py elsewhere).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.stage_run import StageRun
from recap.pipeline.lock import Lineage, digest, read_lineage
from recap.sweeps.design import Cell
from recap.sweeps.fingerprint import overlap
from recap.sweeps.ledger import LEDGER, Cost, Ledger, Origin, measure
from recap.sweeps.project import Project, locked

UNKNOWN = Cost(seconds={}, cpu_seconds=None)


def cost(stages: Sequence[str], run: StageRun) -> Cost:
    """What ``stages`` took; unknown unless ``run`` computed all of them from their start."""
    if set(run.stages) != set(stages) or run.continued:
        return UNKNOWN
    seconds = {stage.rpartition(":")[2]: round(run.stages[stage], 1) for stage in stages}
    return Cost(seconds=seconds, cpu_seconds=round(run.cpu_seconds, 1))


def origin(project: Project, cell: Cell, commit: str) -> Origin:
    """Where the finished cell's outputs lie, by the lock files of ``project``."""
    own = project.stages(cell)
    entries = _with_ancestors(own, locked(project.folder, own))
    lineage = Lineage(commit, digest(entries), entries)
    return Origin(
        commit=commit,
        lock=lineage.lock,
        stages={name.rpartition(":")[2]: digest(entries[name]) for name in own},
        data=lineage.data(),
    )


def _with_ancestors(stages: Sequence[str], entries: Mapping[str, Any]) -> dict[str, Any]:
    """The stages' entries, and of those whose outputs they read, directly or not."""
    found = {stage: entries[stage] for stage in stages}
    wanted = list(stages)
    while wanted:
        reads = [dep["path"] for dep in entries[wanted.pop()].get("deps", [])]
        for name, entry in entries.items():
            makes = [out["path"] for out in entry["outs"]]
            if name not in found and any(overlap(out, dep) for out in makes for dep in reads):
                found[name] = entry
                wanted.append(name)
    return found


class Book:
    """Records cells; what they depend on is asked once, as the run began."""

    def __init__(self, project: Project) -> None:
        """Nothing is written yet."""
        self._project, self._ledger = project, Ledger(project.root / LEDGER)
        self._prints = project.fingerprints()
        self._commit = read_lineage(project.root).commit

    def record(self, cell: Cell, cost: Cost = UNKNOWN) -> None:
        """Keep what was measured; raises DataError where a result is missing or malformed."""
        measured, questions = measure(
            self._project.folder,
            cell,
            fingerprint=self._prints[cell],
            settings=self._project.settings(cell),
            cost=cost,
            origin=origin(self._project, cell, self._commit),
        )
        self._ledger.write(measured, questions)

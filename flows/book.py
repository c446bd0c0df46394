"""Finished cells into the ledger, with what computing them took.

Leaves out what a record is (recap/sweeps/ledger.py) and who computed the cell (flows/sweep.py here,
flows/pool.py elsewhere).
"""

from __future__ import annotations

from collections.abc import Sequence

from flows.stage_run import StageRun
from recap.lineage import digest, read_lineage
from recap.sweeps.design import Cell
from recap.sweeps.ledger import LEDGER, Cost, Ledger, Origin, measure
from recap.sweeps.project import Project, locked

UNKNOWN = Cost(seconds={}, cpu_seconds=None)


def cost(stages: Sequence[str], run: StageRun) -> Cost:
    """What ``stages`` took; unknown unless ``run`` computed all of them from their start."""
    if set(run.stages) != set(stages) or run.continued:
        return UNKNOWN
    seconds = {stage.rpartition(":")[2]: round(run.stages[stage], 1) for stage in stages}
    return Cost(seconds=seconds, cpu_seconds=round(run.cpu_seconds, 1))


def origin(project: Project, cell: Cell, commit: str | None) -> Origin:
    """Where the finished cell's outputs lie, by the lock files of ``project``."""
    stages, own = locked(project.folder), project.stages(cell)
    return Origin(
        commit=commit,
        lock=digest({name: entry for name, entry in stages.items()
                     if name in own or ":" not in name}),
        stages={name.rpartition(":")[2]: digest(stages[name]) for name in own},
        data=read_lineage(project.folder).data(),
    )  # fmt: skip


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

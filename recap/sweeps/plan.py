"""The state of a sweep: which cells are recorded, computed, or to do, and the expected time.

*recorded*: the ledger has the cell, made with the present code and parameters. *computed*: the
sweep's project has up-to-date results that only need recording. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, get_args

from rich.console import Console
from rich.table import Table

from recap.sweeps.design import Cell, cells_by_variant
from recap.sweeps.ledger import Ledger, Measured
from recap.sweeps.project import Project

State = Literal["recorded", "computed", "to do"]


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """``seconds``: the expected time on one core, ``None`` if unknown.

    ``reason``: the reason to compute a recorded cell again.
    """

    cell: Cell
    state: State
    seconds: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Cells in the order of their runs."""

    cells: Sequence[PlannedCell]

    def left(self) -> list[PlannedCell]:
        """The cells that are not recorded."""
        return [planned for planned in self.cells if planned.state != "recorded"]

    def seconds(self, workers: int) -> float | None:
        """The time until all cells are done, with ``workers`` in parallel; ``None`` if unknown."""
        left = [planned.seconds for planned in self.cells if planned.state == "to do"]
        known = [seconds for seconds in left if seconds is not None]
        return sum(known) / min(workers, max(1, len(left))) if len(known) == len(left) else None


def show_plan(plan: Plan, console: Console) -> None:
    """Print a row for each variant and a column for each seed, then the remaining time."""
    variants = cells_by_variant([planned.cell for planned in plan.cells])
    states = {planned.cell: planned for planned in plan.cells}
    seeds = sorted({seed for own in variants.values() for seed in own})
    table = Table("variant", *(f"seed {seed}" for seed in seeds), "minutes a cell")
    for variant, own in variants.items():
        seconds = [states[Cell(variant, seed)].seconds for seed in own]
        known = [each for each in seconds if each]
        table.add_row(
            variant,
            *(_state(states.get(Cell(variant, seed))) for seed in seeds),
            f"{fmean(known) / 60:.1f}" if known else "",
        )
    console.print(table)
    counts = {state: sum(p.state == state for p in plan.cells) for state in get_args(State)}
    console.print(", ".join(f"{count} {state}" for state, count in counts.items()))
    if not counts["to do"]:
        return
    for workers in (1, 2):
        seconds_left = plan.seconds(workers)
        if seconds_left is None:
            console.print("The time of a cell is not known yet: none was timed.")
            return
        console.print(f"about {seconds_left / 60:.0f} minutes with --workers {workers}")
    console.print("Stages that cells share take extra time if they are stale.")


def _state(planned: PlannedCell | None) -> str:
    if planned is None:
        return ""
    return "to do again" if planned.reason else planned.state


def make_plan(
    project: Project, ledger: Ledger, cells: Sequence[Cell], computed: Collection[Cell]
) -> Plan:
    """The state of each cell; ``computed`` are those whose stages are up to date in DVC."""
    prints = project.fingerprints()
    records = {cell: ledger.read(cell) for cell in cells}
    known = [record for record in records.values() if record is not None]
    planned = []
    for cell in cells:
        record = records[cell]
        if record is not None and record.fingerprint == prints[cell]:
            planned.append(PlannedCell(cell, "recorded", 0.0))
        elif cell in computed:
            planned.append(PlannedCell(cell, "computed", 0.0))
        else:
            reason = "" if record is None else "recorded with other code or parameters"
            planned.append(PlannedCell(cell, "to do", expected_seconds(cell, known), reason))
    return Plan(planned)


def expected_seconds(cell: Cell, known: Sequence[Measured]) -> float | None:
    """The variant's mean time with other seeds, or else the mean time of all cells."""
    timed = [record for record in known if record.cost.cpu_seconds is not None]
    same = [record for record in timed if record.variant == cell.variant]
    costs = [sum(record.cost.seconds.values()) for record in same or timed]
    return fmean(costs) if costs else None


def computed_cells(project: Project, stale: Collection[str]) -> set[Cell]:
    """Cells without a stale stage, in a project that matches the clone."""
    asked, written = project.fingerprints(), project.written()
    return {
        cell
        for cell, fingerprint in asked.items()
        if written.get(cell) == fingerprint
        and not any(stage in stale for stage in project.stages(cell))
    }

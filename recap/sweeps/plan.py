"""What is left of a sweep: each cell recorded, computed already, or to do, and how long it takes.

*recorded*: the ledger has it as today's code and parameters would make it. *computed*: its results
lie in the sweep's project, up to date, and only have to be recorded. Writes nothing.
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
    """``seconds``: what it is expected to take on one core, ``None`` where nothing is known.

    ``reason``: why a recorded cell is to be done again.
    """

    cell: Cell
    state: State
    seconds: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Cells in the order in which they are run."""

    cells: Sequence[PlannedCell]

    def left(self) -> list[PlannedCell]:
        """What is not recorded."""
        return [planned for planned in self.cells if planned.state != "recorded"]

    def seconds(self, workers: int) -> float | None:
        """Until all is done, ``workers`` at a time; ``None`` where nothing is known."""
        left = [planned.seconds for planned in self.cells if planned.state == "to do"]
        known = [seconds for seconds in left if seconds is not None]
        return sum(known) / min(workers, max(1, len(left))) if len(known) == len(left) else None


def show_plan(plan: Plan, console: Console) -> None:
    """A row for each variant, a column for each seed, then what is left and for how long."""
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
            console.print("How long a cell takes is not known yet: none was timed.")
            return
        console.print(f"about {seconds_left / 60:.0f} minutes with --workers {workers}")
    console.print("Stages that cells share, where they have to be made, come on top.")


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
    """What the variant took with other seeds, else what cells took on average."""
    timed = [record for record in known if record.cost.cpu_seconds is not None]
    same = [record for record in timed if record.variant == cell.variant]
    costs = [sum(record.cost.seconds.values()) for record in same or timed]
    return fmean(costs) if costs else None


def computed_cells(project: Project, stale: Collection[str]) -> set[Cell]:
    """Cells none of whose stages is stale, in a project that is what the clone asks for."""
    asked, written = project.fingerprints(), project.written()
    return {
        cell
        for cell, fingerprint in asked.items()
        if written.get(cell) == fingerprint
        and not any(stage in stale for stage in project.stages(cell))
    }

"""The costs of the sweep's cells as Markdown: minutes and processor time of the timed cells.

The cost of a cell is unknown, never 0, if the cell was restored from a cache or computed before
costs were recorded. Leaves out the stages that cells share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from recap.report.markdown import table
from recap.sweeps.fingerprint import CELL_STAGES, DYNAMICS
from recap.sweeps.ledger import Measured
from recap.sweeps.plan import expected_seconds


def costs(measured: Sequence[Measured]) -> list[str]:
    """The number of timed cells and their total, then a row for each variant."""
    timed = [cell for cell in measured if cell.cost.cpu_seconds is not None]
    unknown = len(measured) - len(timed)
    said = (
        f"{unknown} of {len(measured)} cells have no known cost: they were restored from a cache, "
        "or computed before costs were recorded."
    )
    if not timed:
        return [said]
    minutes, cpu = sum(map(_minutes, timed)), sum(map(_cpu, timed))
    known = (
        f"{len(timed)} of {len(measured)} cells were timed: {minutes:.0f} minutes of cells one "
        f"after another ({minutes / len(timed):.1f} each), {cpu:.0f} of processor time."
    )
    stages = [
        stage
        for stage in (*CELL_STAGES, DYNAMICS)
        if any(stage in cell.cost.seconds for cell in timed)
    ]
    rows = []
    for variant in dict.fromkeys(cell.variant for cell in timed):
        own = [cell for cell in timed if cell.variant == variant]
        by_stage = [
            _mean(cell.cost.seconds.get(stage, 0.0) / 60 for cell in own) for stage in stages
        ]
        rows.append(
            [
                f"`{variant}`",
                str(len(own)),
                *by_stage,
                _mean(map(_minutes, own)),
                _mean(map(_cpu, own)),
            ]
        )
    header = [
        "Variant",
        "Cells timed",
        *(f"{stage}, min" for stage in stages),
        "Cell, min",
        "Processor, min",
    ]
    if unknown:
        every = sum(expected_seconds(cell.cell, timed) or 0.0 for cell in measured) / 60
        known += (
            f" {said} If each took what timed ones of its kind did, all take {every:.0f} minutes."
        )
    return [known, "Means over the timed cells:", table(header, rows)]


def _minutes(cell: Measured) -> float:
    return sum(cell.cost.seconds.values()) / 60


def _cpu(cell: Measured) -> float:
    return (cell.cost.cpu_seconds or 0.0) / 60


def _mean(values: Iterable[float]) -> str:
    return f"{fmean(values):.1f}"

"""Rates over the updates of training: a panel for each benchmark.

Leaves out training's own metrics (``recap.report.curves``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recap.analysis.axes import benchmark_label, variant_label
from recap.analysis.overtaking import result_at
from recap.report.geometry import Panel, Point, Series, panel
from recap.types.results import DynamicsResult


def dynamics_panels(cells: Sequence[DynamicsResult], colours: Mapping[str, str]) -> list[Panel]:
    """A panel for each benchmark and round: a line with its Wilson band for each trained cell."""
    keys = dict.fromkeys(
        (result.benchmark, result.place)
        for cell in cells
        for snapshot in cell.snapshots
        for result in snapshot.results
    )
    updates = sorted({snapshot.update for cell in cells for snapshot in cell.snapshots})
    panels = []
    for key in keys:
        series: list[Series] = []
        for cell in cells:
            label = variant_label(cell.variant)
            if any(line.label == label for line in series):
                label = ""  # one label for all training seeds
            points = tuple(
                Point(snapshot.update, found.rate.value, found.rate.low, found.rate.high)
                for snapshot in cell.snapshots
                if (found := result_at(snapshot.results, key))
            )
            series.append(Series(label, colours[cell.variant], points, dots=True))
        drawn = panel(
            benchmark_label(*key), series, x_title="update", scale="whole", x_ticks=updates
        )
        if drawn:
            panels.append(drawn)
    return panels

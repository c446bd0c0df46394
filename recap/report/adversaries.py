"""Attacks with an axis as curves: rounds of resets, budgets of search, lengths of the prefill.

For search the curve is the attacker's success (1 - safe), by the number of prefills to choose from,
on a log axis. Benign mirrors have panels beside them. An attack that was not measured has no panel.
Leaves out transfer, whose sources have no order (``recap.report.brittleness``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from recap.analysis.axes import Axes, variant_label
from recap.analysis.tables import index
from recap.benchmarks.declared import BENCHMARKS
from recap.benchmarks.words import AxisName, along, axis
from recap.report.figures import Roles
from recap.report.geometry import Panel, Point, Series, panel
from recap.types.results import CellResult, Metric
from recap.types.row import Domain

SHOWN: dict[Domain, str] = {"harmful": "Safe answers", "benign": "Helpful answers"}
WON: dict[Domain, str] = {"harmful": "Attack success", "benign": "Refusals won"}
"""Titles of the curves by domain: the policy's success, and the attacker's."""
BY: dict[AxisName, str] = {"rounds": "resets", "lengths": "prefill", "budgets": "budget"}


def reset_panels(cells: Sequence[CellResult], colours: Roles, axes: Axes) -> list[Panel]:
    """Success by number of resets."""
    return _panels(cells, colours, axes, "rounds", "rounds of resets")


def search_panels(cells: Sequence[CellResult], colours: Roles, axes: Axes) -> list[Panel]:
    """The attacker's success by its budget: the number of prefills to choose from."""
    return _panels(cells, colours, axes, "budgets", "prefills to choose from")


def grid_panels(cells: Sequence[CellResult], colours: Roles, axes: Axes) -> list[Panel]:
    """Success by the number of planted words."""
    return _panels(cells, colours, axes, "lengths", "planted words")


def _panels(
    cells: Sequence[CellResult], colours: Roles, axes: Axes, along_axis: AxisName, x_title: str
) -> list[Panel]:
    """A panel for each measured benchmark: a line and its interval band for each cell."""
    drawn = [_panel(cells, colours, axes, name, x_title) for name in along(along_axis)]
    return [found for found in drawn if found]


def _panel(
    cells: Sequence[CellResult], colours: Roles, axes: Axes, name: str, x_title: str
) -> Panel | None:
    searched = axis(name) == "budgets"
    series: list[Series] = []
    shown: dict[float, str] = {}
    for cell in cells:
        measured = index(cell)
        points = []
        for round_ in sorted(number for other, number in measured if other == name):
            x, text = _place(axes, name, round_)
            shown[x] = text
            points.append(_point(x, measured[name, round_].rate, flipped=searched))
        label = variant_label(cell.variant)
        if any(line.label == label for line in series):
            label = ""  # one label for all training seeds
        series.append(Series(label, colours[cell.variant], tuple(points), dots=True))
    ticks = sorted(shown)
    return panel(
        _title(name),
        series,
        x_title=x_title,
        scale="whole",
        x_ticks=ticks,
        x_labels=[shown[x] for x in ticks],
    )


def _title(name: str) -> str:
    along_axis = axis(name)
    assert along_axis is not None, f"{name} has no axis"
    shown = WON if along_axis == "budgets" else SHOWN
    return f"{shown[BENCHMARKS[name].domain]}, by {BY[along_axis]}"


def _place(axes: Axes, name: str, round_: int) -> tuple[float, str]:
    """A round's position on the axis, and its tick label."""
    if axis(name) == "budgets" and round_ <= len(axes.search_budgets):
        budget = axes.search_budgets[round_ - 1]
        return math.log2(budget), str(budget)
    if axis(name) == "lengths" and round_ <= len(axes.grid_words):
        words = axes.grid_words[round_ - 1]
        return float(words), str(words)
    return float(round_), str(round_)


def _point(x: float, rate: Metric, *, flipped: bool) -> Point:
    if not flipped:
        return Point(x, rate.value, rate.low, rate.high)
    value, low, high = (
        None if share is None else 1 - share for share in (rate.value, rate.high, rate.low)
    )
    return Point(x, value, low, high)

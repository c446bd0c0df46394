"""Rates over alpha and over prefill length, when enough variants differ in just that.

Lines are benchmarks, since every point is a variant of its own. Two points are no curve: the
default matrix, which holds alpha 0 and one other, has none.
"""

from __future__ import annotations

from collections.abc import Sequence

from recap.analysis.axes import Key
from recap.analysis.settings import Settings
from recap.analysis.tables import index
from recap.report.geometry import Panel, Point, Series, panel
from recap.types.results import CellResult

LINES: tuple[tuple[Key, str, str], ...] = (
    (("prefill", 1), "prefill", "c-line0"),
    (("harmful", 1), "harmful", "c-line1"),
    (("benign", 1), "benign", "c-line2"),
    (("math", 1), "math", "c-line3"),
)
LEAST = 3
"""Values of a dial from which on there is a curve."""


def sweep_panels(cells: Sequence[CellResult], settings: Settings) -> list[Panel]:
    """A panel for each dial that was swept."""
    panels = []
    for field, title, x_title in (
        ("alpha", "By share of prefilled prompts", "α in training"),
        ("prefill_length", "By length of training prefills", "words planted in training"),
    ):
        variants = settings.sweep(field)
        if len(variants) < LEAST:
            continue
        series: list[Series] = []
        for seed in dict.fromkeys(cell.seed for cell in cells):
            for key, label, colour in LINES:
                named = any(line.label == label for line in series)
                points = tuple(
                    Point(value, found.value, found.low, found.high)
                    for value, variant in variants.items()
                    for cell in cells
                    if (cell.variant, cell.seed) == (variant, seed) and key in index(cell)
                    for found in [index(cell)[key].rate]
                )
                series.append(Series("" if named else label, colour, points, dots=True))
        drawn = panel(title, series, x_title=x_title, scale="whole", x_ticks=list(variants))
        if drawn:
            panels.append(drawn)
    return panels

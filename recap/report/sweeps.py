"""Rates over alpha and over prefill length, if enough variants differ only in that setting.

Lines are benchmarks, and points are variants. Two points are no curve, so the default matrix, with
alpha 0 and one other value, has no figure.
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
"""The smallest number of values for a curve."""


def sweep_panels(cells: Sequence[CellResult], settings: Settings) -> list[Panel]:
    """A panel for each setting with enough values."""
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

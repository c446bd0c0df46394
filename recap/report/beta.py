"""J_beta = (1 - beta) J_clean + beta J_pre of each variant (paper, v1's theory).

J_beta is linear in beta by definition. Only its slope, J_pre - J_clean, is a measurement, and has
an interval. Leaves out the statistics (``recap.analysis.objective``).
"""

from __future__ import annotations

from dataclasses import dataclass

from recap.analysis.axes import variant_label
from recap.analysis.evidence import Evidence
from recap.analysis.settings import Settings
from recap.analysis.slopes import PAIRS
from recap.analysis.tables import signed
from recap.report.figures import Roles
from recap.report.geometry import Panel, Point, Series, panel


@dataclass(frozen=True, slots=True)
class SlopeRow:
    """The slope of one cell, or the difference of two, as text in points."""

    label: str
    colour: str
    clean: str
    prefilled: str
    slope: str
    interval: str


@dataclass(frozen=True, slots=True)
class Beta:
    """The lines of one kind of prompts, and their slopes."""

    panel: Panel
    rows: tuple[SlopeRow, ...]


def betas(
    evidence: Evidence, settings: Settings, colours: Roles, untrained: frozenset[str]
) -> list[Beta]:
    """One figure for each kind of prompts that was measured clean and prefilled."""
    found = []
    for title, clean, prefilled in PAIRS:
        series: list[Series] = []
        rows: list[SlopeRow] = []
        for variant in settings.measured:
            slopes = evidence.slopes(variant, clean, prefilled)
            for place, slope in enumerate(slopes[:1] if variant in untrained else slopes):
                label = variant_label(variant)
                ends = (Point(0.0, slope.clean), Point(1.0, slope.prefilled))
                series.append(Series("" if place else label, colours[variant], ends, dots=True))
                name = f"{label} · {place + 1}" if len(slopes) > 1 else label
                rows.append(
                    SlopeRow(
                        name,
                        colours[variant],
                        f"{100 * slope.clean:.1f}",
                        f"{100 * slope.prefilled:.1f}",
                        signed(100 * slope.value),
                        _span(slope.low, slope.high),
                    )
                )
        pair = settings.candidate, settings.baseline
        for difference in evidence.gap_change(*pair, clean, prefilled):
            label = f"{variant_label(pair[0])} less {variant_label(pair[1])}"
            rows.append(
                SlopeRow(
                    label,
                    "",
                    "",
                    "",
                    signed(100 * difference.value),
                    _span(difference.low, difference.high),
                )
            )
        drawn = panel(
            title, series, x_title="β", scale="whole", x_ticks=[0.0, 0.25, 0.5, 0.75, 1.0]
        )
        if drawn:
            found.append(Beta(drawn, tuple(rows)))
    return found


def _span(low: float, high: float) -> str:
    return f"{signed(100 * low)} to {signed(100 * high)}"

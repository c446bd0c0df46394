"""From cell results to the figures of the page: groups of bars, reset rounds, the table.

Every figure keeps each training seed apart: seeds share their prompts, so pooling them would
draw intervals that are too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from recap.report.geometry import Panel, Point, Series, panel
from recap.report.tables import (
    DASH,
    Key,
    benchmark_label,
    benchmarks,
    index,
    interval,
    percent,
    variant_label,
)
from recap.types import BenchmarkResult, CellResult, Metric

ATTACKS = ("harmful", "jailbreak", "prefill", "hijack", "ipr")
COSTS = ("benign", "benign_prefill", "math")
Roles = Mapping[str, str]
"""A colour class per variant."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One cell in a group: lengths in percent of the full width, ``None`` without a score."""

    label: str
    colour: str
    value: float | None
    low: float | None
    high: float | None
    text: str
    interval: str


@dataclass(frozen=True, slots=True)
class BarGroup:
    """One benchmark with a bar for each cell."""

    label: str
    note: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class TableCell:
    """One rate as text: value, Wilson and clustered interval, and what was left out."""

    value: str
    interval: str
    clustered: str
    unscored: int
    incomplete: int
    tokens: str


@dataclass(frozen=True, slots=True)
class TableRow:
    """One benchmark across all cells; a ``None`` cell did not measure it."""

    label: str
    note: str
    domain: str
    cells: tuple[TableCell | None, ...]


def roles(
    cells: Sequence[CellResult], candidate: str, baseline: str, untrained: frozenset[str]
) -> dict[str, str]:
    """A colour class per variant, by its part in the comparison and not by its name."""
    found: dict[str, str] = {}
    for variant in dict.fromkeys(cell.variant for cell in cells):
        if variant == candidate:
            found[variant] = "c-candidate"
        elif variant == baseline:
            found[variant] = "c-baseline"
        elif variant in untrained:
            found[variant] = "c-base"
        else:
            extra = sum(role.startswith("c-extra") for role in found.values())
            found[variant] = f"c-extra{extra % 3}"
    return found


def shown(cells: Sequence[CellResult], untrained: frozenset[str]) -> list[CellResult]:
    """All cells, but an untrained variant once: its training seeds are one and the same policy."""
    first = {cell.variant: cell.seed for cell in reversed(cells)}
    return [
        cell for cell in cells if cell.variant not in untrained or cell.seed == first[cell.variant]
    ]


def cell_label(cell: CellResult, cells: Sequence[CellResult]) -> str:
    """The variant, with its training seed where there are several."""
    several = sum(other.variant == cell.variant for other in cells) > 1
    name = variant_label(cell.variant)
    return f"{name} · {cell.seed}" if several else name


def bar_groups(
    cells: Sequence[CellResult],
    names: Sequence[str],
    colours: Roles,
    what: Literal["rate", "reflection"] = "rate",
) -> list[BarGroup]:
    """A group of bars for each measured benchmark among ``names``; of resets the last round."""
    groups = []
    for name in names:
        rounds = [found.round for found in benchmarks(cells) if found.benchmark == name]
        if not rounds:
            continue
        key = (name, max(rounds))
        metrics = [_metric(cell, key, what) for cell in cells]
        if all(metric is None or metric.value is None for metric in metrics):
            continue
        bars = tuple(
            _bar(cell_label(cell, cells), colours[cell.variant], metric)
            for cell, metric in zip(cells, metrics, strict=True)
        )
        groups.append(BarGroup(benchmark_label(*key), _sizes(metrics), bars))
    return groups


def _metric(cell: CellResult, key: Key, what: Literal["rate", "reflection"]) -> Metric | None:
    result = index(cell).get(key)
    if result is None:
        return None
    return result.rate if what == "rate" else result.reflection


def _bar(label: str, colour: str, metric: Metric | None) -> Bar:
    if metric is None or metric.value is None:
        return Bar(label, colour, None, None, None, DASH, "")
    return Bar(
        label,
        colour,
        _length(metric.value),
        _length(metric.low),
        _length(metric.high),
        percent(metric.value),
        interval(metric.low, metric.high),
    )


def _length(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def _sizes(metrics: Sequence[Metric | None]) -> str:
    sizes = sorted({metric.n for metric in metrics if metric is not None and metric.n})
    if not sizes:
        return "n = 0"
    return f"n = {sizes[0]}" if len(sizes) == 1 else f"n = {sizes[0]}{DASH}{sizes[-1]}"


def reset_panel(cells: Sequence[CellResult], colours: Roles) -> Panel | None:
    """Safety by number of resets, a line and its interval band for each cell."""
    series: list[Series] = []
    for cell in cells:
        rounds = sorted(round_ for name, round_ in index(cell) if name == "ipr")
        rates = [(round_, index(cell)["ipr", round_].rate) for round_ in rounds]
        points = tuple(Point(round_, m.value, m.low, m.high) for round_, m in rates)
        label = variant_label(cell.variant)
        if any(line.label == label for line in series):
            label = ""
        series.append(Series(label, colours[cell.variant], points, dots=True))
    ticks = sorted({point.x for line in series for point in line.points})
    return panel("Safe answers", series, x_title="reset rounds", scale="whole", x_ticks=ticks)


def table_rows(cells: Sequence[CellResult]) -> list[TableRow]:
    """The table of all rates, benchmark by benchmark."""
    rows = []
    for result in benchmarks(cells):
        key = (result.benchmark, result.round)
        found = [index(cell).get(key) for cell in cells]
        sizes = _sizes([None if other is None else other.rate for other in found])
        rows.append(
            TableRow(
                benchmark_label(*key),
                f"% {result.score}, {sizes}",
                result.domain,
                tuple(None if other is None else _table_cell(other) for other in found),
            )
        )
    return rows


def _table_cell(result: BenchmarkResult) -> TableCell:
    rate = result.rate
    return TableCell(
        percent(rate.value, decimals=1),
        interval(rate.low, rate.high),
        interval(rate.cluster_low, rate.cluster_high),
        rate.n_unscored,
        rate.n_incomplete,
        _tokens(result),
    )


def _tokens(result: BenchmarkResult) -> str:
    if result.mean_cot_tokens is None or result.mean_response_tokens is None:
        return DASH
    return f"{result.mean_cot_tokens:.0f} + {result.mean_response_tokens:.0f}"

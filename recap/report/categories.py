"""Rates by category of the planted thought or of the prompt, as groups of bars.

A rate over all prompts hides the category in which a policy fails. Leaves out searches: which
thought they plant depends on the policy, so its category is part of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recap.analysis.axes import NO_AXES, Axes, benchmark_label
from recap.analysis.tables import benchmarks, index, main_keys
from recap.benchmarks.words import axis
from recap.report.figures import BarGroup, Roles, metric_bars
from recap.types.results import CellResult, Metric

WITHOUT = "without a category"
FEWEST = 5
"""A category with fewer scored answers in every cell is left out."""


@dataclass(frozen=True, slots=True)
class Categories:
    """One benchmark: a group of bars for each category."""

    title: str
    score: str
    groups: tuple[BarGroup, ...]


def categories(
    cells: Sequence[CellResult], baseline: str, colours: Roles, axes: Axes = NO_AXES
) -> list[Categories]:
    """The main benchmarks whose completions have categories, at the end of their axes.

    Categories in which the baseline succeeds most often come first.
    """
    found = []
    for result in benchmarks(cells):
        key = (result.benchmark, result.place)
        rates = [_rates(cell, key) for cell in cells]
        names = dict.fromkeys(
            name for each in rates for name, rate in each.items() if rate.n >= FEWEST
        )
        searched = axis(result.benchmark) == "budgets"
        if key not in main_keys(cells) or searched or not names:
            continue
        theirs = [each for cell, each in zip(cells, rates, strict=True) if cell.variant == baseline]
        order = sorted(names, key=lambda name: (name is None, -_mean(theirs, name)))
        groups = tuple(
            metric_bars(name or WITHOUT, cells, [each.get(name) for each in rates], colours)
            for name in order
        )
        found.append(Categories(benchmark_label(*key, axes), result.score, groups))
    return found


def _rates(cell: CellResult, key: tuple[str, int]) -> dict[str | None, Metric]:
    result = index(cell).get(key)
    return {} if result is None else {each.category: each.rate for each in result.categories}


def _mean(rates: Sequence[dict[str | None, Metric]], name: str | None) -> float:
    """The mean over training seeds; 0 where nothing was scored: it only orders the groups."""
    values = [each[name].value or 0.0 for each in rates if name in each]
    return sum(values) / len(values) if values else 0.0

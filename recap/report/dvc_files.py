"""Files for `dvc metrics` and `dvc plots`: the main rates in percent, rewards by update.

There is one file for each benchmark, with a number for each cell. DVC prints one row per file, so
the table of a default run fits 80 columns. Leaves out intervals and n, which the page and
``tables.json`` have. A rate that was not measured or has no scored row is ``None``, which DVC shows
as a dash, and never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recap.analysis.curves import UPDATE
from recap.analysis.tables import index, main_keys
from recap.types.results import CellResult

Rates = dict[str, dict[str, float | None]]
"""Benchmark -> cell -> percent."""


def main_rates(cells: Sequence[CellResult]) -> Rates:
    """The benchmarks to look at first, each at the last place of its axis."""
    return {
        key[0]: {
            f"{cell.variant}-{cell.seed}": points(found[key].rate.value) if key in found else None
            for cell in cells
            for found in [index(cell)]
        }
        for key in sorted(main_keys(cells))
    }


def points(share: float | None) -> float | None:
    """``0.9884`` as 98.8; rounding never gives 100 or 0 unless the share is 1 or 0."""
    if share is None:
        return None
    if share in (0, 1):
        return 100 * share
    return min(99.9, max(0.1, round(100 * share, 1)))


def bars(rates: Rates) -> list[dict[str, Any]]:
    """A row for each rate."""
    return [
        {"benchmark": benchmark, "cell": cell, "rate": rate}
        for benchmark, named in rates.items()
        for cell, rate in named.items()
    ]


def rewards(metrics: Mapping[tuple[str, int], Iterable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each cell and update: the mean reward of its rollouts, ``None`` without any."""
    return [
        {UPDATE: line[UPDATE], "cell": f"{variant}-{seed}", "reward": line.get("reward")}
        for (variant, seed), lines in metrics.items()
        for line in lines
    ]

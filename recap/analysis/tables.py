"""Rates as a table, for ``reports/tables.json``, the command line and the page.

One column per cell (variant and seed), one row per benchmark and round. A rate that was not
measured or has no scored row is ``None``, shown as an en dash and never as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recap.analysis.axes import NO_AXES, Axes, Key, benchmark_label
from recap.benchmarks.words import MAIN
from recap.types.results import BenchmarkResult, CellResult

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


def index(cell: CellResult) -> dict[Key, BenchmarkResult]:
    """The results of a cell by benchmark and round."""
    return {(result.benchmark, result.place): result for result in cell.results}


def benchmarks(cells: Sequence[CellResult]) -> list[BenchmarkResult]:
    """One representative of each benchmark and round, in the order of first appearance."""
    first: dict[Key, BenchmarkResult] = {}
    for cell in cells:
        for key, result in index(cell).items():
            first.setdefault(key, result)
    return list(first.values())


def main_keys(cells: Sequence[CellResult]) -> set[Key]:
    """The benchmarks to look at first, each at the last place of its axis."""
    last: dict[str, int] = {}
    for result in benchmarks(cells):
        last[result.benchmark] = max(last.get(result.benchmark, 0), result.place)
    return {(name, last[name]) for name in MAIN if name in last}


def tables(cells: Sequence[CellResult], axes: Axes = NO_AXES) -> dict[str, Any]:
    """Rates with notes on how to read them: the first part of ``tables.json``."""
    main = main_keys(cells)
    return {
        "benchmarks": [
            {
                "name": result.benchmark,
                "place": result.place,
                "domain": result.domain,
                "label": benchmark_label(result.benchmark, result.place, axes),
                "score": result.score,
                "at": axes.at(result.benchmark, result.place),
                "prefill_source": result.prefill_source,
                "main": (result.benchmark, result.place) in main,
            }
            for result in benchmarks(cells)
        ],
        "cells": [
            {
                "variant": cell.variant,
                "seed": cell.seed,
                "results": {
                    f"{name}/{round_}": {
                        **result.rate.model_dump(),
                        "reflection": result.reflection.value,
                        "reflection_position": result.mean_reflection_position,
                        "cot_tokens": result.mean_cot_tokens,
                        "response_tokens": result.mean_response_tokens,
                        "pass_at_k": {str(at.k): at.value for at in result.pass_at_k},
                        "rubric": result.rubric.model_dump() if result.rubric else None,
                        "thought": result.thought.model_dump() if result.thought else None,
                        "categories": [each.model_dump() for each in result.categories],
                    }
                    for (name, round_), result in index(cell).items()
                },
            }
            for cell in cells
        ],
    }


def percent(share: float | None, decimals: int = 0) -> str:
    """``0.314`` as ``31 %``; rounding never gives 100 % or 0 % unless the share is 1 or 0."""
    if share is None:
        return DASH
    text = f"{100 * share:.{decimals}f}"
    step = 10.0**-decimals
    if share < 1 and float(text) >= 100:
        return f">{NBSP}{100 - step:.{decimals}f}{NBSP}%"
    if share > 0 and float(text) == 0:
        return f"<{NBSP}{step:.{decimals}f}{NBSP}%"
    return f"{text}{NBSP}%"


def signed(value: float, decimals: int = 1) -> str:
    """A change with its sign, using the minus character."""
    return f"{value:+.{decimals}f}".replace("-", MINUS)


def interval(low: float | None, high: float | None) -> str:
    """Two shares as percentages with a dash between; a lone dash when there is no interval."""
    if low is None or high is None:
        return DASH
    return f"{100 * low:.1f}{DASH}{100 * high:.1f}"

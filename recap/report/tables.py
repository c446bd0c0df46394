"""Rates as a table: ``reports/tables.json``, what the command line prints and the page shows.

One column per cell (variant and seed), one row per benchmark and round. A rate that was not
measured or has no scored row is ``None``, shown as an en dash and never as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recap.types import BenchmarkResult, CellResult

NBSP = "\N{NO-BREAK SPACE}"
DASH = "–"  # noqa: RUF001 - an en dash is meant
BENCHMARK_LABELS = {
    "harmful": "Harmful requests",
    "jailbreak": "Jailbreaks",
    "prefill": "Prefill attack",
    "hijack": "Full CoT hijack",
    "ipr": "Prefill reset",
    "benign": "Benign requests",
    "benign_prefill": "Benign, prefilled",
    "math": "Arithmetic",
}
VARIANT_LABELS = {
    "base": "Base",
    "dapo": "DAPO",
    "recap": "RECAP",
    "aligned": "Aligned prefills",
    "sft_plain": "SFT",
    "sft_star": "SFT, as STAR",
    "sft_safechain": "SFT, as SafeChain",
}

Key = tuple[str, int]
"""A benchmark and its round."""


def variant_label(variant: str) -> str:
    """How a variant is written for readers."""
    return VARIANT_LABELS.get(variant, variant)


def benchmark_label(name: str, round_: int) -> str:
    """How a benchmark is written for readers; only resets have rounds worth naming."""
    label = BENCHMARK_LABELS.get(name, name)
    return f"{label}, round {round_}" if name == "ipr" else label


def family_label(name: str) -> str:
    """A benchmark's name for all of its rounds together."""
    return BENCHMARK_LABELS.get(name, name)


def index(cell: CellResult) -> dict[Key, BenchmarkResult]:
    """The results of a cell by benchmark and round."""
    return {(result.benchmark, result.round): result for result in cell.results}


def benchmarks(cells: Sequence[CellResult]) -> list[BenchmarkResult]:
    """One representative of each benchmark and round, in the order of first appearance."""
    first: dict[Key, BenchmarkResult] = {}
    for cell in cells:
        for key, result in index(cell).items():
            first.setdefault(key, result)
    return list(first.values())


def tables(cells: Sequence[CellResult]) -> dict[str, Any]:
    """The content of ``tables.json``."""
    return {
        "benchmarks": [
            {
                "name": result.benchmark,
                "round": result.round,
                "domain": result.domain,
                "label": benchmark_label(result.benchmark, result.round),
                "score": result.score,
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
                    }
                    for (name, round_), result in index(cell).items()
                },
            }
            for cell in cells
        ],
    }


def percent(share: float | None, decimals: int = 0) -> str:
    """``0.314`` as ``31 %``; rounding never turns almost all into all, or a few into none."""
    if share is None:
        return DASH
    text = f"{100 * share:.{decimals}f}"
    step = 10.0**-decimals
    if share < 1 and float(text) >= 100:
        return f">{NBSP}{100 - step:.{decimals}f}{NBSP}%"
    if share > 0 and float(text) == 0:
        return f"<{NBSP}{step:.{decimals}f}{NBSP}%"
    return f"{text}{NBSP}%"


def interval(low: float | None, high: float | None) -> str:
    """Two shares as percentages with a dash between; a lone dash when there is no interval."""
    if low is None or high is None:
        return DASH
    return f"{100 * low:.1f}{DASH}{100 * high:.1f}"

"""The paper's numbers beside this run's: the benchmarks that correspond, and both ways to average.

The paper's headline percentages are means of relative changes, which are not differences of means.
Numbers: arXiv 2510.00938 v2, Tables 2 to 4, 7, 8, 11, 12 (``paper_numbers.json``). The paper's
models have 8 and 14 billion parameters, and its prompts are real. Compare directions and their
intervals, never levels. Leaves out the verdicts (``recap.analysis.claims``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import fmean
from typing import Any

from recap.analysis.axes import Axes, Key, benchmark_label
from recap.analysis.evidence import Evidence
from recap.analysis.relative import Changes, changes
from recap.analysis.tables import index
from recap.analysis.verdicts import Estimate
from recap.benchmarks.declared import BENCHMARKS
from recap.evaluation.rates import span
from recap.types.results import CellResult
from recap.types.row import Domain

MODELS = ("DSLlama-8B", "DSQwen-14B")
COUNTERPARTS = {
    "harmful": "StrongREJECT",
    "prefill": "StrongREJECT-Prefill",
    "jailbreak": "WildJailbreak",
    "fortress": "Fortress",
    "benign": "XSTest",
    "fortress_or": "FortressOR",
    "math": "MATH500",
}
"""Our benchmark -> its counterpart in the paper's Table 2 (AIME is pass@16 there, no rate)."""
FAMILIES: tuple[tuple[str, Domain], ...] = (
    ("Safety", "harmful"),
    ("Helpfulness", "benign"),
    ("Math", "math"),
)


@dataclass(frozen=True, slots=True)
class Side:
    """Baseline, candidate and their difference, in percent, with the interval if there is one."""

    baseline: float | None
    candidate: float | None
    difference: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One benchmark: the paper's name for it, this run, and each of the paper's models."""

    label: str
    counterpart: str
    here: tuple[Side, ...]
    paper: tuple[Side | None, ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A family of benchmarks averaged in both ways, for one set of policies."""

    order: int
    family: str
    where: str
    benchmarks: tuple[str, ...]
    changes: Changes


@cache
def numbers() -> dict[str, Any]:
    """The paper's tables, in percent unless noted there."""
    text = (files("recap.analysis") / "paper_numbers.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def gaps(benchmark: str) -> tuple[float, ...]:
    """RECAP minus DAPO in points for each of the paper's models (Table 2)."""
    table = numbers()["table2_main"]
    name = COUNTERPARTS[benchmark]
    return tuple(table[model]["RECAP"][name] - table[model]["DAPO"][name] for model in MODELS)


def paper_rows(
    cells: Sequence[CellResult], evidence: Evidence, candidate: str, baseline: str, axes: Axes
) -> list[PaperRow]:
    """Every benchmark measured for both variants; levels are means over the training seeds."""
    rows = []
    for key, counterpart, paper in _counterparts(cells):
        found = evidence.difference(candidate, baseline, key)
        if not found:
            continue
        here = tuple(_here(cells, key, candidate, baseline, estimate) for estimate in found)
        rows.append(PaperRow(benchmark_label(*key, axes), counterpart, here, paper))
    return rows


def aggregates(cells: Sequence[CellResult], candidate: str, baseline: str) -> list[Aggregate]:
    """Both averages over safety, helpfulness and math: this run first, then the paper's models."""
    found = []
    for order, (family, domain) in enumerate(FAMILIES):
        names = [name for name in COUNTERPARTS if BENCHMARKS[name].domain == domain]
        rates = [
            {
                name: value
                for name in names
                if (value := _rate(cells, variant, (name, 1))) is not None
            }
            for variant in (candidate, baseline)
        ]
        shared = [name for name in names if all(name in rate for rate in rates)]
        if not shared:
            continue
        mine, theirs = ({name: rate[name] for name in shared} for rate in rates)
        lowest = {name: _lowest(cells, baseline, (name, 1)) for name in shared}
        here = changes(mine, theirs, lowest)
        found.append(Aggregate(order, family, "here", tuple(shared), here))
        for model in MODELS:
            table = numbers()["table2_main"][model]
            mine, theirs = (
                {name: table[method][COUNTERPARTS[name]] / 100 for name in shared}
                for method in ("RECAP", "DAPO")
            )
            there = changes(mine, theirs, theirs)
            found.append(Aggregate(order, family, model, tuple(shared), there))
    return found


def _counterparts(
    cells: Sequence[CellResult],
) -> list[tuple[Key, str, tuple[Side | None, ...]]]:
    """Our benchmarks with the paper's name and its numbers for each model."""
    table, hijack = numbers()["table2_main"], numbers()["table3_full_cot_hijack"]
    resets = numbers()["table4_iterative_prefill_reset"]
    found: list[tuple[Key, str, tuple[Side | None, ...]]] = [
        (
            (ours, 1),
            theirs,
            tuple(_side(table[m]["DAPO"][theirs], table[m]["RECAP"][theirs]) for m in MODELS),
        )
        for ours, theirs in COUNTERPARTS.items()
    ]
    both = tuple(_side(hijack[model]["DAPO"], hijack[model]["RECAP"]) for model in MODELS)
    found.append((("hijack", 1), "full CoT hijack", both))
    measured = sorted({key[1] for cell in cells for key in index(cell) if key[0] == "ipr"})
    for round_ in measured:
        if round_ in resets["rounds"]:
            place = resets["rounds"].index(round_)
            side = _side(resets["DAPO"][place], resets["RECAP"][place])
            found.append((("ipr", round_), f"prefill reset, round {round_}", (side, None)))
    return found


def _side(baseline: float, candidate: float) -> Side:
    return Side(baseline, candidate, candidate - baseline)


def _here(
    cells: Sequence[CellResult], key: Key, candidate: str, baseline: str, found: Estimate
) -> Side:
    theirs, mine = (_rate(cells, variant, key) for variant in (baseline, candidate))
    return Side(
        None if theirs is None else 100 * theirs,
        None if mine is None else 100 * mine,
        100 * found.value,
        100 * found.low,
        100 * found.high,
    )


def _rate(cells: Sequence[CellResult], variant: str, key: Key) -> float | None:
    """A variant's rate, the mean over its training seeds."""
    values = [
        index(cell)[key].rate.value
        for cell in cells
        if cell.variant == variant and key in index(cell)
    ]
    scored = [value for value in values if value is not None]
    return fmean(scored) if scored else None


def _lowest(cells: Sequence[CellResult], variant: str, key: Key) -> float:
    """The lowest end of a variant's intervals over its training seeds."""
    rates = [
        index(cell)[key].rate for cell in cells if cell.variant == variant and key in index(cell)
    ]
    return min(span(rate).low for rate in rates if rate.n)

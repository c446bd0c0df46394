"""Prefill sources against policies, as in the paper's Table 1: one rate for each pair.

The first row is the clean rate ("original"). A row is marked if its thoughts come from a source
that trains policies, or from the policy itself. Such a row is exempt from the rule that evaluation
never uses training sources, and is no evidence on unseen sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recap.analysis.axes import Axes, Key, exempt, source_label
from recap.analysis.tables import DASH, benchmarks, index, interval, percent
from recap.benchmarks.words import of_attack
from recap.types.results import BenchmarkResult, CellResult
from recap.types.row import Domain

TITLES: tuple[tuple[str, Domain], ...] = (
    ("Safe answers to harmful requests", "harmful"),
    ("Helpful answers to benign requests", "benign"),
)


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One rate: as text, and as whole percents for its shade (``None`` without a score)."""

    text: str
    interval: str
    shade: int | None


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One prefill source across all policies; ``marked`` if it is exempt."""

    label: str
    marked: bool
    cells: tuple[MatrixCell, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The rates of one kind of prompts."""

    title: str
    rows: tuple[MatrixRow, ...]


def matrices(cells: Sequence[CellResult], axes: Axes) -> list[Matrix]:
    """Harmful and benign prompts, each if more than the clean rate was measured."""
    found = []
    for title, domain in TITLES:
        clean, transfer, own = (of_attack(a, domain) for a in ("direct", "transfer", "self"))
        keys: list[Key] = [
            (result.benchmark, result.place)
            for result in benchmarks(cells)
            if result.benchmark in (transfer, own)
        ]
        if not keys:
            continue
        keys.sort(key=lambda key: (key[0] == own, key[1]))
        rows = [_row(cells, key, axes) for key in ((clean, 1), *keys)]
        found.append(Matrix(title, tuple(row for row in rows if row)))
    return found


def _row(cells: Sequence[CellResult], key: Key, axes: Axes) -> MatrixRow | None:
    measured = [index(cell).get(key) for cell in cells]
    first = next((result for result in measured if result), None)
    if first is None:
        return None
    source = first.prefill_source
    label = axes.at(*key) or "none (original)" if source is None else source_label(source)
    shown = tuple(_cell(result) for result in measured)
    return MatrixRow(label[0].upper() + label[1:], exempt(source), shown)


def _cell(result: BenchmarkResult | None) -> MatrixCell:
    if result is None or result.rate.value is None:
        return MatrixCell(DASH, "", None)
    rate = result.rate
    return MatrixCell(
        percent(rate.value), interval(rate.low, rate.high), round(100 * result.rate.value)
    )

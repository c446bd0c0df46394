"""From cell results to the figures of the page: groups of bars and the table of all rates.

Every figure shows each training seed separately. Seeds share their prompts, so intervals of pooled
seeds would be too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from recap.analysis.axes import NO_AXES, Axes, benchmark_label, exempt, variant_label
from recap.analysis.tables import DASH, NBSP, benchmarks, index, interval, main_keys, percent
from recap.benchmarks.words import Thought, thinking
from recap.evaluation.rates import unscored_bounds
from recap.types.results import BenchmarkResult, CellResult, Metric

REFLECTIVE: tuple[tuple[str, Thought], ...] = (
    ("Asked plainly", "plain"),
    ("With planted thoughts", "planted"),
)
RARE = 5.0
"""Percent. If every policy's interval ends below this, all bars would look empty."""
EXTRAS = 6
"""Colours of variants without a role; the seventh variant gets the first colour again."""
Roles = Mapping[str, str]
"""A colour class per variant."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One cell in a group: lengths in percent of the full width, ``None`` without a score.

    ``note`` is the small text beside the value.
    """

    label: str
    colour: str
    value: float | None
    low: float | None
    high: float | None
    text: str
    interval: str
    note: str


@dataclass(frozen=True, slots=True)
class BarGroup:
    """One benchmark with a bar for each cell; ``marked`` where training may know the prefills."""

    label: str
    note: str
    bars: tuple[Bar, ...]
    marked: bool


@dataclass(frozen=True, slots=True)
class Reflections:
    """Self-reflection on one kind of prompt: bars for benchmarks where it may be frequent.

    ``rare``: the other benchmarks with their sizes. ``most``: the highest rate on any of them.
    """

    title: str
    groups: tuple[BarGroup, ...]
    rare: tuple[str, ...]
    most: str


@dataclass(frozen=True, slots=True)
class TableCell:
    """One rate as text: value, Wilson and clustered interval, unscored and incomplete answers."""

    value: str
    interval: str
    clustered: str
    unscored: str
    incomplete: int
    tokens: str


@dataclass(frozen=True, slots=True)
class TableRow:
    """One benchmark across all cells; a ``None`` cell did not measure it.

    ``main``: one of the main benchmarks.
    """

    label: str
    note: str
    domain: str
    main: bool
    cells: tuple[TableCell | None, ...]


def roles(
    cells: Sequence[CellResult], candidate: str, baseline: str, untrained: frozenset[str]
) -> dict[str, str]:
    """A colour class per variant, by its role in the comparison and not by its name."""
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
            found[variant] = f"c-extra{extra % EXTRAS}"
    return found


def shown(cells: Sequence[CellResult], untrained: frozenset[str]) -> list[CellResult]:
    """All cells, but an untrained variant only once, because its seeds give the same policy."""
    first = {cell.variant: cell.seed for cell in reversed(cells)}
    return [
        cell for cell in cells if cell.variant not in untrained or cell.seed == first[cell.variant]
    ]


def cell_label(cell: CellResult, cells: Sequence[CellResult]) -> str:
    """The variant, with its training seed if there are several."""
    several = sum(other.variant == cell.variant for other in cells) > 1
    name = variant_label(cell.variant)
    return f"{name} · {cell.seed}" if several else name


def bar_groups(
    cells: Sequence[CellResult],
    names: Sequence[str],
    colours: Roles,
    axes: Axes = NO_AXES,
    what: Literal["rate", "reflection"] = "rate",
) -> list[BarGroup]:
    """A group of bars for each measured benchmark among ``names``, at the end of its axis.

    With ``reflection``, the small text is the mean position of the first reflection.
    """
    groups = []
    for name in names:
        rounds = [found.place for found in benchmarks(cells) if found.benchmark == name]
        if not rounds:
            continue
        key = (name, max(rounds))
        results = [index(cell).get(key) for cell in cells]
        metrics = [None if found is None else getattr(found, what) for found in results]
        if all(metric is None or metric.value is None for metric in metrics):
            continue
        bars = tuple(
            _bar(
                cell_label(cell, cells),
                colours[cell.variant],
                metric,
                None if what == "rate" or found is None else _position(found),
            )
            for cell, found, metric in zip(cells, results, metrics, strict=True)
        )
        marked = any(found is not None and exempt(found.prefill_source) for found in results)
        groups.append(BarGroup(benchmark_label(*key, axes), _sizes(metrics), bars, marked))
    return groups


def metric_bars(
    label: str, cells: Sequence[CellResult], metrics: Sequence[Metric | None], colours: Roles
) -> BarGroup:
    """One group: a bar for each cell's metric."""
    bars = tuple(
        _bar(cell_label(cell, cells), colours[cell.variant], metric, None)
        for cell, metric in zip(cells, metrics, strict=True)
    )
    return BarGroup(label, _sizes(metrics), bars, marked=False)


def reflections(
    cells: Sequence[CellResult], colours: Roles, axes: Axes = NO_AXES
) -> list[Reflections]:
    """Separate groups for clean and prefilled thoughts; none if no thought was generated."""
    found = []
    for title, thought in REFLECTIVE:
        groups = bar_groups(cells, thinking(thought), colours, axes, "reflection")
        drawn = tuple(g for g in groups if any((bar.high or 0.0) >= RARE for bar in g.bars))
        rare = [group for group in groups if group not in drawn]
        most = max((bar.value or 0.0 for group in rare for bar in group.bars), default=0.0)
        names_of = tuple(f"{group.label} ({group.note.replace(' ', NBSP)})" for group in rare)
        if groups:
            found.append(Reflections(title, drawn, names_of, percent(most / 100)))
    return found


def _position(result: BenchmarkResult) -> str:
    """The mean position of the first turn in the generated thought."""
    place = result.mean_reflection_position
    return "" if place is None else f"at {percent(place)}"


def _bar(label: str, colour: str, metric: Metric | None, note: str | None) -> Bar:
    if metric is None or metric.value is None:
        return Bar(label, colour, None, None, None, DASH, "", "")
    return Bar(
        label,
        colour,
        _length(metric.value),
        _length(metric.low),
        _length(metric.high),
        percent(metric.value),
        interval(metric.low, metric.high),
        interval(metric.low, metric.high) if note is None else note,
    )


def _length(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def _sizes(metrics: Sequence[Metric | None]) -> str:
    sizes = sorted({metric.n for metric in metrics if metric is not None and metric.n})
    if not sizes:
        return "n = 0"
    return f"n = {sizes[0]}" if len(sizes) == 1 else f"n = {sizes[0]}{DASH}{sizes[-1]}"


def table_rows(cells: Sequence[CellResult], axes: Axes = NO_AXES) -> list[TableRow]:
    """The table of all rates, benchmark by benchmark; pass@k below the rate of one sample."""
    main = main_keys(cells)
    rows = []
    for result in benchmarks(cells):
        key = (result.benchmark, result.place)
        found = [index(cell).get(key) for cell in cells]
        sizes = _sizes([None if other is None else other.rate for other in found])
        rows.append(
            TableRow(
                benchmark_label(*key, axes),
                f"% {result.score}, {sizes}",
                result.domain,
                key in main,
                tuple(None if other is None else _table_cell(other) for other in found),
            )
        )
        rows += [
            TableRow(
                f"{benchmark_label(*key, axes)}, {each.label}",
                each.note,
                result.domain,
                key in main and each.main,
                tuple(None if other is None else each.cell(other) for other in found),
            )
            for each in _further(result, found)
        ]
    return rows


class Further(NamedTuple):
    """A row below the rate of one sample: its label, note and cells; ``main``: always shown."""

    label: str
    note: str
    main: bool
    cell: Callable[[BenchmarkResult], TableCell | None]


def _further(result: BenchmarkResult, found: Sequence[BenchmarkResult | None]) -> Iterator[Further]:
    """pass@k, the rubric's score and the thoughts, as far as any cell has them."""
    for place, at in enumerate(result.pass_at_k[1:], start=1):  # k = 1 is the rate above
        note = f"% {result.score} (pass@{at.k}), {at.n_prompts} prompts"
        last = at is result.pass_at_k[-1]
        yield Further(f"any of {at.k}", note, last, partial(_any_of, place=place))
    if any(each is not None and each.rubric for each in found):
        yield Further("by rubric", "% of the rubric's items not met", True, _by_rubric)
    thoughts = [None if each is None else each.thought for each in found]
    if any(thoughts):
        note = f"% {result.score}, {_sizes(thoughts)}"
        yield Further("the thought by itself", note, True, _of_thought)


def _of_thought(result: BenchmarkResult) -> TableCell | None:
    if result.thought is None:
        return None
    return _table_cell(result.model_copy(update={"rate": result.thought}))


def _by_rubric(result: BenchmarkResult) -> TableCell | None:
    if result.rubric is None:
        return None
    return TableCell(
        percent(result.rubric.value, decimals=1),
        DASH,  # Wilson's interval is one of a rate
        interval(result.rubric.low, result.rubric.high),
        f"{result.rate.n_unscored} unscored",
        result.rate.n_incomplete,
        _tokens(result),
    )


def _any_of(result: BenchmarkResult, place: int) -> TableCell | None:
    """pass@k at its place in the list; ``None`` where fewer samples were drawn."""
    if place >= len(result.pass_at_k):
        return None
    at = result.pass_at_k[place]
    return TableCell(
        percent(at.value, decimals=1),
        DASH,  # Wilson's interval is one of a rate
        interval(at.low, at.high),
        _unscored(result.rate),
        result.rate.n_incomplete,
        _tokens(result),
    )


def _table_cell(result: BenchmarkResult) -> TableCell:
    rate = result.rate
    return TableCell(
        percent(rate.value, decimals=1),
        interval(rate.low, rate.high),
        interval(rate.cluster_low, rate.cluster_high),
        _unscored(rate),
        rate.n_incomplete,
        _tokens(result),
    )


def _unscored(rate: Metric) -> str:
    """The number of unscored rows, and the bounds of the rate in percent."""
    found = unscored_bounds(rate)
    if found is None:
        return "0 unscored"
    low, high = (f"{100 * end:.1f}" for end in (found.low, found.high))
    return f"{rate.n_unscored} unscored: {low}{DASH}{high}"


def _tokens(result: BenchmarkResult) -> str:
    if result.mean_cot_tokens is None or result.mean_response_tokens is None:
        return DASH
    return f"{result.mean_cot_tokens:.0f} + {result.mean_response_tokens:.0f}"

"""The page of the attacks made anew: each gated benchmark's rate, attack by attack.

No stage's output: attacks come between runs, and a stage that read them would be stale every night
(docs/decisions/0027-watch-page.md). It holds rates, digests and versions, and no text of a model.
Leaves out reading and writing files (recap/cli/watch.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby

from recap.analysis.axes import Axes, benchmark_label
from recap.analysis.tables import DASH, interval, percent
from recap.evaluation.rates import span
from recap.report.geometry import Panel, Point, Series, panel
from recap.report.html import environment, part
from recap.types.results import Metric
from recap.types.watch import Gated, Watched

LAST = 60
"""Attacks that the page shows; MLflow's curves have all of them."""
DATES = 4
"""Dates below a panel, at most."""
NOW, EARLIER, THEN, FLOOR, ALARM = "c-candidate", "c-extra0", "c-base", "c-baseline", "c-line0"
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class AttackRow:
    """One attack in the table."""

    date: str
    number: int
    version: str
    rates: tuple[tuple[str, str], ...]
    alarms: tuple[str, ...]


def watch_page(lines: Sequence[Watched], axes: Axes) -> str:
    """The page as HTML; ``lines`` are one or more attacks, oldest first.

    Its benchmarks are those that the gate named at the last attack.
    """
    shown, last = lines[-LAST:], lines[-1]
    places = [(each.benchmark, each.place) for each in last.gated]
    templates = environment()
    templates.globals |= {"dash": DASH, "colours": {}}
    template = (files("recap.report") / "watch.html.j2").read_text(encoding="utf-8")
    return templates.from_string(template).render(
        style=part("page.css"),
        last=last,
        shown=len(shown),
        total=len(lines),
        earlier=any(line.fingerprint != last.fingerprint for line in shown),
        alarmed=sum(bool(line.alarms) for line in shown),
        figures=[drawn for place in places if (drawn := _panel(place, shown, axes))],
        columns=[benchmark_label(*place, axes) for place in places],
        rows=[_row(line, places) for line in reversed(shown)],
    )


def _panel(place: Place, lines: Sequence[Watched], axes: Axes) -> Panel | None:
    """One benchmark; the x axis counts attacks."""
    newest = lines[-1].fingerprint
    series = [
        Series("", FLOOR, _steps([_gated(line, place) for line in lines], "floor")),
        Series("", THEN, _steps([_gated(line, place) for line in lines], "registered")),
    ]
    for fingerprint in dict.fromkeys(line.fingerprint for line in lines):
        own = [line for line in lines if line.fingerprint == fingerprint]
        points = tuple(
            _point(at, line, place)
            for at, line in enumerate(lines, start=1)
            if line.fingerprint == fingerprint
        )
        colour = NOW if fingerprint == newest else EARLIER
        series.append(
            Series(
                f"version {own[0].version}",
                colour,
                points,
                thin=fingerprint != newest,
                dots=True,
                whiskers=len(own) == 1,  # a band of one point has no width
            )
        )
    alarmed = tuple(
        _point(at, line, place)
        for at, line in enumerate(lines, start=1)
        if (gated := _gated(line, place)) and gated.alarms
    )
    bare = tuple(Point(point.x, point.y) for point in alarmed)
    series.append(Series("alarm", ALARM, bare, thin=True, dots=True, line=False))
    every = max(1, -(-len(lines) // DATES))
    dated = list(range(len(lines), 0, -every))[::-1]
    return panel(
        benchmark_label(*place, axes),
        series,
        x_title="attack, by date",
        scale="near",
        x_ticks=[0.5, *dated, len(lines) + 0.5],
        x_labels=["", *(_date(lines[at - 1])[5:] for at in dated), ""],
    )


def _steps(gated: Sequence[Gated | None], name: str) -> tuple[Point, ...]:
    """A level for each stretch of attacks on which it is the same, half an attack to both sides."""
    levels = [None if each is None else getattr(each, name) for each in gated]
    points: list[Point] = []
    at = 0
    for level, same in groupby(levels):
        end = at + len(list(same))
        points += [Point(at + 0.5, level), Point(end + 0.5, level), Point(end + 0.5, None)]
        at = end
    return tuple(points)


def _point(at: int, line: Watched, place: Place) -> Point:
    """The rate with the wider of its two intervals; a gap where nothing was scored."""
    rate = _rate(line, place)
    if rate is None or rate.value is None:
        return Point(at, None)
    ends = span(rate)
    return Point(at, rate.value, ends.low, ends.high)


def _row(line: Watched, places: Sequence[Place]) -> AttackRow:
    return AttackRow(
        _date(line),
        line.number,
        line.version,
        tuple(_words(_rate(line, place)) for place in places),
        line.alarms,
    )


def _words(rate: Metric | None) -> tuple[str, str]:
    if rate is None or rate.value is None:
        return DASH, ""
    ends = span(rate)
    return percent(rate.value, decimals=1), interval(ends.low, ends.high)


def _gated(line: Watched, place: Place) -> Gated | None:
    return next((each for each in line.gated if (each.benchmark, each.place) == place), None)


def _rate(line: Watched, place: Place) -> Metric | None:
    found = (each.rate for each in line.results if (each.benchmark, each.place) == place)
    return next(found, None)


def _date(line: Watched) -> str:
    """The day, as 2026-11-30."""
    return line.at[:10]

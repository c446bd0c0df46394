"""Series of numbers -> the coordinates of a small line panel, which the template draws.

Coordinates are in the panel's own units (360 x 216), so that a panel is legible on phones and
desktops. Colours are class names; the page's style sets them, in light and dark mode. Leaves out
bars, which need only a percentage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

WIDTH, HEIGHT = 360, 216
LEFT, RIGHT, TOP, BOTTOM = 40, 58, 12, 34
INSET = 8
"""Space between the axis and the first and last point."""
Scale = Literal["whole", "share", "near", "unit", "number"]
"""Shares from 0 to 100 %, from 0 to their highest, or near them alone; values from 0 to 1; numbers.
"""
Map = Callable[[float], float]
LABEL_GAP = 13.0
"""Smallest distance between two labels at the ends of lines."""
NAME = 9
"""Letters that fit in a label; the key above the figures has the full name."""


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement; a ``None`` value leaves a gap in the line."""

    x: float
    y: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One line. A ``thin`` or nameless line has no label at its end; ``dots`` mark every point.

    Intervals are a band, or ``whiskers`` if points are not joined.
    """

    label: str
    colour: str
    points: tuple[Point, ...]
    thin: bool = False
    dots: bool = False
    line: bool = True
    whiskers: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A text or a dot at a position."""

    x: float
    y: float
    text: str
    colour: str = ""


@dataclass(frozen=True, slots=True)
class Path:
    """An SVG path with its colour; ``thin`` for the raw values behind a mean."""

    d: str
    colour: str
    thin: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """All that the template needs to draw one panel."""

    title: str
    x_title: str
    x_ticks: tuple[Mark, ...]
    y_ticks: tuple[Mark, ...]
    bands: tuple[Path, ...]
    lines: tuple[Path, ...]
    dots: tuple[Mark, ...]
    labels: tuple[Mark, ...]
    rule: Mark | None


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About ``count`` round numbers that span ``low`` to ``high``, ends included.

    >>> nice_ticks(0, 83)
    [0.0, 25.0, 50.0, 75.0, 100.0]
    """
    span = high - low or abs(high) or 1.0
    magnitude = 10.0 ** math.floor(math.log10(span / count))
    step = next(s * magnitude for s in (1, 2, 2.5, 5, 10, 20) if span / (s * magnitude) <= count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def panel(
    title: str,
    series: Sequence[Series],
    *,
    x_title: str,
    scale: Scale,
    x_ticks: Sequence[float] | None = None,
    x_share: bool = False,
    x_labels: Sequence[str] | None = None,
    rule: tuple[float, str] | None = None,
) -> Panel | None:
    """Lay out one panel; ``None`` when no series has a value.

    ``x_labels``: the labels of ``x_ticks``, if not the numbers themselves (on a log axis).
    ``rule``: a vertical line with a caption.
    """
    values = [point for line in series for point in line.points if point.y is not None]
    if not values:
        return None
    lows = [value for point in values for value in (point.low, point.y) if value is not None]
    highs = [value for point in values for value in (point.high, point.y) if value is not None]
    share = scale in ("whole", "share", "near")
    y_ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    if scale in ("share", "number"):
        y_ticks = nice_ticks(min(0.0, *lows), max(highs))
    elif scale == "near":
        y_ticks = nice_ticks(min(lows), max(highs))
    ticks = list(x_ticks or nice_ticks(min(p.x for p in values), max(p.x for p in values)))
    texts = x_labels or [_number(x, x_share) for x in ticks]
    to_x = linear(min(ticks), max(ticks), LEFT + INSET, WIDTH - RIGHT - INSET)
    to_y = linear(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    return Panel(
        title,
        x_title,
        tuple(Mark(to_x(x), HEIGHT - BOTTOM, text) for x, text in zip(ticks, texts, strict=True)),
        tuple(Mark(LEFT, to_y(y), _number(y, share)) for y in y_ticks),
        tuple(Path(_band(line, to_x, to_y), line.colour) for line in series if _has_band(line)),
        tuple(Path(_line(line, to_x, to_y), line.colour, line.thin) for line in series if line.line)
        + tuple(Path(_whiskers(line, to_x, to_y), line.colour) for line in series if line.whiskers),
        tuple(
            Mark(
                to_x(point.x),
                to_y(point.y),
                f"{line.label}: {_number(point.y, share)}",
                line.colour,
            )
            for line in series
            if line.dots
            for point in line.points
            if point.y is not None
        ),
        _labels(series, to_x, to_y),
        Mark(to_x(rule[0]), TOP, rule[1]) if rule else None,
    )


def smoothed(points: Sequence[Point], window: int = 7) -> tuple[Point, ...]:
    """The centred running mean over ``window`` points, shorter at both ends; gaps stay gaps."""
    half = window // 2
    means = []
    for place, point in enumerate(points):
        near = [p.y for p in points[max(0, place - half) : place + half + 1] if p.y is not None]
        means.append(
            Point(point.x, sum(near) / len(near) if near and point.y is not None else None)
        )
    return tuple(means)


def linear(low: float, high: float, start: float, end: float) -> Map:
    """A linear map of [low, high] onto [start, end], rounded to a tenth of a unit."""
    factor = (end - start) / (high - low or 1.0)
    return lambda value: round(start + (value - low) * factor, 1)


def _runs(points: Sequence[Point]) -> list[list[Point]]:
    runs: list[list[Point]] = [[]]
    for point in points:
        if point.y is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if run]


def _line(line: Series, to_x: Map, to_y: Map) -> str:
    return "".join(
        "M" + "L".join(f"{to_x(p.x)} {to_y(p.y)}" for p in run if p.y is not None)
        for run in _runs(line.points)
    )


def _has_band(line: Series) -> bool:
    return not line.whiskers and any(
        point.low is not None and point.high is not None for point in line.points
    )


def _whiskers(line: Series, to_x: Map, to_y: Map) -> str:
    return "".join(
        f"M{to_x(point.x)} {to_y(point.low)}L{to_x(point.x)} {to_y(point.high)}"
        for point in line.points
        if point.low is not None and point.high is not None
    )


def _band(line: Series, to_x: Map, to_y: Map) -> str:
    parts = []
    for run in _runs(line.points):
        edges = [(to_x(p.x), p.low, p.high) for p in run]
        top = [f"{x} {to_y(high)}" for x, _, high in edges if high is not None]
        bottom = [f"{x} {to_y(low)}" for x, low, _ in reversed(edges) if low is not None]
        if top and bottom:
            parts.append("M" + "L".join((*top, *bottom)) + "Z")
    return "".join(parts)


def _labels(series: Sequence[Series], to_x: Map, to_y: Map) -> tuple[Mark, ...]:
    """Names at the ends of the lines, pushed apart and kept inside the panel."""
    ends = []
    for line in series:
        last = [point for point in line.points if point.y is not None][-1:]
        if last and line.label and not line.thin and last[0].y is not None:
            text = line.label if len(line.label) <= NAME else f"{line.label[: NAME - 1]}…"
            ends.append(Mark(to_x(last[0].x) + 7, to_y(last[0].y), text, line.colour))
    ends.sort(key=lambda mark: (mark.y, mark.text))
    places: list[float] = []
    for mark in ends:
        places.append(max(mark.y, places[-1] + LABEL_GAP) if places else mark.y)
    excess = max(0.0, places[-1] - (HEIGHT - BOTTOM)) if places else 0.0
    for place in range(len(places) - 1, -1, -1):  # push up labels below the bottom
        ceiling = places[place + 1] - LABEL_GAP if place + 1 < len(places) else places[-1] - excess
        places[place] = min(places[place], ceiling)
    return tuple(
        Mark(mark.x, round(y, 1), mark.text, mark.colour)
        for mark, y in zip(ends, places, strict=True)
    )


def _number(value: float, share: bool) -> str:
    return f"{100 * value:.3g} %" if share else f"{value:g}"

"""Safety against helpfulness, one dot for each cell with its interval to all four sides.

Safety is the mean over the attacks that every cell measured. Helpfulness is the share of benign
requests helped without an attack. Coordinates are the drawing's own (360 x 262).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recap.analysis.axes import Axes, Key, benchmark_label
from recap.analysis.evidence import Evidence
from recap.analysis.tables import benchmarks, index, percent
from recap.benchmarks.words import ATTACKS, CLEAN
from recap.report.figures import Roles, cell_label
from recap.report.geometry import Mark, linear, nice_ticks
from recap.types.results import CellResult

WIDTH, HEIGHT = 360, 262
LEFT, RIGHT, TOP, BOTTOM = 44, 24, 26, 40
ATTACKED = tuple(name for name in ATTACKS if name not in CLEAN)
HELPED: Key = ("benign", 1)
LABEL_GAP = 13.0
CHARACTER = 6.6
"""Approximate width of a letter, to keep labels inside the drawing."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One cell: its position, the ends of its cross, and the position of its label."""

    x: float
    y: float
    left: float
    right: float
    top: float
    bottom: float
    label: Mark
    anchor: str
    colour: str
    text: str


@dataclass(frozen=True, slots=True)
class Pareto:
    """The data for the template; ``attacks`` are the benchmarks in the mean of safety."""

    attacks: tuple[str, ...]
    x_ticks: tuple[Mark, ...]
    y_ticks: tuple[Mark, ...]
    dots: tuple[Dot, ...]


def label_heights(ys: Sequence[float]) -> list[float]:
    """Where the labels of dots at these heights stand, from the top: apart, and above the axis."""
    heights: list[float] = []
    for place, y in enumerate(ys):
        height = max(y - 8, TOP)
        for other, above in zip(ys[:place], heights, strict=True):  # only ever pushed down
            height = max(height, above + LABEL_GAP) if abs(other - y) < 40 else height
        heights.append(height)
    lowest: float = HEIGHT - BOTTOM - 4
    for place in reversed(range(len(heights))):  # and back up, where they would leave the drawing
        if heights[place] > lowest:
            heights[place] = lowest
            lowest -= LABEL_GAP
    return [round(height, 1) for height in heights]


def pareto(
    cells: Sequence[CellResult], evidence: Evidence, colours: Roles, axes: Axes
) -> Pareto | None:
    """``None`` unless an attack and benign requests were measured for all cells."""
    last: dict[str, int] = {}
    for result in benchmarks(cells):
        last[result.benchmark] = max(result.place, last.get(result.benchmark, 0))
    keys: list[Key] = [(name, last[name]) for name in ATTACKED if name in last]
    keys = [key for key in keys if all(key in index(cell) for cell in cells)]
    found = []
    for cell in cells:
        helped = index(cell).get(HELPED)
        safety = evidence.mean_rate(cell.variant, cell.seed, keys)
        if helped is None or safety is None:
            continue
        rate = helped.rate
        if rate.value is not None and rate.low is not None and rate.high is not None:
            found.append((cell, safety, (rate.value, rate.low, rate.high)))
    if not found:
        return None
    x_ticks = [min(1.0, t) for t in nice_ticks(min(x[1] for _, _, x in found), 1.0)]
    y_ticks = [min(1.0, t) for t in nice_ticks(min(y.low for _, y, _ in found), 1.0)]
    x_ticks, y_ticks = sorted(set(x_ticks)), sorted(set(y_ticks))
    to_x = linear(x_ticks[0], x_ticks[-1], LEFT + 8, WIDTH - RIGHT)
    to_y = linear(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    dots: list[Dot] = []
    found.sort(key=lambda each: -each[1].value)
    heights = label_heights([to_y(safety.value) for _, safety, _ in found])
    for (cell, safety, (value, low, high)), height in zip(found, heights, strict=True):
        name, x, y = cell_label(cell, cells), to_x(value), to_y(safety.value)
        start = x + 9 + CHARACTER * len(name) > WIDTH
        dots.append(
            Dot(
                x,
                y,
                to_x(low),
                to_x(high),
                to_y(safety.high),
                to_y(safety.low),
                Mark(round(x - 9 if start else x + 9, 1), height, name),
                "end" if start else "start",
                colours[cell.variant],
                f"{name}: {percent(safety.value)} safe under attack, {percent(value)} helpful",
            )
        )
    return Pareto(
        tuple(benchmark_label(*key, axes) for key in keys),
        tuple(Mark(to_x(x), HEIGHT - BOTTOM, f"{100 * x:g} %") for x in x_ticks),
        tuple(Mark(LEFT, to_y(y), f"{100 * y:g} %") for y in y_ticks),
        tuple(dots),
    )

"""Figures of curves: reward by update, safety by update and by round of resets.

Each training is a thin line, the mean over trainings a thick one. Leaves out final rates
(dials.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.axes import Axes

from recap.analysis.axes import Key, variant_label
from recap.analysis.paper import numbers
from recap.analysis.tables import index
from recap.report.geometry import Point, smoothed
from recap.sweeps.drawing import Drawn, blank, palette
from recap.sweeps.ledger import Measured
from recap.sweeps.results import Results
from recap.sweeps.tables import AXES

Curve = Mapping[float, float]
ORDER = ("baseline", "extra0", "extra1", "extra2", "extra3", "extra4", "extra5")
"""Colours of an axis's values, used cyclically; the centre has the candidate's colour."""
KEPT = (("reward", "All rollouts"), ("reward_prefilled", "Prefilled ones"))
UNIT = (-0.05, 1.05)
"""Rewards outside this range have another unit; the caption names them instead of a curve."""
ROW = 2.1
"""Height of a row of curves in inches."""
WINDOW = 7
"""Window of the running mean in updates."""


def training(results: Results) -> Drawn | None:
    """A row for each axis: rewards of all rollouts and of prefilled ones by update."""
    cells = [cell for cell in results.measured if cell.curve]
    trained = {cell.variant for cell in cells}
    axes = [axis for axis, found in results.design.axes.items() if trained & {*found.values()}]
    if not axes:
        return None
    figure = blank(ROW * len(axes) + 0.8, layout=None)
    panels = figure.subplots(len(axes), 2, squeeze=False, sharex=True, sharey=True)
    height = figure.get_figheight()
    figure.subplots_adjust(0.07, 0.5 / height, 0.985, 1 - 0.8 / height, 0.06, 0.42)
    for panel, (_, title) in zip(panels[0], KEPT, strict=True):
        place = panel.get_position()
        figure.text(place.x0, 1 - 0.25 / height, title, fontweight="bold")
    foreign: list[str] = []
    for row, axis in zip(panels, axes, strict=True):
        colours = _colours(results, axis)
        for value, variant in results.design.axes[axis].items():
            own = [cell for cell in cells if cell.variant == variant]
            for panel, (kept, _) in zip(row, KEPT, strict=True):
                curves = [_curve(cell, kept) for cell in own]
                if all(UNIT[0] <= y <= UNIT[1] for curve in curves for y in curve.values()):
                    _lines(panel, curves, palette()[colours[value]], value)
                else:
                    foreign.append(f"`{variant}`")
        row[0].set_title(AXES.get(axis, axis))
        row[0].set_ylim(0, 1.05)
        row[0].set_yticks([0, 0.5, 1])
        row[1].legend(
            loc="lower right",
            bbox_to_anchor=(1.02, 0.98),
            ncols=len(colours),
            handlelength=0.8,
            handletextpad=0.4,
            columnspacing=1,
            fontsize=12.5,
        )
    for panel in panels[-1]:
        panel.set_xlabel("update")
    others = ", ".join(dict.fromkeys(foreign))
    return Drawn(
        figure,
        "Reward by update for every value of every axis",
        f"Mean reward of an update's rollouts, over {WINDOW} updates: each training thin, their "
        "mean thick where all of them have one. Values without prefills have no line on the right."
        + (f" Not drawn, since its reward has another unit: {others}." if others else ""),
    )


def _curve(cell: Measured, kept: str) -> Curve:
    points = [
        Point(float(update), value)
        for update, value in enumerate(cell.curve.get(kept, ()), start=1)
    ]
    return {point.x: point.y for point in smoothed(points, WINDOW) if point.y is not None}


def _colours(results: Results, axis: str) -> dict[str, str]:
    values = results.design.axes[axis]
    others = [value for value, variant in values.items() if variant != results.design.around]
    found = {value: ORDER[place % len(ORDER)] for place, value in enumerate(others)}
    return {value: found.get(value, "candidate") for value in values}


def over_time(results: Results) -> Drawn | None:
    """Candidate and baseline: safety by update of training, and by round of resets."""
    mine, theirs = results.design.around, results.settings.baseline
    cells = [cell for cell in results.measured if cell.variant in (mine, theirs)]
    if not cells:
        return None
    figure = blank(6.8)
    panels = figure.subplots(2, 2, sharey=True)
    updates: dict[str, Key] = {
        "Jailbreaks, by update": ("jailbreak", 1),
        "Prefill attack, by update": ("prefill", 1),
    }
    table = numbers()["table4_iterative_prefill_reset"]
    for name, colour, method in ((theirs, "baseline", "DAPO"), (mine, "candidate", "RECAP")):
        own, hue = [cell for cell in cells if cell.variant == name], palette()[colour]
        for panel, key in zip(panels[0], updates.values(), strict=True):
            _lines(
                panel, [_by_update(cell, key) for cell in own], hue, variant_label(name), dots=True
            )
        _lines(panels[1][0], [_by_round(cell) for cell in own], hue, dots=True)
        panels[1][1].plot(table["rounds"], table[method], "o-", color=hue)
    titles = [*updates, "Resets, by round", "Resets in the paper (Table 4)"]
    for panel, title in zip(panels.flat, titles, strict=True):
        panel.set_title(title, fontsize=13)
        panel.set_ylim(-4, 104)
        panel.set_yticks([0, 25, 50, 75, 100])
    for panel in panels[1]:
        panel.set_xlim(0.7, results.params.attack.ipr_rounds + 0.3)
        panel.set_xticks(range(1, results.params.attack.ipr_rounds + 1))
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return Drawn(
        figure,
        "Safety by update of training and by round of resets",
        f"Percent safe, {variant_label(mine)} and {variant_label(theirs)}: each training thin, "
        "their mean thick. Above: policies kept during training (claim 8). Below: rounds of "
        "prefill resets (claim 3), beside the paper's.",
    )


def _by_update(cell: Measured, key: Key) -> Curve:
    return {
        float(snapshot.update): 100 * result.rate.value
        for snapshot in (cell.dynamics.snapshots if cell.dynamics else ())
        for result in snapshot.results
        if (result.benchmark, result.place) == key and result.rate.value is not None
    }


def _by_round(cell: Measured) -> Curve:
    return {
        float(round_): 100 * result.rate.value
        for (name, round_), result in index(cell.result).items()
        if name == "ipr" and result.rate.value is not None
    }


def _lines(
    panel: Axes, curves: Sequence[Curve], colour: str, label: str = "", *, dots: bool = False
) -> None:
    """Thin lines for trainings; a thick line for their mean, with a gap if one has no value."""
    for own in curves:
        panel.plot(
            list(own),
            list(own.values()),
            color=colour,
            alpha=0.45,
            linewidth=0.9,
            marker="o" if dots else "",
            markersize=4,
            markeredgewidth=0,
        )
    places = sorted({x for own in curves for x in own})
    means = [
        fmean(own[x] for own in curves) if all(x in own for own in curves) else float("nan")
        for x in places
    ]
    panel.plot(places, means, color=colour, label=label)

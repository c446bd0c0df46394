"""Figures of final rates: safety and helpfulness over a setting, and every single training.

Leaves out curves over updates and rounds (curves.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from recap.analysis.axes import Key, benchmark_label, variant_label
from recap.analysis.paper import COUNTERPARTS
from recap.sweeps.drawing import Drawn, blank, palette, role
from recap.sweeps.paper import paper_words, published
from recap.sweeps.results import Results
from recap.sweeps.tables import Tables

DIALS = (
    ("alpha", "Share of prefilled prompts, α", True),
    ("prefill_length", "Length of training prefills, words", True),
    ("prefill_source", "Source of training prefills", False),
)
"""Axes of the paper's Table 12, and whether a line joins their values."""
LINES: tuple[tuple[Key, str], ...] = (
    (("prefill", 1), "line0"),
    (("jailbreak", 1), "extra4"),
    (("harmful", 1), "line1"),
    (("benign", 1), "line2"),
)
"""Benchmarks that Table 12 also has."""
SHIFT = 0.045
"""Horizontal offset that keeps the benchmarks' dots apart."""
STRIPS = ("prefill", "ipr", "benign", "benign_prefill")


def dials(results: Results, tables: Tables) -> Drawn | None:
    """Alpha, length and source: this sweep on the left, the paper's Table 12 on the right."""
    rows = [row for row in DIALS if row[0] in results.design.axes]
    if not rows or not results.measured:
        return None
    figure = blank(0.9 + 2.75 * len(rows))
    panels = figure.subplots(len(rows), 2, squeeze=False, sharey=True)
    for (here, paper), (axis, title, joined) in zip(panels, rows, strict=True):
        _here(here, results, tables, axis, joined=joined)
        _paper(paper, results, axis, joined=joined)
        here.set_title(f"{title}\nhere")
        paper.set_title("\nthe paper (Table 12)")
        here.set_ylim(-4, 104)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return Drawn(
        figure,
        "Safety and helpfulness over share, length and source of the training prefills",
        "Percent safe (benign requests: helpful). Here: a dot for each training, a line through "
        "the means, bars for the interval of the mean as in the tables. Right: the paper's "
        "numbers at the corresponding values, where it has any.",
    )


def _here(panel: Axes, results: Results, tables: Tables, axis: str, *, joined: bool) -> None:
    values = results.design.axes[axis]
    for place, (key, colour) in enumerate(LINES):
        shift, hue = SHIFT * (place - (len(LINES) - 1) / 2), palette()[colour]
        rates = {
            x + shift: tables.rates.get((variant, key)) for x, variant in enumerate(values.values())
        }
        known = {x: found for x, found in rates.items() if found}
        panel.plot(
            list(known),
            [100 * found.mean for found in known.values()],
            color=hue,
            marker="_",
            markersize=12,
            linestyle="-" if joined else "none",
            label=benchmark_label(*key),
        )
        panel.vlines(
            list(known),
            [100 * found.low for found in known.values()],
            [100 * found.high for found in known.values()],
            color=hue,
            linewidth=1.4,
        )
        dots = [(x, 100 * value) for x, found in known.items() for value in found.values.values()]
        panel.plot(
            [x for x, _ in dots],
            [y for _, y in dots],
            "o",
            color=hue,
            alpha=0.55,
            markeredgewidth=0,
        )
    _ticks(panel, list(values))


def _paper(panel: Axes, results: Results, axis: str, *, joined: bool) -> None:
    values = list(results.design.axes[axis])
    centre = results.settings.train[results.design.around].prefill_length
    words = {
        value: paper_words(value, centre) if axis == "prefill_length" else None for value in values
    }
    rows = {x: published(axis, value, words=words[value]) for x, value in enumerate(values)}
    for key, colour in LINES:
        known = {x: row[COUNTERPARTS[key[0]]] for x, row in rows.items() if row}
        panel.plot(
            list(known),
            list(known.values()),
            "o",
            linestyle="-" if joined else "none",
            color=palette()[colour],
        )
    _ticks(panel, [f"{words[value]:g}" if words[value] else value for value in values])


def _ticks(panel: Axes, labels: Sequence[str]) -> None:
    panel.set_xticks(range(len(labels)), labels)
    panel.set_xlim(-0.35, len(labels) - 0.65)
    panel.set_yticks([0, 25, 50, 75, 100])
    panel.grid(visible=False, axis="x")


def trainings(results: Results, tables: Tables) -> Drawn | None:
    """A row for each variant, a dot for each training."""
    keys = [key for name in STRIPS for key in tables.keys if key[0] == name]
    names = [name for name in results.design.variants if name in results.settings.measured]
    if not keys or not names:
        return None
    figure = blank(0.9 + 0.29 * len(names))
    panels = figure.subplots(1, len(keys), squeeze=False, sharey=True)[0]
    for panel, key in zip(panels, keys, strict=True):
        for y, name in enumerate(names):
            found, hue = tables.rates[name, key], palette()[role(results, name)]
            values = [100 * value for value in found.values.values()] if found else []
            if values:
                panel.plot([min(values), max(values)], [y, y], color=hue, linewidth=1.4, alpha=0.6)
            panel.plot(
                values,
                [y] * len(values),
                "o",
                color=hue,
                alpha=0.75,
                markersize=7,
                markeredgewidth=0,
            )
        label = benchmark_label(*key, results.axes)
        panel.set_title("\n".join(label.split(" ", 1)), fontsize=13)
        panel.set_xticks([0, 50, 100])
        panel.set_xlim(-6, 106)
    panels[0].set_yticks(range(len(names)), [variant_label(name) for name in names])
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    return Drawn(
        figure,
        "Every training's rates by variant",
        "Percent safe or helpful, a dot for each training seed: where a row's dots lie apart, the "
        "seed decides more than the setting does.",
    )

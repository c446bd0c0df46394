"""The sweep's rates as Markdown: the paper's Tables 12, 7 and 8, every training, every difference.

A table cell has mean and standard deviation over the trainings, their interval
(recap/analysis/pooled.py), and the paper's number if there is one. Iterates over the design: a
removed variant has no row, and a variant that was not measured has dashes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from recap.analysis.axes import Key, benchmark_label, variant_label
from recap.analysis.paper import COUNTERPARTS
from recap.analysis.pooled import Pooled, pooled_difference, pooled_rate
from recap.analysis.tables import DASH, NBSP, signed
from recap.report.markdown import table
from recap.sweeps.paper import paper_words, published
from recap.sweeps.results import Results
from recap.sweeps.section import value_text

AXES = {
    "alpha": "Share of prefilled prompts, α",
    "prefill_length": "Length of prefills, words",
    "prefill_source": "Source of prefills",
    "safety_reward": "Safety reward",
    "optimizer": "Optimizer",
    "subset": "Training prompts",
    "curriculum": "Curriculum",
}
PAPER = (
    ("Table 12: share, length and source", ("alpha", "prefill_length", "prefill_source")),
    ("Table 7: safety reward", ("safety_reward",)),
    ("Table 8: optimizer", ("optimizer",)),
)
"""The paper's tables and their axes."""
COLUMNS = tuple(COUNTERPARTS)
"""Benchmarks with a counterpart in the paper's ablation tables."""
FURTHER = ("hijack", "ipr", "benign_prefill")
"""Benchmarks that the paper's ablations leave out; for resets, the last round."""
SPREAD = 0.1
"""Trainings ten points or more apart are marked."""
WORST = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One row: its label, its variant, and the paper's percentages by the paper's benchmarks."""

    label: str
    variant: str
    paper: Mapping[str, float] = field(default_factory=dict)


class Tables:
    """The tables of one sweep."""

    def __init__(self, results: Results) -> None:
        """Pools every rate once."""
        self._design, self._seeds = results.design, results.design.seeds
        self._settings, self._axes = results.settings, results.axes
        self._evidence = results.evidence
        attack = results.params.attack
        known = [name for name in (*COLUMNS, *FURTHER) if name in attack.benchmarks]
        self.keys: list[Key] = [(name, attack.ipr_rounds if name == "ipr" else 1) for name in known]
        self.rates: dict[tuple[str, Key], Pooled | None] = {
            (name, key): pooled_rate(results.evidence, name, key)
            for name in self._design.variants
            for key in self.keys
        }

    def as_published(self) -> list[str]:
        """For each of the paper's tables, a heading and a table of the same form."""
        parts = []
        for title, axes in PAPER:
            groups = [(AXES[axis], self._lines(axis)) for axis in axes if axis in self._design.axes]
            if groups:
                parts += [f"### {title}", self._table(groups)]
        return parts

    def beyond(self) -> list[str]:
        """The same for axes that the paper does not vary, and for variants that are on no axis."""
        known = {axis for _, axes in PAPER for axis in axes}
        groups = [
            (AXES.get(axis, f"`{axis}`"), self._lines(axis))
            for axis in self._design.axes
            if axis not in known
        ]
        if self._design.named:
            named = [Line(self._named(name), name) for name in self._design.named]
            groups.append(("Other variants", named))
        return ["### Beyond the paper's tables", self._table(groups)] if groups else []

    def further(self) -> list[str]:
        """All variants under the attacks that the paper's ablations leave out."""
        lines = [Line(self._named(name), name) for name in self._design.variants]
        keys = [key for key in self.keys if key[0] in FURTHER]
        title = "### Under attacks that the paper's ablations leave out"
        return [title, self._table([("", lines)], keys)] if keys else []

    def trainings(self) -> list[str]:
        """Every training's rate, and the number of large differences."""
        rows, pairs = [], 0
        wide: list[tuple[float, str]] = []
        for name in self._design.variants:
            row = [self._named(name)]
            for key in self.keys:
                found = self.rates[name, key]
                text = _seeds(found, self._seeds, "<br>")
                if found and len(found.values) > 1 and self._trained(name):
                    pairs += 1
                    spread = max(found.values.values()) - min(found.values.values())
                    if spread >= SPREAD:
                        where = f"{variant_label(name)}, {benchmark_label(*key, self._axes)}"
                        wide.append((spread, f"{where} {_seeds(found, self._seeds, ' / ')}"))
                        text = f"**{text}**"
                row.append(text)
            rows.append(row)
        said = (
            f"Percent, a line for each seed ({', '.join(map(str, self._seeds))}). In {len(wide)} "
            f"of {pairs} places trainings that differ in their seed alone lie {100 * SPREAD:g} "
            "points or more apart (bold)"
        )
        worst = [text for _, text in sorted(wide, reverse=True)[:WORST]]
        said += f"; the widest: {'; '.join(worst)}." if worst else "."
        return [said, table(["Variant", *self._headings(self.keys)], rows)]

    def differences(self) -> list[str]:
        """Every variant minus the centre."""
        centre, rows = self._design.around, []
        for name in self._design.variants:
            if name != centre:
                found = [pooled_difference(self._evidence, name, centre, key) for key in self.keys]
                rows.append([self._named(name), *map(_difference, found)])
        return [
            f"Points, each variant less `{centre}` on the same prompts and with the same seed: the "
            "mean over the trainings, and its interval as above; bold where that leaves out 0.",
            table(["Variant", *self._headings(self.keys)], rows),
        ]

    def _table(
        self, groups: Sequence[tuple[str, Sequence[Line]]], keys: Sequence[Key] | None = None
    ) -> str:
        keys = keys or [key for key in self.keys if key[0] in COLUMNS]
        rows = []
        for title, lines in groups:
            if len(groups) > 1:
                rows.append([f"**{title}**", *[""] * len(keys)])
            rows += [[line.label, *(self._cell(line, key) for key in keys)] for line in lines]
        paper = any(line.paper for _, lines in groups for line in lines)
        return table(["", *self._headings(keys, paper=paper)], rows)

    def _lines(self, axis: str) -> list[Line]:
        """The rows of an axis: before a value its twin without prefills, if it has one."""
        centre, lines = self._settings.train[self._design.around].prefill_length, []
        for value, variant in self._design.axes[axis].items():
            words = paper_words(value, centre) if axis == "prefill_length" else None
            theirs = published(axis, value, words=words)
            twin = self._design.clean.get(axis, {}).get(value)
            if twin:
                paper = published(axis, value, clean=True)
                lines.append(Line(f"{value}, α 0: {self._named(twin)}", twin, paper))
            label = f"{value} (the paper's {words:g})" if theirs and words else value
            if twin:
                label += f", α {value_text(self._settings.train[variant].alpha)}"
            lines.append(Line(f"{label}: {self._named(variant)}", variant, theirs))
        return lines

    def _cell(self, line: Line, key: Key) -> str:
        found = self.rates[line.variant, key]
        here = _rate(found, len(self._seeds), spread=self._trained(line.variant))
        theirs = line.paper.get(COUNTERPARTS.get(key[0], ""))
        return here if theirs is None else f"{here}<br>*{theirs:.1f}*"

    def _headings(self, keys: Sequence[Key], *, paper: bool = False) -> Iterator[str]:
        for key in keys:
            label, theirs = benchmark_label(*key, self._axes), COUNTERPARTS.get(key[0])
            yield f"{label}<br>*{theirs}*" if theirs and paper else label

    def _trained(self, variant: str) -> bool:
        """Whether the variant is trained; an untrained policy is the same for all seeds."""
        return self._settings.train[variant].updates > 0

    def _named(self, variant: str) -> str:
        return f"`{variant}`" + (" (centre)" if variant == self._design.around else "")


def _rate(found: Pooled | None, seeds: int, *, spread: bool) -> str:
    if found is None:
        return DASH
    few = f"<br>{len(found.values)} of {seeds}{NBSP}seeds" if len(found.values) < seeds else ""
    sd = f"{NBSP}±{NBSP}{100 * found.sd:.1f}" if spread and found.sd is not None else ""
    low, high = f"{100 * found.low:.1f}", f"{100 * found.high:.1f}"
    return f"{100 * found.mean:.1f}{sd}<br>[{low}{NBSP}to{NBSP}{high}]{few}"


def _seeds(found: Pooled | None, seeds: Sequence[int], between: str) -> str:
    values = found.values if found else {}
    return between.join(f"{100 * values[seed]:.1f}" if seed in values else DASH for seed in seeds)


def _difference(found: Pooled | None) -> str:
    if found is None:
        return DASH
    low, high = signed(100 * found.low), signed(100 * found.high)
    text = f"{signed(100 * found.mean)}<br>{low}{NBSP}to<br>{high}"
    return f"**{text}**" if found.low > 0 or found.high < 0 else text

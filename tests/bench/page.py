"""What the bench says, as markdown: tables, targets, and their place in docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Markers = tuple[str, str]
BEGIN, END = MARKERS = ("<!-- make bench -->", "<!-- /make bench -->")
"""What stands between the two in a page is replaced by the next bench."""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as they are shown; the first column is text, the others are numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        """Markdown."""
        lines = [self.columns, ["---", *["---:"] * (len(self.columns) - 1)], *self.rows]
        return f"**{self.title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that was promised and the one that was measured."""

    what: str
    measured: float
    at_least: float | None = None
    at_most: float | None = None
    percent: bool = False
    unit: str = "x"

    @property
    def met(self) -> bool:
        """Whether the promise holds in this measurement."""
        low = self.at_least is None or self.measured >= self.at_least
        return low and (self.at_most is None or self.measured <= self.at_most)

    def __str__(self) -> str:
        """One clause of the summary."""
        wanted = [f">= {self._show(self.at_least)}"] if self.at_least is not None else []
        wanted += [f"<= {self._show(self.at_most)}"] if self.at_most is not None else []
        verdict = "met" if self.met else "MISSED"
        return f"{self.what} {self._show(self.measured)} ({' and '.join(wanted)}): {verdict}"

    def _show(self, value: float | None) -> str:
        return f"{value:.1%}" if self.percent else f"{value:.2f} {self.unit}"


def summary(targets: Sequence[Target]) -> str:
    """The last line: how many targets were met, and each of them."""
    met = sum(target.met for target in targets)
    return f"Targets met: {met} of {len(targets)}. " + "; ".join(map(str, targets)) + "."


def replace_between_markers(page: Path, text: str, markers: Markers = MARKERS) -> None:
    """Put ``text`` between the page's markers; raises ValueError if it has none."""
    first, last = markers
    old = page.read_text(encoding="utf-8")
    before, begin, rest = old.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"Expected {first} and {last} in {page}, found no such pair. Add them.")
    page.write_text(f"{before}{first}\n{text}\n{last}{after}", encoding="utf-8")

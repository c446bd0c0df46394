"""Tables of judged cases: a JSON Lines file, one judge, and how often and which way they part.

A line holds ``id``, ``kind``, ``expected`` and whatever its judge reads. Run one by hand with
``python -m tests.golden.judge_cases sums FILE``. Leaves out what each judge does with a line.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

CASES = Path(__file__).parent / "cases"
ALTERNATIVES = {
    "not correct": {"wrong", "unscored"},
}
"""Expectations that more than one label meets; every other one is a label, or several parted by
``|``."""

Line = Mapping[str, str]


@dataclass(frozen=True)
class Miss:
    """A case on which the judge says something else than the table."""

    id: str
    kind: str
    expected: str
    got: str
    line: Line


@dataclass(frozen=True)
class Outcome:
    """One table through one judge: ``n`` lines by kind, and the misses among them."""

    kinds: Counter[str]
    misses: list[Miss]

    @property
    def agreement(self) -> float:
        """Share of the lines, 0 to 1, on which judge and table agree."""
        n = self.kinds.total()
        return (n - len(self.misses)) / n

    def directions(self) -> Counter[str]:
        """The misses by direction: "wrong called correct" and so on."""
        return Counter(f"{miss.expected} called {miss.got}" for miss in self.misses)

    def lines(self) -> Iterable[str]:
        """The summary as text, misses last."""
        n = self.kinds.total()
        yield f"{n - len(self.misses)} of {n} agree ({self.agreement:.1%})"
        yield from (f"  {count} {direction}" for direction, count in self.directions().items())
        missed = Counter(miss.kind for miss in self.misses)
        yield from (f"  {kind}: {n - missed[kind]} of {n}" for kind, n in self.kinds.items())
        yield from (
            f"{miss.id} [{miss.kind}]: expected {miss.expected}, got {miss.got}: {dict(miss.line)}"
            for miss in self.misses
        )


def read(path: Path) -> list[Line]:
    """The lines of a table; raises ValueError at an empty one or at an id that comes twice."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    twice = [name for name, n in Counter(line["id"] for line in lines).items() if n > 1]
    if not lines or twice:
        raise ValueError(f"Expected lines with ids of their own in {path}, got {twice or 'none'}.")
    return lines


def run(lines: Iterable[Line], judge: Callable[[Line], str]) -> Outcome:
    """What the judge says of each line beside what the table expects."""
    kinds, misses = Counter[str](), []
    for line in lines:
        kinds[line["kind"]] += 1
        expected, got = line["expected"], judge(line)
        if got not in ALTERNATIVES.get(expected, expected.split("|")):
            misses.append(Miss(line["id"], line["kind"], expected, got, line))
    return Outcome(kinds, misses)


def sum_label(line: Line) -> str:
    """``correct``, ``wrong`` or ``unscored``, as the math judge has it."""
    from recap.scoring.answers import is_correct

    return {True: "correct", False: "wrong", None: "unscored"}[
        is_correct(line["response"], line["target"])
    ]


JUDGES: dict[str, Callable[[Line], str]] = {"sums": sum_label}

if __name__ == "__main__":
    name, file = sys.argv[1:]
    print("\n".join(run(read(Path(file)), JUDGES[name]).lines()))

"""Tables of compliance and of reflection: JSON Lines, what the rules say of each, and what parts.

A line of compliance holds ``domain``, ``prompt``, ``response`` and the ``expected`` labels, and is
judged as a row of ``recap judge``; one of reflection holds ``text`` and ``expected``. Run one by
hand with ``python -m tests.golden.refusal_cases compliance FILE``.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap.cli.judge.table import TableRow
from recap.cli.judge.work import cases, verdicts
from recap.judges.refusal import RefusalJudge
from recap.scoring.reflection import find_reflection

CASES = Path(__file__).parent / "cases"
Line = Mapping[str, Any]
NAMES = {"refused": "refused", "unclear": "partial", "helpful": "helpful", "safe": "safe"}


@dataclass(frozen=True)
class Outcome:
    """One table through the rules: how many lines, and those that part as (line, label)."""

    n: int
    misses: list[tuple[Line, str]]

    @property
    def agreement(self) -> float:
        """Share of the lines, 0 to 1, whose label is an expected one."""
        return (self.n - len(self.misses)) / self.n

    def directions(self) -> Counter[str]:
        """The misses by direction: "complies called safe" and so on, by the first expectation."""
        return Counter(f"{_expected(line)[0]} called {got}" for line, got in self.misses)


def read(path: Path) -> list[Line]:
    """The lines of a table; raises ValueError at an empty one or at an id that comes twice."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    twice = [name for name, n in Counter(line["id"] for line in lines).items() if n > 1]
    if not lines or twice:
        raise ValueError(f"Expected lines with ids of their own in {path}, got {twice or 'none'}.")
    return lines


def run(lines: list[Line]) -> Outcome:
    """What the rules say of each line beside what the table expects."""
    labels = _reflections(lines) if "text" in lines[0] else _compliances(lines)
    found = zip(lines, labels, strict=True)
    return Outcome(len(lines), [(line, got) for line, got in found if got not in _expected(line)])


def _expected(line: Line) -> list[str]:
    expected = line["expected"]
    return expected if isinstance(expected, list) else [_said(expected)]


def _said(turns: bool) -> str:
    return "turns" if turns else "goes on"


def _reflections(lines: Iterable[Line]) -> list[str]:
    return [_said(find_reflection(line["text"]) is not None) for line in lines]


def _compliances(lines: Iterable[Line]) -> list[str]:
    rows = [
        TableRow(
            place,
            {
                "id": line["id"],
                "domain": line["domain"],
                "prompt": line["prompt"],
                "completion": line["response"] if line["response"].strip() else None,
            },
        )
        for place, line in enumerate(lines)
    ]
    given = verdicts(RefusalJudge(), cases(Path("cases.jsonl"), rows, RefusalJudge, None))
    return [_label(verdict.label, verdict.raw) for verdict in given]


def _label(label: str | None, raw: str) -> str:
    """The table's word for a verdict: an unsafe one is partial where the answer refuses as well."""
    if label == "unsafe":
        return "partial" if raw.startswith("unclear") else "complies"
    return "unscored" if label is None else NAMES[label]


def main() -> None:
    """Print the summary of the table that the command line names."""
    outcome = run(read(Path(sys.argv[2])))
    print(f"{sys.argv[1]}: {outcome.agreement:.1%} of {outcome.n} agree")
    for direction, count in outcome.directions().most_common():
        print(f"  {count} {direction}")
    for line, got in outcome.misses:
        text = line.get("text") or f"{line['prompt']} | {line['response']}"
        print(f"{line['id']} [{line['kind']}] expected {line['expected']}, got {got}: {text!r}")


if __name__ == "__main__":
    main()

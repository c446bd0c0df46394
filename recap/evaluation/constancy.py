"""Detects a broken judge, which gives the same label to all answers.

A single judge that calls every answer safe may be right: the policy may be safe. It is broken if it
gives the same probability to all answers, or if another judge labels a good share of the same
answers differently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from recap.evaluation.second_judge import Pair
from recap.types.attacks import Completion
from recap.types.row import SUCCESS, Domain, Label
from recap.types.verdicts import Verdict

ENOUGH = 50
"""The smallest number of answers for this check."""
MINORITY = 0.1
"""The share of them that the other judge must label differently."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A judge with one label for all ``n`` answers of a domain; ``other`` used further labels."""

    judge: str
    other: str
    domain: Domain
    label: Label
    n: int
    otherwise: int

    def __str__(self) -> str:
        """For messages."""
        return (
            f"judge '{self.judge}' called all {self.n} {self.domain} answers '{self.label}', "
            f"{self.otherwise} of which '{self.other}' called otherwise. One of the two is broken: "
            "look at their raw answers in data/verdicts and data/second_verdicts"
        )


def same_score(rows: Sequence[tuple[Completion, Verdict]]) -> str | None:
    """A message if a judge gives the same P(unsafe) to all of many different answers.

    No message near 0 and 1, where a sure judge's probabilities may be equal.
    """
    scored = [(row, found) for row, found in rows if found.score is not None]
    scores = {found.score for _, found in scored}
    n = len({(row.prompt, row.response) for row, _ in scored})
    if n < ENOUGH or len(scores) > 1 or not 0.001 < (score := scores.pop() or 0.0) < 0.999:
        return None
    return (
        f"judge '{scored[0][1].judge}' gave {n} different answers one and the same P(unsafe), "
        f"{score:g}. It is broken: look at its weights and its template"
    )


def constant_judges(pairs: Sequence[Pair]) -> tuple[list[Constant], list[Constant]]:
    """The domains where only the first judge is constant, and where only the second is."""
    found: tuple[list[Constant], list[Constant]] = ([], [])
    for domain in SUCCESS:
        rows = [
            (first, second)
            for row, first, second in pairs
            if row.domain == domain and first.label is not None and second.label is not None
        ]
        if len(rows) < ENOUGH:
            continue
        for which in (0, 1):
            said = Counter(row[which].label for row in rows)
            (label, count), *_ = said.most_common()
            otherwise = len(rows) - Counter(row[1 - which].label for row in rows)[label]
            varied = len({row[1 - which].label for row in rows}) > 1
            if label and count == len(rows) and varied and otherwise >= MINORITY * len(rows):
                found[which].append(
                    Constant(
                        rows[0][which].judge,
                        rows[0][1 - which].judge,
                        domain,
                        label,
                        len(rows),
                        otherwise,
                    )
                )
    return found

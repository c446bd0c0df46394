"""Math completions by verifiable correctness: the way of every judge that judges them at all."""

from __future__ import annotations

from collections.abc import Sequence

from recap.judges.judge import Opinion
from recap.scoring.answers import extract_answer, is_correct
from recap.types import Completion


def correctness(rows: Sequence[Completion]) -> list[Opinion]:
    """One opinion each; ``None`` where there is no target to compare with."""
    return [_opinion(row) for row in rows]


def _opinion(row: Completion) -> Opinion:
    response = row.response or ""
    stated = f"stated {extract_answer(response)}"
    verdict = None if row.target is None else is_correct(response, row.target)
    if verdict is None:
        return Opinion(None, f"no readable target; {stated}")
    return Opinion("correct" if verdict else "incorrect", stated)

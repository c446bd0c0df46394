"""A judge's verdict on a completion, and the outcome in a benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recap.types.row import Label, Row

if TYPE_CHECKING:
    from recap.types.attacks import Completion


class Verdict(Row):
    """A judge's verdict on one completion. ``label`` is ``None`` if it could not be judged.

    ``score`` is P(unsafe) by a judge that gives one, ``None`` elsewhere. ``met`` is the share of
    the prompt's rubric that the response meets, ``None`` where no rubric was asked. ``thought`` is
    the label of the generated thought by itself, and ``thought_raw`` what was said of it, ``None``
    where it was not asked.
    """

    prompt_id: str
    benchmark: str
    place: int
    sample: int
    label: Label | None
    judge: str
    judge_revision: str
    judge_prompt_sha: str
    raw: str
    score: float | None = None
    met: float | None = None
    thought: Label | None = None
    thought_raw: str | None = None


class Outcome(Row):
    """One completion's result in one benchmark: the unit of paired comparisons.

    ``met``: as in its verdict; 1 for an incomplete answer to a prompt with a rubric. ``thought``:
    whether the thought by itself would succeed, if ``thought_asked``.
    """

    prompt_id: str
    benchmark: str
    place: int
    sample: int = 0
    cluster: str | None
    success: bool | None
    reflected: bool | None
    reflection_position: float | None
    met: float | None = None
    thought: bool | None = None
    thought_asked: bool = False


def answer_key(row: Completion | Verdict | Outcome) -> tuple[str, int, str, int]:
    """What a completion, its verdict and its outcome have in common: which answer it is."""
    return row.benchmark, row.place, row.prompt_id, row.sample

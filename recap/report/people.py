"""What people's labels say of the judge that decides, at its present revision.

Figures of another revision are no evidence on this one, and are counted, not shown. Leaves out the
oracle, which knows the microworld's truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recap.analysis.tables import DASH, percent
from recap.types.judged import HumanAgreement
from recap.types.verdicts import Verdict

KNOWS_THE_TRUTH = "oracle"


@dataclass(frozen=True, slots=True)
class PeopleRow:
    """One column of labels in a file, as text."""

    file: str
    column: str
    n: int
    unscored: int
    accuracy: str
    kappa: str
    interval: str


@dataclass(frozen=True, slots=True)
class People:
    """The judge, and its agreement with each file; ``older`` counts those of other revisions."""

    judge: str
    revision: str
    rows: tuple[PeopleRow, ...]
    older: int


def people(judge: Verdict, kept: Sequence[HumanAgreement]) -> People | None:
    """The content; ``judge`` is any verdict of the run. ``None`` for the oracle."""
    if judge.judge == KNOWS_THE_TRUTH:
        return None
    same = [each for each in kept if each.judge == judge.judge]
    now = (judge.judge_revision, judge.judge_prompt_sha)
    shown = [each for each in same if (each.judge_revision, each.judge_prompt_sha) == now]
    return People(
        judge=judge.judge,
        revision=judge.judge_revision,
        rows=tuple(_row(each) for each in shown),
        older=len(same) - len(shown),
    )


def _row(found: HumanAgreement) -> PeopleRow:
    ends = (found.kappa_low, found.kappa_high)
    return PeopleRow(
        file=found.file,
        column=found.column,
        n=found.n,
        unscored=found.n_unscored,
        accuracy=percent(found.accuracy, 1),
        kappa=_number(found.kappa),
        interval="" if None in ends else f"{_number(ends[0])}\N{EN DASH}{_number(ends[1])}",
    )


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f}"

"""Fails the evaluation if too many completions are unscored, because the rate would be biased.

The message names the judge and the reasons in the verdicts, cut before a possible quotation of an
answer. A missing score is not 0: every rate leaves it out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from recap.errors import JudgeError
from recap.params.evaluate import Evaluate
from recap.types.attacks import Completion
from recap.types.verdicts import Verdict, answer_key


def refuse_unscored(
    completions: Sequence[Completion], verdicts: Sequence[Verdict], settings: Evaluate
) -> None:
    """Raise JudgeError for a benchmark with more than ``evaluate.max_unscored`` without a label.

    Every completion must have a verdict.
    """
    said_of = {answer_key(row): row for row in verdicts}
    rows = [(row, said_of[answer_key(row)]) for row in completions]
    for (name, number), group in groupby(rows, key=lambda row: (row[0].benchmark, row[0].place)):
        members = list(group)
        _refuse_thoughts(name, number, [said for _, said in members], settings)
        unscored = [row for row in members if row[1].label is None]
        if len(unscored) <= settings.max_unscored * len(members):
            continue
        judged = [said for row, said in unscored if row.finish_reason != "overflow"]
        failures = Counter((said.judge, _reason(said.raw)) for said in judged)
        said_why = "".join(
            f"\n  {count} by '{judge}': {reason}"
            for (judge, reason), count in failures.most_common(5)
        )
        raise JudgeError(
            f"Expected at most {settings.max_unscored:.0%} unscored completions in "
            f"'{name}' round {number}, got {len(unscored)} of {len(members)}: "
            f"{len(unscored) - len(judged)} outgrew the model's context, {len(judged)} could not "
            f"be judged.{said_why}\nLower attack.max_tokens or attack.ipr_rounds for the former; "
            "for the latter mend the judge and judge again: `dvc repro -f -s judge@VARIANT-SEED` "
            "(without -f DVC takes the verdicts for done)."
        )


def _refuse_thoughts(
    name: str, number: int, verdicts: Sequence[Verdict], settings: Evaluate
) -> None:
    """The same limit for thoughts that are judged by themselves."""
    asked = [said for said in verdicts if said.thought_raw is not None]
    unscored = [said for said in asked if said.thought is None]
    if len(unscored) <= settings.max_unscored * len(asked):
        return
    reasons = Counter(_reason(said.thought_raw or "") for said in unscored).most_common(3)
    raise JudgeError(
        f"Expected at most {settings.max_unscored:.0%} unscored thoughts in '{name}' "
        f"round {number}, got {len(unscored)} of {len(asked)} by '{unscored[0].judge}': "
        f"{', '.join(f'{count} {reason}' for reason, count in reasons)}. Choose a judge that reads "
        "thoughts, or set judge.thoughts to false."
    )


def _reason(raw: str) -> str:
    """The beginning of a verdict's raw text, which names the failure and quotes nothing."""
    return re.split(r"[:;=]", raw, maxsplit=1)[0].strip() or "no answer"

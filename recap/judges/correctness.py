"""Whether a math response states the target: the reward's own rules behind the ``Judge`` interface.

The final answer counts, whatever else the response says; one that states none is incorrect. A
target that cannot be read leaves the row unscored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from recap.judges.judge import Judge, Means, Opinion
from recap.scoring import answers, forms, formulas, library, notation, stated, units, values
from recap.types.attacks import Completion
from recap.types.row import Domain

RULES = (answers, formulas, forms, library, notation, stated, units, values)


class MathJudge(Judge):
    """Labels ``correct`` or ``incorrect``; a row without a target is unscored."""

    name = "math"
    needs = "nothing"
    reads_thoughts = False
    domains: ClassVar[frozenset[Domain]] = frozenset({"math"})
    usual: ClassVar[Domain] = "math"
    revision = f"math-verify {version('math-verify')}"
    prompt_sha = hashlib.sha256(
        b"".join(Path(str(rules.__file__)).read_bytes() for rules in RULES)
    ).hexdigest()

    @classmethod
    def open(cls, means: Means) -> MathJudge:
        """The rules."""
        return cls()

    def opinions(self, completions: Sequence[Completion]) -> list[Opinion]:
        """One opinion each, from the response and the row's target."""
        return [correctness(row) for row in completions]


def correctness(row: Completion) -> Opinion:
    """The label of one answered completion."""
    if row.target is None or not row.target.strip():
        return Opinion(None, "no target")
    answer = stated.stated_answer(row.response or "")
    if answer is None:
        return Opinion("incorrect", "stated None")
    verdict = answers.equals(answer, row.target)
    if verdict is None:
        return Opinion(None, f"target unreadable; stated {answer}")
    return Opinion("correct" if verdict else "incorrect", f"stated {answer}")

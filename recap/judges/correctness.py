"""Whether a math response states the target: math-verify behind the ``Judge`` interface.

The final answer counts, whatever else the response says; one that states none is incorrect. A
target that cannot be read, or a comparison that takes too long, leaves the row unscored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from recap.judges.judge import Judge, Opinion
from recap.scoring import answers
from recap.types import Completion, Domain

SENTENCE = re.compile(r"(?<![\\\w])[^\W\d_]{2,}\s+[^\W\d_]{2,}|\n")


class MathJudge(Judge):
    """Labels ``correct`` or ``incorrect``; a row without a target is unscored."""

    name = "math"
    revision = f"math-verify {version('math-verify')}"
    prompt_sha = hashlib.sha256(Path(answers.__file__).read_bytes()).hexdigest()
    domains: frozenset[Domain] = frozenset({"math"})

    def opinions(self, completions: Sequence[Completion]) -> list[Opinion]:
        """One opinion each, from the response and the row's target."""
        return [correctness(row) for row in completions]


def correctness(row: Completion) -> Opinion:
    """The label of one answered completion."""
    if row.target is None or not row.target.strip():
        return Opinion(None, "no target")
    answer = stated_answer(row.response or "")
    if answer is None:
        return Opinion("incorrect", "stated None")
    verdict = answers.equals(answer, row.target)
    if verdict is None:
        return Opinion(None, f"target unreadable or comparison too long; stated {answer}")
    return Opinion("correct" if verdict else "incorrect", f"stated {answer}")


def stated_answer(response: str) -> str | None:
    """The answer that a response states, or is: "42" alone is one, a sentence is not."""
    answer = answers.extract_answer(response)
    if answer is not None:
        return answer
    bare = response.strip()
    return None if not bare or SENTENCE.search(bare) else bare

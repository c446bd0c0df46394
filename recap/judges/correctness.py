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
MARK = re.compile(r"\banswer(?:\s+is:?|\W*:\W*?)\s+(.+)$", re.IGNORECASE | re.MULTILINE)
EXACT = re.compile(r"####|\\(?:boxed|fbox|framebox)\b")
"""Ways of stating an answer that say where it ends."""
TEXT = re.compile(r"\\(?:text|mbox|mathrm|textbf|begin|end)\s*\{[^}]*\}|\\[A-Za-z]+|\b(?:or|and)\b")
"""Letters that are no words of a sentence: LaTeX's commands, and what joins several answers."""
WORD = re.compile(r"[^\W\d_]{2,}")
FORMULA = re.compile(
    r"\$\$(.+?)\$\$|\$((?:\\.|[^$\\\n])+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL
)
NUMERAL = re.compile(r"(?<![\w.])\$?([-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?)(?!\w)")


class MathJudge(Judge):
    """Labels ``correct`` or ``incorrect``; a row without a target is unscored."""

    name = "math"
    revision = f"math-verify {version('math-verify')}"
    prompt_sha = hashlib.sha256(
        Path(__file__).read_bytes() + Path(answers.__file__).read_bytes()
    ).hexdigest()
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
    """The final answer of a response, ``None`` if there is none.

    What it states ("the answer is …", a box); else all of it, if it is no sentence ("42" alone);
    else the formula or number that it ends on, as evaluations of free text commonly have it.
    """
    stated = answers.extract_answer(response)
    if not EXACT.search(response) and (rest := _rest_of_line(response)) is not None:
        return rest
    if stated is not None:
        return stated
    bare = response.strip()
    if not WORD.search(TEXT.sub("", bare)):
        return bare or None
    found = [*FORMULA.finditer(bare), *NUMERAL.finditer(bare)]
    if not found:
        return None if SENTENCE.search(bare) else bare
    last = max(found, key=lambda match: (match.end(), -match.start()))
    return next(group for group in last.groups() if group is not None)


def _rest_of_line(response: str) -> str | None:
    """What follows the last "answer is", if it is mathematics to the end of its line.

    "3, 5, 7" and "6 - 5i" have blanks in them; "5 because …" and "18 apples" are for
    ``extract_answer``, which stops at the first.
    """
    marks = list(MARK.finditer(response))
    if not marks:
        return None
    rest = marks[-1][1].strip().removesuffix(".").strip(" *")
    return None if not rest or WORD.search(TEXT.sub("", rest)) else rest

r"""MATH (EleutherAI/hendrycks_math, seven subjects): competition problems, for training.

Columns problem and solution, whose last ``\boxed{...}`` is the answer; type is the category. Only
the training split is read: MATH-500 comes from the test split, and preparation drops what repeats
it.
"""

from __future__ import annotations

from recap.data.sources.rawrow import RawRow, RowFault, fields, text
from recap.data.sources.readers import table_loader
from recap.types.prompts import PromptRecord

FILES = ("*/train-*.parquet", "train.jsonl")
BOXES = ("\\boxed{", "\\fbox{")


def record(row: RawRow) -> PromptRecord:
    """A math prompt with its LaTeX answer; raises RowFault."""
    values = fields(row)
    target = last_boxed(text(values, "solution"))
    if not target:
        raise RowFault("solution: no answer in \\boxed{}")
    return PromptRecord(
        id=f"hendrycks_math-{row.line}",
        domain="math",
        prompt=text(values, "problem"),
        target=target,
        source="hendrycks_math",
        split=row.split,
        category=text(values, "type").strip() or None if "type" in values else None,
    )


def last_boxed(solution: str) -> str | None:
    """What the last box of a solution holds, braces inside it balanced; ``None`` without one."""
    start, opening = max((solution.rfind(box), box) for box in BOXES)
    if start < 0:
        return None
    depth, begin = 1, start + len(opening)
    for place in range(begin, len(solution)):
        depth += {"{": 1, "}": -1}.get(solution[place], 0)
        if depth == 0:
            return solution[begin:place].strip()
    return None


LOADER = table_loader("hendrycks_math", FILES, "train", record, licence="MIT")

r"""MATH (EleutherAI/hendrycks_math, seven subjects): competition problems, for training.

Columns problem and solution, whose last ``\boxed{...}`` is the answer; type is the category. Only
the training split is read: MATH-500 comes from the test split, and preparation drops what repeats
it.
"""

from __future__ import annotations

from collections.abc import Iterator

from recap.data.sources.rawrow import (
    Loader,
    RawRow,
    Request,
    RowFault,
    data_directory,
    fields,
    text,
)
from recap.data.sources.readers import read_table
from recap.types.prompts import PromptRecord

FILES = ("*/train-*.parquet", "train.jsonl")
BOXES = ("\\boxed{", "\\fbox{")


def rows(request: Request) -> Iterator[RawRow]:
    """The training split of every subject."""
    yield from read_table(
        data_directory(request, "hendrycks_math"), "hendrycks_math", FILES, "train"
    )


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


LOADER = Loader(
    "hendrycks_math", eval_only=False, rows=rows, record=record, files=FILES, licence="MIT"
)

"""MATH-500 (HuggingFaceH4/MATH-500): 500 competition problems. Evaluation only.

Columns problem, answer (LaTeX, kept as it is) and unique_id; solution, subject, level unused.
"""

from __future__ import annotations

from collections.abc import Iterator

from recap.data.sources.rawrow import Loader, RawRow, Request, data_directory, fields, text
from recap.data.sources.readers import read_table
from recap.types.prompts import PromptRecord

FILES = ("test.jsonl",)


def rows(request: Request) -> Iterator[RawRow]:
    """The one test split."""
    yield from read_table(data_directory(request, "math500"), "math500", FILES, "eval")


def record(row: RawRow) -> PromptRecord:
    """A math prompt with its answer; raises RowFault."""
    values = fields(row)
    return PromptRecord(
        id=f"math500-{text(values, 'unique_id')}",
        domain="math",
        prompt=text(values, "problem"),
        target=text(values, "answer").strip(),
        source="math500",
        split=row.split,
    )


LOADER = Loader("math500", eval_only=True, rows=rows, record=record, files=FILES)

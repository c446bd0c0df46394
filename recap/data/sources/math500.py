"""MATH-500 (HuggingFaceH4/MATH-500): 500 competition problems. Evaluation only.

Columns problem, answer (LaTeX, kept as it is) and unique_id; solution, subject, level unused.
"""

from __future__ import annotations

from recap.data.sources.rawrow import RawRow, fields, text
from recap.data.sources.readers import table_loader
from recap.types.prompts import PromptRecord

FILES = ("test.jsonl",)


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


LOADER = table_loader("math500", FILES, "eval", record)

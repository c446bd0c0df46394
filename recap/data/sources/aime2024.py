"""AIME 2024 (HuggingFaceH4/aime_2024): 30 competition problems. Evaluation only.

Columns id, problem and answer (a whole number, with leading zeros in some copies). Other copies
repeat the 30 problems 32 times, which would make one problem count as 32: they are refused.
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
    plain_id,
    text,
)
from recap.data.sources.readers import read_table
from recap.errors import DataError
from recap.types.prompts import PromptRecord

FILES = ("data/train-*.parquet", "test.jsonl")
PROBLEMS = 30


def rows(request: Request) -> Iterator[RawRow]:
    """The one split; raises DataError unless it has 30 rows."""
    directory = data_directory(request, "aime2024")
    found = list(read_table(directory, "aime2024", FILES, "eval"))
    if len(found) != PROBLEMS:
        raise DataError(
            f"Expected the {PROBLEMS} problems of AIME 2024 in {directory}, got {len(found)} rows. "
            "Take a copy that holds each problem once (HuggingFaceH4/aime_2024 does)."
        )
    yield from found


def record(row: RawRow) -> PromptRecord:
    """A math prompt with its number; raises RowFault."""
    values = fields(row)
    answer = plain_id(values, "answer").strip()
    if not answer.isdecimal():
        raise RowFault("answer: not a whole number")
    return PromptRecord(
        id=f"aime2024-{plain_id(values, 'id')}",
        domain="math",
        prompt=text(values, "problem"),
        target=str(int(answer)),
        source="aime2024",
        split=row.split,
    )


LOADER = Loader("aime2024", eval_only=True, rows=rows, record=record, files=FILES)

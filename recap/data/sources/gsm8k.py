"""GSM8K (openai/gsm8k, config main): grade-school math; split train trains, test evaluates.

Columns question and answer; the gold answer follows ``####`` and may have thousands commas.
"""

from __future__ import annotations

import re
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

FILES = {
    "train": ("train.jsonl", "main/train-*.parquet"),
    "test": ("test.jsonl", "main/test-*.parquet"),
}
NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


def rows(request: Request) -> Iterator[RawRow]:
    """Both splits."""
    directory = data_directory(request, "gsm8k")
    yield from read_table(directory, "gsm8k", FILES["train"], "train")
    yield from read_table(directory, "gsm8k", FILES["test"], "eval")


def record(row: RawRow) -> PromptRecord:
    """A math prompt with its number; raises RowFault."""
    values = fields(row)
    _, mark, gold = text(values, "answer").rpartition("####")
    target = gold.strip().replace(",", "")
    if not mark or not NUMBER.fullmatch(target):
        raise RowFault("answer: no number after ####")
    return PromptRecord(
        id=f"gsm8k-{'train' if row.split == 'train' else 'test'}-{row.line}",
        domain="math",
        prompt=text(values, "question"),
        target=target,
        source="gsm8k",
        split=row.split,
    )


LOADER = Loader(
    "gsm8k",
    eval_only=False,
    rows=rows,
    record=record,
    files=(*FILES["train"], *FILES["test"]),
    licence="MIT",
)

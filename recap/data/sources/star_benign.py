"""STAR-benign-915 (UCSC-VLAA/STAR-benign-915): harmless questions, for training.

The paper trains on 1000 overrefusal prompts of it; 915 are published, so its mixture shrinks
(recap/data/mixture.py). Columns question and id (the row's place without one); others unused.
"""

from __future__ import annotations

from collections.abc import Iterator

from recap.data.sources.rawrow import (
    Loader,
    RawRow,
    Request,
    data_directory,
    fields,
    plain_id,
    text,
)
from recap.data.sources.readers import read_table
from recap.types.prompts import PromptRecord

FILES = ("STAR-benign-915.json", "data/train-*.parquet")


def rows(request: Request) -> Iterator[RawRow]:
    """The one training split."""
    yield from read_table(data_directory(request, "star_benign"), "star_benign", FILES, "train")


def record(row: RawRow) -> PromptRecord:
    """A benign prompt; raises RowFault."""
    values = fields(row)
    return PromptRecord(
        id=f"star_benign-{plain_id(values, 'id') if 'id' in values else f'row{row.line}'}",
        domain="benign",
        prompt=text(values, "question"),
        target=None,
        source="star_benign",
        split=row.split,
    )


LOADER = Loader("star_benign", eval_only=False, rows=rows, record=record, files=FILES)

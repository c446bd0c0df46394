"""STAR-1 (UCSC-VLAA/STAR-1): 1000 harmful questions, for training.

Columns id, question and source (the set that STAR-1 took the question from; kept in the record's
source, e.g. ``star1-HarmBench``). The columns response, category and score are not used.
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

FILES = ("STAR-1.json", "data/train-*.parquet")


def rows(request: Request) -> Iterator[RawRow]:
    """The one training split."""
    directory = data_directory(request, "star1")
    yield from read_table(directory, "star1", FILES, "train")


def record(row: RawRow) -> PromptRecord:
    """A harmful prompt; raises RowFault."""
    values = fields(row)
    return PromptRecord(
        id=f"star1-{plain_id(values, 'id')}",
        domain="harmful",
        prompt=text(values, "question"),
        target=None,
        source=f"star1-{text(values, 'source')}",
        split=row.split,
    )


LOADER = Loader(
    "star1", eval_only=False, rows=rows, record=record, files=FILES, licence="Apache-2.0"
)

"""STAR-1 (UCSC-VLAA/STAR-1): 1000 harmful questions, for training.

Columns id, question and source (the set that STAR-1 took the question from; kept in the record's
source, e.g. ``star1-HarmBench``). The columns response, category and score are not used.
"""

from __future__ import annotations

from recap.data.sources.rawrow import RawRow, fields, plain_id, text
from recap.data.sources.readers import table_loader
from recap.types.prompts import PromptRecord

FILES = ("STAR-1.json", "data/train-*.parquet")


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


LOADER = table_loader("star1", FILES, "train", record, licence="Apache-2.0")

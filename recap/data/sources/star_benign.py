"""STAR-benign-915 (UCSC-VLAA/STAR-benign-915): harmless questions, for training.

The paper trains on 1000 overrefusal prompts of it; 915 are published, so its mixture shrinks
(recap/data/mixture.py). Columns question and id (the row's place without one); others unused.
"""

from __future__ import annotations

from recap.data.sources.rawrow import RawRow, fields, plain_id, text
from recap.data.sources.readers import table_loader
from recap.types.prompts import PromptRecord

FILES = ("STAR-benign-915.json", "data/train-*.parquet")


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


LOADER = table_loader("star_benign", FILES, "train", record)

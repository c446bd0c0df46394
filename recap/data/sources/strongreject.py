"""StrongREJECT (walledai/StrongREJECT): 313 direct harmful requests. Evaluation only.

The hub calls the split train. Column prompt (``forbidden_prompt`` in the authors' CSV); category
and source are optional.
"""

from __future__ import annotations

from recap.data.sources.rawrow import RawRow, fields, text
from recap.data.sources.readers import table_loader
from recap.types.prompts import PromptRecord

FILES = ("strongreject.jsonl", "data/train-*.parquet", "strongreject_dataset.csv")


def record(row: RawRow) -> PromptRecord:
    """A harmful prompt; raises RowFault."""
    values = fields(row)
    return PromptRecord(
        id=f"strongreject-{row.line}",
        domain="harmful",
        prompt=text(values, "forbidden_prompt" if "forbidden_prompt" in values else "prompt"),
        target=None,
        source="strongreject",
        split=row.split,
        category=text(values, "category").strip() or None if "category" in values else None,
    )


LOADER = table_loader("strongreject", FILES, "eval", record, licence="MIT")

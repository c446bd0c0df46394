"""StrongREJECT (walledai/StrongREJECT): 313 direct harmful requests. Evaluation only.

Column prompt (``forbidden_prompt`` in the authors' CSV); category and source are optional.
"""

from __future__ import annotations

from collections.abc import Iterator

from recap.data.sources.rawrow import Loader, RawRow, Request, data_directory, fields, text
from recap.data.sources.readers import read_table
from recap.types.prompts import PromptRecord

FILES = ("strongreject.jsonl", "data/train-*.parquet", "strongreject_dataset.csv")


def rows(request: Request) -> Iterator[RawRow]:
    """The one split, which is named train on the hub but is for evaluation."""
    yield from read_table(data_directory(request, "strongreject"), "strongreject", FILES, "eval")


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


LOADER = Loader(
    "strongreject", eval_only=True, rows=rows, record=record, files=FILES, licence="MIT"
)

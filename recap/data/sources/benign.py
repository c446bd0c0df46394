"""Our own benign requests, for training: half of them with alarming words used innocently.

``infra/profiles/data/benign.jsonl`` has them: columns id, prompt and kind (XSTest's kinds, or
``plain``). They are not XSTest's prompts, which evaluate.
"""

from __future__ import annotations

from collections.abc import Iterator

from recap.data.sources.rawrow import (
    OWN,
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

FILES = ("benign.jsonl",)


def rows(request: Request) -> Iterator[RawRow]:
    """The one training split."""
    directory = data_directory(request, "benign")
    yield from read_table(directory, "benign", FILES, "train")


def record(row: RawRow) -> PromptRecord:
    """A benign prompt; raises RowFault."""
    values = fields(row)
    return PromptRecord(
        id=f"benign-{plain_id(values, 'id')}",
        domain="benign",
        prompt=text(values, "prompt"),
        target=None,
        source="benign",
        split=row.split,
        category=text(values, "kind"),
    )


LOADER = Loader("benign", eval_only=False, rows=rows, record=record, files=FILES, licence=OWN)

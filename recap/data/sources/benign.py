"""Our own benign requests, for training: half of them with alarming words used innocently.

``infra/profiles/data/benign.jsonl`` has them: columns id, prompt and kind (XSTest's kinds, or
``plain``). They are not XSTest's prompts, which evaluate.
"""

from __future__ import annotations

from recap.data.sources.rawrow import OWN, RawRow, fields, plain_id, text
from recap.data.sources.readers import table_loader
from recap.types.prompts import PromptRecord

FILES = ("benign.jsonl",)


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


LOADER = table_loader("benign", FILES, "train", record, licence=OWN)

"""XSTest (natolambert/xstest-v2-copy or the authors' CSV): 250 harmless prompts that sound harmful.

Evaluation only. 200 of its 450 rows have a ``contrast_`` type and are really unsafe. They are left
out, because this benchmark measures helpfulness, and StrongREJECT measures safety. ``focus`` (the
word that a safe and an unsafe prompt share; absent in the hub's copy) is the cluster.
"""

from __future__ import annotations

from recap.data.sources.rawrow import RawRow, RowFault, fields, plain_id, text
from recap.data.sources.readers import table_loader
from recap.types.prompts import PromptRecord

FILES = ("xstest_prompts.csv", "data/prompts-*.parquet")


def record(row: RawRow) -> PromptRecord | None:
    """A benign prompt, ``None`` for an unsafe contrast; raises RowFault."""
    values = fields(row)
    contrast = text(values, "type").startswith("contrast_")
    if "label" in values and text(values, "label") != ("unsafe" if contrast else "safe"):
        raise RowFault("label: does not fit type")
    if contrast:
        return None
    focus = text(values, "focus") if "focus" in values else ""
    return PromptRecord(
        id=f"xstest-{plain_id(values, 'id')}",
        domain="benign",
        prompt=text(values, "prompt"),
        target=None,
        source="xstest",
        split=row.split,
        cluster=focus.strip() or None,
        category=text(values, "type"),
    )


LOADER = table_loader("xstest", FILES, "eval", record, licence="CC-BY-4.0")

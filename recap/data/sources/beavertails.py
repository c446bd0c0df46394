"""BeaverTails (PKU-Alignment/BeaverTails, 30k_train): harmful questions, for training.

Columns prompt, is_safe and category (name -> whether it is one of them). ``is_safe`` labels a pair
of prompt and response, not the prompt: a prompt counts as harmful if a row with it is not safe.
Prompts repeat with other responses; the first row of each stays. Licence CC-BY-NC-4.0: what is
trained on it is for non-commercial use.
"""

from __future__ import annotations

from collections.abc import Mapping

from recap.data.sources.rawrow import RawRow, RowFault, fields, text
from recap.data.sources.readers import table_loader
from recap.types.prompts import PromptRecord

FILES = ("round0/30k/train.jsonl.gz", "round0/30k/train.jsonl.xz", "data/30k_train-*.parquet")


def record(row: RawRow) -> PromptRecord | None:
    """A harmful prompt, ``None`` for a safe pair; raises RowFault."""
    values = fields(row)
    safe = values.get("is_safe")
    if not isinstance(safe, bool):
        raise RowFault(f"wrong type: is_safe is {type(safe).__name__}, not true or false")
    if safe:
        return None
    return PromptRecord(
        id=f"beavertails-{row.line}",
        domain="harmful",
        prompt=text(values, "prompt"),
        target=None,
        source="beavertails",
        split=row.split,
        category=_category(values),
    )


def _category(values: Mapping[str, object]) -> str | None:
    """The first category of the pair, in the data set's order."""
    found = values.get("category")
    if not isinstance(found, dict):
        raise RowFault(f"wrong type: category is {type(found).__name__}, not an object")
    return next((str(name) for name, holds in found.items() if holds is True), None)


LOADER = table_loader("beavertails", FILES, "train", record, licence="CC-BY-NC-4.0")

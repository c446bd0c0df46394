"""Fortress (ScaleAI/fortress_public): 500 jailbreaks, and FortressOR, their 500 harmless twins.

Evaluation only: its card prohibits adversarial training. Columns ID, adversarial_prompt,
benign_prompt and risk_domain (the category); a jailbreak and its twin share a cluster. Two loaders
read the same folder: ``fortress`` and ``fortress_or``. Leaves out the rubric of each prompt.
"""

from __future__ import annotations

from collections.abc import Callable

from recap.data.sources.rawrow import (
    RawRow,
    fields,
    plain_id,
    text,
)
from recap.data.sources.readers import table_loader
from recap.types.prompts import PromptRecord
from recap.types.row import Domain

FILES = ("data/train-*.parquet", "default/train/*.parquet", "fortress*.jsonl", "fortress*.json")


def _record(name: str, column: str, domain: Domain) -> Callable[[RawRow], PromptRecord]:
    def record(row: RawRow) -> PromptRecord:
        values = fields(row)
        number = plain_id(values, "ID")
        return PromptRecord(
            id=f"{name}-{number}",
            domain=domain,
            prompt=text(values, column),
            target=None,
            source=name,
            split=row.split,
            cluster=f"fortress {number}",
            category=text(values, "risk_domain").strip() or None,
        )

    return record


LOADER = table_loader(
    "fortress",
    FILES,
    "eval",
    _record("fortress", "adversarial_prompt", "harmful"),
    licence="CC-BY-4.0",
)
OVERREFUSAL = table_loader(
    "fortress_or",
    FILES,
    "eval",
    _record("fortress_or", "benign_prompt", "benign"),
    licence="CC-BY-4.0",
)

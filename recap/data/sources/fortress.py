"""Fortress (ScaleAI/fortress_public): 500 jailbreaks, and FortressOR, their 500 harmless twins.

Evaluation only: its card prohibits adversarial training. Columns ID, adversarial_prompt,
benign_prompt and risk_domain (the category); a jailbreak and its twin share a cluster. Two loaders
read the same folder: ``fortress`` and ``fortress_or``. Leaves out the rubric of each prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
from recap.types.row import Domain

FILES = ("data/train-*.parquet", "default/train/*.parquet", "fortress*.jsonl", "fortress*.json")


def _rows(name: str) -> Callable[[Request], Iterator[RawRow]]:
    return lambda request: read_table(data_directory(request, name), name, FILES, "eval")


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


LOADER = Loader(
    "fortress",
    eval_only=True,
    rows=_rows("fortress"),
    record=_record("fortress", "adversarial_prompt", "harmful"),
    files=FILES,
    licence="CC-BY-4.0",
)
OVERREFUSAL = Loader(
    "fortress_or",
    eval_only=True,
    rows=_rows("fortress_or"),
    record=_record("fortress_or", "benign_prompt", "benign"),
    files=FILES,
    licence="CC-BY-4.0",
)

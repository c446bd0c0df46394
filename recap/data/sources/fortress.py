"""Fortress (ScaleAI/fortress_public): 500 jailbreaks, and FortressOR, their 500 harmless twins.

Evaluation only: its card prohibits adversarial training. Columns ID, adversarial_prompt, rubric (a
list of questions), benign_prompt and risk_domain (the category); a jailbreak and its twin share a
cluster. Two loaders read the same folder: ``fortress`` and ``fortress_or``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from recap.data.sources.checks import is_unicode
from recap.data.sources.rawrow import RawRow, RowFault, fields, plain_id, text
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
            rubric=_questions(values) if domain == "harmful" else (),
        )

    return record


def _questions(values: Mapping[str, object]) -> tuple[str, ...]:
    """The rubric; raises RowFault unless it is a list of texts."""
    found = values.get("rubric")
    if not isinstance(found, list) or not found:
        raise RowFault(
            "missing column: rubric" if found is None else "rubric: no list of questions"
        )
    if not all(isinstance(each, str) and each.strip() and is_unicode(each) for each in found):
        raise RowFault("rubric: a question is no text")
    return tuple(each.strip() for each in found)


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

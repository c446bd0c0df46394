"""Which prompts a variant trains on, and with which verified prefills (by prompt id).

``counter`` is the paper's: unsafe thoughts for harmful prompts, refusing ones for benign prompts;
``aligned`` (the ablation) gives both the thoughts of the aligned source; ``none`` gives none, and
``self`` none from a file: ``recap.rl.self_prefill`` samples them from the policy as it trains.
Evaluation prefills must come from another source than training's, so they are refused here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recap.errors import DataError, ParameterError
from recap.params.train import PrefillSource, Subset
from recap.rows import read_rows
from recap.types.prompts import Prefill, PromptRecord
from recap.types.row import Domain
from recap.types.sources import EVAL_SOURCES

SOURCES: dict[PrefillSource, dict[Domain, str]] = {
    "counter": {"harmful": "harmful", "benign": "refusing"},
    "aligned": {"harmful": "aligned", "benign": "aligned"},
    "none": {},
    "self": {},
}
SUBSETS: dict[Subset, tuple[Domain, ...]] = {
    "all": ("harmful", "benign", "math"),
    "alignment": ("harmful", "benign"),
    "math": ("math",),
}


def training_records(subset: Subset, records: Sequence[PromptRecord]) -> list[PromptRecord]:
    """The prompts that a variant trains on, in their order."""
    return [record for record in records if record.domain in SUBSETS[subset]]


def training_prefills(
    source: PrefillSource,
    directory: Path,
    records: Sequence[PromptRecord],
) -> dict[str, Prefill]:
    """The verified prefills of the training prompts, by prompt id.

    Raises ParameterError when a file holds thoughts of an evaluation source.
    """
    wanted = SOURCES[source]
    domains = {record.id: record.domain for record in records}
    prefills: dict[str, Prefill] = {}
    for name in sorted(set(wanted.values())):
        path = directory / f"{name}.jsonl"
        for prefill in read_rows(path, Prefill):
            if prefill.source_model in EVAL_SOURCES:
                raise ParameterError(
                    f"Expected prefills of a training source in {path}, got some of "
                    f"'{prefill.source_model}', which is kept for evaluation. "
                    "Train on harmful, refusing or aligned."
                )
            domain = domains.get(prefill.prompt_id)
            if domain and prefill.rejected is None and wanted.get(domain) == name:
                prefills[prefill.prompt_id] = prefill
    return prefills


def check_coverage(
    records: Sequence[PromptRecord], prefills: dict[str, Prefill], max_missing: float
) -> None:
    """Raise DataError if too many of these prompts, all of which may get one, have no prefill."""
    missing = sum(record.id not in prefills for record in records)
    if missing > max_missing * len(records):
        raise DataError(
            f"Expected a verified prefill for all but {max_missing:.0%} of {len(records)} prompts "
            f"that may get one, but {missing} have none. Raise prefill.attempts or "
            "prefill.max_tokens, or allow more with train.max_missing_prefills."
        )

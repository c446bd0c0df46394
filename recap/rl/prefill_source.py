"""Which prefills a variant trains with: source name -> verified prefills by prompt id.

``counter`` is the paper's: unsafe thoughts for harmful prompts, refusing ones for benign prompts;
``aligned`` (the ablation) gives both the thoughts of the aligned source; ``none`` gives none.
Evaluation prefills must come from another source than training's, so they are refused here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from recap.errors import DataError, ParameterError
from recap.rows import read_rows
from recap.types import Domain, Prefill, PromptRecord

SOURCES: dict[str, dict[Domain, str]] = {
    "counter": {"harmful": "harmful", "benign": "refusing"},
    "aligned": {"harmful": "aligned", "benign": "aligned"},
    "none": {},
}
EVALUATION = "_eval"
"""Ending of the names of sources that only evaluation may use."""


def training_prefills(
    source: Literal["counter", "aligned", "none"],
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
            if prefill.source_model.endswith(EVALUATION):
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
    """Raise DataError if too many harmful and benign prompts have no verified prefill."""
    eligible = [record for record in records if record.domain != "math"]
    missing = sum(record.id not in prefills for record in eligible)
    if eligible and missing > max_missing * len(eligible):
        raise DataError(
            f"Expected a verified prefill for all but {max_missing:.0%} of {len(eligible)} harmful "
            f"and benign prompts, but {missing} have none. Raise prefill.attempts or "
            "prefill.max_tokens, or allow more with train.max_missing_prefills."
        )

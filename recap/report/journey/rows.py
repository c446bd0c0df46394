"""The types of the followed rows, with all the data that the page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recap.data.sources.rawrow import RawRow
from recap.params.train import Train
from recap.render import Renderer
from recap.rl.dynamic_sampling import Fate
from recap.types.attacks import Completion
from recap.types.decisions import GateDecision
from recap.types.prompts import Prefill, PromptRecord, RenderedPrompt
from recap.types.results import CellResult
from recap.types.rollouts import RolloutGroup
from recap.types.row import Domain
from recap.types.verdicts import Outcome, Verdict

DOMAINS: tuple[Domain, ...] = ("harmful", "benign", "math")
"""The page follows one row of each domain, in this order."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A training row: its new group of rollouts, the whole thought of its prefill, its fate."""

    group: RolloutGroup
    whole: Prefill | None
    fate: Fate


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation row with each variant's completion and outcome."""

    record: PromptRecord
    whole: Prefill | None
    given: str | None
    rendered: RenderedPrompt
    variants: Mapping[str, tuple[Completion, Verdict, Outcome]]


@dataclass(frozen=True, slots=True)
class Story:
    """All followed rows, and the results that include them."""

    candidate: str
    baseline: str
    raw: Mapping[str, RawRow]
    trained: Sequence[Trained]
    evaluated: Sequence[Evaluated]
    train: Train
    metrics: Sequence[Mapping[str, Any]]
    results: Mapping[str, CellResult]
    decision: GateDecision
    renderer: Renderer

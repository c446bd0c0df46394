"""An attacked prompt, its completion, and an attack that is kept."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from recap.types.prompts import PromptRecord, RenderedPrompt
from recap.types.rollouts import FinishReason
from recap.types.row import Domain, Row
from recap.types.sources import KEPT


@dataclass(frozen=True, slots=True)
class AttackedPrompt:
    """One prompt of a benchmark, as shown to the policy in one round of an attack."""

    record: PromptRecord
    benchmark: str
    attack: str
    place: int
    rendered: RenderedPrompt
    prefill_source: str | None


class Completion(Row):
    """One completion of an attacked prompt. ``cot`` is the generated part of the thought only.

    ``place`` is the place on the attack's axis, from 1: the round of resets, or the n-th length of
    a grid, budget of a search or source of a transfer, as ``attack`` in ``params.yaml`` lists them.
    ``thought_closed``: the attack planted the whole thought, so none of it was generated.
    ``category`` is the category of the planted thought, or else of the prompt. ``rubric`` is the
    prompt's.
    """

    prompt_id: str
    benchmark: str
    attack: str
    place: int
    sample: int
    domain: Domain
    cluster: str | None
    prompt: str
    target: str | None
    prefill: str | None
    prefill_source: str | None
    num_prefill_tokens: int
    thought_closed: bool = False
    cot: str
    response: str | None
    finish_reason: FinishReason
    num_cot_tokens: int
    num_response_tokens: int
    category: str | None = None
    rubric: tuple[str, ...] = ()

    @property
    def incomplete(self) -> bool:
        """Whether generation ended without a complete answer: a failure in every domain."""
        if self.finish_reason == "overflow":
            return False
        return self.finish_reason == "length" or not (self.response or "").strip()


def attack_id(domain: Domain, prompt: str, prefill: str | None, closed: bool) -> str:
    """The name of a kept attack: its domain, and a digest of what a policy sees."""
    seen = json.dumps([prompt, prefill, closed])
    return f"{KEPT}-{domain}-{hashlib.sha256(seen.encode()).hexdigest()[:12]}"


def kept_domain(prompt_id: str) -> str | None:
    """The domain in the name of a kept attack; ``None`` if it is no such name."""
    found = re.fullmatch(rf"{KEPT}-(harmful|benign)-[0-9a-f]{{12}}", prompt_id)
    return found[1] if found else None


class KeptAttack(Row):
    """An attack that succeeded once, kept to be replayed against later policies.

    ``prefill`` is the planted part of the thought as it was given, ``None`` without one, and
    ``thought_closed`` whether it was the whole thought. ``cell`` is the policy that failed,
    ``benchmark`` where, and ``judge`` who said so. ``id`` is the digest of what the policy sees.
    """

    id: str
    prompt_id: str
    domain: Domain
    cluster: str | None
    prompt: str
    prefill: str | None
    thought_closed: bool
    benchmark: str
    cell: str
    judge: str
